//! What is written gets its name when it is whole: it is made beside its place, hidden, and renamed. What is not finished goes
//! with the value that holds it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::{Builder, NamedTempFile, TempDir};

use crate::manifest::{self, Manifest};
use crate::resume::{Journal, Request};
use crate::write_error::WriteError;

/// A folder that has no name yet.
#[derive(Debug)]
pub(crate) struct Folder {
    beside: Beside,
    target: PathBuf,
}

#[derive(Debug)]
enum Beside {
    /// Nobody finds it again.
    Once(TempDir),
    /// The next of the same request does.
    Kept(Staged),
}

/// What is staged under a name that follows from the target's: `.NAME.incoming`, in it the folder and a journal.
#[derive(Debug)]
struct Staged {
    folder: PathBuf,
    journal: Journal,
    /// Whether it stays when it is not published.
    keep: bool,
    overwrite: bool,
    is_over: bool,
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
    let parent = parent(target)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // What a name may be long, less what is put around it.
    let short: String = name.chars().take(48).collect();
    Ok((parent, format!(".{short}.")))
}

fn parent(target: &Path) -> Result<PathBuf, WriteError> {
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(WriteError::io("make", parent))?;
    Ok(parent.to_owned())
}

impl Folder {
    /// Begins one, or goes on with that of the same request where `goes_on` says that this is possible.
    pub(crate) fn new(target: &Path, request: Option<&Request>, goes_on: bool) -> Result<Self, WriteError> {
        let beside = match request {
            None => {
                let (parent, prefix) = place(target)?;
                // As any other folder: the mask takes what others may not.
                let beside = Builder::new()
                    .prefix(&prefix)
                    .suffix(".part")
                    .permissions(Permissions::from_mode(0o777))
                    .tempdir_in(&parent)
                    .map_err(WriteError::io("make a folder in", parent))?;
                Beside::Once(beside)
            }
            Some(request) => Beside::Kept(Staged::new(target, request, goes_on)?),
        };
        Ok(Self { beside, target: target.to_owned() })
    }

    /// Where it is so far.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.beside {
            Beside::Once(folder) => folder.path().to_owned(),
            Beside::Kept(staged) => staged.folder.join(IMAGE),
        }
    }

    /// What was done before, which is looked at now.
    pub(crate) fn verified(&mut self, manifest: &Manifest) -> Result<Option<&Journal>, WriteError> {
        let path = self.path();
        match &mut self.beside {
            Beside::Once(_) => Ok(None),
            Beside::Kept(staged) => {
                staged.journal.verify(&path, manifest)?;
                Ok(Some(&staged.journal))
            }
        }
    }

    /// Gives it its name.
    pub(crate) fn publish(self) -> Result<(), WriteError> {
        let (path, target) = (self.path(), &self.target);
        match self.beside {
            // Renaming replaces an empty folder, and nothing else.
            Beside::Once(folder) => {
                fs::rename(&path, target).map_err(WriteError::io("name", target))?;
                let _ = folder.keep();
            }
            Beside::Kept(mut staged) => {
                let old = staged.folder.join("replaced");
                let is_replaced = staged.overwrite && fs::symlink_metadata(target).is_ok();
                if is_replaced {
                    fs::rename(target, &old).map_err(WriteError::io("replace", target))?;
                }
                if let Err(error) = fs::rename(&path, target) {
                    if is_replaced {
                        fs::rename(&old, target).map_err(WriteError::io("name", target))?;
                    }
                    return Err(WriteError::io("name", target)(error));
                }
                staged.keep = false;
                staged.is_over = true;
            }
        }
        Ok(())
    }
}

/// The folder within what is staged.
const IMAGE: &str = "image";

impl Staged {
    fn new(target: &Path, request: &Request, goes_on: bool) -> Result<Self, WriteError> {
        let parent = match fs::symlink_metadata(target) {
            // Only what is an OME-Zarr is replaced by one.
            Ok(found) if request.overwrite && found.is_dir() && is_zarr(target) => parent(target)?,
            _ => place(target)?.0,
        };
        let folder = parent.join(incoming(target));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(WriteError::io("make", &folder)(error));
            }
            _ => {}
        }
        // The name can be known beforehand: what somebody else has put there leads who knows where.
        let found = fs::symlink_metadata(&folder).map_err(WriteError::io("look at", &folder))?;
        let ours = tempfile::tempfile_in(&parent).and_then(|file| file.metadata());
        let ours = ours.map_err(WriteError::io("make a file in", &parent))?;
        if !found.is_dir() || found.uid() != ours.uid() {
            return Err(WriteError::Foreign { path: folder });
        }
        let (journal, is_ours) = Journal::open(folder.join("journal"), request.digest())?;
        let image = folder.join(IMAGE);
        if !(is_ours && goes_on) && fs::symlink_metadata(&image).is_ok() {
            fs::remove_dir_all(&image).map_err(WriteError::io("remove", &image))?;
        }
        fs::create_dir_all(&image).map_err(WriteError::io("make", &image))?;
        // It was written last, and not renamed any more.
        match fs::remove_file(image.join(manifest::NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WriteError::io("remove", image.join(manifest::NAME))(error));
            }
            _ => {}
        }
        let Request { keep, overwrite, .. } = *request;
        Ok(Self { folder, journal, keep: keep && goes_on, overwrite, is_over: false })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.is_over || !self.keep {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Where what is staged for a target is: names that are too long for what is put around them are cut, and told apart by a digest.
pub(crate) fn incoming(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    match name.len() {
        0..=200 => format!(".{name}.incoming"),
        _ => {
            let short: String = name.chars().take(40).collect();
            let digest = manifest::hexadecimal(&Sha256::digest(name.as_bytes()));
            format!(".{short}.{}.incoming", &digest[..16])
        }
    }
}

fn is_zarr(folder: &Path) -> bool {
    [".zgroup", ".zattrs", "zarr.json"].iter().any(|name| folder.join(name).is_file())
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
        drop(Folder::new(&target, None, false).expect("there is room"));
        drop(Single::new(&target).expect("there is room"));
        assert_eq!(names(), 0);
        let whole = Folder::new(&target, None, false).expect("there is room");
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
        assert!(matches!(Folder::new(&target, None, false), Err(WriteError::Occupied { .. })));
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "early");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    }
}
