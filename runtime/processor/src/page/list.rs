//! All workflows, newest first, with what they are chosen by.

use axum::extract::State;
use biomero_events::query::Page;
use biomero_workflow::{Filter, Steps, Workflow};
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use uuid::Uuid;

use super::frame::{At, Live, page};
use super::words;
use crate::api::Shared;
use crate::api::extract::Asked;
use crate::api::problem::Problem;

/// How many are on a page.
const SHOWN: u32 = 50;
/// All phases.
const PHASES: [&str; 11] = [
    "INITIALIZING",
    "TRANSFERRING",
    "CONVERTING",
    "RUNNING",
    "RETRIEVING",
    "BATCH",
    "CANCELLING",
    "CLEANING",
    "DONE",
    "FAILED",
    "CANCELLED",
];
/// What stands in a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Which, as a form sends it: what was left empty is there too.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    name: String,
    #[serde(default)]
    phase: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    parent: String,
    #[serde(default)]
    open: String,
    #[serde(default)]
    page: String,
}

impl Which {
    /// What is asked of the database, and the page from 1 on.
    fn filter(&self) -> Result<(Filter, u32), Problem> {
        let number = |field: &str, text: &str| -> Result<Option<i64>, Problem> {
            match text.trim() {
                "" => Ok(None),
                text => {
                    text.parse().map(Some).map_err(|_| Problem::part(field, "write a number, OMERO's id"))
                }
            }
        };
        let text = |text: &str| Some(text.trim().replace('\0', "")).filter(|text| !text.is_empty());
        let parent = match text(&self.parent) {
            None => None,
            Some(id) => {
                Some(Uuid::try_parse(&id).map_err(|_| Problem::part("parent", "write the id of a batch"))?)
            }
        };
        let page = match self.page.as_str() {
            "" => 1,
            page => page.parse().ok().filter(|page| (1..=1_000_000).contains(page)).unwrap_or(1),
        };
        let filter = Filter {
            user: number("user", &self.user)?,
            group: number("group", &self.group)?,
            phase: text(&self.phase),
            name: text(&self.name),
            parent,
            open: self.open == "true",
        };
        Ok((filter, page))
    }

    fn on_page(&self, page: u32) -> String {
        let page = page.to_string();
        address(&[
            ("name", &self.name),
            ("phase", &self.phase),
            ("user", &self.user),
            ("group", &self.group),
            ("parent", &self.parent),
            ("open", &self.open),
            ("page", &page),
        ])
    }
}

/// The address of the list with these filters.
pub(super) fn address(filters: &[(&str, &str)]) -> String {
    let set = filters.iter().filter(|(_, value)| !value.is_empty());
    let set: Vec<String> =
        set.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN))).collect();
    if set.is_empty() { "/workflows".to_owned() } else { format!("/workflows?{}", set.join("&")) }
}

/// Shows it.
pub(super) async fn show<S: Steps>(
    State(api): State<Shared<S>>,
    Asked(which): Asked<Which>,
) -> Result<Markup, Problem> {
    let (filter, number) = which.filter()?;
    let live = Live::of(&api, "*");
    let listed = api.workflows.list(&filter, Page { offset: (number - 1) * SHOWN, limit: SHOWN }).await?;
    let pages = u32::try_from(listed.total.div_ceil(SHOWN.into())).unwrap_or(u32::MAX).max(1);
    let content = html! {
        h1 { "Workflows" }
        (form(&which))
        div #list data-live {
            p .faint {
                (listed.total) " " @if listed.total == 1 { "workflow" } @else { "workflows" }
                @if pages > 1 { ", page " (number) " of " (pages) }
            }
            (table(&listed.rows, "There are none."))
            @if pages > 1 || number > 1 {
                nav .pages aria-label="Pages of the list" {
                    @if number > 1 {
                        a rel="prev" href=(which.on_page((number - 1).min(pages))) { "← Newer" }
                    }
                    span { "Page " (number) " of " (pages) }
                    @if number < pages { a rel="next" href=(which.on_page(number + 1)) { "Older →" } }
                }
            }
        }
    };
    Ok(page(At::Workflows, "Workflows", Some(&live), &content))
}

fn form(which: &Which) -> Markup {
    let text = |name: &str, label: &str, value: &str, numeric: bool| {
        html! {
            p {
                label for=(name) { (label) }
                input #(name) name=(name) value=(value) inputmode=[numeric.then_some("numeric")] autocomplete="off"
                    size=(if numeric { "6" } else { "16" });
            }
        }
    };
    html! {
        form .filters method="get" action="/workflows" role="search" {
            (text("name", "Workflow", &which.name, false))
            p {
                label for="phase" { "Phase" }
                select #phase name="phase" {
                    option value="" { "any" }
                    @for phase in PHASES {
                        option value=(phase) selected[which.phase == phase] { (phase.to_lowercase()) }
                    }
                }
            }
            (text("user", "User", &which.user, true))
            (text("group", "Group", &which.group, true))
            @if !which.parent.is_empty() { input type="hidden" name="parent" value=(which.parent); }
            p .check {
                input #open type="checkbox" name="open" value="true" checked[which.open == "true"];
                label for="open" { "Only under way" }
            }
            p .buttons { button type="submit" { "Show" } a href="/workflows" { "Clear" } }
        }
    }
}

/// A line for each; a card each where there is little room.
pub(super) fn table(workflows: &[Workflow], none: &str) -> Markup {
    html! {
        @if workflows.is_empty() {
            p .none { (none) }
        } @else {
            table .list {
                thead {
                    tr {
                        th scope="col" { "Workflow" } th scope="col" { "Phase" } th scope="col" { "User" }
                        th scope="col" { "Inputs" } th scope="col" { "Asked for" } th scope="col" { "Changed" }
                    }
                }
                tbody { @for workflow in workflows { (line(workflow)) } }
            }
        }
    }
}

fn line(workflow: &Workflow) -> Markup {
    let Workflow { id, request, machine, created, changed, .. } = workflow;
    let first = request.inputs.first().map(ToString::to_string).unwrap_or_default();
    let name = first.rsplit('/').next().unwrap_or_default();
    html! {
        tr {
            th scope="row" {
                a href={ "/workflows/" (id) } { bdi { (request.workflow) } }
                " " span .faint { bdi { (words::shortened(&machine.version, 20)) } }
                @if let Some(children) = machine.children { span .faint { " · batch of " (children.of) } }
            }
            td data-label="Phase" {
                (words::phase(machine.phase()))
                @if let Some(failure) = &machine.failure {
                    span .why { bdi { (words::shortened(&failure.reason, 90)) } }
                }
            }
            td data-label="User" { (words::omero(request.user)) }
            td data-label="Inputs" {
                span .path { bdi { (words::shortened(name, 40)) } }
                @if request.inputs.len() > 1 { span .faint { " and " (request.inputs.len() - 1) " more" } }
            }
            td data-label="Asked for" { (words::moment(*created)) }
            td data-label="Changed" { (words::moment(*changed)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_holds_stays_one_value_of_the_address() {
        assert_eq!(address(&[("name", ""), ("phase", "DONE")]), "/workflows?phase=DONE");
        assert_eq!(address(&[("name", "a&open=true\"><b>")]), "/workflows?name=a%26open%3Dtrue%22%3E%3Cb%3E");
        assert_eq!(address(&[]), "/workflows");
    }

    #[test]
    fn what_was_left_empty_filters_nothing_and_nonsense_is_told_by_its_field() {
        let (filter, page) = Which::default().filter().expect("nothing is wrong");
        assert_eq!((filter, page), (Filter::default(), 1));
        for wrong in [
            Which { user: "root".to_owned(), ..Which::default() },
            Which { group: "1e3".to_owned(), ..Which::default() },
            Which { parent: "1".to_owned(), ..Which::default() },
        ] {
            assert_eq!(wrong.filter().expect_err("nonsense").status(), 422);
        }
        let (_, page) = Which { page: "-3".to_owned(), ..Which::default() }.filter().expect("a page");
        assert_eq!(page, 1);
    }
}
