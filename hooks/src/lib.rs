//! Start-up hooks as pure functions to effects, and the interpreters of effects.
//!
//! A [`Hook`] maps a read-only [`Context`] to a list of [`Effect`]s. One interpreter applies them ([`apply`]),
//! another prints them ([`print`]); both drive the same sequence ([`sequence`]), so that a dry run is truthful by
//! construction. A later hook reads through what earlier ones planned ([`overlay`]).
//!
//! Invariants: a hook does no input or output; applying twice changes nothing; a half-written file never exists
//! under its own name; secrets reach no log, diff or manifest.

pub mod builtin;
mod context;
mod effect;
mod hook;
mod machine;

pub use context::{Address, Context, Facts, FileFact, Identity, Need, TreeEntry};
pub use effect::{CommandEffect, Content, Effect, FileEffect, Lock, Owner, Text};
pub use hook::{Hook, HookError};
pub use machine::{Exit, Machine, MachineError, Process};
