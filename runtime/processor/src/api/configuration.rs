//! The settings that this worker runs with, secrets masked.

use axum::Json;
use axum::extract::State;
use biomero_workflow::Steps;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Setting {
    /// Its name, as docs/settings.md has it.
    key: String,
    /// Its value; of a secret, stars.
    value: String,
    /// Who set it: the shipped defaults, a file and a line, or a variable.
    origin: String,
}

/// The settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Configuration {
    /// Every one that is set.
    settings: Vec<Setting>,
}

/// The settings that the worker was started with, and where each comes from.
#[utoipa::path(
    get, path = "/v1/configuration", tag = "worker", operation_id = "configuration",
    responses((status = 200, description = "Secrets are masked.", body = Configuration)),
)]
pub(crate) async fn list<S: Steps>(State(api): State<Shared<S>>) -> Json<Configuration> {
    let settings = api.configuration.iter().map(|row| Setting {
        key: row.key.clone(),
        value: row.value.clone(),
        origin: row.origin.to_string(),
    });
    Json(Configuration { settings: settings.collect() })
}
