//! The one connection, and how it comes back.
//!
//! Invariants: there is one attempt at a time, and all who wait get what comes of it; an attempt ends when nobody is left to
//! want it. After a loss the pause before an attempt is drawn from a range that doubles (full jitter), so that the workers
//! of a login node that was restarted do not all come at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::diagnosis::{self, Evidence};
use super::master::Master;
use crate::cluster::error::Refusal;
use crate::cluster::{ConnectKind, Error, SshOptions};

/// The longest pause before the first attempt after a loss.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause of all.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A connection that held this long was a good one: its loss is the first again.
const STABLE: Duration = Duration::from_secs(60);

/// How long a connection that answers nothing may take to be seen as ended.
const NOTICE: Duration = Duration::from_secs(1);

/// How long ending the connection may take: twice what the process is given.
const ENDING: Duration = Duration::from_secs(4);

type Outcome = Result<Arc<Master>, Refusal>;

#[derive(Debug)]
pub(super) struct Connection {
    options: SshOptions,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    at: At,
    /// How many attempts and connections in a row have failed or were short.
    failures: u32,
    /// Whether there ever was a connection: only then one that fails is worth another attempt.
    was_connected: bool,
    /// How many there were, and how many of them were lost.
    connections: u64,
    lost: u64,
}

#[derive(Debug)]
enum At {
    Nowhere,
    Connecting(watch::Receiver<Option<Outcome>>),
    Connected { master: Arc<Master>, since: Instant },
}

impl Connection {
    pub(super) const fn new(options: SshOptions) -> Self {
        let state = State { at: At::Nowhere, failures: 0, was_connected: false, connections: 0, lost: 0 };
        Self { options, state: Mutex::new(state) }
    }

    /// The connection, made now where there is none; after a loss, tried again until the deadline.
    pub(super) async fn master(&self, deadline: Instant) -> Result<Arc<Master>, Error> {
        let mut last: Option<Refusal> = None;
        loop {
            let mut attempt = match self.next() {
                Ok(master) => return Ok(master),
                Err(attempt) => attempt,
            };
            let outcome = match tokio::time::timeout_at(deadline, attempt.wait_for(Option::is_some)).await {
                Ok(outcome) => outcome.ok().and_then(|outcome| outcome.clone()),
                Err(_) => return Err(last.unwrap_or_else(|| self.too_late()).into()),
            };
            match outcome {
                Some(Ok(master)) if !master.is_over() => return Ok(master),
                // It is gone again, or the runtime that tried is.
                Some(Ok(_)) | None => {}
                Some(Err(refusal)) if refusal.kind.may_pass() && self.state().was_connected => {
                    last = Some(refusal)
                }
                Some(Err(refusal)) => return Err(refusal.into()),
            }
            if Instant::now() >= deadline {
                return Err(last.unwrap_or_else(|| self.too_late()).into());
            }
        }
    }

    /// The connection or the attempt at it, begun now where there is none.
    fn next(&self) -> Result<Arc<Master>, watch::Receiver<Option<Outcome>>> {
        let mut state = self.state();
        let finished = match &state.at {
            At::Connecting(attempt) => attempt.borrow().clone(),
            _ => None,
        };
        match finished {
            Some(Ok(master)) => {
                if state.was_connected {
                    tracing::info!(host = %self.options.host, "connected again");
                }
                state.was_connected = true;
                state.connections += 1;
                state.at = At::Connected { master, since: Instant::now() };
            }
            Some(Err(_)) => {
                state.failures += 1;
                state.at = At::Nowhere;
            }
            None => {}
        }
        match &state.at {
            At::Connected { master, .. } if !master.is_over() => return Ok(Arc::clone(master)),
            At::Connected { since, .. } => {
                tracing::warn!(host = %self.options.host, "the connection was lost");
                state.failures = if since.elapsed() >= STABLE { 1 } else { state.failures.saturating_add(1) };
                state.lost += 1;
            }
            // One whose runtime has ended comes to nothing.
            At::Connecting(attempt) if attempt.has_changed().is_ok() => return Err(attempt.clone()),
            At::Connecting(_) | At::Nowhere => {}
        }
        let (told, attempt) = watch::channel(None);
        let options = self.options.clone();
        let pause = pause(state.failures);
        tokio::spawn(async move {
            let connecting = async {
                tokio::time::sleep(pause).await;
                Master::connect(&options).await
            };
            tokio::select! {
                outcome = connecting => {
                    told.send_replace(Some(outcome.map(Arc::new)));
                    // It is somebody's from here on, or nobody's.
                }
                () = told.closed() => {}
            }
        });
        state.at = At::Connecting(attempt.clone());
        Err(attempt)
    }

    /// How many connections were made, and how many of them were lost.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.connections, state.lost)
    }

    /// Waits for the end of a connection that does not answer; ends it where it does not by itself.
    pub(super) async fn wait_for_end(&self, master: &Master) {
        let mut over = master.over();
        if tokio::time::timeout(NOTICE, over.wait_for(|over| *over)).await.is_err() {
            master.end();
            let _ = tokio::time::timeout(ENDING, over.wait_for(|over| *over)).await;
        }
    }

    /// Ends it, whoever still holds it.
    pub(super) async fn close(&self) {
        let at = std::mem::replace(&mut self.state().at, At::Nowhere);
        let master = match at {
            At::Connected { master, .. } => Some(master),
            At::Connecting(attempt) => attempt.borrow().clone().and_then(Result::ok),
            At::Nowhere => None,
        };
        if let Some(master) = master {
            master.end();
            let _ = tokio::time::timeout(ENDING, master.over().wait_for(|over| *over)).await;
        }
    }

    fn too_late(&self) -> Refusal {
        let evidence = Evidence {
            host: &self.options.host,
            config: self.options.config.as_deref(),
            ..Evidence::default()
        };
        diagnosis::refusal(
            ConnectKind::TimedOut,
            "no connection within the deadline of what was asked",
            &evidence,
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait before the next attempt: anything up to a limit that doubles.
fn pause(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let limit = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE);
    // Version 4 is random but for six bits, which are not among the first four bytes.
    let (random, ..) = uuid::Uuid::new_v4().as_fields();
    limit.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_drawn_from_a_range_that_doubles_up_to_ten_seconds() {
        assert_eq!(pause(0), Duration::ZERO);
        for (failures, limit) in [(1, 250), (2, 500), (5, 4000), (6, 8000), (7, 10_000), (u32::MAX, 10_000)] {
            let drawn: Vec<Duration> = (0..200).map(|_| pause(failures)).collect();
            assert!(
                drawn.iter().all(|pause| *pause <= Duration::from_millis(limit)),
                "{failures}: {drawn:?}"
            );
            assert!(
                drawn.iter().any(|pause| *pause > Duration::from_millis(limit / 2)),
                "{failures}: {drawn:?}"
            );
            assert!(
                drawn.iter().any(|pause| *pause < Duration::from_millis(limit / 2)),
                "{failures}: {drawn:?}"
            );
        }
    }
}
