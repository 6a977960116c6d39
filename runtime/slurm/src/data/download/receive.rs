//! Writes what comes into files of this machine, and hashes it on the way. Runs on a thread that may block.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::data::Error;
use crate::data::batch::{Batch, Piece};
use crate::data::digest::{Digest, answered, single};
use crate::data::produce::listed;
use crate::data::progress::Meter;
use crate::data::results::ChunkReader;
use crate::data::source::{Entry, What};

/// What the digests of a batch may take, in bytes.
const LARGEST_ANSWER: u64 = 4 << 20;

/// The folders of a batch without files.
pub(super) fn folders(content: &Path, batch: &Batch) -> Result<Vec<Option<Digest>>, Error> {
    for entry in batch.entries.iter().filter(|entry| entry.what == What::Folder) {
        folder(&content.join(&entry.path), entry.mode)?;
    }
    Ok(vec![None; batch.entries.len()])
}

fn folder(path: &Path, mode: u32) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::here("make", path))?;
    // One that its owner cannot enter or write to would keep out what is to be in it.
    fs::set_permissions(path, Permissions::from_mode(mode | 0o700)).map_err(Error::here("make", path))
}

fn create(path: &Path, truncate: bool) -> Result<File, Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::here("make", parent))?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(Error::here("write", path))
}

/// Contents of the files in order, then their digests. Returns those of the files that are right.
pub(super) fn files(
    content: &Path,
    batch: &Batch,
    chunks: mpsc::Receiver<Vec<u8>>,
    meter: &Meter,
) -> Result<Vec<Option<Digest>>, Error> {
    let mut chunks = ChunkReader::new(chunks);
    let mut ours = vec![None; batch.entries.len()];
    for (entry, digest) in batch.entries.iter().zip(&mut ours) {
        let path = content.join(&entry.path);
        if entry.what == What::Folder {
            folder(&path, entry.mode)?;
            continue;
        }
        let mut file = create(&path, true)?;
        let mut hash = Sha256::new();
        let mut left = entry.size;
        while left > 0 {
            let some = chunks.some(left);
            if some.is_empty() {
                // It broke off: this one and those behind it are not here.
                return Ok(vec![None; batch.entries.len()]);
            }
            file.write_all(some).map_err(Error::here("write", &path))?;
            hash.update(some);
            left -= some.len() as u64;
            meter.bytes(some.len() as u64);
        }
        *digest = Some(Digest::of(hash));
        finish(&file, &path, entry)?;
    }
    let mut answer = Vec::new();
    chunks.take(LARGEST_ANSWER).read_to_end(&mut answer).map_err(Error::here("read", "an answer"))?;
    let names: Vec<Vec<u8>> = batch.files().map(|(_, entry)| listed(entry)).collect();
    for ((at, _), theirs) in batch.files().zip(answered(&answer, &names)) {
        if let Some(ours) = ours.get_mut(at)
            && *ours != theirs
        {
            *ours = None;
        }
    }
    Ok(ours)
}

fn finish(file: &File, path: &Path, entry: &Entry) -> Result<(), Error> {
    let (seconds, nanoseconds) = entry.modified;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    if let Some(moment) =
        moment.and_then(|moment| moment.checked_add(Duration::from_nanos(nanoseconds.into())))
    {
        file.set_modified(moment).map_err(Error::here("set the time of", path))?;
    }
    file.set_permissions(Permissions::from_mode(entry.mode)).map_err(Error::here("set the mode of", path))
}

/// A piece, then its digest; none where it is not right.
pub(super) fn piece(
    path: &Path,
    piece: Piece,
    chunks: mpsc::Receiver<Vec<u8>>,
    meter: &Meter,
) -> Result<Option<Digest>, Error> {
    let mut chunks = ChunkReader::new(chunks);
    let file = create(path, false)?;
    let mut hash = Sha256::new();
    let mut done = 0;
    while done < piece.length {
        let some = chunks.some(piece.length - done);
        if some.is_empty() {
            return Ok(None);
        }
        file.write_all_at(some, piece.offset + done).map_err(Error::here("write", path))?;
        hash.update(some);
        done += some.len() as u64;
        meter.bytes(some.len() as u64);
    }
    let mut answer = Vec::new();
    chunks.take(LARGEST_ANSWER).read_to_end(&mut answer).map_err(Error::here("read", "an answer"))?;
    let ours = Digest::of(hash);
    Ok((single(&answer) == Some(ours)).then_some(ours))
}

/// Length, mode and time of a file that came in pieces.
pub(super) fn dress(content: &Path, entry: &Entry) -> Result<(), Error> {
    let path = content.join(&entry.path);
    let file = create(&path, false)?;
    file.set_len(entry.size).map_err(Error::here("write", &path))?;
    finish(&file, &path, entry)
}

/// One digest for the files of a batch that are here; none where one is missing or has another size.
pub(super) fn on_disk(content: &Path, batch: &Batch) -> Option<Digest> {
    let mut digests = Vec::new();
    for entry in &batch.entries {
        let path = content.join(&entry.path);
        let metadata = fs::symlink_metadata(&path).ok()?;
        match entry.what {
            What::File if metadata.is_file() && metadata.len() == entry.size => {
                digests.push(piece_on_disk(&path, Piece { offset: 0, length: entry.size })?);
            }
            What::Folder if metadata.is_dir() => {}
            _ => return None,
        }
    }
    Some(Digest::fold(digests))
}

/// The digest of a piece that is here; none where the file is shorter.
pub(super) fn piece_on_disk(path: &Path, piece: Piece) -> Option<Digest> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut done = 0;
    while done < piece.length {
        let most = usize::try_from(piece.length - done).unwrap_or(usize::MAX).min(buffer.len());
        let read =
            file.read_at(buffer.get_mut(..most)?, piece.offset + done).ok().filter(|read| *read > 0)?;
        hash.update(buffer.get(..read)?);
        done += read as u64;
    }
    Some(Digest::of(hash))
}
