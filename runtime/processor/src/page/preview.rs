//! A picture of what a workflow works on: of what was staged for it, of its results, or of its input.
//!
//! Invariants: one is drawn at a time, and within [`LONGEST`]; a bounded number of pictures is kept; only paths that the
//! workflow itself names are looked at, and no folder further than its own entries.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use biomero_export::preview;
use biomero_export::source::{self, Limits};
use biomero_workflow::{Input, Results, Steps, Workflow};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::Shared;
use crate::api::extract::Id;
use crate::api::problem::{Kind, Problem};

/// How many are kept; each is some hundred KiB.
const KEPT: usize = 32;
/// How long one counts: what is staged goes, and results come.
const COUNTS: Duration = Duration::from_secs(60);
/// How long one may take.
const LONGEST: Duration = Duration::from_secs(20);
/// Memory for what is read.
const MEMORY: usize = 128 << 20;
/// How many entries of a folder are looked at.
const ENTRIES: usize = 1_000;

/// The last few; none for what has no image.
#[derive(Debug)]
pub(super) struct Previews {
    kept: Mutex<VecDeque<(Uuid, Instant, Option<Bytes>)>>,
    turn: Arc<Semaphore>,
}

impl Default for Previews {
    fn default() -> Self {
        Self { kept: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Previews {
    fn known(&self, id: Uuid) -> Option<Option<Bytes>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(known, at, _)| *known == id && at.elapsed() < COUNTS);
        found.map(|(_, _, picture)| picture.clone())
    }

    fn keep(&self, id: Uuid, picture: Option<Bytes>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, ..)| *known != id);
        kept.truncate(KEPT - 1);
        kept.push_front((id, Instant::now(), picture));
    }
}

/// Whether there may be a picture.
pub(super) fn may_be(workflow: &Workflow) -> bool {
    workflow.machine.children.is_none()
}

/// Shows it.
pub(super) async fn show<S: Steps>(State(api): State<Shared<S>>, Id(id): Id) -> Result<Response, Problem> {
    let workflow = api.workflows.show(id).await?;
    let previews = &api.page.previews;
    let picture = match previews.known(id) {
        Some(picture) => picture,
        None => {
            let busy = || {
                let remedy = "ask again in a while";
                Problem::new(Kind::Unavailable, "another picture is being drawn", remedy).after(5)
            };
            let turn = timeout(LONGEST, Arc::clone(&previews.turn).acquire_owned()).await;
            let turn = turn.ok().and_then(Result::ok).ok_or_else(busy)?;
            let places = places(&workflow, &api.page.places.staged);
            let drawing = tokio::task::spawn_blocking(move || {
                // Kept until it is drawn, also where nobody waits any more.
                let _turn = turn;
                places.iter().find_map(|place| drawn(place))
            });
            let picture = timeout(LONGEST, drawing).await.map_err(|_| busy())?.ok().flatten();
            let picture = picture.map(Bytes::from);
            previews.keep(id, picture.clone());
            picture
        }
    };
    // That there is none is nothing that a browser should tell as an error: most workflows have none.
    let mut response = match picture {
        Some(picture) => ([(CONTENT_TYPE, HeaderValue::from_static("image/png"))], picture).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"));
    Ok(response)
}

/// Where its images may be, what was exported first.
fn places(workflow: &Workflow, staged: &Path) -> Vec<PathBuf> {
    let mut places = vec![staged.join(workflow.id.to_string()).join("images")];
    if let Results::Directory(results) = &workflow.request.results {
        places.push(results.clone());
    }
    if let Some(Input::Path(input)) = workflow.request.inputs.first() {
        places.push(input.clone());
    }
    places
}

/// The first image of a place as a picture.
fn drawn(place: &Path) -> Option<Vec<u8>> {
    let image = if is_image(place) { place.to_owned() } else { first_within(place)? };
    let known = source::is_known(&image).unwrap_or(false);
    let sources = known.then(|| source::open(&image, Limits::of(MEMORY)));
    let outcome =
        sources?.and_then(|sources| sources.first().map(|source| preview::png(&**source)).transpose());
    match outcome {
        Ok(picture) => picture,
        Err(error) => {
            tracing::debug!("no picture of {}: {error}", image.display());
            None
        }
    }
}

/// The first by name.
fn first_within(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.take(ENTRIES).flatten();
    entries.map(|entry| entry.path()).filter(|path| is_image(path)).min()
}

fn is_image(path: &Path) -> bool {
    let known = ["zarr", "tif", "tiff"];
    path.extension().is_some_and(|extension| known.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_last_counts() {
        let previews = Previews::default();
        let ids: Vec<Uuid> = (0..=KEPT as u128).map(Uuid::from_u128).collect();
        for id in &ids {
            previews.keep(*id, None);
        }
        assert_eq!(previews.known(ids[0]), None, "forgotten");
        assert_eq!(previews.known(ids[1]), Some(None), "known to have none");
        previews.keep(ids[1], Some(Bytes::from_static(b"png")));
        assert_eq!(previews.known(ids[1]), Some(Some(Bytes::from_static(b"png"))));
        assert_eq!(previews.kept.lock().expect("no panic").len(), KEPT);
    }
}
