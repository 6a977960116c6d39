//! The folder of the queue. Whoever changes something holds its lock; whoever reads a file sees all of it or none.
//!
//! Invariants: a job is there from one rename on, and so is each of its states; nothing is synced to disk, since after a loss
//! of power no job runs any more. Whether a runner lives is told by a lock that the kernel gives back when it ends, never by
//! what a file says.
//!
//! ```text
//! lock, next-id, executor.json
//! live/ID/     request.json, standing.json, script, alive-OWN   jobs that are not over
//! ended/ID/    the same
//! comment/HASH the id of the job with this comment
//! ```

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Error;
use super::request::Request;
use super::task::{Standing, Task};

/// How long the lock is waited for: it is held for milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many jobs wait or run at most.
pub(super) const MOST_LIVE: usize = 1000;
/// How many jobs that are over are remembered.
const MOST_ENDED: usize = 10_000;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
}

/// The folder, locked.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    store: &'a Store,
    _lock: File,
}

impl Store {
    /// Makes what is missing.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        for folder in ["live", "ended", "comment"] {
            let path = root.join(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(Error::file("make", &path))?;
        }
        let metadata = root.metadata().map_err(Error::file("look at", root))?;
        if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            let reason = io::Error::new(io::ErrorKind::PermissionDenied, "others own it or may write to it");
            return Err(Error::file("trust", root)(reason));
        }
        Ok(Self { root: root.to_path_buf() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until nobody else changes anything.
    pub(super) fn lock(&self) -> Result<Queue<'_>, Error> {
        let path = self.root.join("lock");
        let file = open_private(&path).map_err(Error::file("open", &path))?;
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Queue { store: self, _lock: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(Error::file("lock", path)(error)),
            }
            if start.elapsed() >= PATIENCE {
                return Err(Error::Busy { path, after: PATIENCE });
            }
            // flock(2) cannot wait with a deadline.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    pub(super) fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, Error> {
        let path = self.root.join(path);
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        serde_json::from_slice(&content)
            .map(Some)
            .map_err(|error| Error::Damaged { path, reason: error.to_string() })
    }

    /// Beside its name and renamed.
    pub(super) fn write<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), Error> {
        let path = self.root.join(path);
        let written = || -> io::Result<()> {
            let folder = path.parent().unwrap_or(&self.root);
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, value)?;
            file.persist(&path)?;
            Ok(())
        };
        written().map_err(Error::file("write", &path))
    }
}

impl Queue<'_> {
    /// Jobs that are not over, in order of submission.
    pub(super) fn live(&self) -> Result<Vec<Standing>, Error> {
        let mut jobs = Vec::new();
        for id in self.ids("live")? {
            match self.store.read::<Standing>(&PathBuf::from(format!("live/{id}/standing.json"))) {
                Ok(standing) => jobs.extend(standing.filter(|standing| standing.id == id)),
                // One that cannot be read must not stop the others.
                Err(error) => tracing::warn!(%error, "a job is left out"),
            }
        }
        Ok(jobs)
    }

    /// How a job stands, whether it is over or not.
    pub(super) fn standing(&self, id: u32) -> Result<Option<Standing>, Error> {
        match self.folder(id) {
            Some(folder) => self.store.read(&folder.join("standing.json")),
            None => Ok(None),
        }
    }

    pub(super) fn request(&self, id: u32) -> Result<Option<Request>, Error> {
        match self.folder(id) {
            Some(folder) => self.store.read(&folder.join("request.json")),
            None => Ok(None),
        }
    }

    /// Where a job's files are.
    pub(super) fn folder(&self, id: u32) -> Option<PathBuf> {
        ["live", "ended"]
            .iter()
            .map(|place| self.store.root.join(place).join(id.to_string()))
            .find(|folder| folder.is_dir())
    }

    /// Writes how a job stands, and puts it among those that are over or are not.
    pub(super) fn keep(&self, standing: &Standing) -> Result<(), Error> {
        let Some(folder) = self.folder(standing.id) else { return Ok(()) };
        self.store.write(&folder.join("standing.json"), standing)?;
        let place = if standing.is_ended() { "ended" } else { "live" };
        let belongs = self.store.root.join(place).join(standing.id.to_string());
        if belongs != folder {
            std::fs::rename(&folder, &belongs).map_err(Error::file("rename", &folder))?;
        }
        Ok(())
    }

    /// The job with this comment.
    pub(super) fn by_comment(&self, comment: &str) -> Result<Option<u32>, Error> {
        if comment.is_empty() {
            return Ok(None);
        }
        let Some(id) = self.store.read::<u32>(&comment_file(comment))? else { return Ok(None) };
        // The comment is written before the job: who was killed in between left no job.
        Ok(self.folder(id).map(|_| id))
    }

    /// Takes in a job with so many tasks. From the last rename on it is there.
    pub(super) fn add(&self, request: &Request, script: &[u8], now: i64) -> Result<u32, Error> {
        let live = self.ids("live")?;
        if live.len() >= MOST_LIVE {
            return Err(Error::Full { most: MOST_LIVE });
        }
        let id = self.take_ids(request.array.len())?;
        let tasks = match request.array.as_slice() {
            [] => vec![Task::new(None, id, now)],
            indices => {
                (id + 1..).zip(indices).map(|(own, index)| Task::new(Some(*index), own, now)).collect()
            }
        };
        let standing = Standing { id, needs: request.needs.clone(), tasks };
        let root = &self.store.root;
        let beside = root.join("new");
        let _ = std::fs::remove_dir_all(&beside);
        DirBuilder::new().mode(0o700).create(&beside).map_err(Error::file("make", &beside))?;
        self.store.write(&beside.join("request.json"), request)?;
        self.store.write(&beside.join("standing.json"), &standing)?;
        let path = beside.join("script");
        open_private(&path)
            .and_then(|mut file| file.write_all(script))
            .map_err(Error::file("write", &path))?;
        if !request.comment.is_empty() {
            self.store.write(&comment_file(&request.comment), &id)?;
        }
        let there = root.join("live").join(id.to_string());
        std::fs::rename(&beside, &there).map_err(Error::file("rename", &beside))?;
        if id % 64 == 0 {
            self.forget_oldest()?;
        }
        Ok(id)
    }

    /// An id, and one for each of so many tasks.
    fn take_ids(&self, tasks: usize) -> Result<u32, Error> {
        let path = Path::new("next-id");
        let id: u32 = self.store.read(path)?.unwrap_or(1);
        let next = u32::try_from(tasks).ok().and_then(|tasks| id.checked_add(1)?.checked_add(tasks));
        let next = next.ok_or_else(|| Error::Damaged {
            path: self.store.root.join(path),
            reason: format!("there is no id after {id}"),
        })?;
        self.store.write(path, &next)?;
        Ok(id)
    }

    fn forget_oldest(&self) -> Result<(), Error> {
        let ended = self.ids("ended")?;
        for id in ended.iter().take(ended.len().saturating_sub(MOST_ENDED)) {
            if let Some(request) = self.request(*id)? {
                let _ = std::fs::remove_file(self.store.root.join(comment_file(&request.comment)));
            }
            let folder = self.store.root.join("ended").join(id.to_string());
            std::fs::remove_dir_all(&folder).map_err(Error::file("remove", &folder))?;
        }
        Ok(())
    }

    /// The lock that a runner of this task will hold; none where one holds it.
    pub(super) fn alive(&self, id: u32, own: u32) -> Result<Option<File>, Error> {
        let Some(folder) = self.folder(id) else { return Ok(None) };
        let path = folder.join(format!("alive-{own}"));
        let file = open_private(&path).map_err(Error::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::file("lock", path)(error)),
        }
    }

    fn ids(&self, place: &str) -> Result<BTreeSet<u32>, Error> {
        let path = self.store.root.join(place);
        let entries = std::fs::read_dir(&path).map_err(Error::file("list", &path))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }
}

fn comment_file(comment: &str) -> PathBuf {
    let digest = Sha256::digest(comment.as_bytes());
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Path::new("comment").join(name)
}

/// Nobody else reads it.
fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}
