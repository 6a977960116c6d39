//! What is moved together: many small files in a batch, a large file in pieces by itself.
//!
//! Invariants: the same entries make the same batches, also when a file more or less comes before them (a batch ends
//! where a name says so, soon after it is large enough); a batch and a piece have an identity made from what is known
//! without reading the files, by which a record of it is found again.

use std::os::unix::ffi::OsStrExt as _;

use sha2::{Digest as _, Sha256};

use super::Error;
use super::digest::Digest;
use super::source::{Entry, What};

/// A file of this size or more is moved in pieces: 64 MiB.
pub(crate) const LARGE: u64 = 64 << 20;
/// A batch ends with this many bytes.
const MOST_BYTES: u64 = 64 << 20;
/// A batch ends with this many entries.
const MOST_ENTRIES: usize = 4_096;
/// A batch ends with this many bytes of names.
const MOST_NAMES: usize = 512 << 10;
/// A batch of this many entries may end where a name says so.
const FEW_ENTRIES: usize = 256;
/// Pieces of a file at most, so that their records stay few.
const MOST_PIECES: u64 = 4_096;
/// Pieces begin at multiples of it: the block that `dd` counts in.
pub(crate) const BLOCK: u64 = 1 << 20;

/// Entries that are moved by one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
}

impl Batch {
    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// Its files, each with its place among the entries.
    pub(crate) fn files(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| entry.what == What::File)
    }

    /// What it is known by.
    pub(crate) fn identity(&self) -> Digest {
        let mut hash = Sha256::new_with_prefix(b"batch");
        self.entries.iter().for_each(|entry| identify(&mut hash, entry));
        Digest::of(hash)
    }
}

/// A part of a large file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it begins, in bytes: a multiple of [`BLOCK`].
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
}

impl Piece {
    /// What it is known by.
    pub(crate) fn identity(&self, file: &Entry) -> Digest {
        let mut hash = Sha256::new_with_prefix(b"piece");
        identify(&mut hash, file);
        hash.update(self.offset.to_le_bytes());
        hash.update(self.length.to_le_bytes());
        Digest::of(hash)
    }
}

/// The pieces of a file.
pub(crate) fn pieces(size: u64) -> impl Iterator<Item = Piece> {
    let length = size.div_ceil(MOST_PIECES).max(LARGE).next_multiple_of(BLOCK);
    (0..size.div_ceil(length)).map(move |number| {
        let offset = number * length;
        Piece { offset, length: length.min(size - offset) }
    })
}

fn identify(hash: &mut Sha256, entry: &Entry) {
    let kind: u8 = match &entry.what {
        What::File => b'f',
        What::Folder => b'd',
        What::Link(_) => b'l',
    };
    hash.update([kind]);
    hash.update(entry.path.as_os_str().len().to_le_bytes());
    hash.update(entry.path.as_os_str().as_bytes());
    hash.update(entry.mode.to_le_bytes());
    match &entry.what {
        What::File => {
            hash.update(entry.size.to_le_bytes());
            hash.update(entry.modified.0.to_le_bytes());
            hash.update(entry.modified.1.to_le_bytes());
        }
        // The time of a folder changes with what is in it.
        What::Folder => {}
        What::Link(leads) => {
            hash.update(leads.as_os_str().len().to_le_bytes());
            hash.update(leads.as_os_str().as_bytes());
        }
    }
}

/// What is moved next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    Batch(Batch),
    Large(Entry),
}

/// Puts entries into batches.
#[derive(Debug)]
pub(crate) struct Batches<I> {
    entries: I,
    batch: Batch,
    bytes: u64,
    names: usize,
}

impl<I: Iterator<Item = Result<Entry, Error>>> Batches<I> {
    pub(crate) fn new(entries: I) -> Self {
        Self { entries, batch: Batch::default(), bytes: 0, names: 0 }
    }

    /// Takes one more; returns what is complete.
    fn take(&mut self, entry: Entry) -> Option<Work> {
        if entry.what == What::File && entry.size >= LARGE {
            return Some(Work::Large(entry));
        }
        let name = entry.path.as_os_str().as_bytes();
        // FNV-1a, stirred once more because its upper bits hardly depend on the last letters; one name of 512 says so.
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.bytes += entry.size;
        self.names += name.len();
        self.batch.entries.push(entry);
        let count = self.batch.entries.len();
        let ends = self.bytes >= MOST_BYTES
            || count >= MOST_ENTRIES
            || self.names >= MOST_NAMES
            || (count >= FEW_ENTRIES && hash >> 55 == 0);
        if ends { self.rest() } else { None }
    }

    fn rest(&mut self) -> Option<Work> {
        (self.bytes, self.names) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        (!batch.entries.is_empty()).then_some(Work::Batch(batch))
    }
}

impl<I: Iterator<Item = Result<Entry, Error>>> Iterator for Batches<I> {
    type Item = Result<Work, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(entry) = self.entries.next() {
            match entry {
                Ok(entry) => {
                    if let Some(work) = self.take(entry) {
                        return Some(Ok(work));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
        self.rest().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn file(name: &str, size: u64) -> Entry {
        Entry { path: name.into(), what: What::File, size, modified: (1_700_000_000, 5), mode: 0o644 }
    }

    fn batches(entries: Vec<Entry>) -> Vec<Work> {
        Batches::new(entries.into_iter().map(Ok)).map(|work| work.expect("work")).collect()
    }

    #[test]
    fn small_files_go_together_within_limits_and_large_ones_alone() {
        let mut entries: Vec<_> = (0..20_000).map(|number| file(&format!("n{number:05}"), 1_000)).collect();
        entries.insert(10, file("large", LARGE));
        let works = batches(entries);
        let mut count = 0;
        for work in &works {
            match work {
                Work::Large(entry) => assert_eq!(entry.path, std::path::Path::new("large")),
                Work::Batch(batch) => {
                    assert!(batch.entries.len() <= MOST_ENTRIES);
                    count += batch.entries.len();
                }
            }
        }
        assert_eq!(count, 20_000);
    }

    #[test]
    fn one_file_more_leaves_most_batches_what_they_were() {
        let entries: Vec<_> = (0..50_000).map(|number| file(&format!("n{number:05}"), 10)).collect();
        let mut changed = entries.clone();
        changed.insert(3, file("n00002x", 10));
        let identities = |works: Vec<Work>| -> HashSet<Digest> {
            works
                .iter()
                .map(|work| match work {
                    Work::Batch(batch) => batch.identity(),
                    Work::Large(_) => unreachable!("none is large"),
                })
                .collect()
        };
        let (before, after) = (identities(batches(entries)), identities(batches(changed)));
        let same = before.intersection(&after).count();
        assert!(same * 10 >= before.len() * 8, "{same} of {} are the same", before.len());
    }

    #[test]
    fn pieces_cover_a_file_without_a_gap_and_stay_few() {
        for size in [LARGE, LARGE + 1, 3 * LARGE - 1, 2 << 30, 50 << 40] {
            let mut end = 0;
            let mut count = 0;
            for piece in pieces(size) {
                assert_eq!((piece.offset, piece.offset % BLOCK), (end, 0));
                end += piece.length;
                count += 1;
            }
            assert_eq!(end, size);
            assert!(count <= MOST_PIECES);
        }
    }

    #[test]
    fn an_identity_changes_with_whatever_is_sent() {
        let same = || Batch { entries: vec![file("a", 1), file("b", 2)] };
        let base = same().identity();
        let changes: [fn(&mut Entry); 5] = [
            |entry| entry.path = "c".into(),
            |entry| entry.size = 9,
            |entry| entry.modified.1 = 6,
            |entry| entry.mode = 0o600,
            |entry| entry.what = What::Link("b".into()),
        ];
        for change in changes {
            let mut batch = same();
            change(&mut batch.entries[0]);
            assert_ne!(batch.identity(), base);
        }
        assert_eq!(same().identity(), base);
    }
}
