//! Why a file cannot be used, in words that lead to what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::error::Class;

/// SQLite, or the file system below it, said no.
#[derive(Debug, Error)]
pub enum FileError {
    /// The folder of the file.
    #[error("cannot make the folder {} for the history: {source}; let this user write there, or name a file elsewhere in events.file",
        .folder.display()
    )]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file itself.
    #[error("cannot make the file {} for the history: {source}; let this user write to its folder, as by a volume, or name a file elsewhere in events.file",
        .path.display()
    )]
    Create {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is none.
    #[error("there is no file {}: run `processor events init` once to create it", .path.display())]
    Missing {
        /// Which one.
        path: PathBuf,
    },
    /// There may be one, but this user cannot reach it.
    #[error("cannot reach {}: {source}; let this user enter its folder", .path.display())]
    Reach {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its folder belongs to another machine.
    #[error(
        "{} is on a network file system ({kind}), where SQLite cannot lock it for several processes: name a file on a local disk, or a PostgreSQL database",
        .path.display()
    )]
    Network {
        /// Which one.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// The file system has no memory that processes share.
    #[error(
        "{} cannot have a write-ahead log (it stays in mode `{mode}`), without which a crash may lose events: name a file on a local disk",
        .path.display()
    )]
    NoWriteAheadLog {
        /// Which one.
        path: PathBuf,
        /// What SQLite uses there.
        mode: String,
    },
    /// It is something else.
    #[error("{} is no SQLite database: name another file, this one is left as it is", .path.display())]
    NotADatabase {
        /// Which one.
        path: PathBuf,
    },
    /// Parts of it are missing or overwritten.
    #[error(
        "cannot {attempted} in {}: the file is damaged ({source}); stop what writes to it, keep a copy of it and of its `-wal`, then put a backup in its place or save what is left with `sqlite3 FILE .recover`",
        .path.display()
    )]
    Damaged {
        /// What was to be done.
        attempted: &'static str,
        /// Which one.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// No space left.
    #[error("cannot {attempted} in {}: the disk is full; make room, nothing is half done", .path.display())]
    Full {
        /// What was to be done.
        attempted: &'static str,
        /// Which one.
        path: PathBuf,
    },
    /// It may not be written.
    #[error(
        "cannot {attempted} in {}: this user may not write to the file, its `-wal` and `-shm`, or its folder",
        .path.display()
    )]
    ReadOnly {
        /// What was to be done.
        attempted: &'static str,
        /// Which one.
        path: PathBuf,
    },
    /// Another process writes for longer than is waited.
    #[error(
        "cannot {attempted} in {}: another process has locked it for longer than is waited; `fuser {}` names who has it open",
        .path.display(), .path.display()
    )]
    Locked {
        /// What was to be done.
        attempted: &'static str,
        /// Which one.
        path: PathBuf,
    },
    /// The file whose lock says which worker acts.
    #[error("cannot lock {}, by which workers tell which of them acts: {source}", .path.display())]
    Leader {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program is about to end.
    #[error("cannot {attempted} in {}: the program is ending", .path.display())]
    Ending {
        /// What was to be done.
        attempted: &'static str,
        /// Which one.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot {attempted} in {}: {source}", .path.display())]
    Other {
        /// What was to be done.
        attempted: &'static str,
        /// Which one.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl FileError {
    pub(super) fn new(attempted: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Locked { attempted, path },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { attempted, path, source },
            Some(ErrorCode::DiskFull) => Self::Full { attempted, path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { attempted, path },
            _ => Self::Other { attempted, path, source },
        }
    }

    /// What it is about.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Folder { source, .. }
            | Self::Create { source, .. }
            | Self::Leader { source, .. }
            | Self::Reach { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Class::Permission,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Class::Full,
                _ => Class::Unsuitable,
            },
            Self::Missing { .. } => Class::Absent,
            Self::Network { .. } | Self::NoWriteAheadLog { .. } | Self::NotADatabase { .. } => {
                Class::Unsuitable
            }
            Self::Damaged { .. } => Class::Corrupt,
            Self::Full { .. } => Class::Full,
            Self::ReadOnly { .. } => Class::Permission,
            Self::Locked { .. } => Class::Unavailable,
            Self::Ending { .. } | Self::Other { .. } => Class::Other,
        }
    }

    /// Whether the same may succeed later.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}
