//! Where the data of a run is on the cluster: `{data_path}/{name}/data/{in,out,gt}`, as BIOMERO lays it out.
//!
//! Invariant: the name is one component of a path, so that nothing below it can be outside the data path.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The longest name, in bytes: what is put before and behind it still fits the 255 bytes of a file name.
pub(crate) const LONGEST_NAME: usize = 200;

/// A name that no data folder can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} cannot name a data folder: it {reason}; choose letters, digits, `_`, `-` and `.`")]
pub struct BadName {
    name: String,
    reason: &'static str,
}

/// The folders of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    data_path: PathBuf,
    name: String,
}

impl Layout {
    /// The folders of the data called `name`. A relative data path begins at the login folder.
    ///
    /// # Errors
    /// The name is none: empty, with `/`, beginning with a dash or a dot, with control characters, or too long.
    pub fn new(data_path: impl Into<PathBuf>, name: impl Into<String>) -> Result<Self, BadName> {
        let (data_path, name) = (data_path.into(), name.into());
        let reason = match name.as_str() {
            "" => Some("is empty"),
            text if text.starts_with('-') => Some("begins with a dash, which programs take for an option"),
            text if text.starts_with('.') => Some("begins with a dot"),
            text if text.contains('/') => Some("has a `/`"),
            text if text.chars().any(char::is_control) => Some("has a control character"),
            text if text.len() > LONGEST_NAME => Some("is longer than 200 bytes"),
            _ => None,
        };
        match reason {
            Some(reason) => Err(BadName { name, reason }),
            None => Ok(Self { data_path, name }),
        }
    }

    /// The configured data path.
    #[must_use]
    pub fn data_path(&self) -> &Path {
        &self.data_path
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it: `{data_path}/{name}`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.data_path.join(&self.name)
    }

    /// What the workflow reads.
    #[must_use]
    pub fn input(&self) -> PathBuf {
        self.folder().join("data/in")
    }

    /// What it writes.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.folder().join("data/out")
    }

    /// Ground truth, which workflows of BIAFLOWS may read.
    #[must_use]
    pub fn ground_truth(&self) -> PathBuf {
        self.folder().join("data/gt")
    }

    /// An uploaded archive: `{data_path}/{name}.zip`.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.data_path.join(format!("{}.zip", self.name))
    }

    /// The list of files that a conversion reads, in the login folder.
    #[must_use]
    pub fn conversion_list(&self) -> PathBuf {
        PathBuf::from(format!("config_{}.txt", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_where_biomero_has_them() {
        let layout = Layout::new("my-scratch/data", "biomero_7 é").expect("a name");
        assert_eq!(layout.input(), Path::new("my-scratch/data/biomero_7 é/data/in"));
        assert_eq!(layout.output(), Path::new("my-scratch/data/biomero_7 é/data/out"));
        assert_eq!(layout.ground_truth(), Path::new("my-scratch/data/biomero_7 é/data/gt"));
        assert_eq!(layout.archive(), Path::new("my-scratch/data/biomero_7 é.zip"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_or_reads_as_an_option_is_refused() {
        for name in ["", ".", "..", "a/b", "/etc", "-rf", "a\nb", ".hidden", &"x".repeat(201)] {
            assert!(Layout::new("data", name).is_err(), "{name:?} was taken");
        }
    }
}
