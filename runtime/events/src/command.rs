//! What the tracker is asked to record, and the events that each request becomes.
//!
//! The commands of Python's `WorkflowTracker`. Each carries an id: recording it twice records it once.

use uuid::Uuid;

use crate::event::{Event, Fact, uuid};
use crate::json::Value;

/// A request with the id by which a repetition is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Of this request: whoever may have to repeat it, after a crash too, keeps it or derives it from what it is for.
    pub id: Uuid,
    /// What to record.
    pub events: Vec<Draft>,
}

/// An event that has no version yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it happened to.
    pub originator_id: Uuid,
    /// What happened.
    pub event: Event,
}

impl Command {
    /// A request of its own, that is repeated under no other id.
    pub fn new(events: Vec<Draft>) -> Self {
        // Ids that follow upon each other stand beside each other in the index: many are found and inserted at twice the pace
        // of random ones.
        Self { id: Uuid::now_v7(), events }
    }

    /// The same under an id that its caller can find again.
    #[must_use]
    pub fn with_id(self, id: Uuid) -> Self {
        Self { id, ..self }
    }

    fn one(originator_id: Uuid, fact: Fact) -> Self {
        Self::new(vec![Draft { originator_id, event: Event::now(fact) }])
    }

    /// `initiate_workflow`. The run's id is the caller's choice, usually `Uuid::new_v4()`.
    pub fn initiate_workflow(workflow: Uuid, name: &str, description: &str, user: i64, group: i64) -> Self {
        let (name, description) = (name.into(), description.into());
        let fact = Fact::WorkflowInitiated { name, description, user: user.into(), group: group.into() };
        Self::one(workflow, fact)
    }

    /// `add_task_to_workflow`. The task's id is the caller's choice. Two events, recorded together: Python can be
    /// interrupted between them.
    pub fn add_task(
        workflow: Uuid,
        task: Uuid,
        name: &str,
        version: &str,
        input_data: Value,
        params: Value,
    ) -> Self {
        let created = Fact::TaskCreated {
            workflow_id: uuid(workflow),
            task_name: name.into(),
            task_version: version.into(),
            input_data,
            params,
        };
        let added = Fact::TaskAdded { task_id: uuid(task) };
        Self::new(vec![
            Draft { originator_id: task, event: Event::now(created) },
            Draft { originator_id: workflow, event: Event::now(added) },
        ])
    }

    /// `start_workflow`.
    pub fn start_workflow(workflow: Uuid) -> Self {
        Self::one(workflow, Fact::WorkflowStarted {})
    }

    /// `complete_workflow`.
    pub fn complete_workflow(workflow: Uuid) -> Self {
        Self::one(workflow, Fact::WorkflowCompleted {})
    }

    /// `fail_workflow`.
    pub fn fail_workflow(workflow: Uuid, error_message: &str) -> Self {
        Self::one(workflow, Fact::WorkflowFailed { error_message: error_message.into() })
    }

    /// `start_task`.
    pub fn start_task(task: Uuid) -> Self {
        Self::one(task, Fact::TaskStarted {})
    }

    /// `complete_task`.
    pub fn complete_task(task: Uuid, message: &str) -> Self {
        Self::one(task, Fact::TaskCompleted { result: message.into() })
    }

    /// `fail_task`.
    pub fn fail_task(task: Uuid, error_message: &str) -> Self {
        Self::one(task, Fact::TaskFailed { error_message: error_message.into() })
    }

    /// `add_job_id`; -1 records that the submission failed.
    pub fn add_job_id(task: Uuid, job_id: i64) -> Self {
        Self::one(task, Fact::JobIdAdded { job_id: job_id.into() })
    }

    /// `update_task_status`.
    pub fn update_task_status(task: Uuid, status: &str) -> Self {
        Self::one(task, Fact::StatusUpdated { status: status.into() })
    }

    /// `update_task_progress`: a percentage as `43%`, or nothing known.
    pub fn update_task_progress(task: Uuid, progress: Option<&str>) -> Self {
        Self::one(task, Fact::ProgressUpdated { progress: progress.into() })
    }

    /// `add_result`: what a command answered. `env` in the order in which it was set.
    pub fn add_result(
        task: Uuid,
        command: &str,
        env: &[(String, String)],
        stdout: &str,
        stderr: &str,
    ) -> Self {
        let env = env.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let result = [
            ("command", command.into()),
            ("env", Value::Object(env)),
            ("stdout", stdout.into()),
            ("stderr", stderr.into()),
        ];
        Self::one(task, Fact::ResultAdded { result: result.into() })
    }
}
