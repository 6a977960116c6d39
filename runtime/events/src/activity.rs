//! What happened within a while, counted by the database: what a status page draws.
//!
//! Invariant: each answer has a bounded number of rows, whatever the tables hold; only rows of the window are looked at.

use time::OffsetDateTime;

use crate::error::Error;
use crate::log::{EventLog, Store};
use crate::schema::{TASK_EXECUTION, WORKFLOW_PROGRESS, WORKFLOWS};

/// How many are told apart of workflows, users, groups and tasks.
const MOST: u32 = 12;

/// From when on, and in parts how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What began before is left out.
    pub since: OffsetDateTime,
    /// The length of a part, in seconds; at least one.
    pub part: u32,
}

/// What happened within a while.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activity {
    /// Workflow runs by when they began, oldest first; parts without any are left out.
    pub parts: Vec<Part>,
    /// By what was run; those that failed most often first.
    pub workflows: Vec<Share>,
    /// By user; who has most first.
    pub users: Vec<Share>,
    /// By group.
    pub groups: Vec<Share>,
    /// Tasks, the most frequent first.
    pub tasks: Vec<TaskShare>,
    /// Workflows that the worker carries, and those that ended within the window, by phase.
    pub phases: Vec<(String, u64)>,
}

/// How many workflow runs came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// All of them.
    pub all: u64,
    /// Those that are done.
    pub done: u64,
    /// Those that have failed or were cancelled.
    pub failed: u64,
}

/// Workflow runs of a part of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The number of the part since 1970: its beginning, in seconds, divided by its length.
    pub number: i64,
    /// What they came to.
    pub outcomes: Outcomes,
}

/// Workflow runs of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The workflow's name, or OMERO's id of the user or group; none where it is not known.
    pub of: Option<String>,
    /// What they came to.
    pub outcomes: Outcomes,
}

/// Tasks of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskShare {
    /// The script or workflow.
    pub name: String,
    /// How many were begun.
    pub all: u64,
    /// How many have failed.
    pub failed: u64,
    /// How long those that have ended took on average, in seconds.
    pub average_seconds: Option<f64>,
}

/// How a database writes what the statements need.
pub(crate) struct Dialect {
    /// That a row began within the window; the moment is the first parameter.
    pub(crate) within: &'static str,
    /// The seconds since 1970 of `start_time`, as a whole number.
    pub(crate) seconds: &'static str,
    /// The seconds between `start_time` and `end_time`.
    pub(crate) took: &'static str,
    /// The first parameter.
    pub(crate) parameter: &'static str,
}

const COUNTED: &str =
    "count(*), count(CASE WHEN status = 'DONE' THEN 1 END), count(CASE WHEN status = 'FAILED' THEN 1 END)";

impl Dialect {
    pub(crate) fn parts(&self, part: u32) -> String {
        let Self { within, seconds, .. } = self;
        let part = part.max(1);
        format!(
            "SELECT {seconds} / {part}, {COUNTED} FROM {WORKFLOW_PROGRESS} WHERE {within}
             GROUP BY 1 ORDER BY 1 DESC LIMIT 1000"
        )
    }

    pub(crate) fn shares(&self, by: By) -> String {
        let within = self.within;
        let (key, order) = match by {
            By::Workflow => ("coalesce(main_task_name, name)", "4 DESC, 2 DESC"),
            By::User => ("\"user\"", "2 DESC"),
            By::Group => ("\"group\"", "2 DESC"),
        };
        format!(
            "SELECT CAST({key} AS text), {COUNTED} FROM {WORKFLOW_PROGRESS} WHERE {within}
             GROUP BY 1 ORDER BY {order}, 1 LIMIT {MOST}"
        )
    }

    pub(crate) fn tasks(&self) -> String {
        let Self { within, took, .. } = self;
        format!(
            "SELECT task_name, count(*), count(error_type), avg({took}) FROM {TASK_EXECUTION} WHERE {within}
             GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST}"
        )
    }

    pub(crate) fn phases(&self) -> String {
        let parameter = self.parameter;
        format!(
            "SELECT phase, count(*) FROM {WORKFLOWS} WHERE is_open = 1 OR changed >= {parameter}
             GROUP BY 1 ORDER BY 1 LIMIT 100"
        )
    }
}

/// By what workflow runs are told apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    Workflow,
    User,
    Group,
}

/// Phases of what is open, and how many are in each.
pub(crate) fn open_phases() -> String {
    format!("SELECT phase, count(*) FROM {WORKFLOWS} WHERE is_open = 1 GROUP BY 1 ORDER BY 1 LIMIT 100")
}

impl EventLog {
    /// How many workflows are open, by phase.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_phases(&self) -> Result<Vec<(String, u64)>, Error> {
        match self.store() {
            Store::Postgres(store) => store.open_phases().await,
            Store::Sqlite(store) => store.open_phases().await,
        }
    }

    /// What happened within a while.
    ///
    /// # Errors
    /// The database's.
    pub async fn activity(&self, window: Window) -> Result<Activity, Error> {
        match self.store() {
            Store::Postgres(store) => store.activity(window).await,
            Store::Sqlite(store) => store.activity(window).await,
        }
    }
}
