//! The scripts that run for OMERO: each is followed until OMERO knows what became of it and nobody wants more of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use biomero_ice::Identity;
use biomero_omero::grid::ProcessDispatch;
use biomero_omero::model::IObject;
use biomero_omero::{Error, Exception, Session, Upcast as _, Values as _};
use tokio::sync::watch;

use super::note::Note;
use super::process::{Asked, Process};
use super::{Shared, account};
use crate::script::{ScriptProcess, State};

/// So often at most is a session closed: each time one of those who joined it is taken off.
const CLOSES: usize = 50;

/// Which run, by the names of their objects.
#[derive(Default)]
pub(super) struct Runs(watch::Sender<BTreeMap<String, Arc<Process>>>);

impl Runs {
    /// Their jobs.
    pub(super) fn jobs(&self) -> Vec<i64> {
        let mut jobs: Vec<i64> = self.0.borrow().values().map(|process| process.script().job()).collect();
        jobs.sort_unstable();
        jobs
    }

    /// Cancels them, and waits until OMERO has been told of each.
    pub(super) async fn end(&self) {
        for process in self.0.borrow().values() {
            process.script().cancel();
        }
        // The sender is ours.
        let _ = self.0.subscribe().wait_for(BTreeMap::is_empty).await;
    }

    fn add(&self, name: &str, process: Arc<Process>) {
        self.0.send_modify(|runs| drop(runs.insert(name.to_owned(), process)));
    }

    fn remove(&self, name: &str) {
        self.0.send_modify(|runs| drop(runs.remove(name)));
    }
}

/// Follows a script; what others see of it.
pub(super) fn follow(shared: &Arc<Shared>, script: ScriptProcess, note: Note) -> Arc<Process> {
    let process = Arc::new(Process::new(shared, script));
    let identity = Identity::named(note.identity.as_str());
    shared.adapter.add(identity, Arc::new(ProcessDispatch(Asked(Arc::clone(&process)))));
    shared.runs.add(&note.identity, Arc::clone(&process));
    tokio::spawn(to_the_end(Arc::clone(shared), Arc::clone(&process), note));
    process
}

async fn to_the_end(shared: Arc<Shared>, process: Arc<Process>, note: Note) {
    let script = process.script();
    if script.state() == State::Waiting {
        let mut states = script.states();
        if states.wait_for(|state| *state != State::Waiting).await.is_ok() && script.state() == State::Running
        {
            account::running(&shared, script.job(), note.group).await;
        }
    }
    let outcome = loop {
        match tokio::time::timeout(shared.options.look, script.wait()).await {
            Ok(outcome) => break outcome,
            Err(_) if session_ended(&shared, &note.session).await => {
                tracing::warn!("job {}: its session has ended, and so does its script", script.job());
                script.cancel();
                break script.wait().await;
            }
            Err(_) => {}
        }
    };
    let run = account::account(&shared, &process, &note, &outcome).await;
    shared.witness.ran(&run);
    process.is_over(outcome.code());
    if let Err(error) = script.folder().remove() {
        tracing::warn!("job {}: {error}", script.job());
    }
    shared.runs.remove(&note.identity);
    // Who had it run asks for its exit code and its results.
    tokio::time::sleep(shared.options.linger).await;
    shared.adapter.remove(&Identity::named(note.identity.as_str()));
    if !note.parse
        && let Ok(session) = shared.internal.session().await
        && let Err(error) = end_session(&session, &note.session).await
    {
        tracing::debug!("job {}: its session was not ended: {error}", script.job());
    }
}

/// Whether OMERO knows nothing of a session any more. Being asked is what keeps it alive.
async fn session_ended(shared: &Shared, uuid: &str) -> bool {
    let Ok(session) = shared.internal.session().await else { return false };
    let asked = async { session.sessions().await?.get_session(uuid).await };
    let error = match asked.await {
        Ok(found) => return found.root().is_none(),
        Err(error) => error,
    };
    if error.is(Exception::SessionException) {
        // Ours or the script's: who has ours is told so when he asks in it for himself.
        match session.factory().keep_alive(None).await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => shared.internal.failed(&session, &error),
        }
    } else {
        // A server that is busy, or away, says nothing of the session.
        tracing::debug!("OMERO does not give a script's session: {error}");
        shared.internal.failed(&session, &error);
    }
    false
}

/// Ends a session that was made for a script, however many have joined it.
async fn end_session(session: &Session, uuid: &str) -> Result<(), Error> {
    let sessions = session.sessions().await?;
    let found = sessions.get_session(uuid).await?;
    let Some(reference) = found.value else { return Ok(()) };
    let known = found
        .objects
        .long(found.objects.get::<IObject>(reference.up::<IObject>()).and_then(|session| session.id));
    for _ in 0..CLOSES {
        if sessions.close_session(Some(reference), &found.objects).await? <= 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tracing::warn!("session {known:?} has more users than are taken off it");
    Ok(())
}
