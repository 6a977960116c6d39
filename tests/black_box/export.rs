//! The finished `processor export`, `convert` and `inspect`, with programs of others on both sides.

mod omero;
mod others;
mod refuse;
mod resume;
mod stage;
mod tell;
