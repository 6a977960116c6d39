//! Why an image was not converted.

use std::io;
use std::path::PathBuf;

use biomero_export::WriteError;
use biomero_export::bioformats2raw::RawError;
use biomero_export::source::ReadError;
use thiserror::Error;

use crate::exit_code;

/// Why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// bioformats2raw could not read it.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// Nothing was written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The program could not be set up.
    #[error("cannot start: {0}; often a limit of the container or the job")]
    System(#[source] io::Error),
    /// What was converted is still there, although it should be gone.
    #[error("{} stays: {problem}", path.display())]
    Kept {
        /// What.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Which of several images is meant was not said, or there is none of that number.
    #[error("{} has {count} images: choose one with --series, from 0 to {}", path.display(), count.saturating_sub(1))]
    Series {
        /// Where they are.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// The list of images cannot be read.
    #[error("cannot read the list {}: {source}; check that this machine has the folder", path.display())]
    List {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The list has no image for a task.
    #[error(
        "the list {} has no line for task {task}: write the number, a blank and the path of an image, and number from 1 on", path.display()
    )]
    NoTask {
        /// Where.
        path: PathBuf,
        /// Which.
        task: u32,
    },
}

impl Error {
    /// The exit code of a program that ends with it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Read(error) => exit_code::of_reading(error),
            Self::Raw(error) => exit_code::of_making(error),
            Self::Write(error) => exit_code::of_writing(error),
            Self::System(_) | Self::Kept { .. } => exit_code::FAILURE,
            Self::Series { .. } | Self::NoTask { .. } => exit_code::USAGE,
            Self::List { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => exit_code::ABSENT,
                io::ErrorKind::PermissionDenied => exit_code::PERMISSION,
                _ => exit_code::FAILURE,
            },
        }
    }
}
