//! What PostgreSQL answers when it does not do what it was asked for, and what is to be done about each answer.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use thiserror::Error;

use super::connect::{ConnectError, PoolError};
use crate::error::Class;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The same again may succeed: the connection was lost, or another transaction was in the way.
    Retry,
    /// Somebody has to make room.
    DiskFull,
    /// The server takes no writes: a standby, or set so.
    ReadOnly,
    /// It took longer than was allowed.
    Deadline,
    /// Somebody has to grant a right.
    Permission,
    /// None of these: the statement or the data is wrong.
    Other,
}

/// What is to be done about an answer of the server, or about none.
pub(crate) fn classify(error: &tokio_postgres::Error) -> Kind {
    let Some(code) = error.code() else {
        let lost = error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>());
        return if lost { Kind::Retry } else { Kind::Other };
    };
    match code.code() {
        // A duplicate key is a race that was lost: two writers have made the same version.
        "23505" | "40001" | "40P01" | "40003" => Kind::Retry,
        // Stopped, crashed, starting; the session ended because it idled; no connection left.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53300" => Kind::Retry,
        code if code.starts_with("08") => Kind::Retry,
        "53100" => Kind::DiskFull,
        "25006" => Kind::ReadOnly,
        "57014" | "55P03" => Kind::Deadline,
        "42501" => Kind::Permission,
        _ => Kind::Other,
    }
}

/// What was said, in one line: the server's message with its code, or the chain of causes.
pub(crate) fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map_or_else(String::new, |detail| format!(": {detail}"));
        return format!("{}{detail} (SQLSTATE {})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// PostgreSQL said no, or nothing.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// There is no connection.
    #[error("cannot {attempted}: {source}")]
    Connect {
        /// What was to be done.
        attempted: &'static str,
        /// Why not.
        source: Box<ConnectError>,
    },
    /// The server has the statement and says nothing, not even that it took too long.
    #[error(
        "cannot {attempted} in {place}: the server has not answered within {} s, and the connection was given up; the same again may succeed",
        limit.as_secs_f32()
    )]
    Silent {
        /// What was to be done.
        attempted: &'static str,
        /// In which database.
        place: String,
        /// What was allowed.
        limit: Duration,
    },
    /// There was a statement, and no success.
    #[error("cannot {attempted} in {place}: {}{}", reason(.source), remedy(*.kind))]
    Statement {
        /// What was to be done.
        attempted: &'static str,
        /// In which database.
        place: String,
        /// What is to be done about it.
        kind: Remedy,
        /// What was said.
        source: tokio_postgres::Error,
    },
}

/// A [`Kind`] inside of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy(Kind);

fn remedy(Remedy(kind): Remedy) -> &'static str {
    match kind {
        Kind::Retry => "; the same again may succeed",
        Kind::DiskFull => "; nothing was written: free space on the database server's disk, then repeat it",
        Kind::ReadOnly => {
            "; the server only reads (a standby, or default_transaction_read_only): name the primary, or ?host=ONE,OTHER&target_session_attrs=read-write"
        }
        Kind::Deadline => {
            "; the server is overloaded or another session holds a lock (SELECT * FROM pg_stat_activity WHERE state <> 'idle')"
        }
        Kind::Permission => "; GRANT the right to the user of the URL, or connect as the tables' owner",
        Kind::Other => "",
    }
}

impl DatabaseError {
    pub(crate) fn new(attempted: &'static str, place: &str, source: tokio_postgres::Error) -> Self {
        Self::Statement { attempted, place: place.to_owned(), kind: Remedy(classify(&source)), source }
    }

    pub(crate) fn pool(attempted: &'static str, waited: Duration, source: PoolError) -> Self {
        let source = match source {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_) => ConnectError::Busy { limit: waited },
            other => ConnectError::Pool { reason: other.to_string() },
        };
        Self::Connect { attempted, source: Box::new(source) }
    }

    /// What is to be done about it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Connect { source, .. } => source.kind(),
            Self::Silent { .. } => Kind::Retry,
            Self::Statement { kind: Remedy(kind), .. } => *kind,
        }
    }

    /// What it is about.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Connect { source, .. } => source.class(),
            Self::Silent { .. } => Class::Unavailable,
            Self::Statement { kind: Remedy(kind), .. } => match kind {
                Kind::Retry | Kind::Deadline => Class::Unavailable,
                Kind::DiskFull => Class::Full,
                Kind::ReadOnly | Kind::Permission => Class::Permission,
                Kind::Other => Class::Other,
            },
        }
    }

    /// Whether the same may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        self.kind() == Kind::Retry
    }
}
