//! Jobs: what is submitted, what became of it. The types that Slurm ([`crate::scheduler`]) and the embedded executor share.

mod state;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub use state::Group;

/// A job, or one task of an array: `1234`, `1234_7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    /// The number that `sbatch` answers; of an array, that of the whole.
    pub job: u32,
    /// The index within an array.
    pub task: Option<u32>,
}

impl JobId {
    /// A whole job.
    #[must_use]
    pub const fn of(job: u32) -> Self {
        Self { job, task: None }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(formatter, "{}_{task}", self.job),
            None => write!(formatter, "{}", self.job),
        }
    }
}

/// A text that is no job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no job id: write 1234, or 1234_7 for a task of an array")]
pub struct NoJobId {
    text: String,
}

impl FromStr for JobId {
    type Err = NoJobId;

    fn from_str(text: &str) -> Result<Self, NoJobId> {
        let refused = || NoJobId { text: text.to_owned() };
        let digits = |text: &str| -> Result<u32, NoJobId> {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(refused());
            }
            text.parse().map_err(|_| refused())
        };
        match text.split_once('_') {
            Some((job, task)) => Ok(Self { job: digits(job)?, task: Some(digits(task)?) }),
            None => Ok(Self::of(digits(text)?)),
        }
    }
}

/// What is to be run, whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// What it is found again by when the answer was lost: goes into the job's comment. A UUID or the like; no spaces.
    pub comment: String,
    /// The job script's path on the cluster.
    pub script: PathBuf,
    /// Arguments of the script.
    pub arguments: Vec<String>,
    /// Options of `sbatch` in order, without the dashes: `("time", Some("01:00:00"))`, `("exclusive", None)`. Later ones win.
    pub options: Vec<(String, Option<String>)>,
    /// Variables of the job.
    pub environment: Vec<(String, String)>,
    /// The folder the job starts in; the login folder without. Relative names of logs are in it.
    pub folder: Option<PathBuf>,
    /// `--output`: `omero-%j.log`, `omero-%A_%a.log`.
    pub output: String,
    /// `--array`, from the first index to the last.
    pub array: Option<Array>,
    /// `--dependency`.
    pub after: Option<After>,
}

/// The indices of an array, both included, and how many run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// The first index.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// How many run at a time at most.
    pub at_once: Option<u32>,
}

/// What has to be over before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// All of these succeeded (`afterok`); the job is cancelled when one does not.
    Succeeded(Vec<JobId>),
    /// All of these ended (`afterany`).
    Ended(Vec<JobId>),
}

/// The states of a job, as sacct(1) and squeue(1) of Slurm name them ("JOB STATE CODES").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are Slurm's, and its manual page explains them")]
pub enum State {
    BootFail,
    Cancelled,
    Completed,
    Completing,
    Configuring,
    Deadline,
    Failed,
    NodeFail,
    OutOfMemory,
    Pending,
    Preempted,
    Requeued,
    RequeueFed,
    RequeueHold,
    Resizing,
    ResvDelHold,
    Revoked,
    Running,
    Signaling,
    SpecialExit,
    StageOut,
    Stopped,
    Suspended,
    Timeout,
    /// One that this table does not have: taken as not ended.
    Unknown,
}

/// How the batch script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode {
    /// Its exit code.
    pub code: u8,
    /// The signal that ended it; 0 without.
    pub signal: u8,
}

/// A job or a task of an array, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// The number that it alone has, also among the tasks of its array: `JobIDRaw` of sacct(1). None while it is one of a rest
    /// that waits.
    pub own: Option<u32>,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// The scheduler's reason: why it waits, or why it ended. `None` of Slurm is none here.
    pub reason: Option<String>,
    /// How its script ended, once it has.
    pub exit: Option<ExitCode>,
    /// Where it runs or ran.
    pub partition: Option<String>,
    /// The node or nodes.
    pub nodes: Option<String>,
    /// Its comment, see [`Submission::comment`].
    pub comment: Option<String>,
    /// Seconds since 1970.
    pub submitted: Option<i64>,
    /// Seconds since 1970.
    pub started: Option<i64>,
    /// Seconds since 1970.
    pub ended: Option<i64>,
    /// How long it has run.
    pub elapsed: Option<Duration>,
    /// How long it may run; none without a limit.
    pub limit: Option<Duration>,
    /// How many processors it has.
    pub processors: Option<u32>,
    /// The most memory that a step of it has had, in bytes.
    pub peak_memory: Option<u64>,
    /// Processor time, user and system.
    pub processor_time: Option<Duration>,
    /// Why it can never start, and what to do; none where it may.
    pub never: Option<String>,
    /// The folder it started in.
    pub folder: Option<PathBuf>,
}

impl Job {
    /// Whether its number was ours and is another submission's now. A slurmctld that is killed has not written down the last few
    /// seconds: it forgets the jobs that it took in them, and gives their numbers to the next ones.
    #[must_use]
    pub(crate) fn has_number_of(&self, comment: &str) -> bool {
        self.comment.as_deref().is_some_and(|told| is_another(told, comment))
    }
}

/// Whether a comment is that of another submission of ours: both begin with the same word. What a site writes there instead says
/// nothing.
pub(crate) fn is_another(told: &str, comment: &str) -> bool {
    let word = |text: &str| text.split_once('-').map(|(word, _)| word.to_owned());
    told != comment && word(told).is_some() && word(told) == word(comment)
}
