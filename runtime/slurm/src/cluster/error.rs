//! Why something asked of a cluster did not come about.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::command::{Status, Unsuitable};

/// Why.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no connection, and there was none: nothing was asked.
    #[error("cannot connect to {host}: {reason}; {remedy}")]
    Connect {
        /// The alias of the SSH configuration.
        host: String,
        /// What kind of trouble.
        kind: ConnectKind,
        /// What `ssh` said, in its words.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// The connection was lost while this was under way: whether it was done is not known.
    #[error("the connection to {host} was lost during `{what}`: whether it was done there is not known")]
    Lost {
        /// The alias.
        host: String,
        /// The command or file.
        what: String,
    },
    /// It took longer than it may.
    #[error("`{what}` on {host} did not end within {after:?} and was given up")]
    Deadline {
        /// The alias.
        host: String,
        /// The command or file.
        what: String,
        /// The deadline.
        after: Duration,
    },
    /// It answered more than it may.
    #[error("`{what}` on {host} answers more than {most} bytes")]
    TooMuch {
        /// The alias.
        host: String,
        /// The command.
        what: String,
        /// The limit, in bytes.
        most: usize,
    },
    /// It ran and failed.
    #[error("`{what}` on {host} {}{}", ended(*.status), said(.stderr))]
    Failed {
        /// The alias.
        host: String,
        /// The command.
        what: String,
        /// How it ended.
        status: Status,
        /// The end of its standard error.
        stderr: String,
    },
    /// A value cannot be part of a command.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// A file on the cluster could not be read or written.
    #[error("cannot {action} {path} on {host}: {reason}")]
    File {
        /// The alias.
        host: String,
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What kind of trouble.
        kind: io::ErrorKind,
        /// Why.
        reason: String,
    },
    /// Something of this machine is missing.
    #[error("cannot {action} on this machine: {source}")]
    Here {
        /// What was tried.
        action: String,
        /// Why.
        source: io::Error,
    },
}

/// The kinds of trouble with a connection; each has a remedy of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectKind {
    /// The host has no address.
    UnknownHost,
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way there.
    NoRoute,
    /// The host key is not known.
    HostKey,
    /// The host key is not the one that is known, or revoked.
    HostKeyChanged,
    /// None of our keys is accepted.
    Denied,
    /// So many keys were tried that the server hung up.
    TooManyKeys,
    /// A key is not there, or cannot be read, or others can read it.
    KeyFile,
    /// None of our keys is accepted, and one has a passphrase that nobody was asked for.
    KeyLocked,
    /// The configuration of `ssh` cannot be read.
    Configuration,
    /// The two sides have no algorithm in common.
    NoAgreement,
    /// The server hung up before anybody had logged in.
    Closed,
    /// The jump host, or the program that leads there, failed.
    Jump,
    /// The folder of the control socket cannot be used.
    ControlFolder,
    /// The login shell, or a forced command, runs no commands.
    LoginShell,
    /// The server allows no session at all.
    Sessions,
    /// There is no `ssh`.
    Program,
    /// Something else.
    Other,
}

impl ConnectKind {
    /// Whether it may pass by itself, so that trying again makes sense.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(
            self,
            Self::UnknownHost
                | Self::Refused
                | Self::TimedOut
                | Self::NoRoute
                | Self::Closed
                | Self::Jump
                | Self::Sessions
                | Self::Other
        )
    }
}

/// Why there is no connection: [`Error::Connect`] for all who wait for the same one.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) host: String,
    pub(super) kind: ConnectKind,
    pub(super) reason: String,
    pub(super) remedy: String,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let Refusal { host, kind, reason, remedy } = refusal;
        Self::Connect { host, kind, reason, remedy }
    }
}

impl Error {
    /// Whether no space was left for what was to be written, or a quota is used up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::File { kind, .. } => {
                matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Failed { stderr, .. } => says_full(stderr),
            _ => false,
        }
    }
}

/// Whether a program says that no space is left: the words of `strerror(3)`.
pub(crate) fn says_full(text: &str) -> bool {
    text.contains("No space left") || text.contains("quota exceeded")
}

fn ended(status: Status) -> String {
    match status {
        Status::Exited(code) => format!("ended with {code}"),
        Status::Killed => "was killed".to_owned(),
    }
}

fn said(stderr: &str) -> String {
    let stderr = stderr.trim();
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}
