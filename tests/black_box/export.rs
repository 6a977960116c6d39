//! The finished `processor export`, `convert` and `inspect`, with programs of others on both sides.

mod alone;
mod memory;
mod omero;
mod others;
mod plate;
mod raw;
mod real;
mod refuse;
mod resume;
mod stage;
mod table;
mod tell;
