//! Compression of chunks: what zarr's readers and writers share, and TIFF takes parts of.
//!
//! Invariant: whoever decompresses says how many bytes there must be; no more are ever made.

pub(crate) mod blosc;
mod checksum;
mod lz4;
mod shuffle;

use std::io::Read as _;

use thiserror::Error;

pub(crate) use checksum::crc32c;

/// How a chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Blosc 1: shuffled bytes in blocks of their own.
    Blosc {
        /// The compressor of the blocks.
        inner: BloscCodec,
        /// Blosc's level, from 1 to 9; for zstd level 1 is zstd's 1, 5 its 9; for LZ4 the positions that are passed over.
        level: u8,
        /// Bytes of a sample, by which they are shuffled; 1 leaves them as they are.
        width: u8,
    },
    /// A zstd frame.
    Zstd {
        /// zstd's level, 0 for its default.
        level: i32,
    },
    /// RFC 1952.
    Gzip {
        /// From 0 to 9.
        level: u8,
    },
    /// RFC 1950.
    Zlib {
        /// From 0 to 9.
        level: u8,
    },
    /// An LZ4 block behind its size in 32 bits, as numcodecs writes it.
    Lz4,
    /// Nothing but a CRC-32C at the end.
    Crc32c,
}

/// What compresses the blocks within Blosc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BloscCodec {
    /// `lz4`; the blocks of `lz4hc` are the same.
    Lz4,
    /// `zlib`.
    Zlib,
    /// `zstd`.
    Zstd,
}

impl BloscCodec {
    /// The name in metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blosc { inner, .. } => write!(formatter, "blosc {}", inner.name()),
            Self::Zstd { .. } => formatter.write_str("zstd"),
            Self::Gzip { .. } => formatter.write_str("gzip"),
            Self::Zlib { .. } => formatter.write_str("zlib"),
            Self::Lz4 => formatter.write_str("lz4"),
            Self::Crc32c => formatter.write_str("CRC-32C"),
        }
    }
}

/// Why something does not decompress.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct CodecError(pub(crate) String);

impl CodecError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

/// Memory that is used again from chunk to chunk.
#[derive(Default)]
pub(crate) struct Workspace {
    pub(crate) zstd: Option<(i32, zstd::bulk::Compressor<'static>)>,
    pub(crate) block: Vec<u8>,
    pub(crate) lz4: lz4::Table,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Workspace").field("block", &self.block.len()).finish_non_exhaustive()
    }
}

impl Workspace {
    /// Compresses as a zstd frame into the end of `into`.
    pub(crate) fn zstd(&mut self, level: i32, from: &[u8], into: &mut Vec<u8>) -> Result<(), CodecError> {
        let failed = |error: std::io::Error| CodecError(format!("zstd: {error}"));
        let compressor = match &mut self.zstd {
            Some((made, compressor)) if *made == level => compressor,
            other => &mut other.insert((level, zstd::bulk::Compressor::new(level).map_err(failed)?)).1,
        };
        let start = into.len();
        into.resize(start + zstd::zstd_safe::compress_bound(from.len()), 0);
        let length = compressor.compress_to_buffer(from, &mut into[start..]).map_err(failed)?;
        into.truncate(start + length);
        Ok(())
    }
}

/// Compresses in this order, the last of them first when it is read: the bytes that are stored.
pub(crate) fn compress(
    codecs: &[Compression],
    from: &[u8],
    into: &mut Vec<u8>,
    workspace: &mut Workspace,
) -> Result<(), CodecError> {
    into.clear();
    let Some((first, rest)) = codecs.split_first() else {
        into.extend_from_slice(from);
        return Ok(());
    };
    first.compress(from, into, workspace)?;
    for codec in rest {
        let before = std::mem::take(into);
        codec.compress(&before, into, workspace)?;
    }
    Ok(())
}

/// Undoes [`compress`]; the result has exactly so many bytes.
pub(crate) fn decompress(codecs: &[Compression], from: &[u8], bytes: usize) -> Result<Vec<u8>, CodecError> {
    let Some((last, before)) = codecs.split_last() else {
        return exactly(from.to_vec(), bytes);
    };
    let Some((first, middle)) = before.split_first() else {
        return exactly(last.decompress(from, bytes)?, bytes);
    };
    // What is between two compressors is no larger than what the first of them may make of incompressible bytes.
    let limit = bytes + bytes / 64 + (64 << 10);
    let mut stage = last.decompress(from, limit)?;
    for codec in middle.iter().rev() {
        stage = codec.decompress(&stage, limit)?;
    }
    exactly(first.decompress(&stage, bytes)?, bytes)
}

fn exactly(bytes: Vec<u8>, wanted: usize) -> Result<Vec<u8>, CodecError> {
    match bytes.len() {
        found if found == wanted => Ok(bytes),
        found => Err(CodecError(format!("there are {found} bytes where {wanted} should be"))),
    }
}

impl Compression {
    fn compress(self, from: &[u8], into: &mut Vec<u8>, workspace: &mut Workspace) -> Result<(), CodecError> {
        match self {
            Self::Blosc { inner, level, width } => {
                blosc::compress(inner, level, usize::from(width), from, into, workspace)
            }
            Self::Zstd { level } => workspace.zstd(level, from, into),
            Self::Gzip { level } => {
                let level = flate2::Compression::new(level.into());
                read_all(&mut flate2::read::GzEncoder::new(from, level), into)
            }
            Self::Zlib { level } => {
                let level = flate2::Compression::new(level.into());
                read_all(&mut flate2::read::ZlibEncoder::new(from, level), into)
            }
            Self::Lz4 => {
                let size =
                    u32::try_from(from.len()).map_err(|_| CodecError::new("it is too large for LZ4"))?;
                into.extend_from_slice(&size.to_le_bytes());
                lz4::compress(from, 1, into, &mut workspace.lz4);
                Ok(())
            }
            Self::Crc32c => {
                into.extend_from_slice(from);
                into.extend_from_slice(&crc32c(from).to_le_bytes());
                Ok(())
            }
        }
    }

    /// At most so many bytes.
    pub(crate) fn decompress(self, from: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Blosc { .. } => blosc::decompress(from, limit),
            Self::Zstd { .. } => zstd_frame(from, limit),
            Self::Gzip { .. } => inflate(flate2::read::MultiGzDecoder::new(from), limit, "gzip"),
            Self::Zlib { .. } => inflate(flate2::read::ZlibDecoder::new(from), limit, "zlib"),
            Self::Lz4 => {
                let Some((size, block)) = from.split_first_chunk() else {
                    return Err(CodecError::new("LZ4: it has no size"));
                };
                let size = u32::from_le_bytes(*size) as usize;
                if size > limit {
                    return Err(CodecError(format!("LZ4: {size} bytes where {limit} are expected")));
                }
                let mut bytes = vec![0; size];
                let length = lz4_flex::block::decompress_into(block, &mut bytes)
                    .map_err(|error| CodecError(format!("LZ4: {error}")))?;
                bytes.truncate(length);
                Ok(bytes)
            }
            Self::Crc32c => match from.split_last_chunk() {
                Some((bytes, sum)) if u32::from_le_bytes(*sum) == crc32c(bytes) => {
                    if bytes.len() > limit {
                        return Err(CodecError(format!("{} bytes where {limit} are expected", bytes.len())));
                    }
                    Ok(bytes.to_vec())
                }
                Some(_) => Err(CodecError::new("the CRC-32C is another: bits have changed on the disk")),
                None => Err(CodecError::new("there is no CRC-32C")),
            },
        }
    }
}

fn read_all(reader: &mut impl std::io::Read, into: &mut Vec<u8>) -> Result<(), CodecError> {
    reader.read_to_end(into).map(drop).map_err(|error| CodecError(format!("deflate: {error}")))
}

/// Inflates at most so many bytes; a stream that has more is refused.
pub(crate) fn inflate(decoder: impl std::io::Read, limit: usize, name: &str) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    let most = (limit as u64).saturating_add(1);
    decoder.take(most).read_to_end(&mut bytes).map_err(|error| CodecError(format!("{name}: {error}")))?;
    if bytes.len() > limit {
        return Err(CodecError(format!("{name}: more than the {limit} bytes that are expected")));
    }
    Ok(bytes)
}

/// A zstd frame of at most so many bytes.
pub(crate) fn zstd_frame(from: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![0; limit];
    let length = zstd::bulk::decompress_to_buffer(from, &mut bytes)
        .map_err(|error| CodecError(format!("zstd: {error}")))?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of each.
    const EACH: [Compression; 8] = [
        Compression::Blosc { inner: BloscCodec::Lz4, level: 5, width: 2 },
        Compression::Blosc { inner: BloscCodec::Zstd, level: 1, width: 4 },
        Compression::Blosc { inner: BloscCodec::Zlib, level: 3, width: 8 },
        Compression::Zstd { level: 1 },
        Compression::Gzip { level: 1 },
        Compression::Zlib { level: 6 },
        Compression::Lz4,
        Compression::Crc32c,
    ];

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(7_u8), any::<u8>()], 0..5000),
            repeat in 1_usize..40,
        ) {
            let bytes = bytes.repeat(repeat);
            let mut workspace = Workspace::default();
            for codecs in EACH.map(|codec| vec![codec]).into_iter().chain([vec![], vec![EACH[3], EACH[7]]]) {
                let mut stored = Vec::new();
                compress(&codecs, &bytes, &mut stored, &mut workspace).expect("it compresses");
                prop_assert_eq!(&decompress(&codecs, &stored, bytes.len()).expect("it is whole"), &bytes);
                prop_assert!(decompress(&codecs, &stored, bytes.len() + 1).is_err());
                if !bytes.is_empty() {
                    prop_assert!(decompress(&codecs, &stored, bytes.len() - 1).is_err(), "{codecs:?}");
                }
            }
        }

        #[test]
        fn damage_is_told_or_changes_the_content_and_nothing_else(
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes: Vec<u8> = (0..20_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
            let mut workspace = Workspace::default();
            for codec in EACH {
                let mut stored = Vec::new();
                compress(&[codec], &bytes, &mut stored, &mut workspace).expect("it compresses");
                let short = &stored[..cut.index(stored.len())];
                prop_assert!(decompress(&[codec], short, bytes.len()).is_err(), "{codec:?}");
                let at = at.index(stored.len());
                stored[at] ^= 1 << bit;
                if let Ok(found) = decompress(&[codec], &stored, bytes.len()) {
                    prop_assert_eq!(found.len(), bytes.len());
                }
            }
        }
    }

    #[test]
    fn a_bomb_makes_no_more_than_was_expected() {
        let zeros = vec![0; 64 << 20];
        let mut workspace = Workspace::default();
        for codec in EACH {
            let mut stored = Vec::new();
            compress(&[codec], &zeros, &mut stored, &mut workspace).expect("it compresses");
            assert!(decompress(&[codec], &stored, 1000).is_err(), "{codec:?}");
        }
    }
}
