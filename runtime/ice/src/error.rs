//! Why a call did not come to an end.

use std::time::Duration;

use thiserror::Error;

use crate::connection::ConnectionError;
use crate::encoding::{DecodeError, EncodeError, Raised};
use crate::identity::Identity;
use crate::protocol::Fault;

/// Why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The operation raised one of its exceptions.
    #[error("{operation} raised {raised}")]
    Raised {
        /// The operation.
        operation: String,
        /// The exception.
        raised: Box<Raised>,
    },
    /// The other side could not carry it out.
    #[error("{operation}: {fault}")]
    Fault {
        /// The operation.
        operation: String,
        /// Why not.
        fault: Box<Fault>,
    },
    /// It took too long. Whether it is carried out is not known.
    #[error("{operation} had no answer from {target} within {after:?}")]
    Deadline {
        /// The operation.
        operation: String,
        /// Who was asked.
        target: String,
        /// How long was waited.
        after: Duration,
    },
    /// There is no connection, or no longer.
    #[error("{operation}: {source}")]
    Connection {
        /// The operation.
        operation: String,
        /// Why.
        source: ConnectionError,
    },
    /// Nobody knows where the object is.
    #[error("{operation}: {problem}")]
    Unlocated {
        /// The operation.
        operation: String,
        /// In what way, and what can be done.
        problem: String,
    },
    /// A parameter cannot be sent.
    #[error("the parameters of {operation} cannot be sent: {source}")]
    Encode {
        /// The operation.
        operation: String,
        /// Why not.
        source: EncodeError,
    },
    /// A result makes no sense.
    #[error(
        "the results of {operation} make no sense: {source}; the other side was made from other definitions"
    )]
    Decode {
        /// The operation.
        operation: String,
        /// Why not.
        source: DecodeError,
    },
}

impl CallError {
    /// The exception that the operation raised, if it is a `T`.
    #[must_use]
    pub fn raised<T: 'static>(&self) -> Option<&T> {
        match self {
            Self::Raised { raised, .. } => raised.get(),
            _ => None,
        }
    }

    /// The type id of the exception that the operation raised.
    #[must_use]
    pub fn raised_type(&self) -> Option<&str> {
        match self {
            Self::Raised { raised, .. } => Some(raised.type_id()),
            _ => None,
        }
    }

    /// Whether the object that was called does not exist (any more).
    #[must_use]
    pub fn is_object_gone(&self) -> bool {
        matches!(self.fault(), Some(Fault::ObjectNotExist { .. }))
    }

    /// Why the other side could not carry the operation out.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault { fault, .. } => Some(fault),
            _ => None,
        }
    }

    /// Whether the other side was not reached, or went away: trying again later may help.
    #[must_use]
    pub const fn is_connection(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Deadline { .. })
    }

    pub(crate) fn unlocated(operation: &str, identity: &Identity, problem: impl std::fmt::Display) -> Self {
        Self::Unlocated { operation: operation.to_owned(), problem: format!("{identity}: {problem}") }
    }
}
