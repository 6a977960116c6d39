//! The finished `processor export`, `convert` and `inspect`, with programs of others on both sides.

mod others;
mod refuse;
mod stage;
mod tell;
