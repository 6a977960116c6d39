//! What is in the log: events as rows, before anybody has understood them.

use thiserror::Error;
use uuid::Uuid;

use crate::event::{Event, Undecodable};

/// A row of the log: Python's `Notification`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its place in the log: grows from event to event, with gaps.
    pub id: i64,
    /// The aggregate it happened to.
    pub originator_id: Uuid,
    /// Its place among that aggregate's events, from 0, without gaps.
    pub originator_version: i64,
    /// What kind of event it is.
    pub topic: String,
    /// The event, as JSON.
    pub state: Vec<u8>,
}

/// A row of the log that is no event. It is skipped by what projects and shown by what reads.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error(
    "event {id} of the log (originator_id {originator_id}, originator_version {originator_version}): {reason}; keep a copy of that row of workflowtracker_events, then correct it or delete it with the later ones of its originator"
)]
pub struct Corrupt {
    /// Its place in the log.
    pub id: i64,
    /// The aggregate it happened to.
    pub originator_id: Uuid,
    /// Its place among that aggregate's events.
    pub originator_version: i64,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a row of the log.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum Reason {
    /// It cannot be read.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// Versions are missing before it: Python's `repository.get` refuses the aggregate.
    #[error("version {expected} should be here, so that an event is missing before it")]
    Gap {
        /// The version that should stand here.
        expected: i64,
    },
    /// The first event of the aggregate does not create it.
    #[error("its aggregate begins with `{topic}`, which creates none")]
    NoCreation {
        /// The topic of the first event.
        topic: String,
    },
    /// An aggregate is created, but not with its first event.
    #[error("it creates an aggregate that was there already")]
    CreatedAgain,
}

impl Notification {
    /// What happened.
    ///
    /// # Errors
    /// It is no event that Python could read.
    pub fn event(&self) -> Result<Event, Corrupt> {
        Event::decode(&self.topic, &self.state).map_err(|error| self.corrupt(error.into()))
    }

    /// An error about this row.
    pub const fn corrupt(&self, reason: Reason) -> Corrupt {
        Corrupt {
            id: self.id,
            originator_id: self.originator_id,
            originator_version: self.originator_version,
            reason,
        }
    }
}
