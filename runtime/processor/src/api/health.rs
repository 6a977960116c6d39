//! Whether it lives, and whether it is ready.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use biomero_slurm::Cluster;
use biomero_slurm::command::Command;
use biomero_workflow::{Standing, Steps};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Shared;

/// How long an answer of the cluster counts: each who asks does not ask the cluster.
const COUNTS: Duration = Duration::from_secs(15);
/// How long the cluster may take.
const CLUSTER: Duration = Duration::from_secs(5);
/// How long the database may take.
const DATABASE: Duration = Duration::from_secs(5);

/// That it lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `alive`: what is dead does not answer.
    status: &'static str,
    /// The version of the worker.
    version: &'static str,
}

/// Whether the worker answers at all.
///
/// Asks nobody. Needs no token.
#[utoipa::path(
    get, path = "/health", tag = "worker", operation_id = "health", security(()),
    responses((status = 200, description = "It does.", body = Health)),
)]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "alive", version: env!("CARGO_PKG_VERSION") })
}

/// Whether it is ready.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// Whether requests are taken: the database answers, and it is known which worker acts.
    ready: bool,
    /// Whether this worker acts, or another one on the same database.
    acting: bool,
    /// How many workflows it carries at the moment.
    under_way: u64,
    /// Whether the database answers.
    database: bool,
    /// Whether the cluster answers. What is asked for while it does not is done when it does again.
    cluster: bool,
    /// Why the cluster does not.
    cluster_trouble: Option<String>,
}

/// Whether the worker can do its work.
#[utoipa::path(
    get, path = "/ready", tag = "worker", operation_id = "ready",
    responses(
        (status = 200, description = "It is ready.", body = Ready),
        (status = 503, description = "It is not.", body = Ready),
    ),
)]
pub(crate) async fn ready<S: Steps>(State(api): State<Shared<S>>) -> Response {
    let log = api.workflows.log();
    let (database, trouble) = tokio::join!(
        async { matches!(timeout(DATABASE, log.last_worker_event()).await, Ok(Ok(_))) },
        api.heard.trouble(&api.cluster),
    );
    let standing = *api.standing.borrow();
    let (acting, under_way) = match standing {
        Standing::Acting { under_way } => (true, under_way as u64),
        Standing::Starting | Standing::Waiting => (false, 0),
    };
    let ready = database && standing != Standing::Starting;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told =
        Ready { ready, acting, under_way, database, cluster: trouble.is_none(), cluster_trouble: trouble };
    (status, Json(told)).into_response()
}

/// What the cluster answered last.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<(Instant, Option<String>)>>);

impl Heard {
    /// Why it does not answer; asked again once the last answer is old, by one at a time.
    pub(crate) async fn trouble(&self, cluster: &Cluster) -> Option<String> {
        let mut heard = self.0.lock().await;
        if let Some((at, trouble)) = &*heard
            && at.elapsed() < COUNTS
        {
            return trouble.clone();
        }
        let command = Command::shell("exit 0").deadline(CLUSTER).repeatable();
        let trouble = match timeout(CLUSTER, cluster.ask(&command)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("{} did not answer within {} s", cluster.name(), CLUSTER.as_secs())),
        };
        *heard = Some((Instant::now(), trouble.clone()));
        trouble
    }
}
