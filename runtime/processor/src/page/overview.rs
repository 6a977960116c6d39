//! The first page: how the worker is, what is under way, what has come of the rest.

use axum::extract::State;
use biomero_events::activity::{Outcomes, Share, TaskShare};
use biomero_events::query::Page;
use biomero_workflow::{Filter, Standing, Steps};
use maud::{Markup, html};
use serde::Deserialize;

use super::activity::{Back, Drawn};
use super::frame::{At, Live, page};
use super::{list, plot, words};
use crate::api::Shared;
use crate::api::extract::Asked;
use crate::api::problem::Problem;

/// How many of those under way are shown.
const SHOWN: u32 = 10;

/// How far back.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    back: Back,
}

/// Shows it.
pub(super) async fn show<S: Steps>(
    State(api): State<Shared<S>>,
    Asked(Which { back }): Asked<Which>,
) -> Result<Markup, Problem> {
    let live = Live::of(&api, "*");
    let filter = Filter { open: true, ..Filter::default() };
    let (drawn, open, trouble) = tokio::join!(
        api.page.activity.drawn(api.workflows.log(), back),
        api.workflows.list(&filter, Page { offset: 0, limit: SHOWN }),
        api.heard.trouble(&api.cluster),
    );
    let (drawn, open) = (drawn?, open?);
    let standing = *api.standing.borrow();
    let content = html! {
        div .heading {
            h1 { "Overview" }
            nav .windows aria-label="How far back" {
                @for choice in Back::ALL {
                    a href={ "/?back=" (choice.name()) } aria-current=[(choice == back).then_some("true")] {
                        (choice.title())
                    }
                }
            }
        }
        div #state data-live {
            (state(standing, trouble.as_deref(), api.cluster.name()))
            (phases(&drawn))
        }
        section aria-labelledby="open" {
            h2 #open { "Under way" }
            div #under-way data-live {
                (list::table(&open.rows, "Nothing is under way."))
                @if open.total > u64::from(SHOWN) {
                    p { a href="/workflows?open=true" { "All " (open.total) " under way" } }
                }
            }
        }
        div #plots .plots data-live {
            div .wide { (plot::throughput(&drawn, back)) }
            (plot::times(&drawn, back, "Waiting for the cluster", |times| &times.queued))
            (plot::times(&drawn, back, "Running on the cluster", |times| &times.ran))
            (shares("By workflow", "Workflow", "name", &drawn.activity.workflows))
            (tasks(&drawn.activity.tasks))
            (shares("By user", "User", "user", &drawn.activity.users))
            (shares("By group", "Group", "group", &drawn.activity.groups))
        }
    };
    Ok(page(At::Overview, "Overview", Some(&live), &content))
}

fn state(standing: Standing, trouble: Option<&str>, cluster: &str) -> Markup {
    html! {
        @match standing {
            Standing::Acting { .. } => {}
            Standing::Waiting => p .notice { "Another worker on this database acts; this one takes over when that one ends." }
            Standing::Starting => p .notice.bad { "The database has not answered yet." }
        }
        @if let Some(trouble) = trouble {
            div .notice.bad {
                p { strong { (cluster) " does not answer. " } "What is asked for meanwhile is done when it does again." }
                p { (trouble) }
            }
        }
    }
}

/// A number for each phase.
fn phases(drawn: &Drawn) -> Markup {
    let count = |names: &[&str]| -> u64 {
        drawn
            .activity
            .phases
            .iter()
            .filter(|(phase, _)| names.contains(&phase.as_str()))
            .map(|(_, count)| count)
            .sum()
    };
    let tiles: [(&str, &str, &[&str]); 8] = [
        ("Waiting", "INITIALIZING", &["INITIALIZING"]),
        ("Transferring", "TRANSFERRING", &["TRANSFERRING"]),
        ("Converting", "CONVERTING", &["CONVERTING"]),
        ("Running", "RUNNING", &["RUNNING"]),
        ("Retrieving", "RETRIEVING", &["RETRIEVING", "CLEANING"]),
        ("Done", "DONE", &["DONE"]),
        ("Failed", "FAILED", &["FAILED"]),
        ("Cancelled", "CANCELLED", &["CANCELLED", "CANCELLING"]),
    ];
    html! {
        ul .tiles {
            @for (title, phase, names) in tiles {
                @let count = count(names);
                li {
                    a .tile.(words::tone(phase)) .zero[count == 0] href={ "/workflows?phase=" (phase) } {
                        span .number { (count) } span .name { (title) }
                    }
                }
            }
        }
    }
}

fn shares(title: &str, column: &str, parameter: &str, shares: &[Share]) -> Markup {
    let most = shares.iter().map(|share| share.outcomes.all).max().unwrap_or_default();
    html! {
        section .panel {
            h2 { (title) }
            @if shares.is_empty() {
                p .none { "Nothing was begun in this while." }
            } @else {
                div .scroll tabindex="0" role="region" aria-label=(title) {
                    table .figures {
                        thead { tr { th scope="col" { (column) } th scope="col" .right { "Begun" } th scope="col" .right { "Failed" } td {} } }
                        tbody {
                            @for Share { of, outcomes } in shares {
                                tr {
                                    th scope="row" { (linked(parameter, of.as_deref())) }
                                    td .right { (outcomes.all) }
                                    td .right .bad[outcomes.failed > 0] { (outcomes.failed) }
                                    td .of { (plot::bar(*outcomes, most)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn linked(parameter: &str, of: Option<&str>) -> Markup {
    html! {
        @match of {
            None | Some("-1") => span .faint { "not known" },
            Some(of) => a href=(list::address(&[(parameter, of)])) { bdi { (words::shortened(of, 60)) } }
        }
    }
}

fn tasks(tasks: &[TaskShare]) -> Markup {
    let most = tasks.iter().map(|task| task.all).max().unwrap_or_default();
    html! {
        section .panel {
            h2 { "By task" }
            @if tasks.is_empty() {
                p .none { "No task was begun in this while." }
            } @else {
                div .scroll tabindex="0" role="region" aria-label="By task" {
                    table .figures.tasks {
                        thead { tr { th scope="col" { "Task" } th scope="col" .right { "Begun" } th scope="col" .right { "Failed" } th scope="col" .right { "Took" } td {} } }
                        tbody {
                            @for TaskShare { name, all, failed, average_seconds } in tasks {
                                @let outcomes = Outcomes { all: *all, done: all.saturating_sub(*failed), failed: *failed };
                                tr {
                                    th scope="row" { bdi { (words::shortened(name, 60)) } }
                                    td .right { (all) }
                                    td .right .bad[*failed > 0] { (failed) }
                                    td .right { (average_seconds.map_or_else(|| "—".to_owned(), words::length)) }
                                    td .of { (plot::bar(outcomes, most)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
