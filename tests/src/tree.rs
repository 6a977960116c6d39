//! A whole directory tree as a value, so that "nothing changed" can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::{Result, Trouble};

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Kind and permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Last change of the content, in nanoseconds.
    pub modified: i128,
    /// A file's content, a link's target.
    pub content: Vec<u8>,
}

/// Every path below a folder, the folder itself as the empty path.
pub type Tree = BTreeMap<PathBuf, Entry>;

/// Reads a tree. Mount points below it are left out, as `/proc` in a root folder is.
///
/// # Errors
/// Something cannot be read.
pub fn read(root: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let device = fs::metadata(root).map_err(Trouble::doing(format!("look at {}", root.display())))?.dev();
    read_into(root, Path::new(""), device, &mut tree)?;
    Ok(tree)
}

fn read_into(root: &Path, relative: &Path, device: u64, tree: &mut Tree) -> Result<()> {
    let path = root.join(relative);
    let failed = || Trouble::doing(format!("read {}", path.display()));
    let metadata = fs::symlink_metadata(&path).map_err(failed())?;
    if metadata.dev() != device {
        return Ok(());
    }
    let kind = metadata.file_type();
    let content = if kind.is_file() {
        fs::read(&path).map_err(failed())?
    } else if kind.is_symlink() {
        fs::read_link(&path).map_err(failed())?.into_os_string().into_encoded_bytes()
    } else {
        Vec::new()
    };
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let owner = (metadata.uid(), metadata.gid());
    tree.insert(relative.to_path_buf(), Entry { mode: metadata.mode(), owner, modified, content });
    if kind.is_dir() {
        for entry in fs::read_dir(&path).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            read_into(root, &relative.join(entry.file_name()), device, tree)?;
        }
    }
    Ok(())
}

/// What differs between two trees, one line a path; empty when they are equal.
pub fn differences(before: &Tree, after: &Tree) -> Vec<String> {
    let paths: std::collections::BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .filter_map(|path| match (before.get(path), after.get(path)) {
            (Some(old), Some(new)) if old == new => None,
            (Some(_), Some(_)) => Some(format!("changed {}", path.display())),
            (Some(_), None) => Some(format!("removed {}", path.display())),
            _ => Some(format!("added {}", path.display())),
        })
        .collect()
}
