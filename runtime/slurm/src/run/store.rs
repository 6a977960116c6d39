//! Requests on disk: a file each, written beside its name and renamed.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::{Keep, Progress, Request};

/// A run is never larger.
const LARGEST: u64 = 1 << 20;

/// Runs that have begun and are not over, in a folder.
#[derive(Debug, Clone)]
pub struct Runs {
    folder: PathBuf,
}

/// Why a request could not be kept or found.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder or a file in it.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such run.
    #[error(transparent)]
    NoRun(#[from] NoRun),
    /// It is not one that we wrote.
    #[error("{} is no request of a run: {source}; remove it once you know why", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is kept elsewhere than in a folder.
    #[error(transparent)]
    Elsewhere(Box<dyn std::error::Error + Send + Sync>),
    /// Another process has it.
    #[error("run {id} is under way in another process; wait for it, or end that one first")]
    UnderWay {
        /// Which.
        id: Uuid,
    },
}

/// There is no such run.
#[derive(Debug, Error)]
#[error(
    "no run {id} is unfinished here ({}): it is over, or was begun on another machine or by another user",
    folder.display()
)]
pub struct NoRun {
    /// Which.
    pub id: Uuid,
    /// Where it was looked for.
    pub folder: PathBuf,
}

/// A run that no other process takes up until this is dropped.
#[derive(Debug)]
pub struct Held {
    runs: Runs,
    kept: Kept,
    resumed: bool,
    _lock: Flock<std::fs::File>,
}

/// What the file of a run holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    request: Request,
    #[serde(flatten)]
    progress: Progress,
}

impl Keep for Held {
    fn progress(&self) -> &Progress {
        &self.kept.progress
    }

    fn is_resumed(&self) -> bool {
        self.resumed
    }

    async fn keep(&mut self, progress: Progress) -> Result<(), StoreError> {
        self.kept.progress = progress;
        self.runs.write(&self.kept)
    }
}

impl Runs {
    /// Those in `folder`, which is made when it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| failed("make the folder", folder, source))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Keeps a request, and holds its run.
    ///
    /// # Errors
    /// It cannot be written, or another process holds the run.
    pub fn begin(&self, request: &Request) -> Result<Held, StoreError> {
        let lock = self.hold(request.id)?;
        let kept = Kept { request: request.clone(), progress: Progress::default() };
        self.write(&kept)?;
        Ok(Held { runs: self.clone(), kept, resumed: false, _lock: lock })
    }

    fn write(&self, kept: &Kept) -> Result<(), StoreError> {
        let path = self.path(kept.request.id);
        let beside = path.with_extension("new");
        let text = serde_json::to_vec_pretty(kept)
            .map_err(|source| StoreError::Damaged { path: path.clone(), source })?;
        let written = private(&beside).and_then(|mut file| file.write_all(&text));
        written.map_err(|source| failed("write", &beside, source))?;
        std::fs::rename(&beside, &path).map_err(|source| failed("write", &path, source))
    }

    /// Takes up a run.
    ///
    /// # Errors
    /// There is none, it cannot be read, or another process holds it.
    pub fn resume(&self, id: Uuid) -> Result<(Request, Held), StoreError> {
        let path = self.path(id);
        if !path.exists() {
            return Err(NoRun { id, folder: self.folder.clone() }.into());
        }
        let lock = self.hold(id)?;
        let kept = self.read(&path)?;
        Ok((kept.request.clone(), Held { runs: self.clone(), kept, resumed: true, _lock: lock }))
    }

    /// The run is over: nothing is left to take up.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn end(&self, id: Uuid) -> Result<(), StoreError> {
        for path in [self.path(id), self.lock(id)] {
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &path, source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All that are not over, oldest first. What cannot be read is told by the error in its place.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn unfinished(&self) -> Result<Vec<Result<Request, StoreError>>, StoreError> {
        let listed =
            std::fs::read_dir(&self.folder).map_err(|source| failed("list", &self.folder, source))?;
        let mut paths: Vec<PathBuf> = listed
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        // The ids are of version 7: their order is that of time.
        paths.sort();
        Ok(paths.iter().map(|path| Ok(self.read(path)?.request)).collect())
    }

    fn read(&self, path: &Path) -> Result<Kept, StoreError> {
        use std::io::Read as _;
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(|source| failed("read", path, source))?;
        file.take(LARGEST).read_to_end(&mut text).map_err(|source| failed("read", path, source))?;
        serde_json::from_slice(&text).map_err(|source| StoreError::Damaged { path: path.to_owned(), source })
    }

    fn hold(&self, id: Uuid) -> Result<Flock<std::fs::File>, StoreError> {
        let path = self.lock(id);
        let file = private(&path).map_err(|source| failed("write", &path, source))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(StoreError::UnderWay { id }),
            Err((_, error)) => Err(failed("lock", &path, error.into())),
        }
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn lock(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.lock"))
    }
}

/// An empty file that nobody else reads or writes, whatever the `umask` is.
fn private(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::File { action, path: path.to_owned(), source }
}
