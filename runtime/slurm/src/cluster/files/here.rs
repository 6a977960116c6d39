//! Files of this machine.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Entry, Kind, Metadata};

/// Relative paths begin at the home folder, as those of commands.
pub(super) fn absolute(path: &Path) -> PathBuf {
    match std::env::home_dir() {
        Some(home) => home.join(path),
        None => path.to_owned(),
    }
}

pub(super) fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(told) => Ok(Some(read_metadata(&told))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn list(folder: &Path) -> io::Result<Vec<Entry>> {
    let entries = fs::read_dir(folder)?.map(|entry| {
        let entry = entry?;
        Ok(Entry { name: entry.file_name().into(), metadata: read_metadata(&entry.metadata()?) })
    });
    // What is removed meanwhile is not there.
    let there =
        |entry: &io::Result<Entry>| !matches!(entry, Err(error) if error.kind() == ErrorKind::NotFound);
    entries.filter(there).collect()
}

pub(super) fn read(path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    file.seek(io::SeekFrom::Start(offset))?;
    let mut read = Vec::new();
    file.take(most as u64).read_to_end(&mut read)?;
    Ok(read)
}

pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    // Removed where it is not renamed.
    let mut file = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)?;
    file.as_file().set_permissions(Permissions::from_mode(mode & 0o7777))?;
    file.write_all(content)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        outcome => outcome,
    }
}

fn read_metadata(told: &fs::Metadata) -> Metadata {
    let kind = match told.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        _ => Kind::Other,
    };
    let seconds = u64::try_from(told.mtime()).unwrap_or(0);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Metadata { kind, size: told.len(), modified: Some(modified), mode: told.mode() & 0o7777 }
}
