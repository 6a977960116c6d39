//! Why there is no connection, or no longer.

use std::time::Duration;

use thiserror::Error;

use crate::protocol::ProtocolError;

/// Why. It is told everybody who waits, so it can be cloned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Nobody there.
    #[error(
        "cannot connect to {endpoint}: {problem}; check that the server runs and that no firewall is between"
    )]
    Unreachable {
        /// Where.
        endpoint: String,
        /// Why not.
        problem: String,
    },
    /// Somebody may be there, who says nothing.
    #[error(
        "{endpoint} has not greeted us within {after:?}; check that it is an Ice endpoint of that transport"
    )]
    NoGreeting {
        /// Where.
        endpoint: String,
        /// How long was waited.
        after: Duration,
    },
    /// No endpoint can be used from here.
    #[error("none of the endpoints can be used from here ({endpoints}); {remedy}")]
    NoEndpoint {
        /// What there is.
        endpoints: String,
        /// What to do.
        remedy: &'static str,
    },
    /// TLS.
    #[error("no TLS with {endpoint}: {problem}; {remedy}")]
    Tls {
        /// With whom.
        endpoint: String,
        /// Why not.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The peer has closed it in good order. What it has not answered, it has not carried out.
    #[error("{peer} has closed the connection")]
    Closed {
        /// Who.
        peer: String,
    },
    /// It broke. What was sent may have been carried out.
    #[error("the connection to {peer} is lost: {problem}")]
    Lost {
        /// To whom.
        peer: String,
        /// How.
        problem: String,
    },
    /// Nothing has come for too long.
    #[error("{peer} has been silent for {after:?} ({during}); the connection is given up")]
    Silent {
        /// Who.
        peer: String,
        /// How long.
        after: Duration,
        /// What was waited for.
        during: &'static str,
    },
    /// What came makes no sense.
    #[error("{peer}: {source}")]
    Protocol {
        /// Who.
        peer: String,
        /// In what way.
        source: ProtocolError,
    },
    /// This end has no more use for it.
    #[error("the connection to {peer} was closed at this end")]
    Left {
        /// To whom.
        peer: String,
    },
}
