//! What all pages have in common: the head, the way to the others, and what a browser is forbidden.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse as _;
use maud::{DOCTYPE, Markup, html};
use uuid::Uuid;

use super::asset;
use crate::api::Shared;
use crate::api::problem::Problem;

/// Nothing but what we serve ourselves: no script in a page, nothing from elsewhere, nobody's frame.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The pages that are led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Overview,
    Workflows,
    StartUp,
    Settings,
    /// None of them.
    Elsewhere,
}

const PAGES: [(At, &str, &str); 4] = [
    (At::Overview, "/", "Overview"),
    (At::Workflows, "/workflows", "Workflows"),
    (At::StartUp, "/start-up", "Start-up"),
    (At::Settings, "/settings", "Settings"),
];

/// What a page follows: what has the attribute `data-live` is fetched anew when something happens.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// `*`, or a workflow.
    what: String,
    /// The last event that it may show.
    after: Option<i64>,
}

impl Live {
    /// To be asked for before anything is read, so that nothing is missed of what happens while the page is made and sent.
    pub(super) fn of<S>(api: &Shared<S>, what: impl ToString) -> Self {
        Self { what: what.to_string(), after: api.recent.position() }
    }

    /// The same of one workflow, where it had to be read first which it is.
    pub(super) fn of_workflow(self, id: Uuid) -> Self {
        Self { what: id.to_string(), ..self }
    }
}

/// A page.
pub(super) fn page(at: At, title: &str, live: Option<&Live>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body data-follow=[live.map(|live| &live.what)] data-after=[live.and_then(|live| live.after)] {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    a.brand href="/" { img src=(asset::address("icon.svg")) alt="" width="24" height="24"; "BIOMERO worker" }
                    nav aria-label="Pages" {
                        @for (page, path, name) in PAGES {
                            a href=(path) aria-current=[(page == at).then_some("page")] { (name) }
                        }
                    }
                    span #live .live role="status" hidden {}
                    form .leave method="post" action="/logout" { button .quiet type="submit" { "Log out" } }
                }
                main #content tabindex="-1" { (content) }
            }
        }
    }
}

/// A page of somebody who is not known.
pub(super) fn bare(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body .bare { main #content { (content) } }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · BIOMERO worker" }
            link rel="icon" href=(asset::address("icon.svg")) type="image/svg+xml";
            link rel="stylesheet" href=(asset::address("page.css"));
            script defer src=(asset::address("page.js")) {}
        }
    }
}

/// What went wrong, as a page.
pub(super) fn told(problem: &Problem) -> Response<Body> {
    let (title, detail, remedy) = problem.told();
    let content = html! {
        section .notice.bad {
            h1 { (title) }
            p { (detail) }
            p .remedy { strong { "What to do: " } (remedy) }
        }
        p { a href="/" { "To the overview" } }
    };
    let mut response = page(At::Elsewhere, title, None, &content).into_response();
    *response.status_mut() =
        StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_policy(response)
}

/// The last thing that is done with an answer.
pub(super) async fn finished(response: Response<Body>) -> Response<Body> {
    match response.extensions().get::<Problem>() {
        Some(problem) => told(problem),
        None => with_policy(response),
    }
}

fn with_policy(mut response: Response<Body>) -> Response<Body> {
    let is_page =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER, HeaderValue::from_static("same-origin"));
    if is_page {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
