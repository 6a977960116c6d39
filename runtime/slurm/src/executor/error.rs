//! Why the embedded executor could not do what it was asked.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::job::JobId;

/// Why.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder of the queue could not be read or written.
    #[error(
        "cannot {action} {path}: {source}; the folder of the queue has to belong to this user and have space"
    )]
    File {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is stored is not what was written.
    #[error("{path} is damaged: {reason}; remove the job's folder, and submit it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else holds the queue.
    #[error("{path} is held by another process since {after:?}: see `fuser -v {path}`")]
    Busy {
        /// The file that is locked.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// The job script cannot be read.
    #[error("cannot read the job script {path}: {source}")]
    Script {
        /// The script.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than Slurm takes (`max_script_size` of slurm.conf(5)).
    #[error("the job script {path} has more than {most} bytes: call a program instead of holding it")]
    LargeScript {
        /// The script.
        path: PathBuf,
        /// The limit, in bytes.
        most: u64,
    },
    /// A `#SBATCH` line cannot be read.
    #[error("{path}, line {line}: {text:?} is no option of sbatch: write --NAME=VALUE")]
    Directive {
        /// The script.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// An option has a value that makes no sense, or one that would be wrong to ignore.
    #[error("--{name}={value}: {remedy}")]
    Value {
        /// The option's long name.
        name: &'static str,
        /// What it was given.
        value: String,
        /// What to write.
        remedy: &'static str,
    },
    /// There are enough jobs.
    #[error("{most} jobs wait or run already: submit again when some have ended")]
    Full {
        /// The limit.
        most: usize,
    },
    /// No such job, or it ended long ago and was forgotten.
    #[error("there is no job {id} here: `processor slurm jobs --all` lists them")]
    Absent {
        /// Which.
        id: JobId,
    },
    /// A process could not be started or asked about.
    #[error("cannot {action}: {source}")]
    Process {
        /// What was tried.
        action: String,
        /// Why.
        source: io::Error,
    },
    /// A runner was started for a task that is not to be run by it.
    #[error("job {id} is not waiting for this runner: only the executor itself starts runners")]
    NotOurs {
        /// Which.
        id: JobId,
    },
}

impl Error {
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
