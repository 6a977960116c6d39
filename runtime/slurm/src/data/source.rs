//! What is to be sent: a folder of this machine, entry by entry.
//!
//! Invariants: the order is that of the names' bytes, a folder before what is in it, so that two walks over the same
//! files agree; memory is bounded whatever a folder holds (what does not fit is read in further passes over it); links are
//! taken as links, never followed, and refused where they leave the input.

use std::collections::{BinaryHeap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use super::Error;

/// How many names of one folder are held at a time.
const MOST_NAMES: usize = 16_384;
/// How many of them are kept while a folder in it is walked.
const KEPT_NAMES: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    File,
    Folder,
    Link(PathBuf),
}

/// A file, a folder or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Below the root.
    pub(crate) path: PathBuf,
    pub(crate) what: What,
    /// In bytes; 0 for what is no file.
    pub(crate) size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub(crate) modified: (i64, u32),
    /// Permissions alone: the lower nine bits.
    pub(crate) mode: u32,
}

impl Entry {
    /// What is at `root/path` now.
    pub(crate) fn at(root: &Path, path: PathBuf) -> Result<Self, Error> {
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let metadata = fs::symlink_metadata(&full).map_err(Error::here("look at", &full))?;
        Self::of(&full, path, &metadata)
    }

    /// What is known of it.
    pub(crate) fn of(full: &Path, path: PathBuf, metadata: &fs::Metadata) -> Result<Self, Error> {
        let kind = metadata.file_type();
        let what = if kind.is_file() {
            What::File
        } else if kind.is_dir() {
            What::Folder
        } else if kind.is_symlink() {
            What::Link(fs::read_link(full).map_err(Error::here("read the link", full))?)
        } else {
            debug_assert!(
                kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device()
            );
            return Err(Error::Special { path });
        };
        let size = if what == What::File { metadata.len() } else { 0 };
        let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
        Ok(Self {
            path,
            what,
            size,
            modified: (metadata.mtime(), nanoseconds),
            mode: metadata.mode() & 0o777,
        })
    }
}

/// The entries below a folder.
#[derive(Debug)]
pub(crate) struct Walk {
    root: PathBuf,
    canonical: PathBuf,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    folder: PathBuf,
    names: VecDeque<OsString>,
    /// Names that come behind those held.
    more: bool,
}

impl Walk {
    /// Those of a folder; the folder itself is not among them.
    pub(crate) fn new(root: &Path) -> Result<Self, Error> {
        let canonical = fs::canonicalize(root).map_err(Error::here("look at", root))?;
        let mut walk = Self { root: root.to_owned(), canonical, levels: Vec::new() };
        walk.enter(PathBuf::new())?;
        Ok(walk)
    }

    fn enter(&mut self, folder: PathBuf) -> Result<(), Error> {
        if let Some(level) = self.levels.last_mut()
            && level.names.len() > KEPT_NAMES
        {
            level.names.truncate(KEPT_NAMES);
            level.names.shrink_to_fit();
            level.more = true;
        }
        let (names, more) = names_after(&self.root.join(&folder), None)?;
        self.levels.push(Level { folder, names, more });
        Ok(())
    }

    fn entry(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(name) = level.names.pop_front() else {
                self.levels.pop();
                continue;
            };
            if level.names.is_empty() && level.more {
                (level.names, level.more) = names_after(&self.root.join(&level.folder), Some(&name))?;
            }
            let entry = Entry::at(&self.root, level.folder.join(&name))?;
            match &entry.what {
                What::File => {}
                What::Folder => self.enter(entry.path.clone())?,
                What::Link(leads) => self.check(&entry.path, leads)?,
            }
            return Ok(Some(entry));
        }
    }

    /// A link has to lead to something within, by its text as well as by what it meets on the way.
    fn check(&self, path: &Path, leads: &Path) -> Result<(), Error> {
        let refused = || Error::Link { path: path.to_owned(), leads: leads.to_owned() };
        let mut depth = path.components().count().saturating_sub(1);
        for component in leads.components() {
            match component {
                Component::Normal(_) => depth += 1,
                Component::CurDir => {}
                Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(refused)?,
                Component::RootDir | Component::Prefix(_) => return Err(refused()),
            }
        }
        match fs::canonicalize(self.root.join(path)) {
            Ok(end) if end.starts_with(&self.canonical) => Ok(()),
            _ => Err(refused()),
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.entry().transpose();
        if matches!(next, Some(Err(_))) {
            self.levels.clear();
        }
        next
    }
}

/// The first names behind `after`, in order, and whether there are more.
fn names_after(folder: &Path, after: Option<&OsStr>) -> Result<(VecDeque<OsString>, bool), Error> {
    let mut first = BinaryHeap::new();
    let mut more = false;
    for entry in fs::read_dir(folder).map_err(Error::here("list", folder))? {
        let name = entry.map_err(Error::here("list", folder))?.file_name();
        if after.is_some_and(|after| name.as_os_str() <= after) {
            continue;
        }
        first.push(name);
        if first.len() > MOST_NAMES {
            first.pop();
            more = true;
        }
    }
    Ok((first.into_sorted_vec().into(), more))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(root: &Path) -> Result<Vec<String>, Error> {
        Walk::new(root)?.map(|entry| Ok(entry?.path.to_string_lossy().into_owned())).collect()
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_names_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b/c", "b/a", "empty/x"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        fs::write(folder.path().join("a"), "").expect("a file");
        symlink("../a", folder.path().join("b/link")).expect("a link");
        let found = paths(folder.path()).expect("a walk");
        assert_eq!(found, ["a", "b", "b/a", "b/c", "b/link", "empty", "empty/x"]);
    }

    #[test]
    fn a_folder_with_more_names_than_are_held_is_walked_whole_and_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("n000500")).expect("a folder");
        fs::write(folder.path().join("n000500/inside"), "").expect("a file");
        let many = MOST_NAMES + 700;
        for number in (0..many).filter(|number| *number != 500) {
            fs::File::create(folder.path().join(format!("n{number:06}"))).expect("a file");
        }
        let found = paths(folder.path()).expect("a walk");
        assert_eq!(found.len(), many + 1);
        assert!(found.is_sorted(), "out of order");
    }

    #[test]
    fn a_link_that_leaves_the_input_is_refused_by_name() {
        for leads in ["/etc/passwd", "../../x", "missing", "sub/../../other/../x"] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir(folder.path().join("sub")).expect("a folder");
            symlink(leads, folder.path().join("link")).expect("a link");
            let refused = paths(folder.path()).expect_err("refused");
            assert!(matches!(&refused, Error::Link { path, .. } if path == Path::new("link")), "{refused}");
        }
    }

    #[test]
    fn a_pipe_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&folder.path().join("pipe"), mode).expect("a pipe");
        let refused = paths(folder.path()).expect_err("refused");
        assert!(matches!(&refused, Error::Special { path } if path == Path::new("pipe")), "{refused}");
    }
}
