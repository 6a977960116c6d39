//! Other names of this program: as `omero-zarr`, and as `omero`, it is called in place of omero-cli-zarr by what knows only that.
//!
//! Called `omero`, it does `omero zarr`; whatever else is asked of it is left to the next `omero` on the `PATH`, which it becomes.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// The subject that stands for them.
const SUBJECT: &str = "omero-zarr";

/// Why nobody does what was asked.
#[derive(Debug, Error)]
pub(crate) enum Unanswered {
    /// There is no other.
    #[error(
        "`omero {0}` is nothing that is done here, and there is no other omero on the PATH: install omero-py, or put it on the PATH"
    )]
    Alone(String),
    /// It cannot be run.
    #[error("cannot become {}: {source}", path.display())]
    Run {
        /// The other.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The arguments as `processor` would have them. Where somebody else is meant, this process becomes them.
pub(crate) fn arguments(
    arguments: impl IntoIterator<Item = OsString>,
    path: Option<&OsStr>,
) -> Result<Vec<OsString>, Unanswered> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments.first().and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    match name.to_str() {
        Some("omero-zarr") => arguments.insert(1, SUBJECT.into()),
        Some("omero") => match arguments.get_mut(1) {
            Some(subject) if *subject == "zarr" => *subject = SUBJECT.into(),
            _ => {
                let itself = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
                return Err(become_other(&arguments, path, itself.as_deref()));
            }
        },
        _ => {}
    }
    Ok(arguments)
}

/// Returns only where it fails.
fn become_other(arguments: &[OsString], path: Option<&OsStr>, itself: Option<&Path>) -> Unanswered {
    let Some(other) = other(path, itself) else {
        let asked = arguments.get(1).map(|word| word.to_string_lossy().into_owned());
        return Unanswered::Alone(asked.unwrap_or_default());
    };
    let source = Command::new(&other).args(arguments.iter().skip(1)).exec();
    Unanswered::Run { path: other, source }
}

/// The first `omero` on the `PATH` that is not this program.
fn other(path: Option<&OsStr>, itself: Option<&Path>) -> Option<PathBuf> {
    let is_other = |candidate: &PathBuf| {
        let found = candidate.canonicalize().ok().filter(|found| found.is_file());
        found.is_some_and(|found| Some(found.as_path()) != itself)
    };
    std::env::split_paths(path?).map(|folder| folder.join("omero")).find(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(OsString::from);
        let arguments = arguments(words, None).expect("it is for us");
        arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn other_names_are_a_subject() {
        assert_eq!(spoken(&["processor", "omero"]), ["processor", "omero"]);
        assert_eq!(spoken(&["/bin/omero-zarr", "-k", "7"]), ["/bin/omero-zarr", "omero-zarr", "-k", "7"]);
        assert_eq!(spoken(&["omero", "zarr", "export"]), ["omero", "omero-zarr", "export"]);
    }

    #[test]
    fn what_is_not_ours_is_left_to_the_next_on_the_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let [shim, real] = ["shim", "real"].map(|name| folder.path().join(name));
        for path in [&shim, &real] {
            std::fs::create_dir(path).expect("a folder");
        }
        let itself = folder.path().join("processor");
        for file in [&itself, &real.join("omero")] {
            std::fs::write(file, "").expect("a file");
        }
        std::os::unix::fs::symlink(&itself, shim.join("omero")).expect("a link");
        let path = std::env::join_paths([&shim, &real]).expect("a path");
        assert_eq!(other(Some(&path), Some(&itself)), Some(real.join("omero")));
        assert_eq!(other(Some(shim.as_os_str()), Some(&itself)), None);
        assert_eq!(other(None, None), None);
        let error =
            arguments(["omero", "login"].map(OsString::from), Some(OsStr::new(""))).expect_err("alone");
        assert!(error.to_string().contains("`omero login`"), "{error}");
    }
}
