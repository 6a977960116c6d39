//! What the rules have to remember between two events: the dictionaries that Python's listeners keep in memory.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::json::Value;

/// What a state is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A workflow run.
    Workflow(Uuid),
    /// A task.
    Task(Uuid),
    /// A Slurm job. Slurm uses its ids again, and so do two tasks that were given the same one.
    Job(i64),
}

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workflow(id) => write!(formatter, "w{}", id.simple()),
            Self::Task(id) => write!(formatter, "t{}", id.simple()),
            Self::Job(id) => write!(formatter, "j{id}"),
        }
    }
}

impl std::str::FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, id) = text.split_at_checked(1).ok_or(())?;
        match kind {
            "w" => Uuid::try_parse(id).map(Self::Workflow).map_err(|_| ()),
            "t" => Uuid::try_parse(id).map(Self::Task).map_err(|_| ()),
            "j" => id.parse().map(Self::Job).map_err(|_| ()),
            _ => Err(()),
        }
    }
}

/// What is remembered of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Of a workflow run.
    Workflow(WorkflowState),
    /// Of a task.
    Task(TaskState),
    /// Of a job.
    Job(JobState),
}

impl State {
    /// The other states that are needed to go on from this one.
    pub fn related(&self) -> [Option<Key>; 2] {
        match self {
            Self::Task(task) => [task.workflow_id.map(Key::Workflow), task.job_id.map(Key::Job)],
            Self::Workflow(_) | Self::Job(_) => [None, None],
        }
    }
}

/// Of a workflow run that was initiated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowState {
    pub(crate) name: Option<String>,
    pub(crate) user: Option<i32>,
    pub(crate) group: Option<i32>,
    /// In microseconds since 1970, UTC.
    pub(crate) start_time: i64,
    pub(crate) status: String,
    pub(crate) progress: String,
    pub(crate) task: Option<String>,
    pub(crate) task_progress: Option<String>,
    pub(crate) main_task: Option<MainTask>,
}

/// Of the tasks that are no scripts of BIOMERO's own, the one that was created first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainTask {
    pub(crate) created: i64,
    pub(crate) name: String,
}

/// Of a task that was created, or added to a workflow run, or given a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskState {
    pub(crate) created: Option<Created>,
    pub(crate) workflow_id: Option<Uuid>,
    /// Whether it was created before it was added: only then does the workflow's progress follow it.
    pub(crate) followed: bool,
    pub(crate) job_id: Option<i64>,
    pub(crate) status: Option<String>,
    pub(crate) end_time: Option<i64>,
    pub(crate) error_type: Option<String>,
}

/// What a task was created with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Created {
    /// The id of the event.
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) start_time: i64,
}

/// Of a job that was heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    pub(crate) status: String,
    pub(crate) progress: Option<String>,
}

/// The text that a value becomes in a column of type `varchar`. PostgreSQL has no character of code 0; Python stops there.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.replace('\0', "\u{fffd}")),
        other => Some(other.to_string()),
    }
}

/// A Slurm job's id.
pub(super) fn job_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The number that a value becomes in a column of type `integer`.
pub(super) fn integer_of(value: &Value) -> Option<i32> {
    job_of(value).and_then(|number| i32::try_from(number).ok())
}
