//! `processor serve` as the command line asks it: HTTP over its socket.
//!
//! Invariant: what is asked for under an id of its own may be asked again when the answer was lost; nothing else is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use biomero_config::Secret;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;
use uuid::Uuid;

mod events;

pub(crate) use events::{Events, Told};

/// How long an answer may take: longer than the server takes to say that it takes too long.
const ANSWER: Duration = Duration::from_secs(90);
/// How long connecting may take: the socket is on this machine.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const LARGEST: usize = 64 << 20;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nobody serves.
    #[error("no `processor serve` answers at {}", path.display())]
    Nobody {
        /// Where.
        path: PathBuf,
    },
    /// Somebody else's socket.
    #[error(
        "{} belongs to another user: ask as that user, or name the socket of your own in the setting api.socket", path.display()
    )]
    NotOurs {
        /// Where.
        path: PathBuf,
    },
    /// It broke off.
    #[error("{}: {reason}; ask again, or see what `processor serve` says", path.display())]
    Broken {
        /// Where.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The server says no.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: u16,
        /// Why.
        detail: String,
        /// What to do.
        remedy: String,
    },
}

impl ClientError {
    /// Whether it may be answered later: nobody was there, or it broke off.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::Nobody { .. } | Self::Broken { .. } => true,
            Self::NotOurs { .. } => false,
            Self::Refused { status, .. } => matches!(*status, 429 | 503),
        }
    }
}

/// The server at a socket.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    path: PathBuf,
}

impl Client {
    /// At this socket; nothing is connected yet.
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Asks for what is there.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.ask(Method::GET, path, None, None, None).await
    }

    /// Asks that something is done, with a session of OMERO where it needs one.
    pub(crate) async fn post(
        &self,
        path: &str,
        session: Option<&Secret<String>>,
    ) -> Result<Value, ClientError> {
        self.ask(Method::POST, path, None, None, session).await
    }

    /// Asks for something that is taken once under this id; again where the answer was lost.
    pub(crate) async fn submit(
        &self,
        path: &str,
        id: Uuid,
        body: &Value,
        session: Option<&Secret<String>>,
    ) -> Result<Value, ClientError> {
        match self.ask(Method::POST, path, Some(id), Some(body), session).await {
            Err(ClientError::Broken { .. }) => {
                self.ask(Method::POST, path, Some(id), Some(body), session).await
            }
            outcome => outcome,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        id: Option<Uuid>,
        body: Option<&Value>,
        session: Option<&Secret<String>>,
    ) -> Result<Value, ClientError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
        if let Some(id) = id {
            request = request.header("idempotency-key", id.to_string());
        }
        if let Some(session) = session {
            request = request.header("omero-session", session.reveal());
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::from(body)).map_err(|error| self.broken(&error))?;
        let response = self.send(request).await?;
        let status = response.status();
        let answer = timeout(ANSWER, Limited::new(response.into_body(), LARGEST).collect()).await;
        let answer = answer.map_err(|_| self.broken(&"the answer did not end"))?;
        let answer = answer.map_err(|error| self.broken(&error))?.to_bytes();
        if !status.is_success() {
            return Err(refused(status, &answer));
        }
        serde_json::from_slice(&answer).map_err(|error| self.broken(&error))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let connected = timeout(CONNECT, UnixStream::connect(&self.path)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
            let path = self.path.clone();
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Nobody { path },
                io::ErrorKind::PermissionDenied => ClientError::NotOurs { path },
                _ => self.broken(&error),
            }
        })?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| self.broken(&error))?;
        // It ends with the response's body.
        tokio::spawn(connection);
        let response = timeout(ANSWER, sender.send_request(request)).await;
        let response = response.map_err(|_| self.broken(&"there was no answer"))?;
        response.map_err(|error| self.broken(&error))
    }

    fn broken(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken { path: self.path.clone(), reason: reason.to_string() }
    }
}

fn refused(status: StatusCode, answer: &[u8]) -> ClientError {
    let problem: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |key: &str| problem.get(key).and_then(Value::as_str).map(str::to_owned);
    ClientError::Refused {
        status: status.as_u16(),
        detail: text("detail").unwrap_or_else(|| format!("it was answered with {status}")),
        remedy: text("remedy").unwrap_or_default(),
    }
}

/// A query of what is given.
pub(crate) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.extend([name, "="]);
            query.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_what_is_given() {
        assert_eq!(query(&[("a", None)]), "");
        let pairs = [("a", Some("x y&b=ü".to_owned())), ("c", None), ("limit", Some(5.to_string()))];
        assert_eq!(query(&pairs), "?a=x%20y%26b%3D%C3%BC&limit=5");
    }

    #[tokio::test]
    async fn nobody_there_is_told_from_somebody_elses_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("processor.sock");
        let client = Client::new(path.clone());
        assert!(matches!(client.get("/health").await, Err(ClientError::Nobody { .. })));
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(matches!(client.get("/health").await, Err(ClientError::Nobody { .. })), "a dead one's");
    }
}
