//! What a job says: all of it, a range of its bytes, or what comes while it runs.
//!
//! Invariants: only logs of jobs that the history knows are read, at the place that the cluster itself names; no part of a
//! path comes from whoever asks; a log is never in memory but for the piece that is on its way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse as _;
use biomero_slurm::engine::Error as EngineError;
use biomero_slurm::job::JobId;
use biomero_slurm::scheduler::log::Follower;
use biomero_slurm::{executor, scheduler};
use biomero_workflow::Steps;
use serde::Deserialize;
use tokio::time::sleep;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::connection::told;
use super::extract::{Asked, Job};
use super::problem::{Kind, Problem};
use super::stream::{self, Gone, Pieces};
use super::{Shared, job};

mod range;

use range::Range;

/// How much is read at a time, in bytes.
const PIECE: usize = 256 << 10;
/// How often a log is looked at, and its job asked after.
const INTERVAL: Duration = Duration::from_secs(2);

/// How it is read.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct How {
    /// `true` to go on until the job has ended. With `Range: bytes=N-` from that byte on.
    #[serde(default)]
    follow: Option<bool>,
}

/// Read what a job says.
///
/// As it is on the cluster, byte by byte; it may hold anything. Several ranges at once are not served: the whole is.
#[utoipa::path(
    get, path = "/v1/jobs/{job}/log", tag = "jobs", operation_id = "readLog",
    params(
        ("job" = String, Path, description = "As Slurm numbers it: 1234, or 1234_7 for a task of an array.",
            pattern = "^[0-9]{1,9}(_[0-9]{1,9})?$"),
        How,
        ("Range" = Option<String>, Header, nullable = false, description = "`bytes=0-499`, `bytes=500-` or `bytes=-500`."),
    ),
    responses(
        (status = 200, description = "All of it.", content_type = "application/octet-stream", body = Octets),
        (status = 206, description = "The range.", content_type = "application/octet-stream", body = Octets,
            headers(("Content-Range" = String, description = "Which bytes, and of how many."))),
        (status = 416, description = "There are no such bytes.", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn read<S: Steps>(
    State(api): State<Shared<S>>,
    Job(id): Job,
    Asked(how): Asked<How>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    job::known(&api, id).await?;
    let place = api.logs.clone().try_acquire_owned().map_err(|_| {
        let remedy = "close one that is open, or ask again later";
        Problem::new(Kind::TooMany, "too many logs are being read already", remedy).after(10)
    })?;
    let path = api.engine.log_of(id).await.map_err(|error| unread(&error))?;
    let range = headers.get(RANGE).and_then(|value| Range::parse(value.to_str().ok()?));
    if how.follow == Some(true) {
        let skipped = match range {
            Some(Range::From(first)) => first,
            _ => 0,
        };
        let body = stream::body(move |pieces| async move {
            let _place = place;
            // The peer has gone, or this worker ends.
            let _ = follow(&api, id, path, skipped, &pieces).await;
        });
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, OCTETS);
        return Ok(response);
    }
    let size = match api.cluster.files().metadata(&path).await {
        Ok(Some(found)) => found.size,
        Ok(None) => return Err(no_log(id)),
        Err(error) => return Err(away(&error.to_string())),
    };
    let (status, first, length) = match range.map(|range| range.of(size)) {
        None => (StatusCode::OK, 0, size),
        Some(Some((first, length))) => (StatusCode::PARTIAL_CONTENT, first, length),
        Some(None) => return Ok(unsatisfiable(size)),
    };
    let body = stream::body(move |pieces| async move {
        let _place = place;
        if let Err(Cut) = send(&api, &path, first, length, &pieces).await {
            pieces.broken().await;
        }
    });
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, OCTETS);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = HeaderValue::from_str(&format!("bytes {first}-{}/{size}", first + length - 1))
    {
        headers.insert(CONTENT_RANGE, range);
    }
    Ok(response)
}

/// Bytes as they are, in the document.
pub(crate) enum Octets {}

impl PartialSchema for Octets {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl ToSchema for Octets {}

/// Nobody shows it as a page.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

fn unsatisfiable(size: u64) -> Response<Body> {
    let detail = format!("the log has {size} bytes");
    let mut response = Problem::new(Kind::Range, detail, "ask for bytes that there are").into_response();
    if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    response
}

fn no_log(id: JobId) -> Problem {
    let remedy = "a job that waits has none yet; of one that was cleaned up it came home with the results";
    Problem::new(Kind::Absent, format!("job {id} has no log on the cluster"), remedy)
}

fn away(reason: &str) -> Problem {
    Problem::new(Kind::Unavailable, reason, "ask again; `processor slurm validate` says what is wrong")
        .after(10)
}

fn unread(error: &EngineError) -> Problem {
    let told = error.to_string();
    match error {
        EngineError::Slurm(scheduler::Error::NoLog { .. })
        | EngineError::Embedded(executor::Error::Absent { .. }) => {
            Problem::new(Kind::Absent, told, "of a job that was cleaned up it came home with the results")
        }
        _ => away(&told),
    }
}

/// The rest is not there any more.
struct Cut;

async fn send<S>(api: &Shared<S>, path: &Path, first: u64, length: u64, pieces: &Pieces) -> Result<(), Cut> {
    let mut sent = 0;
    while sent < length {
        let most = usize::try_from(length - sent).map_or(PIECE, |left| left.min(PIECE));
        let piece = api.cluster.files().read(path, first + sent, most).await.map_err(|_| Cut)?;
        if piece.is_empty() {
            return Err(Cut);
        }
        sent += piece.len() as u64;
        if pieces.push(piece).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends what comes, until the job has ended. A log that begins anew is sent from its beginning.
async fn follow<S>(
    api: &Shared<S>,
    id: JobId,
    path: PathBuf,
    mut skipped: u64,
    pieces: &Pieces,
) -> Result<(), Gone> {
    let mut log = Follower::new(path);
    loop {
        // The job is asked first: what it wrote before its end is in the log then.
        let over = match api.engine.states(&[id]).await {
            Ok(jobs) => jobs.iter().all(|job| job.state.is_ended()),
            Err(_) => false,
        };
        loop {
            // What cannot be asked now is asked again.
            let Ok(news) = log.look(&api.cluster).await else { break };
            if news.restarted {
                skipped = 0;
            }
            let length = news.bytes.len() as u64;
            let mut bytes = news.bytes;
            bytes.drain(..usize::try_from(skipped.min(length)).unwrap_or(bytes.len()));
            skipped = skipped.saturating_sub(length);
            if !bytes.is_empty() {
                pieces.push(bytes).await?;
            }
            if !news.more {
                break;
            }
        }
        if over {
            return Ok(());
        }
        tokio::select! {
            () = sleep(INTERVAL) => {}
            () = pieces.gone() => return Err(Gone),
            () = told(api.stop.clone()) => return Ok(()),
        }
    }
}
