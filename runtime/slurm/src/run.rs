//! A run: images to results, step by step.
//!
//! Invariants: what is asked for is on disk before the first step ([`Runs`]); every step may be done again, and what it has
//! done already is found and not repeated: files by their digests, jobs by their comments. A witness is told of each thing
//! before the next begins, under a key that is the same when the run is taken up again.

mod beat;
mod failure;
mod progress;
mod request;
mod steps;
mod store;
mod wait;
mod withdraw;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::job::{Job, JobId};

pub use beat::{Beat, Unanswered};
pub use failure::Failure;
pub use progress::{Converting, Keep, Progress};
pub use request::Request;
pub use steps::{Outcome, Worker, perform, planned, run};
pub use store::{Held, NoRun, Runs, StoreError};
pub use withdraw::{let_go, withdraw};

/// The parts of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Images go to the cluster.
    Transfer,
    /// They become what the workflow reads, one task of an array for each.
    Convert,
    /// The workflow itself.
    Workflow,
    /// Results come back.
    Fetch,
    /// What is left on the cluster goes.
    Clean,
}

impl Step {
    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Convert => "convert",
            Self::Workflow => "workflow",
            Self::Fetch => "fetch",
            Self::Clean => "clean",
        }
    }
}

/// What happened in a run.
#[derive(Debug)]
pub enum Happened<'a> {
    /// A step begins: what it is called, its version, what it works on and with.
    Begun {
        /// Which.
        step: Step,
        /// The name of the conversion or workflow.
        name: &'a str,
        /// Its version.
        version: &'a str,
        /// What it works on.
        input: &'a str,
        /// Parameters, or the variables of the job.
        parameters: &'a [(String, String)],
    },
    /// Bytes and files have gone to or come from the cluster.
    Moved {
        /// Which step.
        step: Step,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all, where that is known.
        of: Option<u64>,
    },
    /// A job stands in the queue: what `sbatch` was given.
    Submitted {
        /// Which step.
        step: Step,
        /// The job.
        job: JobId,
        /// The command, as one would type it.
        command: &'a str,
        /// Its variables.
        environment: &'a [(String, String)],
    },
    /// The state of a job is another one.
    State {
        /// Which step.
        step: Step,
        /// The job, or the one task of its array that it is about.
        job: &'a Job,
        /// How many of its tasks have ended, and how many there are.
        tasks: (usize, usize),
    },
    /// How far the program of a job says it is, in percent.
    Progress {
        /// Which step.
        step: Step,
        /// From 0 to 100.
        percent: u8,
    },
    /// A job is over: what it has used.
    Used {
        /// Which step.
        step: Step,
        /// The job.
        job: &'a Job,
    },
    /// A step is done.
    Done {
        /// Which.
        step: Step,
        /// In a few words.
        result: &'a str,
    },
    /// A step failed, and with it the run.
    Failed {
        /// Which.
        step: Step,
        /// Why, in one sentence.
        reason: &'a str,
    },
}

/// Who is told what happens. The run waits for it, and ends with its error.
pub trait Witness {
    /// What it may answer instead.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes note.
    fn happened(
        &mut self,
        request: &Request,
        what: &Happened<'_>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// The folder of a run below the data path of the cluster.
#[must_use]
pub fn data_name(id: uuid::Uuid, input: &Path) -> String {
    let name = input.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let safe: String = name
        .chars()
        .map(
            |letter| {
                if letter.is_ascii_alphanumeric() || letter == '-' || letter == '_' { letter } else { '_' }
            },
        )
        .take(40)
        .collect();
    let safe = safe.trim_start_matches('-');
    format!("{}_{}", if safe.is_empty() { "input" } else { safe }, id.simple())
}
