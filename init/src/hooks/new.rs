//! `init hooks new NAME`: a working project of a site hook, in Rust, C or Python.
//!
//! The templates are real files below `new/`, in which `hook-name` stands for the hook's name. Invariants: nothing that
//! is there is overwritten, and where not all files can be written none is left.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::{exit_code, output};

/// What a hook can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// Rust, with the SDK
    Rust,
    /// C, with clang
    C,
    /// Python, with componentize-py
    Python,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error("{0:?} cannot name a hook: write lower case words joined by -, as site-motd, 64 letters at most")]
    Name(String),
    #[error(
        "a hook in Rust cannot be called {0}: one of the crates that it is built from is; choose another name"
    )]
    Crate(String),
    #[error("nothing is overwritten, and these are there already: {}; move them away, or give another folder with --directory", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Exists(Vec<PathBuf>),
    #[error("cannot write {}: {reason}; nothing was left behind; give a folder that you can write with --directory", path.display())]
    Write { path: PathBuf, reason: io::Error },
}

/// One file of a project, its path relative to the project's folder.
type File = (&'static str, String);

const PLACEHOLDER: &str = "hook-name";
/// Where the steps of building go in the README that all languages share.
const BUILD: &str = "<!-- build -->\n";

const SHARED: &[(&str, &str)] = &[
    (".gitignore", include_str!("new/shared/gitignore")),
    ("README.md", include_str!("new/shared/README.md")),
    ("context.json", include_str!("new/shared/context.json")),
    ("hook.toml", include_str!("new/shared/hook.toml")),
    ("plan.json", include_str!("new/shared/plan.json")),
];
const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("new/rust/Cargo.toml")),
    ("src/lib.rs", include_str!("new/rust/src/lib.rs")),
];
const C: &[(&str, &str)] = &[("hook.c", include_str!("new/c/hook.c"))];
const PYTHON: &[(&str, &str)] = &[("app.py", include_str!("new/python/app.py"))];

const WIT: &str = include_str!("../../../hooks/wit/site-hook.wit");
/// The SDK, which is on no registry.
const SDK: &[(&str, &str)] = &[
    ("sdk/Cargo.toml", include_str!("../../../hooks/guests/sdk/Cargo.toml")),
    ("sdk/src/context.rs", include_str!("../../../hooks/guests/sdk/src/context.rs")),
    ("sdk/src/description.rs", include_str!("../../../hooks/guests/sdk/src/description.rs")),
    ("sdk/src/effect.rs", include_str!("../../../hooks/guests/sdk/src/effect.rs")),
    ("sdk/src/error.rs", include_str!("../../../hooks/guests/sdk/src/error.rs")),
    ("sdk/src/hook.rs", include_str!("../../../hooks/guests/sdk/src/hook.rs")),
    ("sdk/src/lib.rs", include_str!("../../../hooks/guests/sdk/src/lib.rs")),
    ("sdk/src/log.rs", include_str!("../../../hooks/guests/sdk/src/log.rs")),
    ("sdk/wit/site-hook.wit", WIT),
];
/// The lock of the example hooks, whose versions are those that are tested.
const EXAMPLES_LOCK: &str = include_str!("../../../hooks/guests/Cargo.lock");
const SDK_CRATE: &str = "biomero-hooks-guest";

/// Writes the project into `directory`, or else into a folder of the hook's name. Returns the exit code.
pub(crate) fn new(name: &str, language: Language, directory: Option<&Path>) -> u8 {
    let folder = directory.unwrap_or(Path::new(name));
    let written = project(name, language).and_then(|files| write(folder, &files).map(|()| files.len()));
    match written {
        Ok(count) => {
            let readme = folder.join("README.md");
            output::print(&format!("{}: {count} files; read {}", folder.display(), readme.display()));
            if biomero_hooks::builtin::all().iter().any(|(_, hook)| hook.name() == name) {
                output::warning(format!(
                    "init has a hook {name} of its own: a file NN-{name}.toml in hooks.d takes its place"
                ));
            }
            exit_code::SUCCESS
        }
        Err(error) => {
            output::error(&error);
            match error {
                NewError::Name(_) | NewError::Crate(_) => exit_code::USAGE,
                NewError::Write { reason, .. } if reason.kind() == io::ErrorKind::PermissionDenied => {
                    exit_code::PERMISSION
                }
                NewError::Exists(_) | NewError::Write { .. } => exit_code::CANNOT_CREATE,
            }
        }
    }
}

/// All files of a project.
fn project(name: &str, language: Language) -> Result<Vec<File>, NewError> {
    if !is_name(name) {
        return Err(NewError::Name(name.to_owned()));
    }
    let (sources, steps) = match language {
        Language::Rust => (RUST, include_str!("new/rust/build.md")),
        Language::C => (C, include_str!("new/c/build.md")),
        Language::Python => (PYTHON, include_str!("new/python/build.md")),
    };
    let templates = SHARED.iter().chain(sources);
    let mut files: Vec<File> = templates
        .map(|(path, text)| (*path, text.replace(BUILD, steps).replace(PLACEHOLDER, name)))
        .collect();
    match language {
        Language::Rust => {
            files.push(("Cargo.lock", lock(name)?));
            files.extend(SDK.iter().map(|(path, text)| (*path, (*text).to_owned())));
        }
        Language::Python => files.push(("wit/site-hook.wit", WIT.to_owned())),
        Language::C => {}
    }
    Ok(files)
}

/// Lower case words joined by `-`: what a file, a crate and a hook can be called alike.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(is_word)
}

/// The examples' lock with this hook in their place.
fn lock(name: &str) -> Result<String, NewError> {
    const SEPARATOR: &str = "\n[[package]]\n";
    let (head, packages) = EXAMPLES_LOCK.split_once(SEPARATOR).unwrap_or((EXAMPLES_LOCK, ""));
    let begins = |name: &str| format!("name = \"{name}\"\n");
    let sdk = begins(SDK_CRATE);
    let hook = begins(name);
    let mut packages: Vec<String> = packages
        .split(SEPARATOR)
        .filter(|package| package.contains("\nsource = ") || package.starts_with(&sdk))
        .map(|package| format!("{}\n", package.trim_end()))
        .collect();
    if packages.iter().any(|package| package.starts_with(&hook)) {
        return Err(NewError::Crate(name.to_owned()));
    }
    packages.push(format!("{hook}version = \"0.1.0\"\ndependencies = [\n \"{SDK_CRATE}\",\n]\n"));
    packages.sort();
    Ok(format!("{head}{SEPARATOR}{}", packages.join(SEPARATOR)))
}

/// Writes all files or none.
fn write(folder: &Path, files: &[File]) -> Result<(), NewError> {
    let there: Vec<PathBuf> = files
        .iter()
        .map(|(path, _)| folder.join(path))
        .filter(|path| path.symlink_metadata().is_ok())
        .collect();
    if !there.is_empty() {
        return Err(NewError::Exists(there));
    }
    let mut made = Vec::new();
    files
        .iter()
        .try_for_each(|(path, content)| write_file(&folder.join(path), content, &mut made))
        .inspect_err(|_| {
            for path in made.iter().rev() {
                let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
            }
        })
}

/// Writes one file and the folders above it; `made` gets what was not there before.
fn write_file(path: &Path, content: &str, made: &mut Vec<PathBuf>) -> Result<(), NewError> {
    fn failed(path: &Path) -> impl Fn(io::Error) -> NewError {
        move |reason| NewError::Write { path: path.to_owned(), reason }
    }
    let missing: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder).map_err(failed(folder))?;
        made.push(folder.to_owned());
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed(path))?;
    made.push(path.to_owned());
    file.write_all(content.as_bytes()).map_err(failed(path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LANGUAGES: [Language; 3] = [Language::Rust, Language::C, Language::Python];

    /// Everything below a folder, relative to it.
    fn tree(folder: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                found.insert(path.strip_prefix(folder).unwrap().display().to_string());
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        found
    }

    #[test]
    fn a_name_is_lower_case_words_joined_by_dashes() {
        for name in ["motd", "site-motd", "a1-2b"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "-", "a-", "-a", "a--b", "Motd", "a_b", "a b", "../a", "a/b", "1a", "ä", &long] {
            assert!(!is_name(name), "{name}");
            let said = project(name, Language::C).unwrap_err().to_string();
            assert!(said.contains("lower case words joined by -, as site-motd"), "{said}");
        }
    }

    #[test]
    fn every_language_gets_the_same_example_under_the_hooks_own_name() {
        for language in LANGUAGES {
            let files = project("site-motd", language).unwrap();
            for (shared, _) in SHARED {
                assert!(files.iter().any(|(path, _)| path == shared), "{language:?}: {shared}");
            }
            for (path, text) in files {
                assert!(!text.contains(PLACEHOLDER), "{language:?}: {path}");
                assert!(!text.contains(BUILD), "{language:?}: {path}");
            }
        }
    }

    #[test]
    fn the_sdk_is_carried_whole() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hooks/guests/sdk");
        let there: BTreeSet<String> = tree(&sdk)
            .into_iter()
            .filter(|path| sdk.join(path).is_file() && !path.contains("target"))
            .collect();
        let carried: BTreeSet<String> =
            SDK.iter().filter_map(|(path, _)| path.strip_prefix("sdk/")).map(str::to_owned).collect();
        assert_eq!(carried, there);
    }

    #[test]
    fn the_lock_holds_the_versions_of_the_examples_and_no_example() {
        let lock = lock("site-motd").unwrap();
        let names = |lock: &str| -> Vec<String> {
            lock.lines().filter_map(|line| line.strip_prefix("name = ")).map(str::to_owned).collect()
        };
        let ours = names(&lock);
        assert!(ours.is_sorted(), "cargo --locked takes no other order: {ours:?}");
        for name in ["\"site-motd\"", "\"biomero-hooks-guest\"", "\"wit-bindgen\""] {
            assert!(ours.iter().any(|other| other == name), "{name}");
        }
        assert!(!lock.contains("nat-worker") && !lock.contains("\n\n\n"), "{lock}");
        let refused = project("bitflags", Language::Rust).unwrap_err().to_string();
        assert!(refused.contains("choose another name"), "{refused}");
        assert!(project("nat-worker", Language::Rust).is_ok());
    }

    #[test]
    fn a_project_joins_what_else_is_in_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("LICENSE"), "ours").unwrap();
        let files = project("site-motd", Language::Rust).unwrap();
        write(scratch.path(), &files).unwrap();
        for (path, text) in files {
            assert_eq!(fs::read_to_string(scratch.path().join(path)).unwrap(), text, "{path}");
        }
    }

    #[test]
    fn nothing_is_overwritten_and_everything_in_the_way_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("site-motd");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("hook.toml"), "ours").unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.join("hook.c")).unwrap();
        let refused = write(&folder, &project("site-motd", Language::C).unwrap()).unwrap_err().to_string();
        for path in ["site-motd/hook.toml", "site-motd/hook.c"] {
            assert!(refused.contains(path), "{refused}");
        }
        assert_eq!(tree(&folder), BTreeSet::from(["hook.c".to_owned(), "hook.toml".to_owned()]));
        assert_eq!(fs::read_to_string(folder.join("hook.toml")).unwrap(), "ours");
    }

    #[test]
    fn a_project_that_cannot_be_written_whole_is_not_written_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("deep/site-motd");
        let mut files = project("site-motd", Language::Rust).unwrap();
        // A folder cannot stand where a file was written just before.
        files.push(("README.md/below", String::new()));
        let refused = write(&folder, &files).unwrap_err().to_string();
        assert!(refused.contains("README.md/below"), "{refused}");
        assert_eq!(tree(scratch.path()), BTreeSet::new());
    }
}
