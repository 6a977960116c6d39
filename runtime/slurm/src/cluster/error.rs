//! Why something asked of a cluster did not come about.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::command::{NulByte, Status};

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
    NulByte(#[from] NulByte),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectKind {
    /// No such name, or nobody listens there, or no way there.
    Unreachable,
    /// The host key is not known, or not the one that is known.
    HostKey,
    /// None of our keys is accepted.
    Denied,
    /// A key or the configuration cannot be read.
    Configuration,
    /// Something else.
    Other,
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
