//! What is asked of the views, as the Python listeners offer it, and of workflows.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// Whose: any user or group where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whose {
    /// OMERO's id of the user.
    pub user: Option<i32>,
    /// OMERO's id of the group.
    pub group: Option<i32>,
}

/// A job and whose it is: `JobAccounting.get_jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Slurm's id; -1 when the submission failed.
    pub slurm_job_id: i32,
    /// OMERO's id of the user.
    pub user: i32,
    /// OMERO's id of the group.
    pub group: i32,
    /// The task that submitted it.
    pub task_id: Option<Uuid>,
    /// Its last state, when one was heard.
    pub status: Option<String>,
    /// Its last progress.
    pub progress: Option<String>,
}

/// Which version of which task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

/// How often tasks were run, how long they took and how they failed: `WorkflowAnalytics.get_task_counts`,
/// `get_average_task_duration` and `get_task_failures` in one.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStatistics {
    /// Which task.
    pub task: TaskName,
    /// How many were created.
    pub count: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// How long those took on average, in seconds.
    pub average_seconds: Option<f64>,
    /// The distinct messages that they failed with.
    pub failures: Vec<String>,
}

/// How often a task was run on a day, in the time zone that the views are written in:
/// `WorkflowAnalytics.get_task_usage_over_time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUsage {
    /// The day.
    pub date: Date,
    /// How many were created on it.
    pub count: u64,
}

/// How many there are of what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Workflow runs by status, the most frequent first.
    pub workflows: Vec<(Option<String>, u64)>,
    /// Jobs by user.
    pub jobs: Vec<UserJobs>,
}

/// How many jobs a user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserJobs {
    /// OMERO's id of the user.
    pub user: i32,
    /// All of them.
    pub jobs: u64,
    /// Those that Slurm has completed.
    pub completed: u64,
}

/// Which workflow runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkflowFilter {
    /// Whose.
    pub whose: Whose,
    /// With this status; a final `*` stands for anything, as in `JOB_*`.
    pub status: Option<String>,
    /// With this name or this main task.
    pub name: Option<String>,
    /// Begun at or after this moment.
    pub since: Option<OffsetDateTime>,
    /// Begun before this one.
    pub until: Option<OffsetDateTime>,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many are skipped.
    pub offset: u32,
    /// How many are wanted at most.
    pub limit: u32,
}

/// A workflow run as the view has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRow {
    /// Its id.
    pub workflow_id: Uuid,
    /// Its status.
    pub status: Option<String>,
    /// Its progress.
    pub progress: Option<String>,
    /// OMERO's id of the user.
    pub user: Option<i32>,
    /// OMERO's id of the group.
    pub group: Option<i32>,
    /// The workflow's name.
    pub name: Option<String>,
    /// The task that was added last.
    pub task: Option<String>,
    /// The first task that is no script of BIOMERO's own.
    pub main_task_name: Option<String>,
    /// When it was initiated.
    pub start_time: OffsetDateTime,
}

/// A list's part, and how long the list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The part that was asked for.
    pub rows: Vec<T>,
    /// How many there are.
    pub total: u64,
}

/// How far the log, the views and Python's listeners are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// How many events the log holds.
    pub events: u64,
    /// The id of the last of them.
    pub last_id: i64,
    /// How many of each topic, the most frequent first.
    pub topics: Vec<(String, u64)>,
    /// The last event that we have projected.
    pub projected: i64,
    /// Rows last written before this event are left out of the views, since a rebuild from a date.
    pub first_id: i64,
    /// The last event that each listener's tracking table names: ours moves them all.
    pub tracking: Vec<(String, Option<i64>)>,
}

/// What several Python workers at once have left: the same event of the same aggregate, recorded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repetition {
    /// The later one's place in the log.
    pub id: i64,
    /// The aggregate.
    pub originator_id: Uuid,
    /// What kind of event it is.
    pub topic: String,
    /// The earlier one's place in the log.
    pub first_id: i64,
}
