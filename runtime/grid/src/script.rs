//! Scripts as processes: a folder each, a keeper each, so many at a time.
//!
//! Invariants: a folder is removed by whoever has taken out of it what is wanted, and by nobody else; a folder without an outcome
//! whose keeper is gone is lost, and what ran in it is ended before that is said.

mod error;
mod folder;
mod follow;
mod limits;
mod outcome;
mod process;
mod scripts;

pub use error::Error;
pub use folder::Folder;
pub use limits::{Limits, LiveLimits};
pub use outcome::{Ended, Outcome, Why};
pub use process::{ScriptProcess, State};
pub use scripts::{Found, Keeper, Options, Script, Scripts};

pub(crate) use folder::{Mark, Order};
pub(crate) use outcome::{Begun, Request};
