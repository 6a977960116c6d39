//! Why an image cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::shape::Region;

/// Why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk said no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is stored makes no sense.
    #[error("{} is damaged: {problem}; copy or export it again", path.display())]
    Damaged {
        /// What.
        path: PathBuf,
        /// In what way.
        problem: String,
    },
    /// It may be in order, but is nothing that is read here.
    #[error("{} cannot be read: {what}; {remedy}", path.display())]
    Unsupported {
        /// What.
        path: PathBuf,
        /// Why not.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It would take more memory than it may.
    #[error("{}: {what} takes {bytes} bytes of memory and may take {limit}; allow more with --memory", path.display())]
    TooLarge {
        /// What.
        path: PathBuf,
        /// Of it.
        what: &'static str,
        /// How much it takes.
        bytes: u64,
        /// How much it may.
        limit: u64,
    },
    /// Regions of interest do not go into one label image as they are.
    #[error(
        "ROI {first} and ROI {second} overlap in row {row} and column {column}, where a label image holds one number; --label-overlap says which"
    )]
    Overlap {
        /// The id of the one.
        first: u64,
        /// The id of the other.
        second: u64,
        /// Of a sample that belongs to both.
        row: usize,
        /// Of it too.
        column: usize,
    },
    /// The caller asked for what there is not.
    #[error("level {level} has no such region: {region:?}")]
    Outside {
        /// The level.
        level: usize,
        /// The region.
        region: Region,
    },
}

impl ReadError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn unsupported(path: &Path, what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Unsupported { path: path.to_owned(), what: what.into(), remedy }
    }

    /// Whether there is nothing at the path.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
