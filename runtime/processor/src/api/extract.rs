//! What a request holds, parsed: an id of the path, the query, a body. What cannot be parsed is told as a problem.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use biomero_config::Secret;
use biomero_slurm::job::JobId;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem::{Kind, Problem};

/// The id in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = segment(parts, state).await?;
        uuid(&text).map(Self).ok_or_else(|| {
            let remedy = "write the id as the answer has it: 2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98";
            Problem::new(Kind::Malformed, "the id in the path is none", remedy)
        })
    }
}

/// The job in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job(pub(crate) JobId);

impl<S: Send + Sync> FromRequestParts<S> for Job {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = segment(parts, state).await?;
        text.parse().map(Self).map_err(|_| {
            let remedy = "write 1234, or 1234_7 for a task of an array";
            Problem::new(Kind::Malformed, "the job in the path is none", remedy)
        })
    }
}

async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(text)| text)
        .map_err(|_| Problem::new(Kind::Malformed, "the path is no text", "write it in ASCII"))
}

/// An id as everybody writes it: 36 characters. Other spellings would be other addresses of the same thing.
pub(crate) fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The query.
#[derive(Debug, Clone)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked)).map_err(|rejection| {
            let detail = shortened(&rejection.body_text());
            Problem::new(Kind::Malformed, detail, "the parameters of the query are in /openapi.json")
        })
    }
}

/// What was sent may be part of what is wrong with it, and long.
fn shortened(text: &str) -> String {
    text.chars().take(500).collect()
}

/// The body.
#[derive(Debug, Clone)]
pub(crate) struct Sent<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Json::from_request(request, state).await.map(|Json(sent)| Self(sent)).map_err(|rejection| {
            let told = shortened(&rejection.body_text());
            let (kind, remedy) = match rejection.into_response().status().as_u16() {
                415 => (Kind::MediaType, "send JSON with `Content-Type: application/json`"),
                422 => (Kind::Senseless, "the schema of the body is in /openapi.json"),
                413 => (Kind::TooLarge, "ask for less at once"),
                _ => (Kind::Malformed, "send one JSON value; its schema is in /openapi.json"),
            };
            Problem::new(kind, told, remedy)
        })
    }
}

/// The id under which something is asked for, so that it is taken once; a new one where none is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(pub(crate) Uuid);

/// The header that it stands in.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        key(&parts.headers).map(Self)
    }
}

fn key(headers: &HeaderMap) -> Result<Uuid, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(Uuid::now_v7()) };
    let parsed = value.to_str().ok().and_then(uuid).filter(|id| !id.is_nil() && values.next().is_none());
    parsed.ok_or_else(|| {
        let remedy = "send one UUID, which becomes the id of the workflow, or leave it out";
        Problem::new(Kind::Malformed, "Idempotency-Key is no UUID", remedy)
    })
}

/// A session of OMERO that whoever asks lends the workflow.
#[derive(Debug, Clone)]
pub(crate) struct Lent(pub(crate) Option<Secret<String>>);

/// The header that it stands in: no log has headers, as it has bodies' parts that are wrong.
const OMERO_SESSION: &str = "omero-session";
/// OMERO's are UUIDs.
const LONGEST_SESSION: usize = 100;

impl<S: Send + Sync> FromRequestParts<S> for Lent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        session(&parts.headers).map(Self)
    }
}

fn session(headers: &HeaderMap) -> Result<Option<Secret<String>>, Problem> {
    let mut values = headers.get_all(OMERO_SESSION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_id = |text: &&str| {
        (1..=LONGEST_SESSION).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let text = value.to_str().ok().filter(is_id).filter(|_| values.next().is_none());
    text.map(|text| Some(Secret::new(text.to_owned()))).ok_or_else(|| {
        let remedy = "send the id of one session of OMERO, or leave it out";
        Problem::new(Kind::Malformed, "Omero-Session is no id of a session", remedy)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = "2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98";
        assert!(uuid(id).is_some());
        let simple = id.replace('-', "");
        for other in [simple.as_str(), "{2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98}", "../../etc/passwd", ""] {
            assert_eq!(uuid(other), None, "{other}");
        }
    }

    #[test]
    fn a_session_is_one_word_and_told_of_to_nobody() {
        let mut headers = HeaderMap::new();
        assert!(session(&headers).expect("none").is_none());
        headers.insert(OMERO_SESSION, HeaderValue::from_static("31fa7d02"));
        assert!(!format!("{:?}", session(&headers)).contains("31fa"));
        assert_eq!(
            session(&headers).expect("one").map(|id| id.reveal().clone()).as_deref(),
            Some("31fa7d02")
        );
        headers.append(OMERO_SESSION, HeaderValue::from_static("42"));
        assert_eq!(session(&headers).expect_err("two").status(), 400);
        headers.insert(OMERO_SESSION, HeaderValue::from_static("31fa 7d02"));
        assert!(!format!("{:?}", session(&headers).expect_err("two words")).contains("31fa"));
    }

    #[test]
    fn a_key_is_one_uuid() {
        let mut headers = HeaderMap::new();
        assert_ne!(key(&headers).expect("a new one"), key(&headers).expect("a new one"));
        let id = "2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98";
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static(id));
        assert_eq!(key(&headers).expect("that one").to_string(), id);
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(id));
        assert_eq!(key(&headers).expect_err("two").status(), 400);
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("once"));
        assert_eq!(key(&headers).expect_err("no UUID").status(), 400);
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("00000000-0000-0000-0000-000000000000"));
        assert_eq!(key(&headers).expect_err("nil").status(), 400);
    }
}
