//! What IceGrid's node tells a server that it starts: a file, in the format of Ice's properties ("Configuration File Syntax").

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use biomero_ice::{Reference, ReferenceError};

/// The most that such a file is.
const LARGEST: u64 = 4 << 20;

/// By whom a server was started, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// What the registry calls it: `Processor-0`.
    pub server: String,
    /// What the registry calls its adapter.
    pub adapter: String,
    /// The registry.
    pub locator: Reference,
    /// Every property that the file holds.
    pub properties: BTreeMap<String, String>,
}

/// Why it cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The file.
    #[error("cannot read {}, which IceGrid's node has written: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A property is not there.
    #[error("{} has no {property}; the application's descriptor of this server has to make one", path.display())]
    Missing {
        /// In which file.
        path: PathBuf,
        /// Which.
        property: &'static str,
    },
    /// The registry's reference.
    #[error("{}: Ice.Default.Locator: {source}", path.display())]
    Locator {
        /// In which file.
        path: PathBuf,
        /// What is wrong.
        source: ReferenceError,
    },
}

/// Whether these are the arguments of who is to be a processor: IceGrid's descriptors start `python` with `runProcessor.py`, or
/// with a module of that name.
pub fn asks_for_processor<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> bool {
    arguments
        .into_iter()
        .any(|argument| Path::new(argument).file_stem().is_some_and(|name| name == "runProcessor"))
}

impl Activation {
    /// From the arguments that the node gives; none where it gives none.
    ///
    /// # Errors
    /// The file cannot be read, or lacks something.
    pub fn of<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<Option<Self>, ActivationError> {
        let path = arguments
            .into_iter()
            .find_map(|argument| argument.as_bytes().strip_prefix(b"--Ice.Config="))
            .map(|path| PathBuf::from(OsStr::from_bytes(path)));
        path.map(|path| Self::read(&path)).transpose()
    }

    fn read(path: &Path) -> Result<Self, ActivationError> {
        use std::io::Read as _;
        let mut text = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        read.map_err(|source| ActivationError::File { path: path.to_owned(), source })?;
        let properties = properties(&String::from_utf8_lossy(&text));
        let get = |property: &'static str| {
            let missing = || ActivationError::Missing { path: path.to_owned(), property };
            properties.get(property).filter(|value| !value.is_empty()).cloned().ok_or_else(missing)
        };
        let locator = get("Ice.Default.Locator")?
            .parse()
            .map_err(|source| ActivationError::Locator { path: path.to_owned(), source })?;
        Ok(Self {
            server: get("Ice.Admin.ServerId")?,
            adapter: get("ProcessorAdapter.AdapterId")?,
            locator,
            properties,
        })
    }

    /// A property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }
}

/// The properties in a text. A line that is none is passed over, as Ice does it.
fn properties(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(property).collect()
}

/// `name = value # comment`, in which a backslash takes from `#`, `=`, a space and itself what they mean.
fn property(line: &str) -> Option<(String, String)> {
    let mut sides = [String::new(), String::new()];
    // How much of each side is not blanks that stand at its end.
    let mut ends = [0, 0];
    let mut side = 0;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped =
            character == '\\' && characters.peek().is_some_and(|next| matches!(next, '#' | '=' | '\\' | ' '));
        let taken = if escaped { characters.next()? } else { character };
        match taken {
            '#' if !escaped => break,
            '=' if !escaped && side == 0 => side = 1,
            blank if !escaped && blank.is_whitespace() && sides[side].is_empty() => {}
            other => {
                sides[side].push(other);
                if escaped || !other.is_whitespace() {
                    ends[side] = sides[side].len();
                }
            }
        }
    }
    let [mut name, mut value] = sides;
    name.truncate(ends[0]);
    value.truncate(ends[1]);
    (side == 1 && !name.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_of_properties_is_read_as_ice_reads_it() {
        let text = "# made by the node\nIce.Admin.ServerId = Processor-0  \n\nempty=\nno property\n=nothing\n\
                    path=C:\\temp\ncomment=a # b\nescaped=\\#\\=\\\\\\ \nurl=a=b\n  indented =  x y \n";
        let found = properties(text);
        let expected = [
            ("Ice.Admin.ServerId", "Processor-0"),
            ("comment", "a"),
            ("empty", ""),
            ("escaped", "#=\\ "),
            ("indented", "x y"),
            ("path", "C:\\temp"),
            ("url", "a=b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn a_server_that_no_node_has_started_has_no_activation() {
        assert!(Activation::of([OsStr::new("-m"), OsStr::new("runProcessor")]).unwrap().is_none());
    }

    #[test]
    fn a_processor_is_asked_for_by_the_name_of_what_python_would_run() {
        let asks = |arguments: &[&str]| asks_for_processor(arguments.iter().map(OsStr::new));
        assert!(asks(&["lib/python/runProcessor.py", "--Ice.Config=/c"]));
        assert!(asks(&["-m", "runProcessor", "--Ice.Config=/c"]));
        assert!(!asks(&["lib/python/runTables.py", "--Ice.Config=/runProcessor/c"]));
        assert!(!asks(&["-c", "import omero"]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Ice.Default.Locator=IceGrid/Locator:tcp -h 127.0.0.1 -p 4061\n")
            .unwrap();
        let argument = format!("--Ice.Config={}", file.path().display());
        let error = Activation::of([OsStr::new(&argument)]).unwrap_err();
        assert!(error.to_string().contains("Ice.Admin.ServerId"), "{error}");
    }

    proptest! {
        #[test]
        fn any_line_is_answered(line in "\\PC{0,60}") {
            let _ = property(&line);
        }
    }
}
