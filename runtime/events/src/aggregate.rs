//! A workflow run or a task as its events make it: what Python's `repository.get` returns.

use uuid::Uuid;

use crate::event::{Event, Fact, uuid_of};
use crate::json::Value;
use crate::timestamp::Timestamp;

/// What all aggregates have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its id, the `originator_id` of its events.
    pub id: Uuid,
    /// The version of its last event; the first one's is 0.
    pub version: i64,
    /// When it was created.
    pub created_on: Timestamp,
    /// When its last event was recorded.
    pub modified_on: Timestamp,
}

/// One run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRun {
    /// Its id, version and times.
    pub header: Header,
    /// The workflow's name.
    pub name: Value,
    /// For people.
    pub description: Value,
    /// OMERO's id of the user.
    pub user: Value,
    /// OMERO's id of the group.
    pub group: Value,
    /// Its tasks, in the order in which they were added.
    pub tasks: Vec<Uuid>,
}

/// One task of a workflow run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id, version and times.
    pub header: Header,
    /// The workflow run's id.
    pub workflow_id: Value,
    /// The name of the script or workflow that it runs.
    pub task_name: Value,
    /// Its version.
    pub task_version: Value,
    /// What it works on.
    pub input_data: Value,
    /// Its parameters.
    pub params: Value,
    /// Slurm's ids of its jobs.
    pub job_ids: Vec<Value>,
    /// What its commands answered.
    pub results: Vec<Value>,
    /// The message that it ended with.
    pub result_message: Option<Value>,
    /// Its last state.
    pub status: Option<Value>,
    /// Its last progress.
    pub progress: Option<Value>,
    /// How it has ended; none while it is under way.
    pub end: Option<TaskEnd>,
}

/// How a task has ended: its last state may be any, as scripts tell none at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEnd {
    /// It was completed.
    Completed,
    /// It has failed.
    Failed,
}

/// Either of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// One run of a workflow.
    WorkflowRun(WorkflowRun),
    /// One task of a workflow run.
    Task(Task),
}

impl Replayed {
    /// What its first event makes it; nothing, when that event does not create an aggregate.
    pub fn created(id: Uuid, version: i64, event: &Event) -> Option<Self> {
        let header = Header { id, version, created_on: event.timestamp, modified_on: event.timestamp };
        match event.fact.clone() {
            Fact::WorkflowInitiated { name, description, user, group } => {
                Some(Self::WorkflowRun(WorkflowRun {
                    header,
                    name,
                    description,
                    user,
                    group,
                    tasks: Vec::new(),
                }))
            }
            Fact::TaskCreated { workflow_id, task_name, task_version, input_data, params } => {
                Some(Self::Task(Task {
                    header,
                    workflow_id,
                    task_name,
                    task_version,
                    input_data,
                    params,
                    job_ids: Vec::new(),
                    results: Vec::new(),
                    result_message: None,
                    status: None,
                    progress: None,
                    end: None,
                }))
            }
            _ => None,
        }
    }

    /// Its id, version and times.
    pub const fn header(&self) -> &Header {
        match self {
            Self::WorkflowRun(run) => &run.header,
            Self::Task(task) => &task.header,
        }
    }

    /// Goes on with its next event. An event of the other kind of aggregate changes its version and time alone.
    pub fn apply(&mut self, event: &Event) {
        let header = match self {
            Self::WorkflowRun(run) => &mut run.header,
            Self::Task(task) => &mut task.header,
        };
        header.version += 1;
        header.modified_on = event.timestamp;
        match (self, event.fact.clone()) {
            (Self::WorkflowRun(run), Fact::TaskAdded { task_id }) => run.tasks.extend(uuid_of(&task_id)),
            (Self::Task(task), Fact::JobIdAdded { job_id }) => task.job_ids.push(job_id),
            (Self::Task(task), Fact::StatusUpdated { status }) => task.status = Some(status),
            (Self::Task(task), Fact::ProgressUpdated { progress }) => task.progress = Some(progress),
            (Self::Task(task), Fact::ResultAdded { result }) => task.results.push(result),
            (Self::Task(task), Fact::TaskCompleted { result }) => task.ends(TaskEnd::Completed, result),
            (Self::Task(task), Fact::TaskFailed { error_message }) => {
                task.ends(TaskEnd::Failed, error_message);
            }
            _ => {}
        }
    }
}

impl Task {
    fn ends(&mut self, end: TaskEnd, message: Value) {
        self.end = Some(end);
        self.result_message = Some(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow() -> Replayed {
        let fact = Fact::WorkflowInitiated {
            name: "w".into(),
            description: (-1).into(),
            user: 2.into(),
            group: 3.into(),
        };
        Replayed::created(Uuid::nil(), 0, &Event::now(fact)).expect("a first event")
    }

    #[test]
    fn a_workflow_run_has_its_tasks_in_their_order() {
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let mut run = workflow();
        for id in ids {
            run.apply(&Event::now(Fact::TaskAdded { task_id: crate::event::uuid(id) }));
        }
        let Replayed::WorkflowRun(run) = run else { panic!("a workflow run") };
        assert_eq!((run.tasks.as_slice(), run.header.version), (ids.as_slice(), 2));
    }

    #[test]
    fn a_task_has_its_last_status_and_all_its_jobs() {
        let created = Fact::TaskCreated {
            workflow_id: Value::Null,
            task_name: "cellpose".into(),
            task_version: "v1".into(),
            input_data: Value::Null,
            params: Value::Null,
        };
        let mut task = Replayed::created(Uuid::nil(), 0, &Event::now(created)).expect("a first event");
        for fact in [
            Fact::JobIdAdded { job_id: 41.into() },
            Fact::StatusUpdated { status: "PENDING".into() },
            Fact::JobIdAdded { job_id: 42.into() },
            Fact::StatusUpdated { status: "RUNNING".into() },
            Fact::TaskFailed { error_message: "out of memory".into() },
        ] {
            task.apply(&Event::now(fact));
        }
        let Replayed::Task(task) = task else { panic!("a task") };
        assert_eq!(task.job_ids, [41.into(), 42.into()]);
        assert_eq!(task.status, Some("RUNNING".into()));
        assert_eq!(task.result_message, Some("out of memory".into()));
        assert_eq!(task.end, Some(TaskEnd::Failed));
    }

    #[test]
    fn what_does_not_begin_with_a_creation_is_nothing() {
        assert_eq!(Replayed::created(Uuid::nil(), 0, &Event::now(Fact::TaskStarted {})), None);
    }
}
