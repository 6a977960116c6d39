//! BIOMERO's `slurm-config.ini`: read as Python's `configparser` reads it, merged, typed, and written back so that
//! Python reads the same.
//!
//! Nothing here reads or writes a file: contents come in as bytes, the merged text goes out as a `String`.
//!
//! Invariants: what Python reads without an error, this reads to the same values; what Python refuses is a problem
//! with file and line, except for a `%` that stands for itself; what [`Merged::render`] writes, Python reads to the
//! values of [`Merged::value`]. Tests hold all of them against a real Python.
//!
//! Beyond Python there are deletions: below `[-SECTION]` stand the keys of SECTION that a file takes away from what
//! earlier files said. To Python that is one more section nobody asks for.

mod dialect;
mod effective;
mod interpolation;
mod known;
mod merged;
#[cfg(test)]
mod python;
mod render;
mod review;
#[cfg(test)]
mod tests;
mod typed;

use std::fmt;
use std::path::{Path, PathBuf};

pub use effective::EffectiveValue;
pub use merged::{Merged, merge};
pub use typed::{Analytics, BiomeroSettings, Slurm, SshTarget, Typed, Workflow};

use crate::Settings;

/// The section whose keys every other section has.
pub(crate) const DEFAULT: &str = "DEFAULT";

/// A file as it was found.
#[derive(Clone)]
pub struct SourceFile {
    /// Where it was found, for messages and origins.
    pub path: PathBuf,
    /// Its bytes. They may hold a password.
    pub content: Vec<u8>,
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} bytes)", self.path.display(), self.content.len())
    }
}

/// Something to tell about a place in a file: a problem or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The file; empty when it is about no file.
    pub path: PathBuf,
    /// From 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl Notice {
    pub(crate) fn new(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_os_str().is_empty(), self.line) {
            (true, _) => formatter.write_str(&self.message),
            (false, 0) => write!(formatter, "{}: {}", self.path.display(), self.message),
            (false, line) => write!(formatter, "{}:{line}: {}", self.path.display(), self.message),
        }
    }
}

/// The files to read, in reading order. Missing ones are fine, as for Python.
#[must_use]
pub fn paths(settings: &Settings) -> Vec<PathBuf> {
    match &settings.slurm_config.authoritative {
        Some(path) => vec![path.clone()],
        None => settings.slurm_config.files.clone(),
    }
}
