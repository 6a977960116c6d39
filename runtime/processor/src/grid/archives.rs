//! OMERO's Java archives, for the `CLASSPATH` of scripts.

use std::path::{Path, PathBuf};

/// OMERO has some three hundred.
const MOST: usize = 4096;
/// How deep folders are looked into.
const DEPTH: usize = 6;

/// Every `*.jar` below `lib/server`, in order.
pub(super) fn archives(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    look(&home.join("lib/server"), DEPTH, &mut found);
    found.sort();
    found
}

fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    // A worker may have no part of the server.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth > 0 {
            look(&path, depth - 1, found);
        } else if !is_folder
            && path.extension().is_some_and(|extension| extension == "jar")
            && found.len() < MOST
        {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_found_in_folders_too_and_nothing_else_is() {
        let home = tempfile::tempdir().expect("a folder");
        for path in ["lib/server/b.jar", "lib/server/a/c.jar", "lib/server/d.txt", "lib/e.jar"] {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder is made");
            std::fs::write(path, "").expect("a file is written");
        }
        let at = |path: &str| home.path().join("lib/server").join(path);
        assert_eq!(archives(home.path()), [at("a/c.jar"), at("b.jar")]);
        assert!(archives(Path::new("/nowhere")).is_empty());
    }
}
