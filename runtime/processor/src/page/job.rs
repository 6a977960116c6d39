//! A job: what the history knows of it, and what it says.

use axum::extract::State;
use biomero_events::aggregate::Replayed;
use biomero_workflow::Steps;
use maud::{Markup, html};

use super::frame::{At, Live, page};
use super::{words, workflow};
use crate::api::extract::Job;
use crate::api::problem::Problem;
use crate::api::{Shared, job};

/// Shows it.
pub(super) async fn show<S: Steps>(State(api): State<Shared<S>>, Job(id): Job) -> Result<Markup, Problem> {
    let begun = Live::of(&api, "*");
    let known = job::known(&api, id).await?;
    let of = match known.task_id {
        Some(task) => match api.workflows.log().get(task).await {
            Ok(Replayed::Task(task)) => uuid::Uuid::try_parse(&word(&task.workflow_id)).ok(),
            _ => None,
        },
        None => None,
    };
    let live = of.map(|of| begun.of_workflow(of));
    let content = html! {
        @if let Some(of) = of { p .back { a href={ "/workflows/" (of) } { "← Its workflow" } } }
        div #head data-live {
            div .heading {
                h1 { "Job " (id) }
                @if let Some(status) = &known.status { (words::phase(&words::shortened(status, 40))) }
            }
            p .facts {
                "user " (words::omero(known.user.into())) " · group " (words::omero(known.group.into()))
                @if let Some(progress) = &known.progress { " · " bdi { (words::shortened(progress, 80)) } }
            }
        }
        section .panel { h2 { "Log" } (workflow::follow(&id.to_string())) }
    };
    Ok(page(At::Workflows, &format!("Job {id}"), live.as_ref(), &content))
}

fn word(value: &biomero_events::json::Value) -> String {
    let text = value.to_string();
    text.trim_matches('"').to_owned()
}
