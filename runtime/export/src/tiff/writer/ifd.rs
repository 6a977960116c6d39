//! The bytes of a directory: its tags in their order, and behind it the values that do not fit into it.

use std::collections::BTreeMap;

/// What a tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Short(u16),
    /// One for each sample of a pixel.
    Shorts(Vec<u16>),
    Long(u32),
    /// Numerator and denominator.
    Fraction([u32; 2]),
    /// Bytes of UTF-8, without the NUL at the end.
    Text(Vec<u8>),
    /// Places and lengths: 32 bits each, 64 in a BigTIFF.
    Offsets(Vec<u64>),
}

/// A directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ifd(BTreeMap<u16, Value>);

/// The header of a file whose first directory is at `first`.
pub(super) fn header(big: bool, first: u64) -> Vec<u8> {
    let mut header = b"II".to_vec();
    if big {
        header.extend_from_slice(&[43, 0, 8, 0, 0, 0]);
        header.extend_from_slice(&first.to_le_bytes());
    } else {
        header.extend_from_slice(&[42, 0]);
        header.extend_from_slice(&(first as u32).to_le_bytes());
    }
    header
}

impl Value {
    /// Its type, how many there are, and their bytes.
    fn encode(&self, tag: u16, big: bool) -> (u16, u64, Vec<u8>) {
        match self {
            Self::Short(value) => (3, 1, value.to_le_bytes().to_vec()),
            Self::Shorts(values) => {
                (3, values.len() as u64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Self::Fraction(parts) => (5, 1, parts.iter().flat_map(|part| part.to_le_bytes()).collect()),
            Self::Long(value) => (4, 1, value.to_le_bytes().to_vec()),
            Self::Text(text) => (2, text.len() as u64 + 1, [text.as_slice(), b"\0"].concat()),
            Self::Offsets(offsets) if big => {
                let bytes = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
                // IFD8 and LONG8.
                let kind = if tag == super::tag::SUB_IFDS { 18 } else { 16 };
                (kind, offsets.len() as u64, bytes)
            }
            Self::Offsets(offsets) => {
                let bytes = offsets.iter().flat_map(|offset| (*offset as u32).to_le_bytes()).collect();
                let kind = if tag == super::tag::SUB_IFDS { 13 } else { 4 };
                (kind, offsets.len() as u64, bytes)
            }
        }
    }

    /// Bytes behind the directory.
    fn behind(&self, tag: u16, big: bool) -> u64 {
        let (_, _, bytes) = self.encode(tag, big);
        let fits = bytes.len() <= if big { 8 } else { 4 };
        if fits { 0 } else { (bytes.len() as u64).next_multiple_of(2) }
    }
}

impl Ifd {
    /// Says something; an empty list says nothing.
    pub(super) fn set(&mut self, tag: u16, value: Value) {
        if value != Value::Offsets(Vec::new()) {
            self.0.insert(tag, value);
        }
    }

    /// Bytes of the directory alone.
    fn head(&self, big: bool) -> u64 {
        let tags = self.0.len() as u64;
        if big { 8 + 20 * tags + 8 } else { 2 + 12 * tags + 4 }
    }

    /// Bytes with the values behind it.
    pub(super) fn length(&self, big: bool) -> u64 {
        self.head(big) + self.0.iter().map(|(tag, value)| value.behind(*tag, big)).sum::<u64>()
    }

    /// Appends it, as it is at `at` in the file and followed by the directory at `next`.
    pub(super) fn write(&self, big: bool, at: u64, next: u64, into: &mut Vec<u8>) {
        let number = |number: u64, into: &mut Vec<u8>| match big {
            true => into.extend_from_slice(&number.to_le_bytes()),
            false => into.extend_from_slice(&(number as u32).to_le_bytes()),
        };
        let mut behind = Vec::new();
        match big {
            true => into.extend_from_slice(&(self.0.len() as u64).to_le_bytes()),
            false => into.extend_from_slice(&(self.0.len() as u16).to_le_bytes()),
        }
        for (tag, value) in &self.0 {
            let (kind, count, mut bytes) = value.encode(*tag, big);
            into.extend_from_slice(&tag.to_le_bytes());
            into.extend_from_slice(&kind.to_le_bytes());
            number(count, into);
            let room = if big { 8 } else { 4 };
            if bytes.len() <= room {
                bytes.resize(room, 0);
                into.extend_from_slice(&bytes);
            } else {
                number(at + self.head(big) + behind.len() as u64, into);
                bytes.resize(bytes.len().next_multiple_of(2), 0);
                behind.extend_from_slice(&bytes);
            }
        }
        number(next, into);
        into.extend_from_slice(&behind);
    }
}
