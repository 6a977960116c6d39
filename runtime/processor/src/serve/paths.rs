//! Which paths of this machine workflows may read and write, where the settings limit it (`workflow.paths`).
//!
//! Whoever asks says paths, and what they lead to is read and written by the worker's user, who may more than they. So a path
//! is looked at when it is asked for and again when it is used: links are followed first, also those within a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use biomero_workflow::{Input, Problem, Request, Results};

/// How deep folders are looked into, and at how many things.
const DEEPEST: usize = 64;
const MOST: usize = 1_000_000;

/// The folders that everything has to be in; any where there are none.
#[derive(Debug, Clone)]
pub(super) struct Paths(Vec<PathBuf>);

impl Paths {
    /// As the settings say.
    pub(super) const fn new(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// What of a request lies elsewhere. `attached`: files that its parameters name.
    pub(super) fn admit(&self, request: &Request, attached: &[&Path]) -> Vec<Problem> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        let mut look = |field: &str, outside: Option<String>| {
            problems.extend(outside.map(|told| Problem::new(field, told)));
        };
        for input in &request.inputs {
            if let Input::Path(path) = input {
                look("inputs", self.outside_within(path));
            }
        }
        for path in attached {
            look("parameters", self.outside_within(path));
        }
        if let Results::Directory(path) = &request.results {
            // They are put together beside where they go.
            let above = path.parent().unwrap_or(path);
            look("results", self.outside(path).or_else(|| self.outside(above)));
        }
        problems.truncate(10);
        problems
    }

    /// The same when it is used: links may lead elsewhere by now.
    pub(super) fn check(&self, request: &Request, attached: &[&Path]) -> Option<Problem> {
        self.admit(request, attached).into_iter().next()
    }

    /// Why a path is refused: where it leads to is in none of the folders.
    fn outside(&self, path: &Path) -> Option<String> {
        let resolved = match resolved(path) {
            Ok(resolved) => resolved,
            Err(error) => return Some(format!("{}: {error}", path.display())),
        };
        let is_within =
            |folder: &PathBuf| fs::canonicalize(folder).is_ok_and(|folder| resolved.starts_with(folder));
        if self.0.iter().any(is_within) {
            return None;
        }
        let folders: Vec<String> = self.0.iter().map(|folder| folder.display().to_string()).collect();
        let leads =
            if resolved == path { String::new() } else { format!(" leads to {}, which", resolved.display()) };
        Some(format!(
            "{}{leads} is in none of the folders of workflow.paths: {}",
            path.display(),
            folders.join(", ")
        ))
    }

    /// The same of a file, or a folder and the links in it.
    fn outside_within(&self, path: &Path) -> Option<String> {
        if let Some(told) = self.outside(path) {
            return Some(told);
        }
        let mut left = MOST;
        match self.link_outside(path, DEEPEST, &mut left) {
            Ok(found) => found,
            Err(error) => Some(format!("{} cannot be looked through: {error}", path.display())),
        }
    }

    fn link_outside(&self, folder: &Path, depth: usize, left: &mut usize) -> io::Result<Option<String>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let too_much = || io::Error::other("its folders are too deep, or hold too much");
        let depth = depth.checked_sub(1).ok_or_else(too_much)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            *left = left.checked_sub(1).ok_or_else(too_much)?;
            let kind = entry.file_type()?;
            let outside = if kind.is_symlink() { self.outside(&entry.path()) } else { None };
            if outside.is_some() {
                return Ok(outside);
            }
            // What a link within leads to is looked at where it is, or is outside.
            if (kind.is_dir() || kind.is_symlink())
                && let Some(found) = self.link_outside(&entry.path(), depth, left)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// A path without links; of one that is not there yet, the folders above it that are.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(error) };
            // A link that leads to nothing yet would be followed by whoever writes there.
            if path.is_symlink() {
                return Err(io::Error::other("it is a link that leads nowhere"));
            }
            Ok(resolved(parent)?.join(name))
        }
        resolved => resolved,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_is_where_it_leads_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its path");
        let (data, other) = (root.join("data"), root.join("other"));
        for made in [data.join("cells"), other.clone()] {
            fs::create_dir_all(made).expect("a folder");
        }
        fs::write(other.join("secret"), "s").expect("a file");
        symlink(&other, data.join("away")).expect("a link");
        symlink(data.join("cells"), other.join("back")).expect("a link");
        symlink(other.join("nothing"), data.join("dangling")).expect("a link");
        let paths = Paths::new(vec![data.clone()]);
        for inside in [data.clone(), data.join("cells"), data.join("new/results"), other.join("back")] {
            assert_eq!(paths.outside(&inside), None, "{}", inside.display());
        }
        for outside in [
            other.clone(),
            root.join("data2"),
            data.join("../other"),
            data.join("away/secret"),
            data.join("away/new"),
            data.join("dangling"),
        ] {
            assert!(paths.outside(&outside).is_some(), "{}", outside.display());
        }
        let told = paths.outside(&data.join("away")).expect("a reason");
        assert!(told.contains("leads to") && told.contains("workflow.paths"), "{told}");
    }

    #[test]
    fn a_link_within_a_folder_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its path");
        let images = root.join("data/cells/deep");
        fs::create_dir_all(&images).expect("a folder");
        fs::write(images.join("one.tif"), "pixels").expect("a file");
        symlink("one.tif", images.join("two.tif")).expect("a link");
        let paths = Paths::new(vec![root.join("data")]);
        assert_eq!(paths.outside_within(&root.join("data/cells")), None);
        symlink("/etc/passwd", images.join("three.tif")).expect("a link");
        let told = paths.outside_within(&root.join("data/cells")).expect("a reason");
        assert!(told.contains("three.tif leads to /etc/passwd"), "{told}");
        symlink(root.join("data"), images.join("up")).expect("a link");
        fs::remove_file(images.join("three.tif")).expect("it goes");
        assert!(paths.outside_within(&root.join("data/cells")).is_some(), "a loop has no end");
    }

    #[test]
    fn where_nothing_is_named_everything_may_be() {
        let request = Request {
            workflow: "copy".to_owned(),
            version: None,
            inputs: vec![Input::Path("/etc".into())],
            parameters: Vec::new(),
            user: -1,
            group: -1,
            results: Results::Directory("/anywhere".into()),
            policy: biomero_workflow::Policy::default(),
        };
        assert_eq!(Paths::new(Vec::new()).admit(&request, &[]), []);
        let fields: Vec<String> = Paths::new(vec!["/nowhere".into()])
            .admit(&request, &[Path::new("/etc/passwd")])
            .into_iter()
            .map(|problem| problem.field)
            .collect();
        assert_eq!(fields, ["inputs", "parameters", "results"]);
    }
}
