//! What is told where something cannot be done: `application/problem+json` of RFC 9457, with what to do about it.
//!
//! Invariant: nothing that is told holds a token, a password or the text of a request's headers.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use biomero_events::Class;
use biomero_workflow::Error;
use serde::Serialize;
use utoipa::ToSchema;

/// The media type.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Which kind, for programs: it stays the same when the words change.
    #[serde(rename = "type")]
    #[schema(examples("urn:biomero:problem:absent"))]
    kind: &'static str,
    /// The kind in a few words.
    title: &'static str,
    /// The status of the answer.
    #[schema(value_type = u16, minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong this time.
    #[schema(value_type = String)]
    detail: Box<str>,
    /// What to do about it.
    #[schema(value_type = String)]
    remedy: Box<str>,
    /// The parts of a request that make no sense.
    #[serde(skip_serializing_if = "<[Part]>::is_empty")]
    #[schema(value_type = Vec<Part>, required = false)]
    problems: Box<[Part]>,
    /// Seconds after which it may be tried again; the header `Retry-After` says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

/// A part of a request that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Part {
    /// Which, as the request names it.
    field: String,
    /// What is wrong, and what to do.
    problem: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request cannot be read.
    Malformed,
    /// It can be read and makes no sense.
    Senseless,
    /// Nobody knows who asks.
    Unauthenticated,
    /// A page of somebody else has asked.
    Elsewhere,
    /// There is nothing here.
    Absent,
    /// Nothing like this can be done here.
    Method,
    /// It took too long to be sent.
    Slow,
    /// It is too late for it, or too early.
    OutOfPlace,
    /// The id is taken.
    Exists,
    /// The body is too large.
    TooLarge,
    /// The body is of another type.
    MediaType,
    /// There are no such bytes.
    Range,
    /// Too much is asked for.
    TooMany,
    /// What is stored cannot be read.
    Damaged,
    /// What is needed for it is away.
    Unavailable,
}

impl Kind {
    /// Its name, its status, and its title.
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Malformed => {
                ("urn:biomero:problem:malformed", StatusCode::BAD_REQUEST, "The request cannot be read")
            }
            Self::Senseless => (
                "urn:biomero:problem:senseless",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The request makes no sense",
            ),
            Self::Unauthenticated => {
                ("urn:biomero:problem:unauthenticated", StatusCode::UNAUTHORIZED, "A token is needed")
            }
            Self::Elsewhere => {
                ("urn:biomero:problem:elsewhere", StatusCode::FORBIDDEN, "Another page has asked")
            }
            Self::Absent => ("urn:biomero:problem:absent", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::Method => {
                ("urn:biomero:problem:method", StatusCode::METHOD_NOT_ALLOWED, "That cannot be done with it")
            }
            Self::Slow => ("urn:biomero:problem:slow", StatusCode::REQUEST_TIMEOUT, "It took too long"),
            Self::OutOfPlace => (
                "urn:biomero:problem:out-of-place",
                StatusCode::CONFLICT,
                "It is too late for it, or too early",
            ),
            Self::Exists => ("urn:biomero:problem:exists", StatusCode::CONFLICT, "The id is taken"),
            Self::TooLarge => {
                ("urn:biomero:problem:too-large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large")
            }
            Self::MediaType => (
                "urn:biomero:problem:media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The request is no JSON",
            ),
            Self::Range => {
                ("urn:biomero:problem:range", StatusCode::RANGE_NOT_SATISFIABLE, "There are no such bytes")
            }
            Self::TooMany => {
                ("urn:biomero:problem:too-many", StatusCode::TOO_MANY_REQUESTS, "Too much is asked for")
            }
            Self::Damaged => (
                "urn:biomero:problem:damaged",
                StatusCode::INTERNAL_SERVER_ERROR,
                "What is stored cannot be read",
            ),
            Self::Unavailable => {
                ("urn:biomero:problem:unavailable", StatusCode::SERVICE_UNAVAILABLE, "What it needs is away")
            }
        }
    }
}

impl Problem {
    /// Of a kind: what was wrong, and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (kind, status, title) = kind.row();
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into().into(),
            remedy: remedy.into().into(),
            problems: Box::default(),
            retry_after: None,
        }
    }

    /// May be tried again after so many seconds.
    #[must_use]
    pub(crate) const fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// As people read it: the kind, what was wrong, what to do.
    pub(crate) const fn told(&self) -> (&'static str, &str, &str) {
        (self.title, &self.detail, &self.remedy)
    }

    /// The status of the answer.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    fn senseless(problems: Vec<biomero_workflow::Problem>) -> Self {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let mut problem =
            Self::new(Kind::Senseless, lines.join("; "), "correct what `problems` names; nothing was kept");
        problem.problems = problems
            .into_iter()
            .map(|biomero_workflow::Problem { field, problem }| Part { field, problem })
            .collect();
        problem
    }

    /// A part of a request that makes no sense.
    pub(crate) fn part(field: &str, problem: impl Into<String>) -> Self {
        Self::senseless(vec![biomero_workflow::Problem::new(field, problem)])
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let told = error.to_string();
        match error {
            Error::Senseless(problems) => Self::senseless(problems),
            Error::Untold(_) => {
                Self::new(Kind::Unavailable, told, "ask again later; nothing was kept").after(10)
            }
            Error::Full { .. } => {
                Self::new(Kind::TooMany, told, "ask again when workflows have ended, or raise workflow.queue")
                    .after(60)
            }
            Error::Absent { .. } => {
                Self::new(Kind::Absent, told, "the ids that there are: GET /v1/workflows")
            }
            Error::Exists { .. } => {
                Self::new(Kind::Exists, told, "send another Idempotency-Key, or the request that it was for")
            }
            Error::OutOfPlace { .. } => {
                Self::new(Kind::OutOfPlace, told, "GET the workflow to see where it stands")
            }
            Error::Damaged { .. } => Self::new(Kind::Damaged, told, "`processor events doctor` says more"),
            Error::Superseded { .. } | Error::Contended { .. } => {
                Self::new(Kind::Unavailable, told, "ask again").after(1)
            }
            Error::Log(error) => Self::from(error),
        }
    }
}

impl From<biomero_events::Error> for Problem {
    fn from(error: biomero_events::Error) -> Self {
        // The whole of it names hosts and users of the database: that is for the log, not for whoever asks.
        match error.class() {
            Class::Absent => Self::new(
                Kind::Absent,
                "nothing of this id is recorded",
                "the ids that there are: GET /v1/workflows, and GET /v1/workflows/ID/tasks",
            ),
            Class::Corrupt | Class::Schema => {
                tracing::error!("{error}");
                let detail = "the database holds what cannot be read";
                Self::new(Kind::Damaged, detail, "`processor events doctor` says what, and what to do")
            }
            _ => {
                tracing::warn!("{error}");
                let detail = "the database does not answer, or not in time";
                Self::new(Kind::Unavailable, detail, "ask again; the worker's log says more").after(5)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"biomero\""));
        }
        // For who shows it otherwise.
        response.extensions_mut().insert(self);
        response
    }
}
