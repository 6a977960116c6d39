//! What can go wrong around scripts; what goes wrong in them is their outcome.

use std::path::{Path, PathBuf};

/// Why a script cannot be run or looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Two processors with the same folders would account for the same scripts.
    #[error(
        "another processor runs scripts in {}; stop it, or give this one a folder of its own", root.display()
    )]
    Taken {
        /// The folder of the folders.
        root: PathBuf,
    },
    /// Whoever has scripts run has more of them run than are ever done.
    #[error(
        "{waiting} scripts wait already, which are as many as may; try again later, or let more run at once"
    )]
    Full {
        /// How many may.
        waiting: usize,
    },
    /// The keeper is a program of ours.
    #[error("the keeper {} of the script of job {job} {problem}", program.display())]
    Keeper {
        /// Which program.
        program: PathBuf,
        /// Whose script.
        job: i64,
        /// What is wrong.
        problem: String,
    },
    /// Something that the system did not do.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// What is in a file is not what belongs there.
    #[error("{} is not what a {what} looks like: {source}", path.display())]
    Content {
        /// What it should be.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn system<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { action, source: source.into() }
    }

    pub(crate) fn content(what: &'static str, path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Content { what, path, source }
    }
}
