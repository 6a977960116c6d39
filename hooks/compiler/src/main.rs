//! `init-hooks`: compiles site hooks.
fn main() {}
