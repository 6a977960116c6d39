//! What happens to a workflow, for whoever watches it: across ends and starts of the server.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HOST};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Client, ClientError};

/// The server says something every fifteen seconds; after this it is taken for dead.
const SILENT: Duration = Duration::from_secs(60);
/// The longest event, in bytes.
const LONGEST: usize = 4 << 20;

/// Events of a workflow, as they come.
#[derive(Debug)]
pub(crate) struct Events {
    client: Client,
    workflow: Uuid,
    last: Option<String>,
    body: Option<Incoming>,
    text: Vec<u8>,
    /// When something was heard last: whoever waits may stop waiting and begin again.
    heard: Instant,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// The connection stands; what happened before it did is to be asked for.
    Connected,
    /// It happened.
    Event(Value),
}

impl Events {
    /// Of a workflow that need not be there yet.
    pub(crate) fn new(client: Client, workflow: Uuid) -> Self {
        Self { client, workflow, last: None, body: None, text: Vec::new(), heard: Instant::now() }
    }

    /// What is heard next. After an error it may be called again: nothing is left out that comes behind what was heard.
    pub(crate) async fn next(&mut self) -> Result<Told, ClientError> {
        if self.body.is_none() {
            self.text.clear();
            self.body = Some(self.connect().await?);
            self.heard = Instant::now();
            return Ok(Told::Connected);
        }
        loop {
            if let Some(event) = self.taken() {
                return Ok(Told::Event(event));
            }
            match self.piece().await {
                Ok(piece) => self.text.extend_from_slice(&piece),
                Err(error) => {
                    self.body = None;
                    return Err(error);
                }
            }
        }
    }

    async fn connect(&self) -> Result<Incoming, ClientError> {
        let path = format!("/v1/events?workflow={}", self.workflow);
        let mut request = Request::get(path).header(HOST, "localhost").header(ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Full::<Bytes>::default()).map_err(|error| self.client.broken(&error))?;
        let response = self.client.send(request).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let answer = response.into_body().collect().await.map_err(|error| self.client.broken(&error))?;
        Err(super::refused(status, &answer.to_bytes()))
    }

    async fn piece(&mut self) -> Result<Bytes, ClientError> {
        let broken = |reason: &dyn std::fmt::Display| self.client.broken(reason);
        let Some(body) = &mut self.body else { return Err(broken(&"it is not connected")) };
        if self.text.len() > LONGEST {
            return Err(broken(&"an event is too long"));
        }
        match timeout_at(self.heard + SILENT, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                self.heard = Instant::now();
                Ok(frame.into_data().unwrap_or_default())
            }
            Ok(Some(Err(error))) => Err(broken(&error)),
            Ok(None) => Err(broken(&"the worker ends")),
            Err(_) => Err(broken(&"nothing is heard any more")),
        }
    }

    /// An event that is whole; what is none is passed over.
    fn taken(&mut self) -> Option<Value> {
        loop {
            let end = self.text.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block);
            let mut data = None;
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => self.last = Some(id.to_owned()),
                    Some(("data", text)) => data = serde_json::from_str(text).ok(),
                    _ => {}
                }
            }
            if data.is_some() {
                return data;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_whole_in_whatever_pieces_they_come() {
        let sent =
            "retry: 1000\n\n:\n\nid: 4\nevent: a\ndata: {\"id\":4}\n\nid: 9\nevent: b\ndata: {\"id\":9}\n\n";
        for size in 1..sent.len() {
            let mut events = Events::new(Client::new("/nowhere".into()), Uuid::nil());
            let mut ids = Vec::new();
            for piece in sent.as_bytes().chunks(size) {
                events.text.extend_from_slice(piece);
                while let Some(event) = events.taken() {
                    ids.push(event["id"].as_i64());
                }
            }
            assert_eq!(ids, [Some(4), Some(9)], "in pieces of {size}");
            assert_eq!(events.last.as_deref(), Some("9"));
        }
    }
}
