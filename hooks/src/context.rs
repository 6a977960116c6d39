//! What a hook may know: settings, environment, and the facts it declared a need for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use biomero_config::{Environment, Settings};
use serde::{Deserialize, Serialize};

/// What a hook asks to be told before it plans. Facts are gathered by the interpreter, never by the hook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The addresses of a host name, resolved with `wait.resolve` as the deadline.
    Address(String),
    /// One file: content, mode, owner. Symlinks are followed.
    File(PathBuf),
    /// Everything below a directory, symlinks followed, to a depth of 8, at most 4096 entries and 64 MiB.
    Tree(PathBuf),
    /// What is directly in a directory under names that begin and end so, with content, in name order. Limits as for
    /// [`Need::Tree`].
    Matching {
        /// The directory.
        directory: PathBuf,
        /// How the names begin.
        prefix: String,
        /// How the names end.
        suffix: String,
    },
    /// Which of the files directly in a directory end in this suffix (`*.omero`).
    Names {
        /// The directory.
        directory: PathBuf,
        /// How the names end.
        suffix: String,
    },
}

/// A read-only view for one hook. Nothing in it reaches the machine.
#[derive(Debug)]
pub struct Context<'a> {
    /// All settings.
    pub settings: &'a Settings,
    /// The environment as the hooks before this one left it.
    pub environment: &'a Environment,
    /// Who `init` is and who services will be.
    pub identity: &'a Identity,
    /// What was asked for with [`Need`].
    pub facts: Facts,
}

/// Who `init` is and who services will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Effective user id of `init`.
    pub uid: u32,
    /// Effective group id of `init`.
    pub gid: u32,
    /// User id of services.
    pub service_uid: u32,
    /// Group id of services.
    pub service_gid: u32,
    /// Name of the service user, or its number where the system has no name for it.
    pub service_name: String,
    /// Home directory of the service user.
    pub service_home: PathBuf,
}

impl Identity {
    /// Both `init` and its services are this process's user: what tests and a laptop's dry run start from.
    #[must_use]
    pub fn of_this_process() -> Self {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Self {
            uid,
            gid,
            service_uid: uid,
            service_gid: gid,
            service_name: uid.to_string(),
            service_home: PathBuf::from("/opt/omero/server"),
        }
    }

    /// User and group that a file of this owner gets, where `init` may give files away at all.
    pub(crate) const fn owner(&self, owner: crate::Owner) -> Option<(u32, u32)> {
        match (self.uid, owner) {
            (0, crate::Owner::ServiceUser) => Some((self.service_uid, self.service_gid)),
            (0, crate::Owner::Init) => Some((0, self.gid)),
            _ => None,
        }
    }
}

/// The facts a hook asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    addresses: BTreeMap<String, Address>,
    files: BTreeMap<PathBuf, FileFact>,
    trees: BTreeMap<PathBuf, Vec<TreeEntry>>,
    matching: BTreeMap<(PathBuf, String, String), Vec<TreeEntry>>,
    names: BTreeMap<PathBuf, Vec<String>>,
}

/// What is known of a name's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The one chosen by `wait.family`.
    Known(IpAddr),
    /// A dry run that could not resolve it here: printed as `(address of NAME)`.
    Unknown,
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFact {
    /// Nothing is there.
    Absent,
    /// A regular file, symlinks followed.
    File {
        /// All of it.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
    },
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Whether `init` (or the service user, when `init` is root) can write in it.
        writable: bool,
    },
    /// A socket, device or pipe, or a dangling symlink.
    Other(&'static str),
    /// Something is there and cannot be read; the system's reason.
    Unreadable(String),
}

/// One entry below a [`Need::Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Relative to the tree's root.
    pub path: PathBuf,
    /// What is there.
    pub fact: FileFact,
}

impl Facts {
    /// The address of a host that was asked for.
    pub fn address(&self, host: &str) -> &Address {
        self.addresses.get(host).unwrap_or(&Address::Unknown)
    }

    /// The path's fact; absent when it was not asked for.
    pub fn file(&self, path: &Path) -> &FileFact {
        self.files.get(path).unwrap_or(&FileFact::Absent)
    }

    /// The entries below a directory, in path order; `None` when there is no such directory.
    pub fn tree(&self, path: &Path) -> Option<&[TreeEntry]> {
        self.trees.get(path).map(Vec::as_slice)
    }

    /// What was found with [`Need::Matching`], in name order.
    pub fn matching(&self, directory: &Path, prefix: &str, suffix: &str) -> &[TreeEntry] {
        let asked = (directory.to_owned(), prefix.to_owned(), suffix.to_owned());
        self.matching.get(&asked).map_or(&[], Vec::as_slice)
    }

    /// The names asked for with [`Need::Names`], sorted.
    pub fn names(&self, directory: &Path) -> &[String] {
        self.names.get(directory).map_or(&[], Vec::as_slice)
    }

    /// Bytes of all files together.
    pub(crate) fn content_bytes(&self) -> u64 {
        let entries = self.trees.values().chain(self.matching.values()).flatten().map(|entry| &entry.fact);
        let bytes = |fact: &FileFact| match fact {
            FileFact::File { content, .. } => content.len() as u64,
            _ => 0,
        };
        self.files.values().chain(entries).map(bytes).sum()
    }

    /// Adds an address.
    #[must_use]
    pub fn with_address(mut self, host: &str, address: Address) -> Self {
        self.addresses.insert(host.to_owned(), address);
        self
    }

    /// Adds a file's fact.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>, fact: FileFact) -> Self {
        self.files.insert(path.into(), fact);
        self
    }

    /// Adds a tree.
    #[must_use]
    pub fn with_tree(mut self, path: impl Into<PathBuf>, entries: Vec<TreeEntry>) -> Self {
        self.trees.insert(path.into(), entries);
        self
    }

    /// Adds what matches.
    #[must_use]
    pub fn with_matching(
        mut self,
        directory: impl Into<PathBuf>,
        prefix: &str,
        suffix: &str,
        entries: Vec<TreeEntry>,
    ) -> Self {
        self.matching.insert((directory.into(), prefix.to_owned(), suffix.to_owned()), entries);
        self
    }

    /// Adds names.
    #[must_use]
    pub fn with_names(mut self, directory: impl Into<PathBuf>, names: Vec<String>) -> Self {
        self.names.insert(directory.into(), names);
        self
    }
}

impl Address {
    /// The address as a template takes it; a stand-in that says so where a dry run could not know it.
    pub fn text(&self, host: &str) -> String {
        match self {
            Self::Known(address) => address.to_string(),
            Self::Unknown => format!("(address of {host})"),
        }
    }
}

impl FileFact {
    /// A public file with mode 0644, for tables of inputs.
    pub fn file(content: impl Into<Vec<u8>>) -> Self {
        Self::File { content: content.into(), mode: 0o644, uid: 0 }
    }
}
