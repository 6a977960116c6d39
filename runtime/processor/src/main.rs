//! What runs workflows.

fn main() {}
