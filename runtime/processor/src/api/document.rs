//! The OpenAPI document, made from the types and functions that answer.

use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::problem::{PROBLEM_JSON, Part, Problem};
use crate::metrics;

use super::{configuration, event, health, job, log, task, workflow};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "BIOMERO worker",
        description = "Workflows from an image to its results. The same over the Unix socket, where the system asks who \
            you are, and over TCP, with a token. Answers other than 2xx are `application/problem+json` (RFC 9457), with a \
            `remedy`. Each answer has the header `X-Request-Id`, by which the worker's log knows the request.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "Wherever this was asked.")),
    security(("token" = [])),
    tags(
        (name = "workflows", description = "Asked for, looked at, ended."),
        (name = "tasks", description = "Their parts, as the history tells them."),
        (name = "jobs", description = "What runs on the cluster, and what it says."),
        (name = "events", description = "What happens, as it happens."),
        (name = "worker", description = "The worker itself."),
    ),
    paths(
        workflow::list, workflow::submit, workflow::submit_batch, workflow::show, workflow::cancel, workflow::retry,
        task::list, task::show, job::show, log::read, event::follow,
        configuration::list, health::health, health::ready, metrics::show, served,
    ),
    components(schemas(Problem, Part, event::EventView)),
    modifiers(&Everywhere),
)]
struct Described;

/// What holds for every operation.
struct Everywhere;

/// What any of them may answer, and why.
const REFUSALS: [(&str, &str); 5] = [
    ("401", "Over TCP, without a token that is known."),
    ("408", "The body took too long."),
    ("429", "Faster than `api.rate`, or more than there is room for."),
    ("500", "What is stored cannot be read."),
    ("503", "The database or the cluster does not answer."),
];

impl Modify for Everywhere {
    fn modify(&self, document: &mut Document) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Needed over TCP alone: `processor api token NAME` makes one."));
        if let Some(components) = document.components.as_mut() {
            components.add_security_scheme("token", SecurityScheme::Http(token.build()));
            // Of the two places for results one is named, and nothing beside it.
            if let Some(RefOr::T(Schema::OneOf(places))) = components.schemas.get_mut("Results") {
                for place in &mut places.items {
                    if let RefOr::T(Schema::Object(place)) = place {
                        place.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
                    }
                }
            }
        }
        for (path, item) in &mut document.paths.paths {
            let operations = [&mut item.get, &mut item.post];
            for operation in operations.into_iter().flatten() {
                refuse(operation, path);
            }
        }
    }
}

fn refuse(operation: &mut Operation, path: &str) {
    let mut refusals: Vec<(&str, &str)> = REFUSALS.to_vec();
    refusals.push(("400", "The request cannot be read."));
    if path.contains('{') {
        refusals.push(("404", "There is no such thing."));
    }
    if path.ends_with("/cancel") || path.ends_with("/retry") {
        refusals.push(("409", "It is too late for it, or too early."));
    }
    if path == "/v1/workflows" || path == "/v1/events" || path == "/v1/batches" || path.ends_with("/retry") {
        refusals.push(("422", "It can be read and makes no sense."));
    }
    if operation.request_body.is_some() || path.ends_with("/cancel") || path.ends_with("/retry") {
        refusals.push(("403", "A browser asks for it from a page of somebody else."));
    }
    if operation.request_body.is_some() {
        refusals.push(("409", "The id was used for another request."));
        refusals.push(("415", "The body is no JSON."));
    }
    refusals.push(("413", "The body is larger than 2 MiB."));
    for (status, description) in refusals {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(response.build()));
    }
}

/// The document, as it is served and printed.
pub(crate) fn document() -> String {
    let mut text = Described::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "worker", operation_id = "document",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = Value)),
)]
pub(crate) async fn served() -> impl IntoResponse {
    let json: (HeaderName, &str) = (CONTENT_TYPE, "application/json");
    ([json], document())
}
