//! The status page: what the worker does, as people look at it, served beside the interface and by the same rules.
//!
//! Invariants: whatever a name, a parameter or a log holds, it is text ([`maud`] escapes, the script sets `textContent`), and
//! no script runs that is not [`asset`]'s; nothing is fetched from elsewhere; each page costs a bounded number of questions,
//! of bounded answers, a few are made at a time, and works without its script; what changes something is asked for by a form of ours.

mod activity;
mod asset;
mod frame;
pub(crate) mod init;
mod job;
mod list;
mod login;
mod overview;
mod plot;
mod preview;
mod rail;
pub(crate) mod session;
mod settings;
mod start_up;
mod words;
mod workflow;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use biomero_workflow::Steps;
use tokio::sync::Semaphore;

use crate::api::Shared;
use crate::api::problem::Problem;
use session::Sessions;

/// How many pages are made of the database at a time. All who look come at once when something happens, and what a page is made
/// of is in memory until it is made.
const AT_ONCE: usize = 4;

/// Where the page finds what it shows.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// What `init` has written down of its start.
    pub(crate) manifest: PathBuf,
    /// Where `init` is asked.
    pub(crate) init: PathBuf,
    /// Where images are staged, in a folder for each workflow.
    pub(crate) staged: PathBuf,
}

/// What is kept between requests.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) places: Places,
    /// Who has shown a token.
    pub(crate) sessions: Arc<Sessions>,
    activity: activity::Recent,
    previews: preview::Previews,
}

impl Page {
    /// Nothing yet.
    pub(crate) fn new(places: Places) -> Self {
        Self {
            places,
            sessions: Arc::default(),
            activity: activity::Recent::default(),
            previews: preview::Previews::default(),
        }
    }
}

/// Its paths. What goes wrong is told as a page.
pub(crate) fn routes<S: Steps>() -> Router<Shared<S>> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let in_turn = from_fn(move |request: Request, next: Next| {
        let turns = Arc::clone(&turns);
        async move {
            let _turn = turns.acquire_owned().await;
            next.run(request).await
        }
    });
    Router::new()
        .route("/", get(overview::show::<S>))
        .route("/workflows", get(list::show::<S>))
        .route("/workflows/{id}", get(workflow::show::<S>))
        .route("/jobs/{job}", get(job::show::<S>))
        .route_layer(in_turn)
        .route("/workflows/{id}/preview.png", get(preview::show::<S>))
        .route("/workflows/{id}/cancel", post(workflow::cancel::<S>))
        .route("/workflows/{id}/retry", post(workflow::retry::<S>))
        .route("/start-up", get(start_up::show::<S>))
        .route("/settings", get(settings::show::<S>))
        .route("/login", get(login::ask).post(login::enter::<S>))
        .route("/logout", post(login::leave::<S>))
        .route("/assets/{name}", get(asset::serve))
        .layer(map_response(frame::finished))
}

/// Whether it may be asked for by anybody who is connected.
pub(crate) fn is_open(path: &str) -> bool {
    path == "/login" || path.starts_with(asset::FOLDER)
}

/// What is told to whom [`crate::api`]'s guard did not let in: who looks at pages is led to where a token is asked for.
pub(crate) fn refused(problem: Problem, request: &Request) -> Response<Body> {
    let path = request.uri().path();
    let pages = ["/workflows", "/jobs", "/start-up", "/settings"];
    let below =
        |page: &str| path.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if path != "/" && !pages.iter().any(|page| below(page)) {
        return problem.into_response();
    }
    if problem.status() == 401 && request.method() == Method::GET {
        return Redirect::to("/login").into_response();
    }
    frame::told(&problem)
}
