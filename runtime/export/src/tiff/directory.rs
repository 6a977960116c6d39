//! The file of a TIFF and its directories: where the values of each tag are, read when they are asked for.
//!
//! Invariants: no offset and no count is believed: what lies beyond the end of the file is damage, directories in a circle end,
//! and what is held of a file with a million pages is their places alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::source::ReadError;

/// An open file.
#[derive(Debug)]
pub(crate) struct TiffFile {
    pub(crate) path: PathBuf,
    file: File,
    length: u64,
    little: bool,
    big: bool,
    first: u64,
}

/// The values of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    kind: u16,
    pub(crate) count: u64,
    /// Where the values begin in the file.
    at: u64,
}

/// A directory.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Where it begins.
    pub(crate) at: u64,
    /// How many bytes its tags take.
    pub(crate) bytes: u64,
    pub(crate) entries: BTreeMap<u16, Entry>,
    /// Where the next one begins; 0 for none.
    pub(crate) next: u64,
}

/// The most values of a tag that are read at once: one for each sample of a pixel.
const MOST: u64 = 4096;
/// The longest text, in bytes: OME-XML of plates has some.
const LONGEST: u64 = 64 << 20;
/// No directory of an image has more tags.
const TAGS: u64 = 4096;

impl TiffFile {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(ReadError::io(path))?;
        let length = file.metadata().map_err(ReadError::io(path))?.len();
        let mut tiff = Self { path: path.to_owned(), file, length, little: true, big: false, first: 0 };
        let mut header = [0; 16];
        let short = 8.min(usize::try_from(length).unwrap_or(usize::MAX));
        tiff.bytes(0, &mut header[..short])?;
        tiff.little = header[0] == b'I';
        tiff.first = match tiff.u16_of([header[2], header[3]]) {
            _ if short < 8 || !super::is_tiff(&[header[0], header[1], header[2], header[3]]) => {
                return Err(tiff.damaged("it does not begin as a TIFF does"));
            }
            42 => u64::from(tiff.u32_of([header[4], header[5], header[6], header[7]])),
            _ => {
                tiff.big = true;
                let mut offset = [0; 8];
                tiff.bytes(8, &mut offset)?;
                tiff.u64_of(offset)
            }
        };
        Ok(tiff)
    }

    /// Where the first directory begins.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// How long it is.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Whether it is a BigTIFF.
    pub(crate) const fn is_big(&self) -> bool {
        self.big
    }

    /// Whether its numbers are in little-endian order.
    pub(crate) const fn is_little(&self) -> bool {
        self.little
    }

    pub(crate) fn damaged(&self, problem: impl Into<String>) -> ReadError {
        ReadError::damaged(&self.path, problem)
    }

    /// Reads bytes that have to be there.
    pub(crate) fn bytes(&self, at: u64, into: &mut [u8]) -> Result<(), ReadError> {
        let end = at.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(self.damaged(format!("it names bytes at {at}, and ends at {}", self.length)));
        }
        self.file.read_exact_at(into, at).map_err(ReadError::io(&self.path))
    }

    fn u16_of(&self, bytes: [u8; 2]) -> u16 {
        if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    fn u32_of(&self, bytes: [u8; 4]) -> u32 {
        if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    fn u64_of(&self, bytes: [u8; 8]) -> u64 {
        if self.little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) }
    }

    /// A number of 4 or 8 bytes, as offsets have them.
    fn word(&self, at: u64, wide: bool) -> Result<u64, ReadError> {
        if wide {
            let mut bytes = [0; 8];
            self.bytes(at, &mut bytes)?;
            return Ok(self.u64_of(bytes));
        }
        let mut bytes = [0; 4];
        self.bytes(at, &mut bytes)?;
        Ok(self.u32_of(bytes).into())
    }

    /// Reads the directory at an offset.
    pub(crate) fn directory(&self, at: u64) -> Result<Directory, ReadError> {
        let (head, size, wide) = if self.big { (8, 20, true) } else { (2, 12, false) };
        let count = if self.big {
            self.word(at, true)?
        } else {
            let mut bytes = [0; 2];
            self.bytes(at, &mut bytes)?;
            self.u16_of(bytes).into()
        };
        if count > TAGS {
            return Err(self.damaged(format!("the directory at {at} has {count} tags")));
        }
        let mut raw = vec![0; count as usize * size];
        let start = at + head;
        self.bytes(start, &mut raw)?;
        let mut entries = BTreeMap::new();
        for (number, entry) in raw.chunks_exact(size).enumerate() {
            let tag = self.u16_of([entry[0], entry[1]]);
            let kind = self.u16_of([entry[2], entry[3]]);
            let place = start + (number * size) as u64;
            let (count, place) = match entry {
                [_, _, _, _, a, b, c, d, e, f, g, h, ..] if wide => {
                    (self.u64_of([*a, *b, *c, *d, *e, *f, *g, *h]), place + 12)
                }
                [_, _, _, _, a, b, c, d, ..] => (self.u32_of([*a, *b, *c, *d]).into(), place + 8),
                _ => continue,
            };
            let bytes = width(kind).and_then(|width| count.checked_mul(width));
            let fits = bytes.is_some_and(|bytes| bytes <= if wide { 8 } else { 4 });
            let at = if fits { place } else { self.word(place, wide)? };
            entries.insert(tag, Entry { kind, count, at });
        }
        let next = self.word(start + raw.len() as u64, wide).unwrap_or_default();
        Ok(Directory { at, bytes: raw.len() as u64, entries, next })
    }

    /// The number at an index of an entry's values.
    pub(crate) fn number(&self, entry: &Entry, index: u64) -> Result<u64, ReadError> {
        if index >= entry.count {
            return Err(self.damaged(format!("a tag has {} values, not {}", entry.count, index + 1)));
        }
        let width = width(entry.kind).unwrap_or_default();
        let at = index.checked_mul(width).and_then(|offset| offset.checked_add(entry.at));
        let at = at.ok_or_else(|| self.damaged("a tag lies beyond what a file can hold"))?;
        match entry.kind {
            // BYTE and UNDEFINED.
            1 | 7 => {
                let mut byte = [0; 1];
                self.bytes(at, &mut byte)?;
                Ok(byte[0].into())
            }
            // SHORT.
            3 => {
                let mut bytes = [0; 2];
                self.bytes(at, &mut bytes)?;
                Ok(self.u16_of(bytes).into())
            }
            // LONG, IFD, LONG8, IFD8.
            4 | 13 => self.word(at, false),
            16 | 18 => self.word(at, true),
            other => Err(self.damaged(format!("a tag that counts is of the type {other}"))),
        }
    }

    /// All numbers of an entry.
    pub(crate) fn numbers(&self, entry: &Entry) -> Result<Vec<u64>, ReadError> {
        if entry.count > MOST {
            return Err(self.damaged(format!("a tag has {} values", entry.count)));
        }
        (0..entry.count).map(|index| self.number(entry, index)).collect()
    }

    /// A fraction, `None` where it is none.
    pub(crate) fn fraction(&self, entry: &Entry) -> Option<f64> {
        let (above, below) = match entry.kind {
            5 if entry.count >= 1 => (self.word(entry.at, false).ok()?, self.word(entry.at + 4, false).ok()?),
            _ => return None,
        };
        (below != 0).then(|| above as f64 / below as f64)
    }

    /// A text: up to its end or the first NUL.
    pub(crate) fn text(&self, entry: &Entry) -> Result<String, ReadError> {
        if !matches!(entry.kind, 1 | 2 | 7) {
            return Err(self.damaged("a tag that is a text is of another type"));
        }
        if entry.count > LONGEST {
            return Err(self.damaged(format!("its description has {} bytes", entry.count)));
        }
        // Checked before anything is allocated.
        if entry.at.checked_add(entry.count).is_none_or(|end| end > self.length) {
            return Err(self.damaged("a text in it lies beyond its end"));
        }
        let mut bytes = vec![0; entry.count as usize];
        self.bytes(entry.at, &mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            // Old writers have Latin-1.
            Err(error) => error.into_bytes().iter().map(|byte| char::from(*byte)).collect(),
        })
    }
}

impl TiffFile {
    /// The bytes of an entry, of which there are not more than so many.
    pub(crate) fn raw(&self, entry: &Entry, most: u64) -> Result<Vec<u8>, ReadError> {
        if !matches!(entry.kind, 1 | 7) || entry.count > most {
            return Err(
                self.damaged(format!("a tag of bytes has {} of the type {}", entry.count, entry.kind))
            );
        }
        let mut bytes = vec![0; entry.count as usize];
        self.bytes(entry.at, &mut bytes)?;
        Ok(bytes)
    }
}

/// Bytes of a value of a type.
const fn width(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}
