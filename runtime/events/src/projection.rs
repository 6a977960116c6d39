//! From events to the rows of the four view tables, by the rules of the Python listeners.
//!
//! A pure function: the states of what a few events touch go in, changed states and rows come out. Whoever stores them reads
//! the states before and writes both in the transaction that holds the events, so that nothing is kept in a process's
//! memory and a rebuild is the same function over the whole log.
//!
//! Source of the rules: `biomero.views` 2.8 (`JobAccounting`, `JobProgress`, `WorkflowProgress`, `WorkflowAnalytics`).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::event::{Event, Fact, uuid_of};
use crate::stored::{Corrupt, Notification};

mod rules;
mod state;

pub use state::{JobState, Key, MainTask, State, TaskState, WorkflowState};

/// A row of `biomero_job_view`: whose job it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// OMERO's id of the user.
    pub user: i32,
    /// OMERO's id of the group.
    pub group: i32,
    /// The task that submitted it.
    pub task_id: Uuid,
}

/// A row of `biomero_job_progress_view`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobProgressRow {
    /// Slurm's state of the job, `UNKNOWN` before the first.
    pub status: String,
    /// As a percentage.
    pub progress: Option<String>,
}

/// A row of `biomero_workflow_progress_view`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowProgressRow {
    /// `INITIALIZING`, `TRANSFERRING`, `CONVERTING`, `JOB_…`, `RETRIEVING`, `DONE`, `FAILED` and others.
    pub status: String,
    /// As a percentage.
    pub progress: String,
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
    /// When the run was initiated.
    pub start_time: time::OffsetDateTime,
}

/// A row of `biomero_task_execution`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskExecutionRow {
    /// The name of the script or workflow that it runs.
    pub task_name: String,
    /// Its version.
    pub task_version: Option<String>,
    /// OMERO's id of the user.
    pub user_id: Option<i32>,
    /// OMERO's id of the group.
    pub group_id: Option<i32>,
    /// Its last state; not changed by its end.
    pub status: String,
    /// When it was created.
    pub start_time: time::OffsetDateTime,
    /// When it ended.
    pub end_time: Option<time::OffsetDateTime>,
    /// The message that it failed with.
    pub error_type: Option<String>,
}

/// A row to be written, and the id of the last event that wrote it.
pub type Written<R> = (R, i64);

/// The rows that some events have written, each as the last of them left it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// `biomero_job_view`, by `slurm_job_id`.
    pub jobs: BTreeMap<i32, Written<JobRow>>,
    /// `biomero_job_progress_view`, by `slurm_job_id`.
    pub job_progress: BTreeMap<i32, Written<JobProgressRow>>,
    /// `biomero_workflow_progress_view`, by `workflow_id`.
    pub workflow_progress: BTreeMap<Uuid, Written<WorkflowProgressRow>>,
    /// `biomero_task_execution`, by `task_id`.
    pub task_execution: BTreeMap<Uuid, Written<TaskExecutionRow>>,
}

/// An event and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// The notification id, by which events are ordered.
    pub id: i64,
    /// What it happened to.
    pub originator_id: Uuid,
    /// What happened.
    pub event: &'a Event,
}

/// The states that events touch by themselves; those that a task's state names are needed beside them.
pub fn touched<'a>(events: impl IntoIterator<Item = (Uuid, &'a Fact)>) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for (originator_id, fact) in events {
        keys.insert(match fact.aggregate() {
            crate::event::Aggregate::WorkflowRun => Key::Workflow(originator_id),
            crate::event::Aggregate::Task => Key::Task(originator_id),
        });
        match fact {
            Fact::TaskAdded { task_id } => keys.extend(uuid_of(task_id).map(Key::Task)),
            Fact::JobIdAdded { job_id } => keys.extend(state::job_of(job_id).map(Key::Job)),
            _ => {}
        }
    }
    keys
}

/// What some events do, given the states of what they touch.
#[derive(Debug, Default)]
pub struct Projection {
    workflows: BTreeMap<Uuid, WorkflowState>,
    tasks: BTreeMap<Uuid, TaskState>,
    jobs: BTreeMap<i64, JobState>,
    changed: BTreeSet<Key>,
    rows: Rows,
}

impl Projection {
    /// Begins with the states there are.
    pub fn new(states: impl IntoIterator<Item = (Key, State)>) -> Self {
        let mut projection = Self::default();
        for state in states {
            match state {
                (Key::Workflow(id), State::Workflow(state)) => drop(projection.workflows.insert(id, state)),
                (Key::Task(id), State::Task(state)) => drop(projection.tasks.insert(id, state)),
                (Key::Job(id), State::Job(state)) => drop(projection.jobs.insert(id, state)),
                // Not written by us: as good as none.
                _ => {}
            }
        }
        projection
    }

    /// Goes on with the next event.
    pub fn apply(&mut self, placed: Placed<'_>) {
        rules::apply(self, placed);
    }

    /// The changed states and the rows to be written.
    pub fn finish(mut self) -> (Vec<(Key, State)>, Rows) {
        let states = std::mem::take(&mut self.changed).into_iter().filter_map(|key| {
            let state = match key {
                Key::Workflow(id) => self.workflows.remove(&id).map(State::Workflow),
                Key::Task(id) => self.tasks.remove(&id).map(State::Task),
                Key::Job(id) => self.jobs.remove(&id).map(State::Job),
            };
            state.map(|state| (key, state))
        });
        (states.collect(), self.rows)
    }
}

/// Events in their order: the id, the originator, what happened.
pub(crate) type Ordered = Vec<(i64, Uuid, Event)>;

/// What is an event, and what is not.
pub(crate) fn understood(notifications: &[Notification]) -> (Ordered, Vec<Corrupt>) {
    let (mut events, mut corrupt) = (Vec::with_capacity(notifications.len()), Vec::new());
    for notification in notifications {
        match notification.event() {
            Ok(event) => events.push((notification.id, notification.originator_id, event)),
            Err(problem) => corrupt.push(problem),
        }
    }
    (events, corrupt)
}

/// What is an event; what is not is told here, as nobody else hears of it.
pub(crate) fn projectable(notifications: &[Notification]) -> Ordered {
    let (events, corrupt) = understood(notifications);
    for problem in corrupt {
        tracing::warn!("not projected: {problem}");
    }
    events
}

/// The same for the rules.
pub(crate) fn placed(events: &[(i64, Uuid, Event)]) -> impl Iterator<Item = Placed<'_>> {
    events.iter().map(|(id, originator_id, event)| Placed { id: *id, originator_id: *originator_id, event })
}

/// The keys of the states that events touch by themselves.
pub(crate) fn keys(events: &[(i64, Uuid, Event)]) -> Vec<String> {
    keys_of(events.iter().map(|(_, id, event)| (*id, &event.fact)))
}

/// The same of events that have no place yet.
pub(crate) fn keys_of<'a>(facts: impl IntoIterator<Item = (Uuid, &'a Fact)>) -> Vec<String> {
    touched(facts).iter().map(Key::to_string).collect()
}

/// Applies the rules.
pub(crate) fn applied<'a>(
    states: Vec<(Key, State)>,
    events: impl IntoIterator<Item = Placed<'a>>,
) -> (Vec<(Key, State)>, Rows) {
    let mut projection = Projection::new(states);
    events.into_iter().for_each(|event| projection.apply(event));
    projection.finish()
}

#[cfg(test)]
mod tests;
