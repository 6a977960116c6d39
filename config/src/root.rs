//! Paths of a container looked at from outside: every absolute path and symlink is taken below a root, as `chroot`
//! would. Invariant: what is returned lies below the root.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// As Linux's own limit on symlinks in one resolution (path_resolution(7)).
const SYMLINKS: usize = 40;

/// The path as the system has it: below the root, symlinks on the way resolved below the root too, and the last one
/// if `follow_last`. Below `/` a path is itself.
///
/// # Errors
/// More than 40 symlinks on the way.
pub fn locate(root: &Path, path: &Path, follow_last: bool) -> io::Result<PathBuf> {
    if root == Path::new("/") {
        return Ok(path.to_owned());
    }
    let mut located = root.to_owned();
    let mut depth = 0_usize;
    let mut links = 0;
    // Reversed, so that the next component is popped and a symlink's target is pushed.
    let mut pending: Vec<PathBuf> = components(path);
    while let Some(component) = pending.pop() {
        if component.as_os_str() == ".." {
            if depth > 0 {
                located.pop();
                depth -= 1;
            }
            continue;
        }
        let candidate = located.join(&component);
        let target = (follow_last || !pending.is_empty()).then(|| fs::read_link(&candidate).ok()).flatten();
        match target {
            Some(target) => {
                links += 1;
                if links > SYMLINKS {
                    return Err(io::Error::other("more than 40 symbolic links on the way"));
                }
                if target.is_absolute() {
                    root.clone_into(&mut located);
                    depth = 0;
                }
                pending.extend(components(&target));
            }
            None => {
                located = candidate;
                depth += 1;
            }
        }
    }
    Ok(located)
}

fn components(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(PathBuf::from(name)),
            Component::ParentDir => Some(PathBuf::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
