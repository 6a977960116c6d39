//! What is written gets its name when it is whole: it is made beside its place, hidden, and renamed. What is not finished goes
//! with the value that holds it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::write_error::WriteError;

/// A folder that has no name yet.
#[derive(Debug)]
pub(crate) struct Folder {
    beside: TempDir,
    target: PathBuf,
}

/// A file that has no name yet.
#[derive(Debug)]
pub(crate) struct Single {
    beside: NamedTempFile,
    target: PathBuf,
}

/// The folder that it is made in, which is there, and the beginning of its hidden name.
fn place(target: &Path) -> Result<(PathBuf, String), WriteError> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(WriteError::Occupied { path: target.to_owned() });
    }
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(WriteError::io("make", parent))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // What a name may be long, less what is put around it.
    let short: String = name.chars().take(48).collect();
    Ok((parent.to_owned(), format!(".{short}.")))
}

impl Folder {
    /// Begins one.
    pub(crate) fn new(target: &Path) -> Result<Self, WriteError> {
        let (parent, prefix) = place(target)?;
        // As any other folder: the mask takes what others may not.
        let beside = Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(&parent)
            .map_err(WriteError::io("make a folder in", parent))?;
        Ok(Self { beside, target: target.to_owned() })
    }

    /// Where it is so far.
    pub(crate) fn path(&self) -> &Path {
        self.beside.path()
    }

    /// Gives it its name.
    pub(crate) fn publish(self) -> Result<(), WriteError> {
        // Renaming replaces an empty folder, and nothing else.
        fs::rename(self.beside.path(), &self.target).map_err(WriteError::io("name", &self.target))?;
        let _ = self.beside.keep();
        Ok(())
    }
}

impl Single {
    /// Begins one.
    pub(crate) fn new(target: &Path) -> Result<Self, WriteError> {
        let (parent, prefix) = place(target)?;
        let beside = Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&parent)
            .map_err(WriteError::io("make a file in", parent))?;
        Ok(Self { beside, target: target.to_owned() })
    }

    /// What is written to.
    pub(crate) fn file(&self) -> &fs::File {
        self.beside.as_file()
    }

    /// Where it is so far.
    pub(crate) fn path(&self) -> &Path {
        self.beside.path()
    }

    /// Gives it its name.
    pub(crate) fn publish(self) -> Result<(), WriteError> {
        let Self { beside, target } = self;
        beside
            .persist_noclobber(&target)
            .map(drop)
            .map_err(|error| WriteError::io("name", target)(error.error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn it_has_its_name_when_it_is_whole_and_leaves_nothing_when_it_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("deep/image.zarr");
        let names = || fs::read_dir(folder.path().join("deep")).expect("it is there").count();
        drop(Folder::new(&target).expect("there is room"));
        drop(Single::new(&target).expect("there is room"));
        assert_eq!(names(), 0);
        let whole = Folder::new(&target).expect("there is room");
        fs::write(whole.path().join("file"), "content").expect("it is written");
        whole.publish().expect("nothing is in the way");
        assert_eq!(fs::read_to_string(target.join("file")).expect("it is there"), "content");
        assert_eq!(names(), 1);
    }

    #[test]
    fn what_is_there_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("image.tif");
        let late = Single::new(&target).expect("there is room");
        late.file().write_all(b"late").expect("it is written");
        fs::write(&target, "early").expect("it is written");
        assert!(matches!(late.publish(), Err(WriteError::Occupied { .. })));
        assert!(matches!(Single::new(&target), Err(WriteError::Occupied { .. })));
        assert!(matches!(Folder::new(&target), Err(WriteError::Occupied { .. })));
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "early");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    }
}
