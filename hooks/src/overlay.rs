//! The disk as it will be: what earlier hooks planned lies over what is there.
//!
//! When effects are applied the overlay stays empty, for the disk itself has changed; in a dry run it fills up, so
//! that a later hook reads what an earlier one would have written and the plan of a fresh container is whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::context::{FileFact, Identity, TreeEntry};
use crate::disk::{Disk, TREE_ENTRIES, TREE_LIMIT};

/// A disk and what is planned on top of it.
#[derive(Debug)]
pub struct Overlay {
    disk: Disk,
    planned: BTreeMap<PathBuf, Planned>,
}

/// What a plan leaves at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Planned {
    /// A file.
    File {
        /// All of it.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A directory; `fresh` hides what the disk has below it.
    Directory {
        /// Permission bits.
        mode: u32,
        /// Whether the plan removed or moved what was there.
        fresh: bool,
    },
    /// Nothing.
    Absent,
}

impl Overlay {
    /// A disk with nothing planned.
    pub const fn over(disk: Disk) -> Self {
        Self { disk, planned: BTreeMap::new() }
    }

    /// The disk below.
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Plans something at a path.
    pub(crate) fn plan(&mut self, path: &Path, planned: Planned) {
        if planned == Planned::Absent {
            // What was planned below it goes with it.
            self.planned.retain(|other, _| !other.starts_with(path));
        }
        let fresh = self.hidden(path);
        let planned = match planned {
            Planned::Directory { mode, .. } => Planned::Directory { mode, fresh },
            other => other,
        };
        self.planned.insert(path.to_owned(), planned);
    }

    /// What is planned at exactly this path.
    pub(crate) fn planned(&self, path: &Path) -> Option<&Planned> {
        self.planned.get(path)
    }

    /// Whether the plan hides what the disk has at a path.
    pub(crate) fn hidden(&self, path: &Path) -> bool {
        path.ancestors().any(|ancestor| {
            matches!(
                self.planned.get(ancestor),
                Some(Planned::Absent | Planned::File { .. } | Planned::Directory { fresh: true, .. })
            )
        })
    }

    /// What will be at a path, symlinks followed.
    pub fn fact(&self, path: &Path, identity: &Identity) -> FileFact {
        match self.planned.get(path) {
            Some(Planned::File { content, mode }) => {
                FileFact::File { content: content.clone(), mode: *mode, uid: identity.service_uid }
            }
            Some(Planned::Directory { mode, .. }) => {
                FileFact::Directory { mode: *mode, uid: identity.service_uid, writable: true }
            }
            Some(Planned::Absent) => FileFact::Absent,
            None if self.hidden(path) => FileFact::Absent,
            None => self.disk.fact(path, identity),
        }
    }

    /// What will be below a directory, in path order; `None` when there will be no such directory.
    ///
    /// # Errors
    /// As [`Disk::tree`].
    pub fn tree(&self, root: &Path, identity: &Identity) -> Result<Option<Vec<TreeEntry>>, String> {
        let on_disk = if self.hidden(root) { None } else { self.disk.tree(root, identity)? };
        let planned_directory = matches!(self.planned.get(root), Some(Planned::Directory { .. }));
        if on_disk.is_none() && !planned_directory {
            return Ok(None);
        }
        let mut entries: BTreeMap<PathBuf, FileFact> = on_disk
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| !self.hidden(&root.join(&entry.path)))
            .map(|entry| (entry.path, entry.fact))
            .collect();
        for (path, planned) in self.planned.range(root.to_owned()..) {
            let Ok(below) = path.strip_prefix(root) else { break };
            if !below.as_os_str().is_empty() && *planned != Planned::Absent {
                entries.insert(below.to_owned(), self.fact(path, identity));
            }
        }
        Ok(Some(entries.into_iter().map(|(path, fact)| TreeEntry { path, fact }).collect()))
    }

    /// What will be directly in a directory under names that begin and end so, in name order.
    ///
    /// # Errors
    /// A sentence, when the directory cannot be listed or a limit is passed.
    pub fn matching(
        &self,
        directory: &Path,
        prefix: &str,
        suffix: &str,
        identity: &Identity,
    ) -> Result<Vec<TreeEntry>, String> {
        let mut names = self.names(directory, suffix).map_err(|error| error.to_string())?;
        names.retain(|name| name.starts_with(prefix) && name.len() >= prefix.len() + suffix.len());
        if names.len() > TREE_ENTRIES {
            return Err(format!("more than {TREE_ENTRIES} entries"));
        }
        let mut bytes = 0;
        names
            .into_iter()
            .map(|name| {
                let fact = self.fact(&directory.join(&name), identity);
                if let FileFact::File { content, .. } = &fact {
                    bytes += content.len() as u64;
                }
                if bytes > TREE_LIMIT {
                    return Err(format!("more than {} MiB", TREE_LIMIT >> 20));
                }
                Ok(TreeEntry { path: name.into(), fact })
            })
            .collect()
    }

    /// The UTF-8 names in a directory that end in a suffix, sorted.
    ///
    /// # Errors
    /// As [`Disk::names`].
    pub fn names(&self, directory: &Path, suffix: &str) -> io::Result<Vec<String>> {
        let on_disk = if self.hidden(directory) { Vec::new() } else { self.disk.names(directory)? };
        let mut names: Vec<String> = on_disk
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .filter(|name| !self.hidden(&directory.join(name)))
            .collect();
        names.extend(
            self.planned
                .iter()
                .filter(|(path, planned)| path.parent() == Some(directory) && **planned != Planned::Absent)
                .filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned())),
        );
        names.retain(|name| name.ends_with(suffix));
        names.sort();
        names.dedup();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn identity() -> Identity {
        Identity::of_this_process()
    }

    #[test]
    fn a_later_reader_sees_what_is_planned_and_not_what_it_replaces() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/old"), "old").unwrap();
        let mut overlay = Overlay::over(Disk::below(root.path()));
        overlay.plan(Path::new("/etc/old"), Planned::Absent);
        overlay.plan(Path::new("/etc/new"), Planned::File { content: b"new".to_vec(), mode: 0o600 });
        assert_eq!(overlay.fact(Path::new("/etc/old"), &identity()), FileFact::Absent);
        let tree = overlay.tree(Path::new("/etc"), &identity()).unwrap().unwrap();
        assert_eq!(tree.iter().map(|entry| entry.path.to_str().unwrap()).collect::<Vec<_>>(), ["new"]);
        assert_eq!(overlay.names(Path::new("/etc"), "").unwrap(), ["new"]);
    }

    #[test]
    fn a_directory_made_where_one_was_moved_away_is_empty() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        fs::write(root.path().join("tmp/left"), "x").unwrap();
        let mut overlay = Overlay::over(Disk::below(root.path()));
        overlay.plan(Path::new("/tmp"), Planned::Absent);
        overlay.plan(Path::new("/tmp"), Planned::Directory { mode: 0o700, fresh: false });
        assert_eq!(overlay.tree(Path::new("/tmp"), &identity()).unwrap().unwrap(), []);
        assert_eq!(overlay.fact(Path::new("/tmp/left"), &identity()), FileFact::Absent);
    }
}
