//! Why a workflow was not taken, found or changed.

use thiserror::Error;
use uuid::Uuid;

use crate::request::Problem;

/// Why a workflow was not taken, found or changed.
#[derive(Debug, Error)]
pub enum Error {
    /// The request makes no sense: nothing was kept.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Senseless(Vec<Problem>),
    /// The request cannot be looked at now: nothing was kept.
    #[error("{0}; ask again later")]
    Untold(String),
    /// Too many wait already: nothing was kept.
    #[error("{waiting} workflows wait already, and no more are taken (workflow.queue): ask again later")]
    Full {
        /// How many wait.
        waiting: u64,
    },
    /// There is no such workflow.
    #[error(
        "no workflow {id} was asked for here: it may have been run by a script of OMERO, see `processor events show`"
    )]
    Absent {
        /// Which.
        id: Uuid,
    },
    /// The id was used for another request.
    #[error("workflow {id} is there already, and was asked for otherwise: choose another id")]
    Exists {
        /// Which.
        id: Uuid,
    },
    /// It is too late for it, or too early.
    #[error("workflow {id} is {phase}: {remedy}")]
    OutOfPlace {
        /// Which.
        id: Uuid,
        /// Where it stands.
        phase: String,
        /// What that means.
        remedy: &'static str,
    },
    /// What is kept of a workflow cannot be read.
    #[error("what is kept of workflow {id} cannot be read: {reason}; a newer worker may have written it")]
    Damaged {
        /// Which.
        id: Uuid,
        /// What is wrong.
        reason: String,
    },
    /// A later worker acts.
    #[error("workflow {id} has passed to another worker")]
    Superseded {
        /// Which.
        id: Uuid,
    },
    /// Others change it again and again.
    #[error("workflow {id} is changed by others all the time: ask again")]
    Contended {
        /// Which.
        id: Uuid,
    },
    /// The database.
    #[error(transparent)]
    Log(#[from] biomero_events::Error),
}
