//! The folder of a run: what a script finds in it, what it leaves, and how its keeper is reached.
//!
//! | file | what it is |
//! |---|---|
//! | `script` | its text |
//! | `config` | the session that it may use: `ICE_CONFIG` |
//! | `out`, `err` | what it wrote |
//! | `note` | what whoever had it run wants to know afterwards |
//! | `keeper` | who keeps it, and a lock (`flock`) that this one holds while it lives |
//! | `orders` | a pipe that the keeper reads |
//! | `life` | a pipe that the keeper has open to write: its end is the keeper's |
//! | `outcome` | what became of it; there under its name only when it is whole |
//! | `told` | what of it OMERO has been told |

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Error, Outcome};
use crate::processes::Mark as Process;

/// The most that is read of a file of ours.
const LARGEST: u64 = 1 << 20;

/// What a keeper can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// TERM, and KILL after a time.
    Cancel,
    /// KILL.
    Kill,
}

impl Order {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Cancel => b'c',
            Self::Kill => b'k',
        }
    }

    pub(crate) const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'c' => Some(Self::Cancel),
            b'k' => Some(Self::Kill),
            _ => None,
        }
    }
}

/// Who keeps the script.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) keeper: Process,
}

/// A folder of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one with what a script finds there.
    pub(crate) fn create(
        root: &Path,
        script: &str,
        config: &str,
        note: &serde_json::Value,
    ) -> Result<Self, Error> {
        let path = root.join(format!("process{}.dir", Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::file("make", &path))?;
        let folder = Self(path);
        let made = folder.fill(script, config, note);
        if made.is_err() {
            let _ = std::fs::remove_dir_all(&folder.0);
        }
        made.map(|()| folder)
    }

    fn fill(&self, script: &str, config: &str, note: &serde_json::Value) -> Result<(), Error> {
        for pipe in ["orders", "life"] {
            let path = self.at(pipe);
            nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600))
                .map_err(|errno| Error::file("make the pipe", &path)(errno.into()))?;
        }
        self.write("script", script.as_bytes())?;
        self.write("config", config.as_bytes())?;
        self.write("out", b"")?;
        self.write("err", b"")?;
        // Last: a folder without one was never to be run.
        self.keep("note", note)
    }

    /// The folders of runs in a folder.
    pub(crate) fn all(root: &Path) -> Result<Vec<Self>, Error> {
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(root).map_err(Error::file("list", root))? {
            let entry = entry.map_err(Error::file("list", root))?;
            let name = entry.file_name();
            let ours =
                name.to_str().is_some_and(|name| name.starts_with("process") && name.ends_with(".dir"));
            if ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(Self(entry.path()));
            }
        }
        folders.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(folders)
    }

    pub(crate) fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the script wrote to its standard output.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.at("out")
    }

    /// What it wrote to its standard error.
    #[must_use]
    pub fn err(&self) -> PathBuf {
        self.at("err")
    }

    /// What stands in it, for the processes of the run: a variable with it tells them from others.
    pub(crate) fn token(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.at(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content)).map_err(Error::file("write", &path))
    }

    /// Writes a file that is there whole or not at all.
    pub(crate) fn keep<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let (path, beside) = (self.at(name), self.at(&format!(".{name}")));
        let content = serde_json::to_vec(value).map_err(Error::content("file of ours", &path))?;
        let _ = std::fs::remove_file(&beside);
        self.write(&format!(".{name}"), &content)?;
        std::fs::rename(&beside, &path).map_err(Error::file("write", &path))
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, Error> {
        let path = self.at(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let mut content = Vec::new();
        file.take(LARGEST).read_to_end(&mut content).map_err(Error::file("read", &path))?;
        serde_json::from_slice(&content).map(Some).map_err(Error::content(name, &path))
    }

    pub(crate) fn note(&self) -> Result<Option<serde_json::Value>, Error> {
        self.read("note")
    }

    pub(crate) fn outcome(&self) -> Result<Option<Outcome>, Error> {
        self.read("outcome")
    }

    pub(crate) fn mark(&self) -> Result<Option<Mark>, Error> {
        self.read("keeper")
    }

    /// Says who keeps it, and holds the lock that says that this one lives.
    pub(crate) fn hold(&self, mark: &Mark) -> Result<File, Error> {
        self.keep("keeper", mark)?;
        let path = self.at("keeper");
        let file = File::open(&path).map_err(Error::file("open", &path))?;
        file.lock().map_err(Error::file("lock", &path))?;
        Ok(file)
    }

    /// Whether somebody keeps it.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_held(&self) -> Result<bool, Error> {
        let path = self.at("keeper");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::file("open", &path)(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
        }
    }

    /// Tells the keeper; whether there is one to be told.
    pub(crate) fn tell(&self, order: Order) -> Result<bool, Error> {
        let path = self.at("orders");
        match OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&path) {
            Ok(mut orders) => {
                orders.write_all(&[order.byte()]).map(|()| true).map_err(Error::file("write to", &path))
            }
            // Nobody reads.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => Ok(false),
            Err(error) => Err(Error::file("open", &path)(error)),
        }
    }

    /// The keeper's life, unless it is over.
    pub(crate) fn life(&self) -> Result<Option<tokio::net::unix::pipe::Receiver>, Error> {
        let path = self.at("life");
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        // A pipe that nobody had open to write does not tell that nobody has: reading it does.
        match file.read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                tokio::net::unix::pipe::Receiver::from_file(file)
                    .map(Some)
                    .map_err(Error::file("read", &path))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.0).map_err(Error::file("remove", &self.0))
    }
}
