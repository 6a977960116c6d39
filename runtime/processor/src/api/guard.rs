//! What every request goes through: who asks, how often, how much, how long; and a line in the log.
//!
//! Invariants: no handler sees a request of somebody who is not known, or one that is not whole; the log has its id, who asked,
//! and the route, never a query, a header or a body.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, ORIGIN, TRANSFER_ENCODING,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use tokio::time::timeout;
use uuid::Uuid;

use super::problem::{Kind, Problem};
use super::rate::Rate;
use super::token::Tokens;
use crate::page::{self, session, session::Sessions};

/// The largest body, in bytes: a request for a workflow may be 1 MiB, and is longer as people write it.
pub(crate) const LARGEST_BODY: usize = 2 << 20;
/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(20);
/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(60);
/// The id of a request, in its answer and in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What tells nothing, and may be asked by anybody who is connected.
const OPEN: &str = "/health";
/// Where a browser says that it asks for a page of our own.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What everybody comes through.
#[derive(Debug)]
pub(crate) struct Door {
    /// How often each may ask.
    pub(crate) rate: Rate,
    /// Who has shown a token to the page.
    pub(crate) sessions: Arc<Sessions>,
}

/// The way somebody came.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Over the Unix socket: the system has let nobody else in.
    Socket {
        /// The id of the user, where the system tells.
        user: Option<u32>,
    },
    /// Over TCP.
    Tcp {
        /// From where.
        peer: IpAddr,
        /// Who may ask.
        tokens: Arc<Tokens>,
        /// Whether nobody in between reads it.
        is_encrypted: bool,
    },
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(String);

impl Caller {
    /// As it stands in the log, and in who has cancelled a workflow.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

/// Lets a request through, or says why not.
pub(crate) async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response<Body> {
    let begun = Instant::now();
    let id = Uuid::now_v7();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = matched.unwrap_or_else(|| "(no such path)".to_owned());
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let (caller, mut response) = match admitted(&door, &request, begun) {
        Ok(caller) => {
            let response = answered(request, next, caller.clone()).await;
            (caller.0, response)
        }
        Err((caller, problem)) => {
            let mut response = page::refused(problem, &request);
            // What is still on its way is not read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            (caller, response)
        }
    };
    let headers = response.headers_mut();
    if is_chunked {
        // Somebody in between may go by a length that was told besides, and take the rest of the body for the next request
        // (RFC 9112, 6.1): there is none.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // The page's pictures and style, whose addresses say which they are, are kept.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    let (status, took) = (response.status().as_u16(), begun.elapsed().as_millis());
    tracing::info!("request {id}: {caller}: {method} {route}: {status} after {took} ms");
    response
}

/// Who asks, where they may.
fn admitted(door: &Door, request: &Request, now: Instant) -> Result<Caller, (String, Problem)> {
    let limited = |who: &str, caller: &str| {
        door.rate.take(who, now).map_err(|wait| {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            let problem = Problem::new(
                Kind::TooMany,
                "requests come faster than api.rate allows",
                "wait as long as Retry-After says, or raise api.rate",
            );
            (caller.to_owned(), problem.after(seconds))
        })
    };
    match request.extensions().get::<Way>() {
        Some(Way::Socket { user }) => {
            let caller = user.map_or_else(|| "the socket".to_owned(), |user| format!("user {user}"));
            limited(&caller, &caller)?;
            match asked_by_a_page_of_ours(request) {
                Some(false) => Err((caller, elsewhere())),
                _ => Ok(Caller(caller)),
            }
        }
        Some(Way::Tcp { peer, tokens, .. }) => {
            let peer = peer.to_string();
            // By address first: guessing is slow too.
            limited(&peer, &peer)?;
            let from = asked_by_a_page_of_ours(request);
            if from == Some(false) {
                return Err((peer, elsewhere()));
            }
            let path = request.uri().path();
            if path == OPEN || page::is_open(path) {
                return Ok(Caller(peer));
            }
            let owner = bearer(request.headers()).and_then(|token| tokens.owner(token)).map(str::to_owned);
            let owner = match owner {
                Some(owner) => Some(owner),
                // A browser sends a cookie whoever has written the page: what changes something has to come from ours.
                None if request.method().is_safe() || from == Some(true) => {
                    session::cookie(request.headers()).and_then(|cookie| door.sessions.owner(cookie, now))
                }
                None => None,
            };
            let owner = owner.ok_or_else(|| {
                let problem = Problem::new(
                    Kind::Unauthenticated,
                    "there is no token, or nobody knows it",
                    "send `Authorization: Bearer TOKEN` with a token of `processor api token NAME`",
                );
                (peer.clone(), problem)
            })?;
            Ok(Caller(format!("token {owner}")))
        }
        // Never: whoever connects has come some way.
        None => Err((
            "nobody".to_owned(),
            Problem::new(Kind::Unauthenticated, "nobody knows who asks", "ask over the socket, or over TCP"),
        )),
    }
}

fn elsewhere() -> Problem {
    let remedy = "ask from the worker's own page, or without a browser";
    Problem::new(Kind::Elsewhere, "a page of somebody else has asked", remedy)
}

/// Whether it was a page of ours, by what the browser says, that asks for a change; none where it is no browser, or no change.
fn asked_by_a_page_of_ours(request: &Request) -> Option<bool> {
    if request.method().is_safe() {
        return None;
    }
    let headers = request.headers();
    if let Some(site) = headers.get(FETCH_SITE) {
        return Some(site == "same-origin");
    }
    let origin = headers.get(ORIGIN)?.to_str().ok()?;
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    Some(authority.is_some() && authority == host)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// The answer to a request that is whole.
async fn answered(request: Request, next: Next, caller: Caller) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let told = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let refused = |problem: Problem| {
        let mut response = problem.into_response();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    };
    let too_large = || {
        let detail = format!("the body is larger than {LARGEST_BODY} bytes");
        refused(Problem::new(Kind::TooLarge, detail, "ask for less at once: several batches"))
    };
    if told.is_some_and(|length| length > LARGEST_BODY as u64) {
        return too_large();
    }
    let body = match timeout(BODY, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            if std::iter::successors(Some(error), |error| error.source())
                .any(|error| error.is::<http_body_util::LengthLimitError>())
            {
                return too_large();
            }
            let detail = "the body broke off";
            return refused(Problem::new(Kind::Malformed, detail, "send it again, whole"));
        }
        Err(_) => {
            let detail = format!("the body was not there after {} s", BODY.as_secs());
            return refused(Problem::new(Kind::Slow, detail, "send it in one go"));
        }
    };
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(caller);
    match timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("there was no answer after {} s", ANSWER.as_secs());
            let problem = Problem::new(
                Kind::Unavailable,
                detail,
                "ask again, with the same Idempotency-Key where there was one; the worker's log says more",
            );
            refused(problem.after(10))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::token;

    fn door(rate: u32) -> Door {
        Door { rate: Rate::new(rate), sessions: Arc::default() }
    }

    fn request(way: Way, authorization: &[&str], path: &str) -> Request {
        let mut request = Request::builder().uri(path);
        for value in authorization {
            request = request.header(AUTHORIZATION, *value);
        }
        let mut request = request.body(Body::empty()).expect("a request");
        request.extensions_mut().insert(way);
        request
    }

    #[test]
    fn over_tcp_only_who_has_a_token_is_let_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let (token, line) = token::make("dashboard").expect("a token");
        let path = folder.path().join("tokens");
        std::fs::write(&path, line).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("its mode");
        let tokens = Arc::new(Tokens::read(&path).expect("tokens"));
        let way =
            || Way::Tcp { peer: [127, 0, 0, 1].into(), tokens: Arc::clone(&tokens), is_encrypted: false };
        let rate = door(1_000);
        let asks = |authorization: &[&str], path: &str| {
            let admitted = admitted(&rate, &request(way(), authorization, path), Instant::now());
            admitted.map(|caller| caller.0).map_err(|(_, problem)| problem.status())
        };
        let right = format!("Bearer {token}");
        let owner = Ok("token dashboard".to_owned());
        assert_eq!(asks(&[&right], "/v1/workflows"), owner);
        assert_eq!(asks(&[&right.replace("Bearer", "bearer")], "/v1/workflows"), owner);
        let wrong = [format!("{right}x"), format!("Basic {token}"), token.clone(), "Bearer ".to_owned()];
        for wrong in &wrong {
            assert_eq!(asks(&[wrong], "/v1/workflows"), Err(401), "{wrong}");
        }
        assert_eq!(asks(&[], "/v1/workflows"), Err(401));
        assert_eq!(asks(&[&right, &right], "/v1/workflows"), Err(401), "one is meant to be the only one");
        assert_eq!(asks(&[], "/health"), Ok("127.0.0.1".to_owned()));
        assert_eq!(asks(&[], "/health/../v1/workflows"), Err(401));
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_come_again() {
        let rate = door(1);
        let now = Instant::now();
        let ask = || admitted(&rate, &request(Way::Socket { user: Some(7) }, &[], "/"), now);
        assert_eq!(ask().expect("let in").name(), "user 7");
        assert!(ask().is_ok());
        let (_, problem) = ask().expect_err("too often");
        assert_eq!(problem.status(), 429);
        assert!(problem.into_response().headers().contains_key("retry-after"));
    }

    #[test]
    fn a_cookie_lets_in_and_changes_nothing_for_a_page_of_somebody_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, line) = token::make("dashboard").expect("a token");
        let path = folder.path().join("tokens");
        std::fs::write(&path, line).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("its mode");
        let tokens = Arc::new(Tokens::read(&path).expect("tokens"));
        let door = door(1_000);
        let now = Instant::now();
        let cookie = door.sessions.begin("dashboard", now).expect("random numbers");
        let asks = |method: &str, headers: &[(&str, &str)]| {
            let mut request =
                Request::builder().method(method).uri("/v1/workflows").header(HOST, "worker:8420");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let mut request = request.body(Body::empty()).expect("a request");
            let peer = [127, 0, 0, 1].into();
            request.extensions_mut().insert(Way::Tcp {
                peer,
                tokens: Arc::clone(&tokens),
                is_encrypted: false,
            });
            admitted(&door, &request, now).map(|caller| caller.0).map_err(|(_, problem)| problem.status())
        };
        let cookie = format!("a=b; {}={cookie}", session::COOKIE);
        let cookie = ("cookie", cookie.as_str());
        let owner = Ok("token dashboard".to_owned());
        assert_eq!(asks("GET", &[cookie]), owner);
        assert_eq!(asks("GET", &[("cookie", "biomero=0")]), Err(401));
        assert_eq!(asks("POST", &[cookie]), Err(401), "no browser sends neither header");
        assert_eq!(asks("POST", &[cookie, ("sec-fetch-site", "same-origin")]), owner);
        assert_eq!(asks("POST", &[cookie, ("origin", "http://worker:8420")]), owner);
        for elsewhere in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("origin", "http://worker:8421"),
            ("origin", "null"),
        ] {
            assert_eq!(asks("POST", &[cookie, elsewhere]), Err(403), "{elsewhere:?}");
        }
    }
}
