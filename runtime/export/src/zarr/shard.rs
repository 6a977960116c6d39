//! Several chunks in one file, as zarr v3's `sharding_indexed` has it: the chunks in any order, and an index of 16 bytes each,
//! its offset and its length, with a checksum behind it.
//!
//! Chunks are appended as they come, so that nothing waits in memory for a shard to be full. When the last one has come they
//! are put into the order of the index, which follows them: the same image is the same file, whoever was faster.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::array::Shard;
use crate::codec::crc32c;
use crate::source::ReadError;
use crate::write_error::WriteError;

/// The bytes of an index.
pub(crate) struct Index;

/// The largest index that is read: of 4 million chunks.
const LARGEST: usize = 64 << 20;

impl Index {
    /// Reads the index of a shard, without its checksum, which is right.
    pub(crate) fn read(file: &File, path: &Path, shard: &Shard) -> Result<Vec<u8>, ReadError> {
        let chunks = shard.chunks.iter().try_fold(16_usize, |bytes, chunks| bytes.checked_mul(*chunks));
        let many = || ReadError::damaged(path, "its index has more chunks than a shard can have");
        let bytes = chunks.filter(|bytes| *bytes <= LARGEST).ok_or_else(many)?;
        let sum = if shard.checked { 4 } else { 0 };
        let length = file.metadata().map_err(ReadError::io(path))?.len();
        let start = if shard.at_end { length.checked_sub((bytes + sum) as u64) } else { Some(0) };
        let short = || ReadError::damaged(path, "it is too short for the index of a shard");
        let mut index = vec![0; bytes + sum];
        match file.read_exact_at(&mut index, start.ok_or_else(short)?) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(short()),
            Err(error) => return Err(ReadError::io(path)(error)),
        }
        if let Some((entries, sum)) = index.split_last_chunk().filter(|_| shard.checked) {
            if u32::from_le_bytes(*sum) != crc32c(entries) {
                return Err(ReadError::damaged(path, "the checksum of its index is another"));
            }
            index.truncate(bytes);
        }
        Ok(index)
    }

    /// Where a chunk is: offset and length; `None` where it is not stored.
    pub(crate) fn find(index: &[u8], shard: &Shard, chunk: &[usize]) -> Option<(u64, u64)> {
        let entry = index.get(number(&shard.chunks, chunk) * 16..)?;
        let (offset, rest) = entry.split_first_chunk()?;
        let place = (u64::from_le_bytes(*offset), u64::from_le_bytes(*rest.first_chunk()?));
        (place != (u64::MAX, u64::MAX)).then_some(place)
    }
}

/// The place of a chunk in the index of its shard.
fn number(chunks: &[usize], chunk: &[usize]) -> usize {
    chunks.iter().zip(chunk).fold(0, |number, (chunks, chunk)| number * chunks + chunk % chunks)
}

/// Shards that are being written.
#[derive(Debug, Default)]
pub(crate) struct Shards(Mutex<HashMap<PathBuf, Arc<Mutex<Open>>>>);

#[derive(Debug)]
struct Open {
    /// Made with the first chunk that is not empty.
    file: Option<File>,
    end: u64,
    index: Vec<u8>,
    missing: usize,
}

impl Shards {
    /// Takes a chunk of a shard, `None` where it is empty, of which `expected` come in all. Returns whether the shard is a file
    /// and now whole.
    pub(crate) fn put(
        &self,
        path: &Path,
        shard: &Shard,
        chunk: &[usize],
        stored: Option<&[u8]>,
        expected: usize,
        create: impl Fn(&Path) -> Result<File, WriteError>,
    ) -> Result<bool, WriteError> {
        let open = {
            let mut shards = lock(&self.0);
            Arc::clone(shards.entry(path.to_owned()).or_insert_with(|| {
                let index = vec![0xff; shard.chunks.iter().product::<usize>() * 16];
                Arc::new(Mutex::new(Open { file: None, end: 0, index, missing: expected }))
            }))
        };
        let mut open = lock(&open);
        let Open { file, end, index, missing } = &mut *open;
        if let Some(stored) = stored {
            let file = match file {
                Some(file) => file,
                None => file.insert(create(path)?),
            };
            file.write_all(stored).map_err(WriteError::io("write", path))?;
            let entry = &mut index[number(&shard.chunks, chunk) * 16..][..16];
            entry[..8].copy_from_slice(&end.to_le_bytes());
            entry[8..].copy_from_slice(&(stored.len() as u64).to_le_bytes());
            *end += stored.len() as u64;
        }
        *missing = missing.saturating_sub(1);
        if *missing > 0 {
            return Ok(false);
        }
        lock(&self.0).remove(path);
        let Some(file) = file else { return Ok(false) };
        let ordered = in_order(file, path, index, create)?;
        let mut file = ordered.as_ref().unwrap_or(file);
        index.extend_from_slice(&crc32c(index).to_le_bytes());
        file.write_all(index).map_err(WriteError::io("write", path))?;
        Ok(true)
    }
}

/// Writes the chunks of a file in the order of its index into another, which takes its place; `None` where they are.
fn in_order(
    file: &File,
    path: &Path,
    index: &mut [u8],
    create: impl Fn(&Path) -> Result<File, WriteError>,
) -> Result<Option<File>, WriteError> {
    let (entries, _) = index.as_chunks_mut::<16>();
    let place = |entry: &[u8; 16]| {
        let (offset, length) = entry.split_at(8);
        let number = |bytes: &[u8]| bytes.as_array().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        (number(offset), number(length))
    };
    if entries.iter().map(|entry| place(entry).0).filter(|offset| *offset != u64::MAX).is_sorted() {
        return Ok(None);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".ordered");
    let beside = PathBuf::from(beside);
    let failed = || WriteError::io("write", &beside);
    let mut target = create(&beside)?;
    let mut end = 0_u64;
    for entry in entries {
        let (offset, length) = place(entry);
        if offset == u64::MAX {
            continue;
        }
        let mut source = file;
        source.seek(SeekFrom::Start(offset)).map_err(WriteError::io("read", path))?;
        io::copy(&mut source.take(length), &mut target).map_err(failed())?;
        entry[..8].copy_from_slice(&end.to_le_bytes());
        end += length;
    }
    std::fs::rename(&beside, path).map_err(failed())?;
    Ok(Some(target))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked ends the export.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
