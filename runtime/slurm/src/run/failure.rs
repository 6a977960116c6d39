//! Why a run did not come to its end, and whether the same run may yet.

use thiserror::Error;

use super::store::StoreError;
use crate::job::JobId;
use crate::scheduler::Failure as JobFailure;
use crate::workflow::{ArgumentError, PlanError};
use crate::{cluster, data, engine, scheduler};

/// Why a run did not come to its end.
#[derive(Debug, Error)]
pub enum Failure {
    /// Parameters make no sense; nothing was sent.
    #[error("{}", listed(.0))]
    Arguments(Vec<ArgumentError>),
    /// The job cannot be planned; what the message names has to be put right.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The name of the data folder makes no sense.
    #[error(transparent)]
    Name(#[from] data::BadName),
    /// The static converter is not on the cluster, or does not run there.
    #[error("the converter {name}: {told}; {remedy}")]
    Program {
        /// Where it should be.
        name: String,
        /// What is wrong.
        told: String,
        /// What to do.
        remedy: String,
    },
    /// Data did not get through. The run can be taken up again.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// The cluster could not be asked. The run can be taken up again.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// Jobs could not be submitted or asked after. The run can be taken up again.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The request could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What happened could not be recorded. The run can be taken up again.
    #[error("what happened could not be recorded, and nothing goes on unrecorded: {0}")]
    Witness(Box<dyn std::error::Error + Send + Sync>),
    /// A job did not succeed.
    #[error("{} of {step} did not succeed: {}", jobs(.failures, *.more), .failures.first().map_or_else(String::new, ToString::to_string))]
    Job {
        /// Which step.
        step: &'static str,
        /// Jobs or tasks of an array: the first few.
        failures: Vec<JobFailure>,
        /// How many more.
        more: usize,
    },
    /// A job can never begin.
    #[error("job {job} of {step} can never start: {reason}; it was cancelled")]
    Never {
        /// Which step.
        step: &'static str,
        /// The job.
        job: JobId,
        /// Why, and what to do.
        reason: String,
        /// Whether it could not be started on its node, where another one may.
        launch: bool,
    },
    /// A job is gone.
    #[error(
        "nobody can tell what became of job {job} of {step}: {reason}; look for its log, omero-{job}.log, in the login folder"
    )]
    Gone {
        /// Which step.
        step: &'static str,
        /// The job.
        job: JobId,
        /// What is known.
        reason: String,
    },
}

impl Failure {
    /// Whether the same run may succeed when it is taken up again: the trouble was on the way, not in the run.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            // What Slurm refuses it refuses again.
            Self::Engine(engine::Error::Slurm(
                scheduler::Error::Refused { .. } | scheduler::Error::Submission { .. },
            )) => false,
            Self::Data(_) | Self::Cluster(_) | Self::Engine(_) | Self::Store(_) | Self::Witness(_) => true,
            _ => false,
        }
    }
}

fn listed(problems: &[ArgumentError]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn jobs(failures: &[JobFailure], more: usize) -> String {
    match failures.len() + more {
        1 => failures.first().map_or_else(|| "the job".to_owned(), |failure| format!("job {}", failure.job)),
        count => format!("{count} jobs"),
    }
}
