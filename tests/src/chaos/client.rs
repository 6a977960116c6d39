//! Who asks for workflows: at the worker's socket, and again under the same id for as long as no answer comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::plan::{What, Wish};
use crate::{Result, Trouble, http};

/// How many ask at a time.
pub(super) const CLIENTS: usize = 4;
/// How long an answer is waited for. It may have been lost with whoever was to give it.
const ANSWER: Duration = Duration::from_secs(20);
/// Before it is asked again.
const AGAIN: Duration = Duration::from_millis(150);

/// What was answered to something that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// The workflows of a batch, in their order.
    pub(super) children: Vec<Uuid>,
}

/// A client: some of the wishes, one after the other, each at its moment.
pub(super) struct Client<'a> {
    /// Where it asks.
    pub(super) socket: &'a Path,
    /// When the plan began.
    pub(super) begun: Instant,
    /// When it gives up.
    pub(super) until: Instant,
    /// How often it had to ask again, of all clients.
    pub(super) again: &'a AtomicUsize,
    /// Whether nobody wants to know any more.
    pub(super) over: &'a AtomicBool,
}

/// What a client does at a moment.
enum Act<'a> {
    Ask(&'a Wish, &'a (&'static str, Value)),
    Cancel(&'a Wish),
}

impl Client<'_> {
    /// Asks for all of these, and for the end of those that are to be cancelled.
    ///
    /// # Errors
    /// Something is refused, is taken twice, or is not answered before it gives up.
    pub(super) fn ask(&self, wishes: &[(&Wish, (&'static str, Value))]) -> Result<BTreeMap<Uuid, Kept>> {
        let mut acts: Vec<(Duration, Act<'_>)> = Vec::new();
        for (wish, request) in wishes {
            acts.push((wish.at, Act::Ask(wish, request)));
            if let What::Cancelled(after) = wish.what {
                acts.push((wish.at + after, Act::Cancel(wish)));
            }
        }
        acts.sort_by_key(|(at, _)| *at);
        let mut kept: BTreeMap<Uuid, Kept> = BTreeMap::new();
        for (at, act) in acts {
            while self.begun.elapsed() < at && !self.over.load(Ordering::Relaxed) {
                std::thread::sleep(at.saturating_sub(self.begun.elapsed()).min(AGAIN));
            }
            match act {
                Act::Ask(wish, request) => {
                    kept.insert(wish.id, self.submit(wish, request)?);
                }
                Act::Cancel(wish) => self.cancel(wish)?,
            }
        }
        Ok(kept)
    }

    fn submit(&self, wish: &Wish, (path, request): &(&'static str, Value)) -> Result<Kept> {
        let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {}\r\n", wish.id);
        let refused = |answer: &http::Answer| {
            Trouble::new(format!("{} was answered with {}: {}", wish.name, answer.status, answer.text()))
        };
        let answer = self.answered(path, &headers, &request.to_string())?;
        if !matches!(answer.status, 200 | 201) {
            return Err(refused(&answer));
        }
        if wish.twice {
            let again = self.answered(path, &headers, &request.to_string())?;
            if again.status != 200 || again.json()["children"] != answer.json()["children"] {
                return Err(refused(&again));
            }
        }
        let ids = answer.json()["children"].as_array().cloned().unwrap_or_default();
        let children = ids.iter().filter_map(|id| id.as_str()?.parse().ok()).collect();
        Ok(Kept { children })
    }

    fn cancel(&self, wish: &Wish) -> Result<()> {
        let path = format!("/v1/workflows/{}/cancel", wish.id);
        let answer = self.answered(&path, "", "")?;
        match answer.status {
            // Over it is only where it was cancelled by what was asked before, and the answer lost: its job waits for longer
            // than anything here.
            200 | 409 => Ok(()),
            status => {
                let text = answer.text();
                Err(Trouble::new(format!("the end of {} was answered with {status}: {text}", wish.name)))
            }
        }
    }

    /// Asks until somebody answers who can tell.
    fn answered(&self, path: &str, headers: &str, body: &str) -> Result<http::Answer> {
        loop {
            let asked = http::at(self.socket).and_then(|mut connection| {
                connection.patience(ANSWER)?;
                connection.ask("POST", path, headers, body)
            });
            let last = match asked {
                Ok(answer) if answer.status < 500 && answer.status != 429 => return Ok(answer),
                Ok(answer) => format!("{}: {}", answer.status, answer.text()),
                Err(trouble) => trouble.to_string(),
            };
            self.again.fetch_add(1, Ordering::Relaxed);
            if Instant::now() > self.until || self.over.load(Ordering::Relaxed) {
                return Err(Trouble::new(format!("{path} is not answered; last: {last}")));
            }
            std::thread::sleep(AGAIN);
        }
    }
}
