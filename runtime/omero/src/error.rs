//! Why OMERO did not do what it was asked.

use std::fmt;
use std::time::Duration;

use biomero_config::{MASK, Secret};
use biomero_ice::CallError;
use biomero_ice::clients::{CannotCreateSession, PermissionDenied};
use thiserror::Error;

use crate::types::{self, ConcurrencyException, Exception};

/// How much of a server's message is shown.
const SHOWN: usize = 2000;

/// Why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// OMERO refused it, or failed.
    #[error("OMERO could not do {operation}: {raised}")]
    Server {
        /// What it was asked.
        operation: String,
        /// What it said.
        raised: Box<ServerError>,
    },
    /// No such user, another password, or no such session (any more).
    #[error("OMERO lets nobody in by this name and password, or there is no such session any more: {reason}")]
    Denied {
        /// What it said.
        reason: String,
    },
    /// There can be no session now.
    #[error("OMERO gives no session: {reason}")]
    NoSession {
        /// What it said.
        reason: String,
    },
    /// OMERO was not reached, went away, or took too long. Whether it did what it was asked is not always known.
    #[error("{problem}")]
    Unavailable {
        /// What was asked of whom, and what happened.
        problem: String,
    },
    /// What was called does not exist (any more): a service that was closed, or the session of it.
    #[error("{problem}; it was closed, or its session has ended")]
    Gone {
        /// What was called.
        problem: String,
    },
    /// Both sides do not understand each other.
    #[error("{problem}")]
    Protocol {
        /// What was asked, and what was wrong.
        problem: String,
    },
    /// OMERO has nothing where something has to be.
    #[error("OMERO has no {what}")]
    Missing {
        /// What.
        what: String,
    },
    /// Something else than was asked for.
    #[error("column {column} of a row is {found}, not {wanted}")]
    Column {
        /// Which, from 0.
        column: usize,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
}

impl Error {
    /// From a call. `hidden`: what no message may show.
    pub(crate) fn of(error: CallError, hidden: Option<&Secret<String>>) -> Self {
        if let CallError::Raised { operation, raised } = &error {
            if let Some(server) = raised.get::<types::ServerError>() {
                let known = raised
                    .exception()
                    .and_then(|exception| Exception::of(exception.slices().first()?.type_id));
                let back_off = raised
                    .get::<ConcurrencyException>()
                    .and_then(|raised| u64::try_from(raised.back_off).ok());
                return Self::Server {
                    operation: operation.clone(),
                    raised: Box::new(ServerError {
                        exception: known.unwrap_or(Exception::ServerError),
                        type_id: raised.type_id().to_owned(),
                        class: server.server_exception_class.clone(),
                        message: masked(&server.message, hidden),
                        stack_trace: StackTrace(masked(&server.server_stack_trace, hidden)),
                        back_off: back_off.map(Duration::from_millis),
                    }),
                };
            }
            if let Some(denied) = raised.get::<PermissionDenied>() {
                return Self::Denied { reason: inert(&masked(&denied.reason, hidden)) };
            }
            if let Some(refused) = raised.get::<CannotCreateSession>() {
                return Self::NoSession { reason: inert(&masked(&refused.reason, hidden)) };
            }
        }
        let problem = masked(&error.to_string(), hidden);
        if error.is_object_gone() {
            Self::Gone { problem }
        } else if error.is_connection() || matches!(error, CallError::Unlocated { .. }) {
            Self::Unavailable { problem }
        } else {
            Self::Protocol { problem }
        }
    }

    /// What OMERO raised.
    #[must_use]
    pub fn raised(&self) -> Option<&ServerError> {
        match self {
            Self::Server { raised, .. } => Some(raised),
            _ => None,
        }
    }

    /// Whether OMERO raised this, or a case of it.
    #[must_use]
    pub fn is(&self, exception: Exception) -> bool {
        self.raised().is_some_and(|raised| raised.exception.is(exception))
    }
}

/// An exception of OMERO: `::omero::ServerError`, or a case of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    exception: Exception,
    type_id: String,
    class: String,
    message: String,
    stack_trace: StackTrace,
    back_off: Option<Duration>,
}

impl ServerError {
    /// Which one: of those that are known here the nearest.
    #[must_use]
    pub const fn exception(&self) -> Exception {
        self.exception
    }

    /// Which one, as OMERO calls it.
    #[must_use]
    pub fn type_id(&self) -> &str {
        &self.type_id
    }

    /// The class of the exception in the server (`serverExceptionClass`).
    #[must_use]
    pub fn class(&self) -> &str {
        &self.class
    }

    /// What it says.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in the server it happened: for logs that are asked for.
    #[must_use]
    pub fn stack_trace(&self) -> &str {
        &self.stack_trace.0
    }

    /// After what time it may be tried again, if OMERO says so.
    #[must_use]
    pub const fn back_off(&self) -> Option<Duration> {
        self.back_off
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.type_id.rsplit("::").next().unwrap_or_default();
        write!(formatter, "{}: {}", inert(name), inert(&self.message))?;
        if !self.class.is_empty() && !self.class.ends_with(name) {
            write!(formatter, " ({})", inert(&self.class))?;
        }
        Ok(())
    }
}

/// A stack of the server, which is shown only where it is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct StackTrace(String);

impl fmt::Debug for StackTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "({} lines)", self.0.lines().count())
    }
}

fn masked(text: &str, hidden: Option<&Secret<String>>) -> String {
    match hidden {
        Some(hidden) if !hidden.reveal().is_empty() => text.replace(hidden.reveal().as_str(), MASK),
        _ => text.to_owned(),
    }
}

/// One line, of a length that can be read.
fn inert(text: &str) -> String {
    let mut shown: String = text
        .trim()
        .chars()
        .take(SHOWN)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if text.trim().chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> ServerError {
        ServerError {
            exception: Exception::ValidationException,
            type_id: "::omero::ValidationException".to_owned(),
            class: "ome.conditions.ValidationException".to_owned(),
            message: message.to_owned(),
            stack_trace: StackTrace("at one\nat two".to_owned()),
            back_off: None,
        }
    }

    #[test]
    fn a_stack_is_not_shown_and_a_message_is_one_line() {
        let error = error("no\n\u{1b}[31mpixels");
        assert_eq!(error.to_string(), "ValidationException: no  [31mpixels");
        assert!(!format!("{error:?}").contains("at one"));
        assert_eq!(error.stack_trace(), "at one\nat two");
        assert!(self::error(&"x".repeat(5000)).to_string().len() < 2100);
    }

    #[test]
    fn exceptions_are_cases_of_others() {
        assert!(Exception::ValidationException.is(Exception::ApiUsageException));
        assert!(Exception::ValidationException.is(Exception::ServerError));
        assert!(!Exception::ApiUsageException.is(Exception::ValidationException));
        assert_eq!(Exception::of("::omero::grid::FileDeleteException"), Some(Exception::FileDeleteException));
        assert_eq!(Exception::AuthenticationException.base(), Some(Exception::CannotCreateSessionException));
    }

    #[test]
    fn what_is_hidden_is_masked() {
        let secret = Secret::new("1234".to_owned());
        assert_eq!(masked("a/1234service", Some(&secret)), format!("a/{MASK}service"));
        assert_eq!(masked("a", Some(&Secret::new(String::new()))), "a");
    }
}
