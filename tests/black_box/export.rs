//! The finished `processor export`, `convert` and `inspect`, with programs of others on both sides.

mod alone;
mod memory;
mod others;
mod raw;
mod real;
mod refuse;
mod stage;
mod table;
mod tell;
