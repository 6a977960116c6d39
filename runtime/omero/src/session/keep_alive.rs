//! Keeping a session alive, and knowing when it is not.

use std::sync::Arc;
use std::time::Duration;

use biomero_ice::Connection;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::error::Error;
use crate::types::api::ServiceFactory;

/// How many signs of life in a row may fail before the session is believed lost.
const FAILURES: u32 = 3;

/// Why a session is lost.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Lost {
    /// OMERO has closed it.
    #[error("OMERO has closed the session")]
    Closed,
    /// The connection that it was bound to has ended.
    #[error("the session has ended with its connection: {problem}")]
    Connection {
        /// Why.
        problem: String,
    },
    /// OMERO knows nothing of it any more: it was idle for too long, has lived long enough, or was ended by somebody.
    #[error("OMERO does not know the session any more: {problem}")]
    Expired {
        /// What was said.
        problem: String,
    },
    /// OMERO does not answer.
    #[error("OMERO has not answered {attempts} signs of life in a row: {problem}")]
    Silent {
        /// How many.
        attempts: u32,
        /// What happened last.
        problem: String,
    },
}

impl Lost {
    /// Tells everybody. Only the first reason counts.
    pub(super) fn tell(self, lost: &watch::Sender<Option<Self>>) {
        lost.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert(self);
            first
        });
    }
}

/// The task that does it, which ends with this.
#[derive(Debug)]
pub(super) struct KeptAlive {
    task: AbortHandle,
    lost: watch::Receiver<Option<Lost>>,
    /// Nobody is told that all who could tell are gone.
    _sender: watch::Sender<Option<Lost>>,
}

impl KeptAlive {
    pub(super) fn start(
        factory: ServiceFactory,
        connection: Option<Connection>,
        every: Duration,
        wanted: Arc<Notify>,
        sender: watch::Sender<Option<Lost>>,
    ) -> Self {
        let lost = sender.subscribe();
        let telling = sender.clone();
        let task = tokio::spawn(async move {
            let ended = async {
                match &connection {
                    Some(connection) => Lost::Connection { problem: connection.ended().await.to_string() },
                    None => std::future::pending().await,
                }
            };
            let why = tokio::select! {
                why = ended => why,
                why = alive(&factory, every, &wanted) => why,
            };
            tracing::debug!(why = %why, "a session is lost");
            why.tell(&telling);
        });
        Self { task: task.abort_handle(), lost, _sender: sender }
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }

    pub(super) fn is_lost(&self) -> Option<Lost> {
        self.lost.borrow().clone()
    }

    pub(super) async fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(lost) => lost.clone().unwrap_or(Lost::Closed),
            Err(_) => Lost::Closed,
        }
    }
}

impl Drop for KeptAlive {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Gives signs of life, when one is due or wanted, until they fail.
async fn alive(factory: &ServiceFactory, every: Duration, wanted: &Notify) -> Lost {
    let every = every.max(Duration::from_millis(100));
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = wanted.notified() => {}
        }
        match factory.keep_alive(None).await {
            Ok(_) => failures = 0,
            Err(error) => {
                failures += 1;
                if let Some(why) = lost(&error, failures) {
                    return why;
                }
                tracing::warn!(error = %error, failures, "OMERO does not take a sign of life");
            }
        }
    }
}

/// Whether a sign of life that failed means the end.
fn lost(error: &Error, failures: u32) -> Option<Lost> {
    let problem = error.to_string();
    match error {
        Error::Gone { .. } => Some(Lost::Expired { problem }),
        error if error.is(crate::Exception::SessionException) => Some(Lost::Expired { problem }),
        _ if failures >= FAILURES => Some(Lost::Silent { attempts: failures, problem }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_knows_the_session_no_more_ends_it_at_once_and_one_that_is_silent_after_a_while() {
        let gone = Error::Gone { problem: "no object".to_owned() };
        assert!(matches!(lost(&gone, 1), Some(Lost::Expired { .. })));
        let silent = Error::Unavailable { problem: "no answer".to_owned() };
        assert_eq!(lost(&silent, 1), None);
        assert!(matches!(lost(&silent, FAILURES), Some(Lost::Silent { attempts: FAILURES, .. })));
    }

    #[test]
    fn the_first_reason_counts() {
        let (sender, receiver) = watch::channel(None);
        Lost::Closed.tell(&sender);
        Lost::Connection { problem: "later".to_owned() }.tell(&sender);
        assert_eq!(*receiver.borrow(), Some(Lost::Closed));
    }
}
