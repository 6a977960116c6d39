//! A script that was asked for: it waits, runs, and is over.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Folder, Order, Outcome};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Others run, as many as may.
    Waiting,
    /// It runs, or is just being started.
    Running,
    /// Nothing of it is left.
    Over(Arc<Outcome>),
}

impl State {
    /// What became of it, if it is over.
    #[must_use]
    pub fn outcome(&self) -> Option<&Arc<Outcome>> {
        match self {
            Self::Over(outcome) => Some(outcome),
            Self::Waiting | Self::Running => None,
        }
    }
}

/// A script that was asked for. It goes on when nobody has this any more.
#[derive(Debug, Clone)]
pub struct ScriptProcess(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    job: i64,
    folder: Folder,
    note: serde_json::Value,
    state: watch::Sender<State>,
    asked: watch::Sender<Option<Order>>,
}

impl ScriptProcess {
    pub(super) fn new(job: i64, folder: Folder, note: serde_json::Value, state: State) -> Self {
        let (state, asked) = (watch::Sender::new(state), watch::Sender::new(None));
        Self(Arc::new(Shared { job, folder, note, state, asked }))
    }

    /// Of which job it is.
    #[must_use]
    pub fn job(&self) -> i64 {
        self.0.job
    }

    /// Where it runs, or ran. Whoever wants nothing more of it removes it.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.0.folder
    }

    /// What was noted when it was asked for.
    #[must_use]
    pub fn note(&self) -> &serde_json::Value {
        &self.0.note
    }

    /// How far it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// How far it is from now on.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// What became of it, if it is over.
    #[must_use]
    pub fn poll(&self) -> Option<Arc<Outcome>> {
        self.0.state.borrow().outcome().cloned()
    }

    /// What becomes of it.
    pub async fn wait(&self) -> Arc<Outcome> {
        let mut states = self.states();
        loop {
            // The sender is ours: it is not gone while we are here.
            if let Some(outcome) = states.borrow_and_update().outcome() {
                return Arc::clone(outcome);
            }
            if states.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// TERM, and KILL after a time. Whether it is over already.
    pub fn cancel(&self) -> bool {
        self.ask(Order::Cancel)
    }

    /// KILL. Whether it is over already.
    pub fn kill(&self) -> bool {
        self.ask(Order::Kill)
    }

    /// Cancels it, and waits until nothing of it is left.
    pub async fn shutdown(&self) -> Arc<Outcome> {
        self.cancel();
        self.wait().await
    }

    fn ask(&self, order: Order) -> bool {
        self.0.asked.send_if_modified(|asked| {
            let more = asked.is_none_or(|asked| asked < order);
            if more {
                *asked = Some(order);
            }
            more
        });
        self.poll().is_some()
    }

    pub(super) fn asked(&self) -> watch::Receiver<Option<Order>> {
        self.0.asked.subscribe()
    }

    pub(super) fn is_now(&self, state: State) {
        self.0.state.send_replace(state);
    }
}
