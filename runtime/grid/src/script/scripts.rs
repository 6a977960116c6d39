//! The scripts of one processor: where they run, how many at once, and those that an earlier processor left.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use biomero_config::Secret;
use tokio::sync::{Semaphore, oneshot};

use super::follow;
use super::process::{ScriptProcess, State};
use super::{Error, Folder, Limits, Request};
use crate::environment::{Place, Policy, Variables};

/// How long is waited for a processor that is just ending.
const PREDECESSOR: Duration = Duration::from_secs(5);

/// The program that calls [`crate::keeper::main`] with the folder that is its last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// Which program: the processor's own.
    pub program: PathBuf,
    /// What comes before the folder.
    pub arguments: Vec<OsString>,
}

/// How scripts are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where their folders are. It is made if it is not there.
    pub root: PathBuf,
    /// How many run at once.
    pub at_once: usize,
    /// How many may wait for that.
    pub waiting: usize,
    /// Who keeps them.
    pub keeper: Keeper,
    /// What each may take.
    pub limits: Limits,
    /// Which variables they get.
    pub policy: Policy,
    /// Of these.
    pub variables: Variables,
    /// Where they are.
    pub place: Place,
}

/// A script to be run.
#[derive(Debug, Clone)]
pub struct Script {
    /// Of which job.
    pub job: i64,
    /// Its text.
    pub text: String,
    /// What it finds in its configuration: a session's id among it.
    pub config: Secret<String>,
    /// What runs it.
    pub launcher: PathBuf,
    /// What is to be known of it afterwards, also by a processor that is started later.
    pub note: serde_json::Value,
}

/// What an earlier processor left.
#[derive(Debug)]
pub struct Found {
    /// Scripts that run, and those that are over and were not accounted for.
    pub scripts: Vec<ScriptProcess>,
}

/// The scripts of one processor.
#[derive(Debug, Clone)]
pub struct Scripts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    queue: Arc<Semaphore>,
    /// Of those that run and those that wait.
    places: Arc<Semaphore>,
    /// Held while we are there.
    _lock: File,
}

impl Scripts {
    /// How they are run.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Takes the folder for ourselves, and finds again what was left in it.
    ///
    /// # Errors
    /// The folder cannot be used, or another processor uses it and does not end.
    pub async fn open(options: Options) -> Result<(Self, Found), Error> {
        let root = &options.root;
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(Error::file("make", root))?;
        // Keepers run in the folders, and find them by their names.
        let root = root.canonicalize().map_err(Error::file("find", root))?;
        let options = Options { root, ..options };
        let path = options.root.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(Error::file("open", &path))?;
        let lock = locked(lock).await.ok_or_else(|| Error::Taken { root: options.root.clone() })?;
        let lock = lock.map_err(Error::file("lock", &path))?;
        let queue = Arc::new(Semaphore::new(options.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        let places = options.at_once.max(1).saturating_add(options.waiting).min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        let scripts = Self(Arc::new(Inner { options, queue, places, _lock: lock }));
        let found = scripts.find()?;
        Ok((scripts, found))
    }

    fn find(&self) -> Result<Found, Error> {
        let mut scripts = Vec::new();
        for folder in Folder::all(&self.0.options.root)? {
            let note = match folder.note() {
                Ok(Some(note)) => note,
                // A folder that was just being made. Nobody has been told of it.
                Ok(None) => {
                    folder.remove()?;
                    continue;
                }
                Err(error) => {
                    tracing::warn!("a script of an earlier processor is left where it is: {error}");
                    continue;
                }
            };
            let job = note.get("job").and_then(serde_json::Value::as_i64).unwrap_or_default();
            let note = note.get("note").cloned().unwrap_or_default();
            let process = ScriptProcess::new(job, folder, note, State::Running);
            // What runs already runs, though it be more than may.
            let permit = Arc::clone(&self.0.queue).try_acquire_owned().ok();
            tokio::spawn(follow::to_the_end(process.clone(), None, permit));
            scripts.push(process);
        }
        Ok(Found { scripts })
    }

    /// Takes a script in. It is started when it is its turn.
    ///
    /// # Errors
    /// Its folder cannot be made, or as many wait as may.
    pub fn run(&self, script: Script) -> Result<ScriptProcess, Error> {
        let options = &self.0.options;
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        let place = place.map_err(|_| Error::Full { waiting: options.waiting })?;
        let note = serde_json::json!({ "job": script.job, "note": script.note });
        let folder = Folder::create(&options.root, &script.text, script.config.reveal(), &note)?;
        let variables = options.policy.variables(&options.variables, &options.place, folder.path());
        let (launcher, limits) = (script.launcher, options.limits.clone());
        let request = Request { job: script.job, launcher, variables, limits };
        // Those that wait have what becomes free before anybody else.
        let permit = Arc::clone(&self.0.queue).try_acquire_owned().ok();
        let state = if permit.is_some() { State::Running } else { State::Waiting };
        let process = ScriptProcess::new(script.job, folder, script.note, state);
        let turn = follow::Turn { permit, queue: Arc::clone(&self.0.queue), place };
        tokio::spawn(follow::from_the_queue(process.clone(), turn, options.keeper.clone(), request));
        Ok(process)
    }
}

/// The lock, unless somebody else has it and keeps it. Who was killed may have it for a moment longer than the node sees him.
async fn locked(lock: File) -> Option<std::io::Result<File>> {
    let (taken, wait) = oneshot::channel();
    // A thread of nobody's: a runtime would wait for it at its end.
    std::thread::spawn(move || taken.send(lock.lock().map(|()| lock)));
    tokio::time::timeout(PREDECESSOR, wait).await.ok()?.ok()
}
