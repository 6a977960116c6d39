//! Hostile components against the real `init` and the real compiler: whatever one does, a dry run and a start end soon,
//! name the hook, what it tried and the rule, and nothing of what it tried is there.

mod answers;
mod cache;
mod components;
mod effects;
mod guest;
mod limits;
mod log;
mod needs;
mod real;
mod rollback;
mod stage;
