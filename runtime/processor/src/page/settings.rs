//! The settings that the worker runs with, and who has set each.

use axum::extract::State;
use biomero_config::Row;
use biomero_workflow::Steps;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{At, page};
use super::words;
use crate::api::Shared;
use crate::api::extract::Asked;

/// Which of them.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    search: String,
}

/// Shows them; secrets were masked before they came here.
pub(super) async fn show<S: Steps>(State(api): State<Shared<S>>, Asked(which): Asked<Which>) -> Markup {
    let search = which.search.trim().to_lowercase();
    let matches = |row: &&Row| {
        let origin = row.origin.to_string();
        [&row.key, &row.value, &origin].iter().any(|text| text.to_lowercase().contains(&search))
    };
    let rows: Vec<&Row> = api.configuration.iter().filter(matches).collect();
    let of = |row: &Row| row.key.split('.').next().unwrap_or_default().to_owned();
    let content = html! {
        h1 { "Settings" }
        form .filters method="get" action="/settings" role="search" {
            p {
                label for="search" { "Name, value or origin" }
                input #search type="search" name="search" value=(which.search) autocomplete="off" size="28";
            }
            p .buttons { button type="submit" { "Show" } a href="/settings" { "Clear" } }
        }
        p .faint { (rows.len()) " of " (api.configuration.len()) ". A worker reads them when it starts." }
        @for rows in rows.chunk_by(|one, next| of(one) == of(next)) {
            section .panel {
                h2 { bdi { (rows.first().map(|row| of(row)).unwrap_or_default()) } }
                table .list.settings {
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "Set by" } } }
                    tbody {
                        @for row in rows {
                            tr {
                                th scope="row" { code { (row.key) } }
                                td data-label="Value" { code { bdi { (words::shortened(&row.value, 1_000)) } } }
                                td data-label="Set by" { bdi { (row.origin) } }
                            }
                        }
                    }
                }
            }
        }
    };
    page(At::Settings, "Settings", None, &content)
}
