//! `omero.grid.Process`: a script that runs, to those who had it run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use biomero_ice::encoding::Objects;
use biomero_ice::{Call, Mode, Reference};
use biomero_omero::grid::ProcessServant;
use biomero_omero::types::{ApiUsageException, InternalException, RInt};
use biomero_omero::{Graph, Refused};
use tokio::sync::watch;

use super::Shared;
use super::call_back::Callback;
use crate::script::ScriptProcess;

/// How long is waited for what was killed, before it is said to go on.
const KILL: Duration = Duration::from_secs(10);
/// The most that are called back for one script: who asks comes from outside.
const MOST_CALLBACKS: usize = 100;

/// A script as others see it.
pub(super) struct Process {
    shared: std::sync::Weak<Shared>,
    script: ScriptProcess,
    /// Its exit code, once it is over and OMERO has been told.
    done: watch::Sender<Option<i32>>,
    callbacks: Mutex<Vec<Callback>>,
}

impl Process {
    pub(super) fn new(shared: &Arc<Shared>, script: ScriptProcess) -> Self {
        let (shared, done) = (Arc::downgrade(shared), watch::Sender::new(None));
        Self { shared, script, done, callbacks: Mutex::default() }
    }

    pub(super) fn script(&self) -> &ScriptProcess {
        &self.script
    }

    fn is_done(&self) -> bool {
        self.done.borrow().is_some()
    }

    /// Its exit code, when OMERO has been told.
    pub(super) async fn done(&self) -> i32 {
        let mut done = self.done.subscribe();
        loop {
            if let Some(code) = *done.borrow_and_update() {
                return code;
            }
            // The sender is ours.
            if done.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// It is over, and OMERO has been told. Only the first time counts.
    pub(super) fn is_over(&self, code: i32) {
        let first = self.done.send_if_modified(|done| done.replace(code).is_none());
        for callback in self.callbacks().into_iter().filter(|_| first) {
            callback.tell("processFinished", Mode::Normal, code);
        }
    }

    fn callbacks(&self) -> Vec<Callback> {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn said(&self, operation: &'static str, outcome: bool) {
        for callback in self.callbacks() {
            callback.tell(operation, Mode::Normal, outcome);
        }
    }
}

/// What a [`Process`] is asked by its identity.
pub(super) struct Asked(pub(super) Arc<Process>);

impl ProcessServant for Asked {
    async fn poll(&self, _: &Call) -> Result<Graph<Option<biomero_ice::encoding::Ref<RInt>>>, Refused> {
        let mut objects = Objects::new();
        let code = *self.0.done.borrow();
        Ok(Graph { value: code.map(|code| objects.add(RInt::from(code))), objects })
    }

    async fn wait(&self, _: &Call) -> Result<i32, Refused> {
        Ok(self.0.done().await)
    }

    async fn cancel(&self, _: &Call) -> Result<bool, Refused> {
        let finished = self.0.is_done();
        if !finished {
            self.0.script.cancel();
        }
        self.0.said("processCancelled", finished);
        Ok(finished)
    }

    async fn kill(&self, _: &Call) -> Result<bool, Refused> {
        self.0.script.kill();
        let gone = tokio::time::timeout(KILL, self.0.script.wait()).await.is_ok();
        self.0.said("processKilled", gone);
        Ok(gone)
    }

    async fn shutdown(&self, _: &Call) -> Result<(), Refused> {
        self.0.script.shutdown().await;
        Ok(())
    }

    async fn register_callback(&self, _: &Call, callback: Option<Reference>) -> Result<(), Refused> {
        let Some(callback) = callback else { return Ok(()) };
        let shared = self.0.shared.upgrade();
        let shared = shared.ok_or_else(|| Refused::with(InternalException::saying("the processor ends")))?;
        let callback = Callback::new(&shared, callback);
        let mut callbacks = self.0.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        if callbacks.len() >= MOST_CALLBACKS {
            return Err(Refused::with(ApiUsageException::saying("too many are to be called back already")));
        }
        callbacks.push(callback.clone());
        drop(callbacks);
        // Who comes too late is told all the same: otherwise he waits for ever.
        if let Some(code) = *self.0.done.borrow() {
            callback.tell("processFinished", Mode::Normal, code);
        }
        Ok(())
    }

    async fn unregister_callback(&self, _: &Call, callback: Option<Reference>) -> Result<(), Refused> {
        let Some(callback) = callback else { return Ok(()) };
        let mut callbacks = self.0.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.retain(|known| !known.is(&callback));
        Ok(())
    }
}
