//! Slurm: jobs are submitted, asked after, followed and ended.
//!
//! Invariants: one question for any number of jobs; a job is submitted once, also where the answer was lost ([`Slurm::submit`]);
//! every program of Slurm has a deadline of its own on the cluster, so that one whose daemon is gone does not keep the
//! answer of another.

mod array;
mod cancel;
mod failure;
mod frame;
pub mod log;
mod lookup;
mod merge;
pub mod progress;
mod query;
mod reason;
mod record;
mod refusal;
mod submit;
pub mod watch;

use std::time::Duration;

use thiserror::Error;

pub use cancel::Refused;
pub use failure::Failure;
pub use merge::Heard;
pub(crate) use merge::unknown;
pub use query::{Snapshot, Whose};
pub use reason::{is_launch_failure, never};
pub use refusal::{Refusal, RefusalKind};

use crate::cluster::{self, Cluster};
use crate::job::JobId;

/// What is set for a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmOptions {
    /// How long each of Slurm's programs may take on the cluster. One whose daemon does not answer gives up by itself after
    /// about ten seconds (`MessageTimeout` of slurm.conf(5)).
    pub program: Duration,
    /// How long `submit` tries where slurmctld cannot be reached, and looks for a job whose answer was lost.
    pub submit: Duration,
}

impl Default for SlurmOptions {
    fn default() -> Self {
        Self { program: Duration::from_secs(25), submit: Duration::from_secs(300) }
    }
}

/// The Slurm of a cluster. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Slurm {
    cluster: Cluster,
    options: SlurmOptions,
}

impl Slurm {
    /// Nothing is asked yet.
    #[must_use]
    pub const fn new(cluster: Cluster, options: SlurmOptions) -> Self {
        Self { cluster, options }
    }

    /// The cluster it is of.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Longer than `programs` of Slurm's programs take one after the other, connecting included.
    const fn deadline(&self, programs: u32) -> Duration {
        self.options.program.saturating_mul(programs).saturating_add(Duration::from_secs(35))
    }

    /// For `timeout`, in seconds.
    fn seconds(&self) -> String {
        self.options.program.as_secs().max(1).to_string()
    }
}

/// Why something asked of Slurm did not come about.
#[derive(Debug, Error)]
pub enum Error {
    /// The cluster could not be asked.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// Neither slurmctld nor the accounting answers, or the one that would know does not.
    #[error(
        "cannot tell how jobs stand on {host}: not all daemons of Slurm answer (squeue: {controller}; sacct: {accounting}); try again later, or ask the cluster's administrator"
    )]
    Silent {
        /// The cluster.
        host: String,
        /// What squeue said.
        controller: String,
        /// What sacct said.
        accounting: String,
    },
    /// There is no Slurm where we are.
    #[error(
        "cannot find Slurm's programs on {host}: {said}; log in to a node that has them, or put them on the PATH of commands that are not interactive (~/.bashrc, above its line for interactive shells)"
    )]
    NoSlurm {
        /// The cluster.
        host: String,
        /// What the shell said.
        said: String,
    },
    /// Arrays with more tasks than can be told one by one.
    #[error(
        "the jobs asked after on {host} have more than {} tasks: ask after fewer at a time",
        merge::MOST_TASKS
    )]
    TooManyTasks {
        /// The cluster.
        host: String,
    },
    /// Slurm refuses a job.
    #[error("{host} refuses the job {script}: {refusal}")]
    Refused {
        /// The cluster.
        host: String,
        /// The job script.
        script: String,
        /// Why, and what to do.
        refusal: Refusal,
    },
    /// A job cannot be submitted as it is described.
    #[error("cannot submit {script}: {reason}")]
    Submission {
        /// The job script.
        script: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Whether a job was submitted cannot be told.
    #[error(
        "whether {script} was submitted to {host} is not known: the answer was lost ({lost}), and {reason}; look for a job with the comment {comment} (squeue --me -o '%i %k') before submitting again"
    )]
    Unclear {
        /// The cluster.
        host: String,
        /// The job script.
        script: String,
        /// How the answer was lost.
        lost: String,
        /// Why it cannot be found out.
        reason: String,
        /// The submission's comment.
        comment: String,
    },
    /// Jobs could not be cancelled, requeued, held or released.
    #[error("cannot {action} on {host}: {}", cancel::listed(.refused))]
    Control {
        /// `cancel`, `requeue`, `hold`, `release`.
        action: &'static str,
        /// The cluster.
        host: String,
        /// Which, and why.
        refused: Vec<Refused>,
    },
    /// Nothing like a log is where the job's log should be.
    #[error("cannot find the log of job {job} on {host}: {reason}")]
    NoLog {
        /// The job.
        job: JobId,
        /// The cluster.
        host: String,
        /// What is known.
        reason: String,
    },
}
