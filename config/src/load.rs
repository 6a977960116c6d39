//! Merging the layers and keeping, for every value, where it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;

use crate::describe::Row;
use crate::layer::{self, Key, Layer, Problem};
use crate::{Environment, Settings, Values, consistency, describe, passed_through};

/// The shipped defaults, the lowest layer.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// The main file, unless `BIOMERO_INIT_CONFIG` names another.
pub const MAIN_FILE: &str = "/etc/biomero/init.toml";

/// The folder of further files.
pub const FILES_DIRECTORY: &str = "/etc/biomero/init.d";

/// More files than this are a mistake in what is mounted.
const MOST_FILES: usize = 256;

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
    /// The files that were read, as they were opened.
    pub files: Vec<PathBuf>,
    /// The settings by their keys, for hooks that a site brings.
    pub values: Values,
    pub(crate) rows: Vec<Row>,
}

/// The layer that set a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => formatter.write_str("shipped default"),
            Self::File { path, line: 0 } => write!(formatter, "{}", path.display()),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Variable(name) => write!(formatter, "variable {name}"),
            Self::CommandLine => formatter.write_str("command line (--set)"),
        }
    }
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
    let mut layers = vec![layer::of_text(DEFAULTS, layer::Text::Shipped)];
    let files = read_files(sources, &mut layers);
    let known: BTreeSet<Key> =
        layers.iter().flat_map(|layer| layer.values.keys().chain(layer.sections.keys())).cloned().collect();
    layers.push(layer::of_environment(&sources.environment, &known));
    layers.push(layer::of_command_line(&sources.command_line));

    let mut problems: Vec<Problem> =
        layers.iter_mut().flat_map(|layer| std::mem::take(&mut layer.problems)).collect();
    let mut warnings: Vec<String> =
        layers.iter_mut().flat_map(|layer| std::mem::take(&mut layer.warnings)).collect();

    let mut values = BTreeMap::new();
    let mut sections = BTreeMap::new();
    let mut figment = Figment::new();
    for layer in layers {
        figment = figment.merge(Dictionary(dictionary(&layer)));
        values.extend(layer.values);
        sections.extend(layer.sections);
    }
    match figment.extract::<Settings>() {
        Ok(mut settings) => {
            give_way(&mut settings, &mut values);
            let places = Places { values: &values, sections: &sections };
            consistency::check(&settings, &places, &mut problems, &mut warnings);
            if problems.is_empty() {
                warnings.extend(passed_through::warnings(&sources.environment));
                let origins =
                    values.iter().map(|(key, (_, origin))| (layer::dotted(key), origin.clone())).collect();
                let (rows, values) = describe::rows(&values, &settings);
                return Ok(Loaded { settings, origins, warnings, files, values, rows });
            }
        }
        // Every value was checked against the table, so this is a difference between the table and the types.
        Err(error) if problems.is_empty() => problems.push(Problem {
            key: Key::new(),
            message: format!(
                "the settings do not fit together: {error}; please report this as a defect of init"
            ),
        }),
        Err(_) => {}
    }
    Err(LoadError { problems: problems.into_iter().map(|problem| problem.message).collect() })
}

/// Takes back shipped defaults that a site has decided against: TOML has no way to unset a key.
fn give_way(settings: &mut Settings, values: &mut BTreeMap<Key, (crate::kind::Value, Origin)>) {
    settings.startup.replaced.retain(|_, reason| !reason.is_empty());
    let launcher: Key = ["services", "node", "launcher"].map(str::to_owned).to_vec();
    if let Some(node) = settings.services.get_mut("node")
        && !node.command.is_empty()
        && values.get(&launcher).is_some_and(|(_, origin)| *origin == Origin::Default)
    {
        node.launcher = None;
        values.remove(&launcher);
    }
}

/// Where keys were set, for checks across keys.
pub(crate) struct Places<'a> {
    values: &'a BTreeMap<Key, (crate::kind::Value, Origin)>,
    sections: &'a BTreeMap<Key, Origin>,
}

impl Places<'_> {
    /// The origin of a key, or of the section it would be in.
    pub(crate) fn of(&self, key: &[&str]) -> Origin {
        let mut key: Key = key.iter().map(|segment| (*segment).to_owned()).collect();
        while !key.is_empty() {
            let origin = self.values.get(&key).map(|(_, origin)| origin).or_else(|| self.sections.get(&key));
            if let Some(origin) = origin {
                return origin.clone();
            }
            key.pop();
        }
        Origin::Default
    }

    /// Whether a layer above the defaults set this key.
    pub(crate) fn is_set(&self, key: &[&str]) -> bool {
        self.of(key) != Origin::Default
    }
}

/// Reads the main file and those of the folder, each into a layer of its own.
fn read_files(sources: &Sources, layers: &mut Vec<Layer>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let named = sources.environment.get_os(layer::MAIN_FILE_VARIABLE).filter(|value| !value.is_empty());
    let main = match named {
        Some(named) if !Path::new(named).is_absolute() => {
            let message = format!("\"{}\" is not an absolute path", named.to_string_lossy());
            layers.push(failed(Origin::Variable(layer::MAIN_FILE_VARIABLE.to_owned()), &message));
            None
        }
        Some(named) => Some(below(&sources.root, Path::new(named))),
        None => Some(below(&sources.root, Path::new(MAIN_FILE))),
    };
    if let Some(path) = main
        && !read_into(&path, layers, &mut files)
        && named.is_some()
    {
        let message = format!(
            "names the file {}, which does not exist; create it or unset the variable",
            path.display()
        );
        layers.push(failed(Origin::Variable(layer::MAIN_FILE_VARIABLE.to_owned()), &message));
    }

    let directory = below(&sources.root, Path::new(FILES_DIRECTORY));
    let mut paths = Vec::new();
    match std::fs::read_dir(&directory) {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => paths.push(entry.path()),
                    Err(error) => {
                        layers.push(failed(place(&directory), &format!("cannot be listed: {error}")))
                    }
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            layers.push(failed(
                place(&directory),
                &format!("cannot be listed: {error}; check its permissions"),
            ));
        }
    }
    paths.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "toml")
    });
    paths.sort_unstable();
    if paths.len() > MOST_FILES {
        let message = format!("holds {} files; more than {MOST_FILES} are not read: merge them", paths.len());
        layers.push(failed(place(&directory), &message));
        paths.clear();
    }
    for path in paths {
        let located = match path.strip_prefix(&sources.root) {
            Ok(inside) => below(&sources.root, &Path::new("/").join(inside)),
            Err(_) => path.clone(),
        };
        if !read_into(&located, layers, &mut files) {
            layers.push(failed(
                place(&path),
                "is a link to a file that does not exist; repair or remove the link",
            ));
        }
    }
    files
}

/// Reads one file; `false` when it does not exist.
fn read_into(path: &Path, layers: &mut Vec<Layer>, files: &mut Vec<PathBuf>) -> bool {
    match layer::read_bounded(path) {
        Ok(Some(text)) => {
            layers.push(layer::of_text(&text, layer::Text::File(path)));
            files.push(path.to_owned());
            true
        }
        Ok(None) => false,
        Err(message) => {
            layers.push(failed(place(path), &message));
            true
        }
    }
}

fn failed(origin: Origin, message: &str) -> Layer {
    let mut layer = Layer::default();
    layer.problem(Key::new(), &origin, message);
    layer
}

fn place(path: &Path) -> Origin {
    Origin::File { path: path.to_owned(), line: 0 }
}

/// The path below the root.
fn below(root: &Path, path: &Path) -> PathBuf {
    // A loop of symlinks is told when the file is opened.
    crate::locate(root, path, true).unwrap_or_else(|_| root.join(path.strip_prefix("/").unwrap_or(path)))
}

/// A layer as figment merges it.
struct Dictionary(Dict);

impl Provider for Dictionary {
    fn metadata(&self) -> Metadata {
        Metadata::default()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

fn dictionary(layer: &Layer) -> Dict {
    let mut dictionary = Dict::new();
    for section in layer.sections.keys() {
        open(&mut dictionary, section);
    }
    for (key, (value, _)) in &layer.values {
        if let Some((last, section)) = key.split_last() {
            open(&mut dictionary, section).insert(last.clone(), value.for_figment());
        }
    }
    dictionary
}

fn open<'a>(mut dictionary: &'a mut Dict, section: &[String]) -> &'a mut Dict {
    for name in section {
        let entry = dictionary.entry(name.clone()).or_insert_with(|| Value::from(Dict::new()));
        if !matches!(entry, Value::Dict(..)) {
            *entry = Value::from(Dict::new());
        }
        let Value::Dict(_, below) = entry else { unreachable!("made a dictionary above") };
        dictionary = below;
    }
    dictionary
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

#[cfg(test)]
mod tests;
