//! Start-up hooks as pure functions to effects, and the interpreters of effects.
//!
//! A [`Hook`] maps a read-only [`Context`] to a list of [`Effect`]s. [`schedule`] puts built-ins and a site's hooks in
//! order; [`apply`] runs them and applies their effects; [`plan`] runs them and tells what they would change. Both
//! read and compare through the same code, so that a dry run is truthful by construction, and in a dry run a later
//! hook reads through what earlier ones planned ([`Overlay`]).
//!
//! Invariants: a hook does no input or output; applying twice changes nothing; a half-written file never exists
//! under its own name; secrets reach no log, diff or manifest.

mod apply;
pub mod builtin;
mod change;
pub mod component;
mod confine;
mod context;
mod digest;
mod disk;
mod effect;
mod failure;
mod gather;
mod grants;
mod guard;
mod hook;
mod machine;
mod manifest;
mod overlay;
mod own;
mod plan;
mod schedule;
mod sequence;
mod visible;

pub use apply::ApplyError;
pub use change::{Before, Change};
pub use context::{Address, Context, Facts, FileFact, Identity, Need, TreeEntry};
pub use digest::{salted_sha256, sha256};
pub use disk::Disk;
pub use effect::{CommandEffect, Content, Effect, FileEffect, Lock, Owner, Text};
pub use failure::FailureClass;
pub use gather::GatherError;
pub use grants::{Grants, Refusal, Refusals};
pub use hook::{Hook, HookError};
pub use machine::{Exit, Machine, MachineError, Process};
pub use manifest::{Drift, Manifest, ManifestError, Ran};
pub use overlay::Overlay;
pub use plan::{HookPlan, Plan, PlannedEffect, sentence};
pub use schedule::{
    Kind, Origin, ScheduleError, Scheduled, Site, Trial, component_digest, naming, number_of, schedule, trial,
};
pub use sequence::{
    Aborted, Applied, HookFailure, Observer, Start, StepError, apply, plan, record, refusals,
};
