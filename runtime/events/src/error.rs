//! What can go wrong with an event log, whichever database it is in.

use thiserror::Error;
use uuid::Uuid;

use crate::stored::Corrupt;

/// What an error is about: who has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What was asked for is not there: the id, the tables or the file.
    Absent,
    /// It is there already.
    Exists,
    /// What is stored is damaged: a row that is no event, a file that SQLite cannot read.
    Corrupt,
    /// The tables are others.
    Schema,
    /// No answer, or not in time; the same again may succeed.
    Unavailable,
    /// No space is left.
    Full,
    /// A right is missing: the password, a grant, the mode of a file.
    Permission,
    /// What was named cannot hold a history.
    Unsuitable,
    /// Anything else.
    Other,
}

/// Why something was not done. What was not done is not half done.
#[derive(Debug, Error)]
pub enum Error {
    /// An event for an aggregate that is not in the log.
    #[error(
        "nothing is recorded of {id} in {place}: a workflow run begins with `initiate_workflow`, a task with `add_task_to_workflow`"
    )]
    Unknown {
        /// Whose it would have been.
        id: Uuid,
        /// Which log.
        place: String,
    },
    /// A creation of what is there already.
    #[error(
        "{id} is in {place} already, created by another command; a new workflow run or task needs an id of its own"
    )]
    Exists {
        /// Whose it would have been.
        id: Uuid,
        /// Which log.
        place: String,
    },
    /// A row of the log that is no event stands in the way.
    #[error(transparent)]
    Corrupt(#[from] Box<Corrupt>),
    /// The tables are missing.
    #[error("{place} has no table `{table}`: run `processor events init` once to create what is missing")]
    NotInitialised {
        /// Which log.
        place: String,
        /// The first table that is missing.
        table: String,
    },
    /// Tables are there, but not as they have to be.
    #[error("the tables of {place} are not those that biomero 2.8 creates, and are left as they are:\n  {}", .differences.join("\n  "))]
    Schema {
        /// Which log.
        place: String,
        /// One line each.
        differences: Vec<String>,
    },
    /// The database was asked again and again, for as long as was allowed.
    #[error("{attempted}: given up after {attempts} attempts in {seconds} s")]
    GivenUp {
        /// What was to be done.
        attempted: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// For how long.
        seconds: u64,
        /// How the last attempt ended.
        source: Box<Error>,
    },
    /// PostgreSQL could not be reached or said no.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::DatabaseError),
    /// The file could not be used.
    #[error(transparent)]
    Sqlite(#[from] crate::sqlite::FileError),
}

impl Error {
    /// What it is about.
    pub fn class(&self) -> Class {
        match self {
            Self::Unknown { .. } | Self::NotInitialised { .. } => Class::Absent,
            Self::Exists { .. } => Class::Exists,
            Self::Corrupt(_) => Class::Corrupt,
            Self::Schema { .. } => Class::Schema,
            Self::GivenUp { source, .. } => source.class(),
            Self::Postgres(error) => error.class(),
            Self::Sqlite(error) => error.class(),
        }
    }

    /// Whether the same may succeed when it is repeated.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Postgres(error) => error.may_pass(),
            Self::Sqlite(error) => error.may_pass(),
            _ => false,
        }
    }
}
