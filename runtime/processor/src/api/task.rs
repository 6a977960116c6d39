//! Tasks: the parts of a workflow as its history tells them, also of those that scripts of OMERO have run.

use axum::Json;
use axum::extract::State;
use biomero_events::aggregate::{Replayed, Task, TaskEnd};
use biomero_events::json::Value;
use biomero_events::query::Whose;
use biomero_events::{Error, EventLog};
use biomero_workflow::Steps;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::extract::Id;
use super::job::JobView;
use super::problem::{Kind, Problem};
use super::{Shared, json};

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task)]
pub(crate) struct TaskView {
    /// Which.
    pub(crate) id: Uuid,
    /// The script or workflow that it runs.
    #[schema(value_type = Value)]
    pub(crate) name: serde_json::Value,
    /// Its version.
    #[schema(value_type = Value)]
    pub(crate) version: serde_json::Value,
    /// What it works on.
    #[schema(value_type = Value)]
    pub(crate) input: serde_json::Value,
    /// Its parameters.
    #[schema(value_type = Value)]
    pub(crate) parameters: serde_json::Value,
    /// Its last state.
    #[schema(value_type = Value)]
    pub(crate) status: serde_json::Value,
    /// How far it is.
    #[schema(value_type = Value)]
    pub(crate) progress: serde_json::Value,
    /// What it has come to; null while it is under way, whatever its last state is.
    pub(crate) outcome: Option<Outcome>,
    /// The message that it ended with.
    #[schema(value_type = Value)]
    pub(crate) message: serde_json::Value,
    /// Its jobs.
    pub(crate) jobs: Vec<JobView>,
    /// When it was created.
    #[schema(format = DateTime)]
    pub(crate) created: String,
    /// When its last event was recorded.
    #[schema(format = DateTime)]
    pub(crate) changed: String,
}

/// What a task has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It was completed.
    Completed,
    /// It has failed.
    Failed,
}

/// The tasks of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tasks {
    /// In the order in which they were added.
    tasks: Vec<TaskView>,
}

/// List the tasks of a workflow, with their jobs.
#[utoipa::path(
    get, path = "/v1/workflows/{id}/tasks", tag = "tasks", operation_id = "listTasks",
    params(("id" = Uuid, Path, description = "The workflow.")),
    responses((status = 200, description = "Its tasks.", body = Tasks)),
)]
pub(crate) async fn list<S: Steps>(State(api): State<Shared<S>>, Id(id): Id) -> Result<Json<Tasks>, Problem> {
    Ok(Json(Tasks { tasks: of(api.workflows.log(), id).await? }))
}

/// The tasks of a workflow.
pub(crate) async fn of(log: &EventLog, id: Uuid) -> Result<Vec<TaskView>, Problem> {
    let Replayed::WorkflowRun(run) = log.get(id).await? else {
        return Err(Problem::new(Kind::Absent, "this id is that of a task", "GET /v1/tasks/ID"));
    };
    let mut tasks = Vec::new();
    for task in run.tasks {
        match log.get(task).await {
            Ok(Replayed::Task(task)) => tasks.push(shown(log, task).await?),
            // Added, and not created yet: Python's own order of the two events allows it.
            Ok(Replayed::WorkflowRun(_)) | Err(Error::Unknown { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(tasks)
}

/// Show a task, with its jobs.
#[utoipa::path(
    get, path = "/v1/tasks/{id}", tag = "tasks", operation_id = "showTask",
    params(("id" = Uuid, Path, description = "The task.")),
    responses((status = 200, description = "The task.", body = TaskView)),
)]
pub(crate) async fn show<S: Steps>(
    State(api): State<Shared<S>>,
    Id(id): Id,
) -> Result<Json<TaskView>, Problem> {
    let log = api.workflows.log();
    match log.get(id).await? {
        Replayed::Task(task) => Ok(Json(shown(log, task).await?)),
        Replayed::WorkflowRun(_) => {
            Err(Problem::new(Kind::Absent, "this id is that of a workflow", "GET /v1/workflows/ID"))
        }
    }
}

async fn shown(log: &EventLog, task: Task) -> Result<TaskView, Problem> {
    // A submission that failed is told as job -1.
    let number = |job: &Value| job.to_string().parse::<i32>().ok().filter(|job| *job > 0);
    let ids: Vec<i32> = task.job_ids.iter().filter_map(number).collect();
    let jobs = match ids.as_slice() {
        // No ids would be all jobs.
        [] => Vec::new(),
        ids => log.jobs(Whose::default(), ids).await?,
    };
    let optional = |value: &Option<Value>| value.as_ref().map_or(serde_json::Value::Null, json);
    Ok(TaskView {
        id: task.header.id,
        name: json(&task.task_name),
        version: json(&task.task_version),
        input: json(&task.input_data),
        parameters: json(&task.params),
        status: optional(&task.status),
        progress: optional(&task.progress),
        outcome: task.end.map(|end| match end {
            TaskEnd::Completed => Outcome::Completed,
            TaskEnd::Failed => Outcome::Failed,
        }),
        message: optional(&task.result_message),
        jobs: jobs.into_iter().map(JobView::from).collect(),
        created: task.header.created_on.to_string(),
        changed: task.header.modified_on.to_string(),
    })
}
