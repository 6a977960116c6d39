//! What a start-up rendered, with digests: so that `init verify` can tell drift later.
//!
//! A secret file is recorded by a salted digest, which tells a change and helps nobody guess a password. The manifest
//! itself has mode 0600.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::component::ComponentHook;
use crate::digest::{hexadecimal, salted_sha256, sha256};
use crate::disk::Disk;
use crate::effect::Effect;
use crate::schedule::Scheduled;

/// More bytes than any hook renders into one file.
const LARGEST: u64 = 64 << 20;

/// Version of the file's shape.
const VERSION: u32 = 1;

/// What was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    salt: String,
    files: BTreeMap<PathBuf, Rendered>,
    /// The hooks that ran, in order.
    #[serde(default)]
    hooks: Vec<Ran>,
}

/// A hook that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ran {
    /// Its name.
    pub name: String,
    /// SHA-256 of what ran; none for a built-in.
    pub sha256: Option<String>,
    /// What a component says of itself, as `site-proxy 1.2.0`.
    pub component: Option<String>,
    /// Whether it ran to its end.
    pub succeeded: bool,
    /// Whether it was not the component in `hooks.d` that ran, but the one that last ran well.
    pub fell_back: bool,
}

impl Ran {
    /// What is known of a hook when it has ended.
    pub(crate) fn of(hook: &Scheduled, succeeded: bool) -> Self {
        let component = hook.component();
        Self {
            name: hook.name.clone(),
            sha256: component
                .map(|component| component.source().digest.clone())
                .or_else(|| hook.digest.clone()),
            component: component
                .and_then(ComponentHook::description)
                .map(|description| format!("{} {}", description.name, description.version)),
            succeeded,
            fell_back: hook.is_fallen_back(),
        }
    }
}

/// One rendered file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rendered {
    hook: String,
    mode: String,
    /// Hexadecimal; none for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Salted with the manifest's salt, for a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    salted_sha256: Option<String>,
}

impl Rendered {
    const fn is_file(&self) -> bool {
        self.sha256.is_some() || self.salted_sha256.is_some()
    }
}

/// A difference between the manifest and the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// What differs.
    pub path: PathBuf,
    /// The hook that rendered it.
    pub hook: String,
    /// How it differs.
    pub what: String,
}

/// Why a manifest could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No start-up has left one.
    #[error("there is no manifest at {}: init writes it when its hooks have run; start the worker, or give --root", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("cannot read the manifest {}: {reason}; start the worker again to write a new one", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It could not be written.
    #[error("cannot write the manifest {}: {source}; `init verify` will not work; make {} writable for init or set state.directory", path.display(), path.parent().unwrap_or(path).display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Default for Manifest {
    fn default() -> Self {
        let mut salt = [0_u8; 16];
        // Linux blocks only before the first entropy of a boot; a container starts after that.
        if fs::File::open("/dev/urandom")
            .and_then(|mut random| io::Read::read_exact(&mut random, &mut salt))
            .is_err()
        {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            salt = now.as_nanos().to_le_bytes();
        }
        Self { version: VERSION, salt: hexadecimal(&salt), files: BTreeMap::new(), hooks: Vec::new() }
    }
}

impl Manifest {
    /// Notes an applied effect; a later effect on the same path replaces an earlier one.
    pub(crate) fn record(&mut self, hook: &str, effect: &Effect) {
        match effect {
            Effect::File(file) => {
                let bytes = file.content.bytes();
                let secret = file.content.is_secret();
                let rendered = Rendered {
                    hook: hook.to_owned(),
                    mode: format!("{:o}", file.mode),
                    sha256: (!secret).then(|| sha256(bytes)),
                    salted_sha256: secret.then(|| salted_sha256(&self.salt, bytes)),
                };
                self.files.insert(file.path.clone(), rendered);
            }
            Effect::Directory { path, mode, .. } => {
                let mode = format!("{mode:o}");
                let rendered = Rendered { hook: hook.to_owned(), mode, sha256: None, salted_sha256: None };
                self.files.insert(path.clone(), rendered);
            }
            Effect::Remove { path } | Effect::MoveAside { path, .. } => {
                self.files.remove(path);
            }
            _ => {}
        }
    }

    /// Notes a hook that ended.
    pub(crate) fn ran(&mut self, ran: Ran) {
        self.hooks.push(ran);
    }

    /// The hooks that ran, in order.
    pub fn hooks(&self) -> &[Ran] {
        &self.hooks
    }

    /// The files that other hooks than this one rendered, with the hook's name.
    pub(crate) fn rendered_by_others(&self, hook: &str) -> BTreeMap<PathBuf, String> {
        self.files
            .iter()
            .filter(|(_, rendered)| rendered.hook != hook && rendered.is_file())
            .map(|(path, rendered)| (path.clone(), rendered.hook.clone()))
            .collect()
    }

    /// Writes the manifest, whole or not at all, with mode 0600.
    ///
    /// # Errors
    /// [`ManifestError::Write`].
    pub fn store(&self, path: &Path) -> Result<(), ManifestError> {
        let write = || -> io::Result<()> {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            let beside = path.with_extension("json.new");
            let _ = fs::remove_file(&beside);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            fs::rename(&beside, path)
        };
        write().map_err(|source| ManifestError::Write { path: path.to_owned(), source })
    }

    /// Reads the last start-up's manifest.
    ///
    /// # Errors
    /// [`ManifestError::Absent`] or [`ManifestError::Unreadable`].
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let unreadable = |reason: String| ManifestError::Unreadable { path: path.to_owned(), reason };
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::Absent { path: path.to_owned() });
            }
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let manifest: Self =
            serde_json::from_slice(&content).map_err(|error| unreadable(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(unreadable(format!("version {} where {VERSION} was expected", manifest.version)));
        }
        Ok(manifest)
    }

    /// How many files and directories it lists.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it lists nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Compares with the disk.
    pub fn drift(&self, disk: &Disk) -> Vec<Drift> {
        self.files
            .iter()
            .filter_map(|(path, rendered)| {
                let what = self.difference(path, rendered, disk)?;
                Some(Drift { path: path.clone(), hook: rendered.hook.clone(), what })
            })
            .collect()
    }

    fn difference(&self, path: &Path, rendered: &Rendered, disk: &Disk) -> Option<String> {
        let is_file = rendered.is_file();
        let metadata = match disk.metadata(path) {
            Ok(Some(metadata)) => metadata,
            Ok(None) => return Some("is gone".to_owned()),
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        if is_file != metadata.is_file() || is_file == metadata.is_dir() {
            return Some(format!("is no longer a {}", if is_file { "file" } else { "directory" }));
        }
        if is_file {
            let content = match disk.read(path, LARGEST) {
                Ok(content) => content,
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    return Some("has other content".to_owned());
                }
                Err(error) => return Some(format!("cannot be read: {error}")),
            };
            let same = match (&rendered.sha256, &rendered.salted_sha256) {
                (Some(digest), _) => *digest == sha256(&content),
                (None, Some(digest)) => *digest == salted_sha256(&self.salt, &content),
                (None, None) => true,
            };
            if !same {
                return Some("has other content".to_owned());
            }
        }
        let mode = format!("{:o}", metadata.mode() & 0o7777);
        (mode != rendered.mode).then(|| format!("has mode {mode}, was rendered with {}", rendered.mode))
    }
}
