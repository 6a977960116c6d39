//! Events of our own and what jobs have used, in tables that Python never reads: a topic that it cannot resolve would stop
//! its listeners.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::json::Value;

/// The topic that tells that a Python worker with listeners on projects beside us: its state names the `listeners` and the
/// `notification_id` to which they had come.
pub const PROJECTED_BY_PYTHON: &str = "views.projected_by_python";

/// The topic that tells that the views were written anew: its state says from how many `events`, `since` when, and how many
/// rows were `deleted` and `written`.
pub const REBUILT: &str = "views.rebuilt";

/// Something that happened to the worker rather than to a workflow run: a script, a transfer, a retry, a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEvent {
    /// What kind, as `views.rebuilt`: words in lower case, dots between them.
    pub topic: String,
    /// The workflow run it belongs to.
    pub workflow_id: Option<Uuid>,
    /// The task it belongs to.
    pub task_id: Option<Uuid>,
    /// The rest.
    pub state: Value,
}

/// The same with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedWorkerEvent {
    /// Its place in the stream.
    pub id: i64,
    /// When it was recorded.
    pub recorded: OffsetDateTime,
    /// What happened.
    pub event: WorkerEvent,
}

/// What a Slurm job has used, from Slurm's accounting. `None` where Slurm does not tell.
///
/// Source: `sacct(1)`, the fields of the names given.
#[derive(Debug, Clone, PartialEq)]
pub struct JobUsage {
    /// `Cluster`.
    pub cluster: String,
    /// `JobIDRaw`.
    pub slurm_job_id: i64,
    /// `Submit`: with the two above it names a job for ever, as ids are used again.
    pub submitted: OffsetDateTime,
    /// The task that submitted it.
    pub task_id: Option<Uuid>,
    /// OMERO's id of the user.
    pub user: Option<i32>,
    /// OMERO's id of the group.
    pub group: Option<i32>,
    /// `State`, without what follows the word.
    pub job_state: String,
    /// `ExitCode` before the colon.
    pub exit_code: Option<i32>,
    /// `ExitCode` behind the colon, where it is not 0.
    pub signal: Option<i32>,
    /// `Partition`.
    pub partition: Option<String>,
    /// `NodeList`.
    pub node_list: Option<String>,
    /// `Start`.
    pub started: Option<OffsetDateTime>,
    /// `End`.
    pub ended: Option<OffsetDateTime>,
    /// `ElapsedRaw`, in seconds.
    pub elapsed_seconds: Option<i64>,
    /// `AllocCPUS`.
    pub allocated_cpus: Option<i32>,
    /// `TotalCPU`, in seconds.
    pub cpu_seconds: Option<f64>,
    /// The largest `MaxRSS` of its steps, in bytes.
    pub max_rss_bytes: Option<i64>,
}

/// What the jobs of a user have used together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserUsage {
    /// OMERO's id of the user.
    pub user: Option<i32>,
    /// How many jobs.
    pub jobs: u64,
    /// Elapsed time of all together, in seconds.
    pub elapsed_seconds: i64,
    /// CPU time of all together, in seconds.
    pub cpu_seconds: f64,
    /// CPU time that was allocated: `AllocCPUS` by `ElapsedRaw`, in seconds.
    pub allocated_cpu_seconds: i64,
    /// The largest memory of one of them, in bytes.
    pub max_rss_bytes: Option<i64>,
}
