//! Jobs of the cluster, as far as the history knows them. Those of others are not told of, and their logs not read.

use axum::Json;
use axum::extract::State;
use biomero_events::query::{Job, Whose};
use biomero_slurm::job::JobId;
use biomero_workflow::Steps;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::{Kind, Problem};
use super::{Shared, extract};

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobView {
    /// As Slurm numbers it.
    pub(crate) job: i32,
    /// The task that submitted it.
    pub(crate) task_id: Option<Uuid>,
    /// Its last state, when one was heard.
    pub(crate) status: Option<String>,
    /// Its last progress.
    pub(crate) progress: Option<String>,
    /// OMERO's id of the user.
    pub(crate) user: i32,
    /// OMERO's id of the group.
    pub(crate) group: i32,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let Job { slurm_job_id, user, group, task_id, status, progress } = job;
        Self { job: slurm_job_id, task_id, status, progress, user, group }
    }
}

/// Show a job as the history has it.
#[utoipa::path(
    get, path = "/v1/jobs/{job}", tag = "jobs", operation_id = "showJob",
    params(("job" = String, Path, description = "As Slurm numbers it: 1234, or 1234_7 for a task of an array.",
        pattern = "^[0-9]{1,9}(_[0-9]{1,9})?$")),
    responses((status = 200, description = "The job.", body = JobView)),
)]
pub(crate) async fn show<S: Steps>(
    State(api): State<Shared<S>>,
    extract::Job(id): extract::Job,
) -> Result<Json<JobView>, Problem> {
    known(&api, id).await.map(|job| Json(job.into()))
}

/// A job that a workflow has submitted.
pub(crate) async fn known<S: Steps>(api: &Shared<S>, id: JobId) -> Result<Job, Problem> {
    let unknown = || {
        let remedy = "the jobs of a workflow: GET /v1/workflows/ID/tasks";
        Problem::new(Kind::Absent, format!("no workflow has submitted a job {id}"), remedy)
    };
    let number = i32::try_from(id.job).map_err(|_| unknown())?;
    let found = api.workflows.log().jobs(Whose::default(), &[number]).await?.pop();
    found.filter(|job| job.slurm_job_id > 0).ok_or_else(unknown)
}
