//! Workflows: asked for, listed, shown, cancelled, asked for once more.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use biomero_config::Secret;
use biomero_events::query::Page;
use biomero_workflow::{Error, Filter, Request, Steps, child_ids};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Shared;
use super::extract::{Asked, Id, Key, Lent, Sent};
use super::guard::Caller;
use super::problem::Problem;

mod request;
mod view;

pub(crate) use request::{Batch, Submission};
pub(crate) use view::WorkflowView;

/// The longest part of a list.
const LONGEST: u32 = 500;
/// As much of it where nothing is said.
const USUAL: u32 = 50;

/// Which workflows.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only this user's, by the id in OMERO.
    #[serde(default)]
    user: Option<i64>,
    /// Only this group's.
    #[serde(default)]
    group: Option<i64>,
    /// Only those in this phase, as INITIALIZING, RUNNING, DONE, FAILED.
    #[serde(default)]
    phase: Option<String>,
    /// Only those of this name.
    #[serde(default)]
    name: Option<String>,
    /// Only those of this batch.
    #[serde(default)]
    parent: Option<Uuid>,
    /// `true` for only those with something left to do.
    #[serde(default)]
    open: Option<bool>,
    /// How many are skipped.
    #[serde(default)]
    #[param(minimum = 0, maximum = 2_147_483_647)]
    offset: Option<u32>,
    /// How many are wanted at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A part of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Workflows {
    /// Newest first.
    workflows: Vec<WorkflowView>,
    /// How many there are in all.
    total: u64,
    /// How many were skipped.
    offset: u32,
    /// How many were wanted at most.
    limit: u32,
}

/// List workflows, newest first.
#[utoipa::path(
    get, path = "/v1/workflows", tag = "workflows", operation_id = "listWorkflows", params(Which),
    responses((status = 200, description = "A part of the list.", body = Workflows)),
)]
pub(crate) async fn list<S: Steps>(
    State(api): State<Shared<S>>,
    Asked(which): Asked<Which>,
) -> Result<Json<Workflows>, Problem> {
    let (offset, limit) = (which.offset.unwrap_or(0), which.limit.unwrap_or(USUAL));
    if limit == 0 || limit > LONGEST {
        return Err(Problem::part("limit", format!("write 1 to {LONGEST}")));
    }
    if i32::try_from(offset).is_err() {
        return Err(Problem::part("offset", "write 0 to 2147483647"));
    }
    let texts = [("phase", &which.phase), ("name", &which.name)];
    if let Some((field, _)) =
        texts.iter().find(|(_, text)| text.as_ref().is_some_and(|text| text.contains('\0')))
    {
        return Err(Problem::part(field, "a null byte is in no name"));
    }
    let filter = Filter {
        user: which.user,
        group: which.group,
        phase: which.phase,
        name: which.name,
        parent: which.parent,
        open: which.open.unwrap_or(false),
    };
    let listed = api.workflows.list(&filter, Page { offset, limit }).await?;
    let workflows = listed.rows.into_iter().map(WorkflowView::from).collect();
    Ok(Json(Workflows { workflows, total: listed.total, offset, limit }))
}

/// What was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Submitted {
    /// The workflow, or the batch.
    id: Uuid,
    /// Of a batch: its workflows, in the order of their inputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Uuid>,
    /// Whether it was asked for before, under the same id.
    repeated: bool,
}

/// Ask for a workflow.
///
/// Once this is answered it is kept, and comes to an end whatever happens to the worker. With an `Idempotency-Key`, which
/// becomes its id, it may be sent again until it was answered: it is taken once.
#[utoipa::path(
    post, path = "/v1/workflows", tag = "workflows", operation_id = "submitWorkflow", request_body = Submission,
    params(
        ("Idempotency-Key" = Option<Uuid>, Header, nullable = false, description = "The id that it will have."),
        ("Omero-Session" = Option<String>, Header, nullable = false, min_length = 1, max_length = 100, pattern = "^[!-~]+$",
            description = "The id of a session of OMERO, in whose user's name it is done: needed where inputs or results are there."),
    ),
    responses(
        (status = 201, description = "It is kept.", body = Submitted,
            headers(("Location" = String, description = "Where it is shown."))),
        (status = 200, description = "It was kept before.", body = Submitted,
            headers(("Location" = String, description = "Where it is shown."))),
    ),
)]
pub(crate) async fn submit<S: Steps>(
    State(api): State<Shared<S>>,
    Key(id): Key,
    Lent(session): Lent,
    Sent(submission): Sent<Submission>,
) -> Result<Response, Problem> {
    let mut request: Request = submission.try_into()?;
    lend(&api, id, &[id], &mut request, session.as_ref()).await?;
    let submitted = api.workflows.submit(id, request).await;
    Ok(taken(kept(&api, &[id], submitted).await?))
}

/// Lends workflows what they need in OMERO, unless they were taken before. `id` is that of the batch, or of the one.
async fn lend<S: Steps>(
    api: &Shared<S>,
    id: Uuid,
    ids: &[Uuid],
    request: &mut Request,
    session: Option<&Secret<String>>,
) -> Result<(), Error> {
    if !request.is_of_omero() {
        return Ok(());
    }
    match api.workflows.show(id).await {
        Err(Error::Absent { .. }) => {
            request.check().map_err(Error::Senseless)?;
            api.lending.lend(ids, request, session).await
        }
        // Asked for again, it is for whom it was then.
        Ok(known) => {
            if request.user < 0 {
                request.user = known.request.user;
            }
            if request.group < 0 {
                request.group = known.request.group;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What was lent to workflows of which nothing was kept is taken back.
async fn kept<S: Steps, T>(api: &Shared<S>, ids: &[Uuid], submitted: Result<T, Error>) -> Result<T, Error> {
    if let Err(Error::Senseless(_) | Error::Untold(_) | Error::Full { .. }) = &submitted {
        for id in ids {
            api.lending.take_back(*id).await;
        }
    }
    submitted
}

/// Ask for a batch: a workflow for each group of inputs, alike but for those.
///
/// Results go into folders `1`, `2` … of the one that is named. All are kept, or none.
#[utoipa::path(
    post, path = "/v1/batches", tag = "workflows", operation_id = "submitBatch", request_body = Batch,
    params(
        ("Idempotency-Key" = Option<Uuid>, Header, nullable = false, description = "The id that the batch will have."),
        ("Omero-Session" = Option<String>, Header, nullable = false, min_length = 1, max_length = 100, pattern = "^[!-~]+$",
            description = "The id of a session of OMERO, in whose user's name it is done: needed where inputs or results are there."),
    ),
    responses(
        (status = 201, description = "It is kept.", body = Submitted,
            headers(("Location" = String, description = "Where it is shown."))),
        (status = 200, description = "It was kept before.", body = Submitted,
            headers(("Location" = String, description = "Where it is shown."))),
    ),
)]
pub(crate) async fn submit_batch<S: Steps>(
    State(api): State<Shared<S>>,
    Key(id): Key,
    Lent(session): Lent,
    Sent(batch): Sent<Batch>,
) -> Result<Response, Problem> {
    let (request, groups) = batch.parts()?;
    let ids = child_ids(id, groups.len());
    let mut whole = Request { inputs: groups.iter().flatten().cloned().collect(), ..request };
    lend(&api, id, &ids, &mut whole, session.as_ref()).await?;
    let submitted = api.workflows.submit_batch(id, whole, groups).await;
    Ok(taken(kept(&api, &ids, submitted).await?))
}

fn taken(submitted: biomero_workflow::Submitted) -> Response {
    let biomero_workflow::Submitted { id, children, repeated } = submitted;
    let status = if repeated { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = (status, Json(Submitted { id, children, repeated })).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/workflows/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Show a workflow: what was asked for, where it stands, what failed.
#[utoipa::path(
    get, path = "/v1/workflows/{id}", tag = "workflows", operation_id = "showWorkflow",
    params(("id" = Uuid, Path, description = "The workflow.")),
    responses((status = 200, description = "The workflow.", body = WorkflowView)),
)]
pub(crate) async fn show<S: Steps>(
    State(api): State<Shared<S>>,
    Id(id): Id,
) -> Result<Json<WorkflowView>, Problem> {
    let workflow = api.workflows.show(id).await?;
    let row = api.workflows.log().workflow_row(id).await?;
    Ok(Json(WorkflowView::from(workflow).with_row(row)))
}

/// End a workflow, or all of a batch, and its jobs.
///
/// That it is to end is kept when this is answered; its jobs are ended by the worker that acts.
#[utoipa::path(
    post, path = "/v1/workflows/{id}/cancel", tag = "workflows", operation_id = "cancelWorkflow",
    params(("id" = Uuid, Path, description = "The workflow, or the batch.")),
    responses((status = 200, description = "It is being ended.", body = WorkflowView)),
)]
pub(crate) async fn cancel<S: Steps>(
    State(api): State<Shared<S>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<WorkflowView>, Problem> {
    Ok(Json(api.workflows.cancel(id, caller.name()).await?.into()))
}

/// Ask once more for a workflow that has failed or was cancelled.
///
/// It keeps its id, and goes on where it failed; from its beginning where what it needs was cleared away. Of a batch, those
/// that have failed or were cancelled.
#[utoipa::path(
    post, path = "/v1/workflows/{id}/retry", tag = "workflows", operation_id = "retryWorkflow",
    params(
        ("id" = Uuid, Path, description = "The workflow, or the batch."),
        ("Omero-Session" = Option<String>, Header, nullable = false, min_length = 1, max_length = 100, pattern = "^[!-~]+$",
            description = "The id of a session of OMERO, of the same user: needed where the grid does not give the worker one."),
    ),
    responses((status = 200, description = "It is done once more.", body = WorkflowView)),
)]
pub(crate) async fn retry<S: Steps>(
    State(api): State<Shared<S>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Lent(session): Lent,
) -> Result<Json<WorkflowView>, Problem> {
    let workflow = api.workflows.show(id).await?;
    // Of a batch those that have ended otherwise than well; what is not retried is refused below, whatever was lent.
    let all = if workflow.machine.children.is_some() {
        api.workflows.children(&workflow).await?
    } else {
        vec![workflow.clone()]
    };
    let again = all.iter().filter(|workflow| matches!(workflow.machine.phase(), "FAILED" | "CANCELLED"));
    let ids: Vec<Uuid> = again.map(|workflow| workflow.id).collect();
    api.lending.lend_again(&ids, &workflow.request, session.as_ref()).await?;
    Ok(Json(api.workflows.retry(id, caller.name()).await?.into()))
}
