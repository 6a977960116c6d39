//! Why an image was not written. Nothing of it is left where it should be.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::codec::CodecError;
use crate::source::ReadError;

/// Why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// What is exported cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is full.
    #[error("cannot write {}: the disk is full; make room and repeat", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// Something is there already.
    #[error("{} is there already and stays as it is: remove it or choose another name", path.display())]
    Occupied {
        /// What.
        path: PathBuf,
    },
    /// A chunk cannot be compressed.
    #[error("cannot compress a chunk: {0}")]
    Compress(#[from] CodecError),
    /// It would take more than it may, even with one thread.
    #[error("it needs {needed} bytes of memory and may use {allowed}; allow more with --memory")]
    Memory {
        /// How much it takes.
        needed: usize,
        /// How much it may.
        allowed: usize,
    },
    /// The format has no such thing.
    #[error("{what}; {remedy}")]
    Unsupported {
        /// What it has not.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Another does the same.
    #[error("another export to the same place is under way: {} is locked; wait for it, or choose another name", path.display())]
    Busy {
        /// What it has.
        path: PathBuf,
    },
    /// What is staged is somebody else's.
    #[error("{} belongs to somebody else: remove it, or choose another name", path.display())]
    Foreign {
        /// What.
        path: PathBuf,
    },
    /// Somebody stopped it, and wanted to go on later.
    #[error("it was stopped; what is done is kept in {}, and the same command goes on there", path.display())]
    Paused {
        /// Where it is.
        path: PathBuf,
    },
    /// Somebody stopped it.
    #[error("it was stopped; nothing half done is left")]
    Cancelled,
}

impl WriteError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Self::Occupied { path },
            _ => Self::Io { action, path, source },
        }
    }
}
