//! What a hook may ask for. An effect is data: it can be compared, printed, refused or applied.

use std::path::PathBuf;
use std::time::Duration;

use biomero_config::Secret;
use serde::{Deserialize, Serialize};

/// One change to the machine, or one thing to wait for. The variants a site's hook returns are these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A directory exists with this mode and owner; its content is left alone.
    Directory {
        /// Absolute.
        path: PathBuf,
        /// Permission bits, as `0o700`.
        mode: u32,
        /// Who owns it.
        owner: Owner,
    },
    /// A regular file has exactly this content, mode and owner. Written beside and renamed.
    File(FileEffect),
    /// Nothing is at this path. A directory is removed only when it is empty.
    Remove {
        /// Absolute.
        path: PathBuf,
    },
    /// What is at `path` is renamed to `to`, which does not exist; the reason is shown.
    MoveAside {
        /// Absolute.
        path: PathBuf,
        /// Beside it, on the same file system.
        to: PathBuf,
        /// For the log and the dry run.
        reason: String,
    },
    /// A variable of the environment that later hooks and all services get. `None` removes it.
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<Text>,
    },
    /// A TCP address accepts a connection before the next effect.
    WaitTcp {
        /// `host:port`, an IPv6 address in brackets.
        address: String,
        /// After which it is an error.
        deadline: Duration,
    },
    /// A path exists before the next effect.
    WaitPath {
        /// Absolute.
        path: PathBuf,
        /// After which it is an error.
        deadline: Duration,
    },
    /// A program runs to its end and exits 0.
    Command(CommandEffect),
    /// Something to look at, although nothing stops.
    Notice(String),
}

/// See [`Effect::File`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEffect {
    /// Absolute.
    pub path: PathBuf,
    /// All of it.
    pub content: Content,
    /// Permission bits, as `0o600`.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
    /// Held exclusively while the file is replaced, as other programs that write the file do.
    pub lock: Option<Lock>,
}

/// A lock that other programs take too, and what the plan was based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The lock file: created, `flock`ed exclusively, removed on release.
    pub path: PathBuf,
    /// SHA-256 (hex) of the content this effect was computed from, `None` where the file was absent.
    /// If the disk says otherwise under the lock, the hook is planned again.
    pub based_on: Option<String>,
}

/// See [`Effect::Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEffect {
    /// Program and arguments; a program without `/` is looked up in the environment's `PATH`.
    pub argv: Vec<String>,
    /// Variables on top of the environment that the plan has built so far.
    pub environment: Vec<(String, Text)>,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// Whether it runs as the service user (`true`) or as `init` itself.
    pub as_service_user: bool,
    /// After which its process group is killed and the hook has failed.
    pub deadline: Duration,
    /// What can be said of its effects: shown in a dry run.
    pub says: String,
}

/// A file's content.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// May be shown in a diff.
    Public(Vec<u8>),
    /// Is never shown: a key, a file with a password in it.
    Secret(Secret<Vec<u8>>),
}

impl Content {
    /// The bytes, for writing and hashing.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Public(bytes) => bytes,
            Self::Secret(bytes) => bytes.reveal(),
        }
    }

    /// Whether it must not be shown.
    pub const fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }

    /// Wraps bytes that must not be shown.
    pub const fn secret(bytes: Vec<u8>) -> Self {
        Self::Secret(Secret::new(bytes))
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Public(bytes) => write!(formatter, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Secret(bytes) => write!(formatter, "{} secret bytes", bytes.reveal().len()),
        }
    }
}

/// A short text that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// May be shown.
    Public(String),
    /// Is never shown.
    Secret(Secret<String>),
}

impl Text {
    /// The text, for the place that uses it.
    pub fn reveal(&self) -> &str {
        match self {
            Self::Public(text) => text,
            Self::Secret(text) => text.reveal(),
        }
    }

    /// Marked secret when `name` is that of a secret; otherwise shown with the passwords of URLs masked.
    pub fn named(name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if biomero_config::names_a_secret(name) || biomero_config::mask_urls(&value) != value {
            Self::Secret(Secret::new(value))
        } else {
            Self::Public(value)
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Public(text.to_owned())
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Public(text) => formatter.write_str(text),
            Self::Secret(text) => write!(formatter, "{text}"),
        }
    }
}

/// Who owns a file. Only root can give files away; an ordinary user's files are its own, and this says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// The user that services run as.
    ServiceUser,
    /// The user `init` runs as.
    Init,
}

impl Owner {
    /// As a plan names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ServiceUser => "service-user",
            Self::Init => "init",
        }
    }
}
