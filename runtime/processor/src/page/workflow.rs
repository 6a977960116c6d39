//! One workflow: where it stands, what it was asked for, what failed, what its job says.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use biomero_events::query::{Listed, Page};
use biomero_workflow::{End, Failure, Filter, Remedy, Results, Stage, Step, Steps, Workflow};
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{At, Live, page};
use super::{list, preview, rail, words};
use crate::api::Shared;
use crate::api::extract::Id;
use crate::api::guard::Caller;
use crate::api::problem::Problem;
use crate::api::task::{self, Outcome, TaskView};

/// How many inputs, parameters and workflows of a batch are shown.
const SHOWN: usize = 50;
/// How long a value may be, in letters.
const VALUE: usize = 2_000;

/// Shows it.
pub(super) async fn show<S: Steps>(State(api): State<Shared<S>>, Id(id): Id) -> Result<Markup, Problem> {
    let live = Live::of(&api, id);
    let workflow = api.workflows.show(id).await?;
    let tasks = match task::of(api.workflows.log(), id).await {
        Ok(tasks) => tasks,
        // It was asked for a moment ago, and the history does not tell of it yet.
        Err(problem) if problem.status() == 404 => Vec::new(),
        Err(problem) => return Err(problem),
    };
    let children = match workflow.machine.children {
        None => None,
        Some(_) => {
            let filter = Filter { parent: Some(id), ..Filter::default() };
            Some(api.workflows.list(&filter, Page { offset: 0, limit: SHOWN as u32 }).await?)
        }
    };
    let has_picture = preview::may_be(&workflow);
    let request = &workflow.request;
    let content = html! {
        p .back { a href="/workflows" { "← Workflows" } }
        div #head data-live { (head(&workflow)) }
        div #rail data-live {
            @if !workflow.machine.steps.is_empty() { (rail::draw(&workflow, &tasks)) }
            @if let Some(failure) = &workflow.machine.failure { (failed(&workflow, failure)) }
        }
        @if let Some(children) = &children { (batch(&workflow, children)) }
        div .beside .alone[!has_picture] {
            div {
                div #log-place data-live { (log(&workflow, &tasks)) }
                (asked(&workflow))
                div #tasks data-live { (tasks_of(&tasks)) }
            }
            @if has_picture {
                figure .picture {
                    img src={ "/workflows/" (id) "/preview.png" } alt={ "The first image of this workflow" }
                        width="512" height="512" data-optional;
                    figcaption { "The first of its images" }
                }
            }
        }
    };
    Ok(page(
        At::Workflows,
        &format!("{} {}", words::shortened(&request.workflow, 60), workflow.machine.phase().to_lowercase()),
        Some(&live),
        &content,
    ))
}

fn head(workflow: &Workflow) -> Markup {
    let Workflow { id, parent, request, machine, created, changed, .. } = workflow;
    let may_retry = matches!(machine.stage, Stage::Over(End::Failed | End::Cancelled));
    let may_cancel = matches!(machine.stage, Stage::Waiting | Stage::Gathering)
        || matches!(machine.stage, Stage::Doing(step) if step != Step::Clean);
    html! {
        div .heading {
            h1 { bdi { (request.workflow) } " " span .faint { bdi { (machine.version) } } }
            (words::phase(machine.phase()))
            span .actions {
                @if may_cancel {
                    form method="post" action={ "/workflows/" (id) "/cancel" } data-confirm="End this workflow and its jobs?" {
                        button #cancel .danger type="submit" { "Cancel" }
                    }
                }
                @if may_retry {
                    form method="post" action={ "/workflows/" (id) "/retry" } {
                        button #retry type="submit" { "Retry" }
                    }
                }
            }
        }
        p .facts {
            code { (id) }
            @if let Some(parent) = parent { " · of " a href={ "/workflows/" (parent) } { "a batch" } }
            " · asked for " (words::moment(*created)) " · changed " (words::moment(*changed))
            @if machine.round > 0 { " · asked for " (machine.round + 1) " times" }
            @if let Some(by) = &machine.cancelled_by { " · cancelled by " bdi { (by) } }
        }
    }
}

fn failed(workflow: &Workflow, failure: &Failure) -> Markup {
    let is_over = workflow.machine.is_over();
    let remedy = match &failure.remedy {
        Remedy::Wait if is_over => {
            "It was tried again in vain. Look after what the reason names, then retry."
        }
        Remedy::Wait => "It may pass: it is tried again by itself.",
        Remedy::Resubmit | Remedy::Exclude(_) if is_over => {
            "Other jobs failed too. Ask who runs the cluster, then retry."
        }
        Remedy::Resubmit => "Another job is submitted by itself.",
        Remedy::Exclude(_) => "Another job is submitted by itself, for other nodes.",
        Remedy::None if workflow.machine.cleared => {
            "Change what the reason names, then retry: it begins anew."
        }
        Remedy::None => "Change what the reason names, then retry: it goes on where it failed.",
    };
    let is_bad =
        !matches!(workflow.machine.stage, Stage::Over(End::Cancelled) | Stage::Clearing(End::Cancelled));
    html! {
        section .notice .bad[is_bad] aria-label="Failure" {
            h2 { (rail::title(failure.step)) @if is_bad { " has failed" } }
            p .reason { bdi { (failure.reason) } }
            @if is_bad { p .remedy { strong { "What to do: " } (remedy) } }
            dl .facts {
                @if let Some(job) = &failure.job { div { dt { "Job" } dd { (job_link(job)) } } }
                @if let Some(nodes) = &failure.nodes { div { dt { "Nodes" } dd { bdi { (nodes) } } } }
                @if let Some(code) = failure.exit_code { div { dt { "Exit code" } dd { (code) } } }
                @if let Some(signal) = failure.signal { div { dt { "Signal" } dd { (signal) } } }
            }
            @if !failure.log.is_empty() {
                details open {
                    summary { "The last lines of its log" }
                    pre tabindex="0" { @for line in &failure.log { (line) "\n" } }
                }
            }
        }
    }
}

/// Slurm's number, as a way to what the job says.
fn job_link(job: &str) -> Markup {
    html! {
        @if job.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
            a href={ "/jobs/" (job) } { (job) }
        } @else { bdi { (job) } }
    }
}

fn asked(workflow: &Workflow) -> Markup {
    let request = &workflow.request;
    html! {
        section .panel {
            h2 { "Asked for" }
            dl .pairs {
                dt { "Inputs" }
                dd {
                    @for input in request.inputs.iter().take(SHOWN) {
                        span .path { bdi { (words::shortened(&input.to_string(), VALUE)) } } br;
                    }
                    @if request.inputs.len() > SHOWN { "and " (request.inputs.len() - SHOWN) " more" }
                }
                dt { "Results" }
                dd {
                    @match &request.results {
                        Results::Directory(path) => span .path { bdi { (path.to_string_lossy()) } },
                        Results::Omero(_) => "to their images in OMERO",
                    }
                }
                dt { "User, group" } dd { (words::omero(request.user)) ", " (words::omero(request.group)) }
                @if let Some(time) = &request.policy.time { dt { "Time limit" } dd { bdi { (time) } } }
            }
            h3 { "Parameters" }
            @if request.parameters.is_empty() {
                p .none { "Those of the workflow." }
            } @else {
                dl .pairs {
                    @for (name, value) in request.parameters.iter().take(SHOWN) {
                        dt { bdi { (name) } } dd { bdi { (words::shortened(value, VALUE)) } }
                    }
                }
                @if request.parameters.len() > SHOWN { p { "and " (request.parameters.len() - SHOWN) " more" } }
            }
        }
    }
}

fn tasks_of(tasks: &[TaskView]) -> Markup {
    let behind = tasks.len().saturating_sub(SHOWN);
    html! {
        section .panel {
            h2 { "Tasks" }
            @if tasks.is_empty() {
                p .none { "None was begun yet." }
            } @else {
                table .list {
                    thead { tr { th scope="col" { "Task" } th scope="col" { "State" } th scope="col" { "Jobs" } th scope="col" { "Begun" } th scope="col" { "Message" } } }
                    tbody {
                        @for task in tasks.iter().skip(behind) {
                            tr {
                                th scope="row" { bdi { (text(&task.name, 80)) } " " span .faint { bdi { (text(&task.version, 20)) } } }
                                td data-label="State" { (words::phase(&standing(task))) " " (text(&task.progress, 40)) }
                                td data-label="Jobs" { @for job in &task.jobs { (job_link(&job.job.to_string())) " " } }
                                td data-label="Begun" { @if let Some(begun) = words::moment_of(&task.created) { (words::moment(begun)) } }
                                td data-label="Message" { bdi { (text(&task.message, 300)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What has become of it, or what was told of it last.
fn standing(task: &TaskView) -> String {
    match (task.outcome, text(&task.status, 40)) {
        (Some(Outcome::Completed), _) => "COMPLETED".to_owned(),
        (Some(Outcome::Failed), _) => "FAILED".to_owned(),
        (None, status) if status.is_empty() => "BEGUN".to_owned(),
        (None, status) => status,
    }
}

/// A value of the history, which may be anything.
fn text(value: &Value, most: usize) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => words::shortened(text, most),
        other => words::shortened(&other.to_string(), most),
    }
}

/// What its last job says, while it runs.
fn log(workflow: &Workflow, tasks: &[TaskView]) -> Markup {
    let is_running = matches!(workflow.machine.stage, Stage::Doing(Step::Convert | Step::Run));
    let job = tasks.iter().rev().find_map(|task| task.jobs.last()).filter(|_| is_running);
    html! {
        @if let Some(job) = job {
            section .panel {
                h2 { "Log of job " (job_link(&job.job.to_string())) }
                (follow(&job.job.to_string()))
            }
        }
    }
}

/// A log that the script follows; without it, a way to its bytes.
pub(super) fn follow(job: &str) -> Markup {
    html! {
        pre .log tabindex="0" role="log" aria-label={ "Log of job " (job) } id={ "log-" (job) }
            data-log={ "/v1/jobs/" (job) "/log?follow=true" } {}
        p .faint { a href={ "/v1/jobs/" (job) "/log" } download={ "job-" (job) ".log" } { "All of it as a file" } }
    }
}

fn batch(workflow: &Workflow, children: &Listed<Workflow>) -> Markup {
    let counted = workflow.machine.children.unwrap_or_default();
    let id = workflow.id.to_string();
    html! {
        section #children data-live {
            div .heading { h2 { "Its workflows" } a href=(list::address(&[("parent", &id)])) { "All " (children.total) } }
            p .faint {
                (counted.done) " done, " (counted.failed) " failed, " (counted.cancelled) " cancelled, of " (counted.of)
            }
            progress max=(counted.of) value=(counted.ended()) aria-label="How many have ended" {}
            (list::table(&children.rows, "None is there yet."))
        }
    }
}

/// Ends it.
pub(super) async fn cancel<S: Steps>(
    State(api): State<Shared<S>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Redirect, Problem> {
    api.workflows.cancel(id, caller.name()).await?;
    Ok(Redirect::to(&format!("/workflows/{id}")))
}

/// Asks for it once more.
pub(super) async fn retry<S: Steps>(
    State(api): State<Shared<S>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Redirect, Problem> {
    api.workflows.retry(id, caller.name()).await?;
    Ok(Redirect::to(&format!("/workflows/{id}")))
}
