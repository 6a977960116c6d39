//! One folder for everything that a test leaves while it runs.

use std::path::{Path, PathBuf};

use crate::{Result, Trouble};

/// A folder that is removed when dropped, unless `KEEP_SCRATCH` is set. Readable by every user, as a container's
/// root folder is.
#[derive(Debug)]
pub struct Scratch {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Scratch {
    /// A new folder below `/tmp`: paths of Unix sockets have to stay under 108 bytes.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::Builder::new()
            .prefix("biomero-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .map_err(Trouble::doing("make a scratch folder in /tmp"))?;
        let path = folder.path().to_path_buf();
        if std::env::var_os("KEEP_SCRATCH").is_some() {
            return Ok(Self { path: folder.keep(), folder: None });
        }
        Ok(Self { path, folder: Some(folder) })
    }

    /// From now on the folder stays: something failed, and what it left is to be looked at.
    pub fn keep(&mut self) {
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep();
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A sub-folder, made when missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(Trouble::doing(format!("make {}", path.display())))?;
        Ok(path)
    }

    /// Whether the folder goes away when this is dropped.
    pub const fn is_removed(&self) -> bool {
        self.folder.is_some()
    }
}
