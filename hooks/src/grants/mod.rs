//! What a site grants a hook that it does not trust, and the one check of that hook's effects against it.
//!
//! The default is nothing. A grant names what is allowed; what [`Protected`] names is refused whatever is granted:
//! `init`'s own configuration, its state, its cache, and the hooks themselves.

mod check;
mod parse;
mod pattern;
mod refusal;

use std::path::PathBuf;

pub(crate) use check::Protected;
pub(crate) use parse::{GrantsTable, parse};
pub(crate) use pattern::Pattern;
pub use refusal::{Refusal, Refusals};

/// What a hook may know and ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Keys of settings that it may be told.
    pub(crate) settings: Vec<Pattern>,
    /// Variables that it may be told.
    pub(crate) environment: Vec<Pattern>,
    /// Files that it may be told.
    pub(crate) read: Vec<PathGrant>,
    /// Files that it may have written, moved and removed.
    pub(crate) write: Vec<PathGrant>,
    /// Variables that it may set and remove.
    pub(crate) set: Vec<Pattern>,
    /// Host names that it may have resolved.
    pub(crate) resolve: Vec<Pattern>,
    /// Addresses, `host:port`, that it may wait for.
    pub(crate) wait: Vec<Pattern>,
    /// How commands that it may have run as the service user begin.
    pub(crate) run: Vec<Vec<String>>,
    /// How commands that it may have run as `init`'s own user begin.
    pub(crate) run_as_init: Vec<Vec<String>>,
}

/// One path, or everything below one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathGrant {
    /// Exactly this path.
    Exact(PathBuf),
    /// Everything below this directory, and the directory itself.
    Below(PathBuf),
    /// What is directly in this directory under such a name.
    Matching {
        /// The directory.
        directory: PathBuf,
        /// The names.
        name: Pattern,
    },
}

impl Grants {
    /// Whether a path is one that the hook may be told.
    pub(crate) fn may_read(&self, path: &std::path::Path) -> bool {
        self.read.iter().any(|grant| grant.covers(path))
    }
}

impl PathGrant {
    /// Whether a path in normal form is granted.
    pub(crate) fn covers(&self, path: &std::path::Path) -> bool {
        match self {
            Self::Exact(granted) => granted == path,
            Self::Below(granted) => path.starts_with(granted),
            Self::Matching { directory, name } => {
                path.parent() == Some(directory.as_path())
                    && path.file_name().and_then(|last| last.to_str()).is_some_and(|last| name.matches(last))
            }
        }
    }
}
