//! Fetched descriptors on disk: one file for each repository, whole or not there.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Found, Origin};
use crate::descriptor::{Descriptor, DescriptorError, LARGEST};

/// Where descriptors are kept.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

/// A descriptor that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its path below `https://github.com`.
    pub(super) path: String,
    /// The whole link, for people.
    pub(super) place: String,
    /// What the server calls this state of it.
    pub(super) etag: Option<String>,
    /// Its bytes.
    pub(super) body: Vec<u8>,
    /// When the server was asked.
    pub(super) fetched: SystemTime,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// What it was kept for: two keys of one digest are told apart.
    key: String,
    path: String,
    place: String,
    etag: Option<String>,
    /// Seconds since 1970.
    fetched: u64,
    body: String,
}

impl Kept {
    /// How long ago it was asked for; a clock that was set back makes it old.
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.fetched).unwrap_or(Duration::MAX)
    }

    pub(super) fn found(&self, origin: Origin) -> Result<Found, DescriptorError> {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        let descriptor = Descriptor::read(file, &self.body)?;
        Ok(Found { descriptor, place: self.place.clone(), origin, warning: None })
    }
}

impl Cache {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, key: &str) -> PathBuf {
        let digest = Sha256::digest(key.as_bytes());
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{name}.json"))
    }

    /// What is kept, if it can be read.
    pub(super) fn get(&self, key: &str) -> Option<Kept> {
        let file = std::fs::File::open(self.path(key)).ok()?;
        let mut content = String::new();
        // Escapes make text longer, six times at most.
        file.take(7 * LARGEST as u64).read_to_string(&mut content).ok()?;
        let stored: Stored = serde_json::from_str(&content).ok()?;
        (stored.key == key).then(|| Kept {
            path: stored.path,
            place: stored.place,
            etag: stored.etag,
            body: stored.body.into_bytes(),
            fetched: UNIX_EPOCH + Duration::from_secs(stored.fetched),
        })
    }

    /// Keeps it: written beside, then renamed.
    pub(super) fn put(&self, key: &str, kept: &Kept) -> io::Result<()> {
        // Whoever may write here decides what runs, so nobody else may, whatever the `umask` is.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let stored = Stored {
            key: key.to_owned(),
            path: kept.path.clone(),
            place: kept.place.clone(),
            etag: kept.etag.clone(),
            fetched: kept.fetched.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            body: String::from_utf8_lossy(&kept.body).into_owned(),
        };
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&mut file, &stored)?;
        file.flush()?;
        file.persist(self.path(key)).map_err(|error| error.error)?;
        Ok(())
    }
}
