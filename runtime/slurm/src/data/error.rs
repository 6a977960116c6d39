//! Why data did not get there or back, or is not removed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::cluster::says_full;

/// Why. What was done so far is kept, and the same call goes on from there, unless the message says otherwise.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The cluster could not be asked.
    #[error(transparent)]
    Cluster(#[from] crate::Error),
    /// A file of this machine.
    #[error("cannot {action} {path:?}: {source}")]
    Here {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk here is full.
    #[error(
        "cannot write {path:?}: the disk of this machine is full; make room and repeat: what is there is kept"
    )]
    FullHere {
        /// What was being written.
        path: PathBuf,
    },
    /// The disk there is full, or the quota used up.
    #[error(
        "cannot write below {path:?} on {host}: no space is left there, or the quota is used up ({said}); make room and repeat: what is there is kept"
    )]
    FullThere {
        /// The alias of the cluster.
        host: String,
        /// The target.
        path: PathBuf,
        /// The words of the program that failed.
        said: String,
    },
    /// A symbolic link that leaves the input.
    #[error(
        "{path:?} is a symbolic link to {leads:?}, which is absolute, outside of the input or not there: replace it by what it leads to"
    )]
    Link {
        /// The link, below the input.
        path: PathBuf,
        /// What it says.
        leads: PathBuf,
    },
    /// Neither file nor folder.
    #[error("{path:?} is no file and no folder but a socket, a pipe or a device: remove it from the input")]
    Special {
        /// Which.
        path: PathBuf,
    },
    /// The input changed each time it was read.
    #[error("{path:?} changed each of the {attempts} times it was read: repeat when nobody writes to it")]
    Changing {
        /// Which.
        path: PathBuf,
        /// How often it was read.
        attempts: u32,
    },
    /// The two ends differ, also after repeating.
    #[error(
        "{path:?} arrived with another content {attempts} times in a row: a disk, its quota or the memory of {host} is at fault"
    )]
    Differs {
        /// Which.
        path: PathBuf,
        /// The alias of the cluster.
        host: String,
        /// How often it was sent.
        attempts: u32,
    },
    /// Something else is in the way.
    #[error(
        "{path:?} on {host} is there already and is not what is to be put there ({reason}): remove it or choose another name"
    )]
    Occupied {
        /// The target.
        path: PathBuf,
        /// The alias of the cluster, or this machine.
        host: String,
        /// In what way.
        reason: String,
    },
    /// A name from the cluster that must not be written here.
    #[error(
        "{name:?} from {host} is no name that may be written here: nothing outside of the target is touched"
    )]
    Name {
        /// The name.
        name: PathBuf,
        /// The alias of the cluster.
        host: String,
    },
    /// The cluster lacks a program.
    #[error("{host} has no {what}: have it installed, or loaded by the profile of the login shell")]
    Missing {
        /// The alias of the cluster.
        host: String,
        /// Which.
        what: &'static str,
    },
    /// A command on the cluster failed.
    #[error("cannot {action} {path:?} on {host}: {said}")]
    There {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The alias of the cluster.
        host: String,
        /// The words of the program that failed.
        said: String,
    },
    /// Nothing moved for a long time.
    #[error(
        "nothing moved to or from {host} for {seconds} s during {action}: see whether its file system hangs; repeating goes on from there"
    )]
    Stalled {
        /// The alias of the cluster.
        host: String,
        /// What was being done.
        action: &'static str,
        /// For how long.
        seconds: u64,
    },
    /// A program of the cluster answered what was not asked.
    #[error("{host} answers nonsense to {action}: {said:?}")]
    Nonsense {
        /// The alias of the cluster.
        host: String,
        /// What was asked.
        action: &'static str,
        /// The answer's beginning.
        said: String,
    },
    /// It may not be removed.
    #[error("{path:?} on {host} is not removed: {reason}")]
    NotRemoved {
        /// What.
        path: PathBuf,
        /// The alias of the cluster.
        host: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// A file of this machine, and what was tried with it.
    pub(crate) fn here(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::FullHere { path },
            _ => Self::Here { action, path, source },
        }
    }

    /// What a command on the cluster said when it failed.
    pub(crate) fn there(action: &'static str, path: impl Into<PathBuf>, host: &str, stderr: &[u8]) -> Self {
        let (path, host) = (path.into(), host.to_owned());
        let text = String::from_utf8_lossy(stderr);
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        if let Some(line) = lines().find(|line| says_full(line)) {
            return Self::FullThere { host, path, said: line.chars().take(300).collect() };
        }
        let said = lines().take(3).collect::<Vec<_>>().join("; ").chars().take(600).collect::<String>();
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        Self::There { action, path, host, said }
    }

    /// Whether the same call may come further than this one did, without anything being done about it: the connection was
    /// lost, or nothing moved.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Cluster(crate::Error::Lost { .. } | crate::Error::Deadline { .. }) | Self::Stalled { .. }
        )
    }
}
