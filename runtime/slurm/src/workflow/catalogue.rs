//! The descriptors of the configured workflows: from a folder of the site, or from their repositories on GitHub, kept on disk.
//!
//! Invariants: one repository that is broken never stops the others; what was fetched once is used where GitHub does not answer
//! or has had enough questions, and it is said so; every wait ends.

mod cache;
mod fetch;
mod source;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use biomero_config::slurm_config::Workflow;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use fetch::{FetchError, FetchOptions};
pub use source::{Repository, Source, SourceError};

use crate::descriptor::{self, Descriptor, DescriptorError};
use cache::{Cache, Kept};
use fetch::{Answer, Fetcher};

/// How many repositories are asked at a time.
const AT_ONCE: usize = 4;

/// How long what was fetched from a branch is not asked for again. Python has the same.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// The same for a version, `v1.2`, which is not expected to change.
const FRESH_VERSION: Duration = Duration::from_secs(24 * 60 * 60);

/// The names that a descriptor has in a repository, in the order they are looked for.
const NAMES: [&str; 3] = ["descriptor.json", "descriptor.yaml", "config.yaml"];

/// Where descriptors are looked for.
#[derive(Debug, Clone, Default)]
pub struct CatalogueOptions {
    /// A folder of the site, looked in first: `NAME.json`, `NAME.yaml`, or a folder `NAME` with a descriptor.
    pub local: Option<PathBuf>,
    /// Where fetched descriptors are kept; they are fetched each time without.
    pub cache: Option<PathBuf>,
    /// How they are fetched.
    pub fetch: FetchOptions,
}

/// The descriptors of workflows.
#[derive(Debug, Clone)]
pub struct Catalogue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local: Option<PathBuf>,
    cache: Option<Cache>,
    fetcher: Fetcher,
}

/// A workflow and its descriptor, or why there is none.
#[derive(Debug)]
pub struct Entry {
    /// The workflow, as `slurm-config.ini` names it.
    pub name: String,
    /// What came of it.
    pub found: Result<Found, EntryError>,
}

/// A descriptor, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The descriptor.
    pub descriptor: Descriptor,
    /// The file or link that it was read from.
    pub place: String,
    /// How it got here.
    pub origin: Origin,
    /// What may have to be looked at.
    pub warning: Option<String>,
}

/// How a descriptor got here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From a file of the site.
    Local,
    /// From its repository, just now.
    Fetched,
    /// From what was kept, which is new enough, or which the repository has not changed.
    Kept {
        /// How long ago the repository was asked.
        age: Duration,
    },
    /// From what was kept, because the repository could not be asked.
    Stale {
        /// How long ago it was asked.
        age: Duration,
    },
}

/// Why a workflow has no descriptor.
#[derive(Debug, Error)]
pub enum EntryError {
    /// Nobody says where it is.
    #[error(
        "no repository is named; add {name}_repo = https://github.com/ORGANISATION/REPOSITORY to [WORKFLOWS] of slurm-config.ini"
    )]
    NoSource {
        /// The workflow.
        name: String,
    },
    /// What is named is nothing that can be asked.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}; make it readable")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is none.
    #[error("there is no descriptor in {place}; looked for {}", NAMES.join(", "))]
    Absent {
        /// Where.
        place: String,
    },
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It was not understood.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The task that asked ended.
    #[error("{name} could not be looked up: {reason}; report this")]
    Interrupted {
        /// The workflow.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Catalogue {
    /// A catalogue. Nothing is asked yet.
    ///
    /// # Errors
    /// The proxy makes no sense.
    pub fn new(options: CatalogueOptions) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(options.fetch)?;
        let cache = options.cache.map(Cache::new);
        Ok(Self { inner: Arc::new(Inner { local: options.local, cache, fetcher }) })
    }

    /// The descriptors of these workflows, in their order; with `refresh` also those that were fetched lately are asked for.
    pub async fn all(&self, workflows: &[Workflow], refresh: bool) -> Vec<Entry> {
        let mut tasks = JoinSet::new();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        for (at, workflow) in workflows.iter().cloned().enumerate() {
            let (inner, places) = (Arc::clone(&self.inner), Arc::clone(&places));
            tasks.spawn(async move {
                let name = workflow.name.clone();
                let _place = places.acquire_owned().await;
                let found = tokio::task::spawn_blocking(move || inner.look_up(&workflow, refresh)).await;
                let found = found.unwrap_or_else(|error| {
                    Err(EntryError::Interrupted { name: name.clone(), reason: error.to_string() })
                });
                (at, Entry { name, found })
            });
        }
        let mut entries: Vec<(usize, Entry)> = tasks.join_all().await;
        entries.sort_by_key(|(at, _)| *at);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The descriptor of one workflow.
    ///
    /// # Errors
    /// There is none, or it was not understood.
    pub async fn one(&self, workflow: &Workflow, refresh: bool) -> Result<Found, EntryError> {
        let entry = self.all(std::slice::from_ref(workflow), refresh).await.pop();
        entry.map_or_else(|| Err(EntryError::NoSource { name: workflow.name.clone() }), |entry| entry.found)
    }
}

impl Inner {
    fn look_up(&self, workflow: &Workflow, refresh: bool) -> Result<Found, EntryError> {
        if let Some(folder) = &self.local
            && let Some(found) = local(folder, &workflow.name)?
        {
            return Ok(found);
        }
        let named = workflow.repository.as_deref().filter(|repository| !repository.is_empty());
        let named = named.ok_or_else(|| EntryError::NoSource { name: workflow.name.clone() })?;
        match Source::of(named)? {
            Source::File(path) => {
                in_place(&path)?.ok_or_else(|| EntryError::Absent { place: path.display().to_string() })
            }
            Source::Repository(repository) => self.repository(&repository, refresh),
        }
    }

    fn repository(&self, repository: &Repository, refresh: bool) -> Result<Found, EntryError> {
        let key = repository.to_string();
        let kept = self.cache.as_ref().and_then(|cache| cache.get(&key));
        let lifetime = if repository.is_version() { FRESH_VERSION } else { FRESH };
        if let Some(kept) = kept.as_ref().filter(|kept| !refresh && kept.age(SystemTime::now()) < lifetime)
            // One of another version of this program, or damaged, is fetched again.
            && let Ok(found) = kept.found(Origin::Kept { age: kept.age(SystemTime::now()) })
        {
            return Ok(found);
        }
        match self.ask(repository, &key, kept.as_ref()) {
            Ok(found) => Ok(found),
            Err(error) => {
                let Some(kept) = kept.filter(|_| is_passing(&error)) else { return Err(error) };
                let mut found = kept.found(Origin::Stale { age: kept.age(SystemTime::now()) })?;
                found.warning = Some(error.to_string());
                Ok(found)
            }
        }
    }

    /// Asks the repository, first for the file that it had the last time.
    fn ask(&self, repository: &Repository, key: &str, kept: Option<&Kept>) -> Result<Found, EntryError> {
        let mut asked = self.fetcher.question();
        if let Some(kept) = kept {
            match asked.get(&kept.path, kept.etag.as_deref())? {
                Answer::Unchanged => {
                    let kept = Kept { fetched: SystemTime::now(), ..kept.clone() };
                    let mut found = kept.found(Origin::Kept { age: Duration::ZERO })?;
                    found.warning = self.keep(key, &kept);
                    return Ok(found);
                }
                Answer::Body { body, etag } => return self.fetched(key, kept.path.clone(), body, etag),
                Answer::Absent => {}
            }
        }
        for path in repository.paths(&NAMES) {
            if let Answer::Body { body, etag } = asked.get(&path, None)? {
                return self.fetched(key, path, body, etag);
            }
        }
        Err(EntryError::Absent { place: key.to_owned() })
    }

    fn fetched(
        &self,
        key: &str,
        path: String,
        body: Vec<u8>,
        etag: Option<String>,
    ) -> Result<Found, EntryError> {
        let place = self.fetcher.link(&path);
        let kept = Kept { path, place, etag, body, fetched: SystemTime::now() };
        let mut found = kept.found(Origin::Fetched)?;
        found.warning = self.keep(key, &kept);
        Ok(found)
    }

    /// Keeps what was fetched. That it cannot be kept is no reason not to use it.
    fn keep(&self, key: &str, kept: &Kept) -> Option<String> {
        let cache = self.cache.as_ref()?;
        let error = cache.put(key, kept).err()?;
        Some(format!("it cannot be kept in {}: {error}; make the folder writable", cache.folder().display()))
    }
}

/// Whether it may be otherwise later: then what was kept is used.
const fn is_passing(error: &EntryError) -> bool {
    matches!(error, EntryError::Fetch(error) if error.is_passing())
}

/// A descriptor in the folder of the site.
fn local(folder: &Path, name: &str) -> Result<Option<Found>, EntryError> {
    // A workflow's name is a key of an INI file: it may hold anything.
    if name.starts_with('.') || name.contains(['/', '\0']) {
        return Ok(None);
    }
    for extension in ["json", "yaml", "yml"] {
        let path = folder.join(format!("{name}.{extension}"));
        if path.is_file() {
            return read(&path).map(Some);
        }
    }
    let path = folder.join(name);
    if path.is_dir() { in_place(&path) } else { Ok(None) }
}

/// A descriptor that is this file, or in this folder.
fn in_place(path: &Path) -> Result<Option<Found>, EntryError> {
    if !path.is_dir() {
        return read(path).map(Some);
    }
    let within = NAMES.iter().map(|name| path.join(name)).find(|path| path.is_file());
    within.map(|path| read(&path)).transpose()
}

fn read(path: &Path) -> Result<Found, EntryError> {
    let unreadable = |source| EntryError::Unreadable { path: path.to_owned(), source };
    // A pipe or a device would keep us waiting, or never end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("it is no regular file")));
    }
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(descriptor::LARGEST as u64 + 1).read_to_end(&mut content).map_err(unreadable)?;
    let place = path.display().to_string();
    Ok(Found { descriptor: Descriptor::read(&place, &content)?, place, origin: Origin::Local, warning: None })
}
