//! From an image to its results: a state machine that is persisted before each thing it does, so that whatever ends, ends it
//! not. It asks for its steps through [`Steps`], and knows neither clusters nor images nor OMERO.
//!
//! Invariants: nothing is done that the row of the workflow does not tell of; every step may be done again; what has come to
//! its end stays there until somebody asks for a retry; one worker acts at a time, and what another one writes late is refused
//! by the database.

mod error;
mod failure;
mod history;
pub mod input;
pub mod limits;
pub mod machine;
mod orchestrator;
pub mod record;
pub mod request;
pub mod steps;
mod workflows;

pub use error::Error;
pub use failure::{Failure, Remedy};
pub use history::{command_id, task_id};
pub use input::Input;
pub use limits::Limits;
pub use machine::{End, Machine, Stage, Step};
pub use orchestrator::{Orchestrator, Standing};
pub use record::Workflow;
pub use request::{CleanUp, Policy, Problem, Request, Results, Retries};
pub use steps::{Admitted, Memory, Refusal, Steps, Work};
pub use workflows::{Filter, Follower, Happened, Submitted, Workflows, child_ids};
