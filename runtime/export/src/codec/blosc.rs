//! Blosc 1, the frame that zarr's Blosc codec stores: a header of 16 bytes, the offsets of the blocks, the blocks.
//!
//! Written from the description of the format (Blosc 1, `README_CHUNK_FORMAT.rst`), so that no C library of its own parses what
//! others wrote, and the size of a block is ours to choose. Of its compressors BloscLZ and Snappy are not read: neither is the
//! default of a program that writes OME-Zarr.

use super::shuffle::{shuffle, unshuffle, unshuffle_bits};
use super::{BloscCodec, CodecError, Workspace, lz4};

const HEADER: usize = 16;
/// The version of the format.
const VERSION: u8 = 2;
const SHUFFLED: u8 = 1;
const STORED: u8 = 2;
const SHUFFLED_BITS: u8 = 4;
/// The bytes of a block are one stream, not one for each byte of a sample.
const WHOLE: u8 = 0x10;

/// Blocks of 256 KiB: they stay in the second-level cache while they are shuffled and compressed.
const BLOCK: usize = 256 << 10;

/// Compresses into the end of `into`.
pub(crate) fn compress(
    codec: BloscCodec,
    level: u8,
    width: usize,
    from: &[u8],
    into: &mut Vec<u8>,
    workspace: &mut Workspace,
) -> Result<(), CodecError> {
    let size = |size: usize| {
        u32::try_from(size).ok().filter(|size| *size < i32::MAX.unsigned_abs() - 64).map(u32::to_le_bytes)
    };
    let too_large = || CodecError::new("Blosc holds less than 2 GiB; choose smaller chunks");
    let (number, its_version) = match codec {
        BloscCodec::Lz4 => (1, 1),
        BloscCodec::Zlib => (3, 1),
        BloscCodec::Zstd => (4, 1),
    };
    let shuffled = width > 1;
    let flags = number << 5 | WHOLE | if shuffled { SHUFFLED } else { 0 };
    let block = BLOCK.min(from.len());
    let start = into.len();
    into.extend_from_slice(&[VERSION, its_version, flags, u8::try_from(width).unwrap_or(1)]);
    into.extend_from_slice(&size(from.len()).ok_or_else(too_large)?);
    into.extend_from_slice(&size(block).ok_or_else(too_large)?);
    // The length, and the offsets of the blocks: put in when they are known.
    let blocks = from.len().div_ceil(BLOCK);
    into.resize(start + HEADER + 4 * blocks, 0);
    let mut filtered = std::mem::take(&mut workspace.block);
    for (number, bytes) in from.chunks(BLOCK).enumerate() {
        let begins = into.len() - start;
        let offset = size(begins).ok_or_else(too_large)?;
        into[start + HEADER + 4 * number..][..4].copy_from_slice(&offset);
        let bytes = if shuffled {
            filtered.resize(bytes.len(), 0);
            shuffle(width, bytes, &mut filtered);
            &filtered
        } else {
            bytes
        };
        into.extend_from_slice(&[0; 4]);
        let data = into.len();
        stream(codec, level, bytes, into, workspace)?;
        if into.len() - data >= bytes.len() {
            into.truncate(data);
            into.extend_from_slice(bytes);
        }
        let length = size(into.len() - data).ok_or_else(too_large)?;
        into[data - 4..data].copy_from_slice(&length);
    }
    workspace.block = filtered;
    if into.len() - start >= from.len() + HEADER {
        into.truncate(start + HEADER);
        into[start + 2] |= STORED;
        into.extend_from_slice(from);
    }
    let length = size(into.len() - start).ok_or_else(too_large)?;
    into[start + 12..start + HEADER].copy_from_slice(&length);
    Ok(())
}

fn stream(
    codec: BloscCodec,
    level: u8,
    bytes: &[u8],
    into: &mut Vec<u8>,
    workspace: &mut Workspace,
) -> Result<(), CodecError> {
    match codec {
        // From level 9, which looks at every position, down to every ninth, as Blosc has it.
        BloscCodec::Lz4 => {
            lz4::compress(bytes, 10_usize.saturating_sub(level.into()).max(1), into, &mut workspace.lz4);
            Ok(())
        }
        BloscCodec::Zlib => {
            let level = flate2::Compression::new(level.into());
            super::read_all(&mut flate2::read::ZlibEncoder::new(bytes, level), into)
        }
        // Blosc's nine levels on zstd's, as Blosc lays them out.
        BloscCodec::Zstd => {
            let level = if level < 9 { i32::from(level) * 2 - 1 } else { 22 };
            workspace.zstd(level.max(1), bytes, into)
        }
    }
}

/// Decompresses at most so many bytes.
pub(crate) fn decompress(from: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let short = || CodecError::new("Blosc: it ends too early");
    let number = |at: usize| -> Result<usize, CodecError> {
        let bytes = from.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
        Ok(u32::from_le_bytes(*bytes) as usize)
    };
    let &[version, _, flags, width, ..] = from else { return Err(short()) };
    if !(1..=VERSION).contains(&version) {
        return Err(CodecError(format!("Blosc: version {version} of the format is not known")));
    }
    let (bytes, block, length) = (number(4)?, number(8)?, number(12)?);
    if bytes > limit {
        return Err(CodecError(format!("Blosc: {bytes} bytes where {limit} are expected")));
    }
    if length > from.len() {
        return Err(short());
    }
    if flags & STORED != 0 {
        return from.get(HEADER..HEADER + bytes).map(<[u8]>::to_vec).ok_or_else(short);
    }
    if bytes == 0 {
        return Ok(Vec::new());
    }
    let width = usize::from(width).max(1);
    if block == 0 || block > bytes {
        return Err(CodecError(format!("Blosc: blocks of {block} bytes in {bytes}")));
    }
    let mut whole = vec![0; bytes];
    let mut filtered = vec![0; block];
    for (index, target) in whole.chunks_mut(block).enumerate() {
        let filtered = &mut filtered[..target.len()];
        let is_last_and_short = filtered.len() < block;
        let streams = if flags & WHOLE != 0 || is_last_and_short { 1 } else { width };
        if filtered.len() % streams != 0 {
            return Err(CodecError::new("Blosc: a block does not divide into its streams"));
        }
        let mut at = number(HEADER + 4 * index)?;
        for part in filtered.chunks_exact_mut(filtered.len() / streams) {
            let length = number(at)?;
            let stored = from.get(at + 4..).and_then(|rest| rest.get(..length)).ok_or_else(short)?;
            at += 4 + length;
            if length == part.len() {
                part.copy_from_slice(stored);
            } else {
                unstream(flags >> 5, stored, part)?;
            }
        }
        if flags & SHUFFLED != 0 && width > 1 {
            unshuffle(width, filtered, target);
        } else if flags & SHUFFLED_BITS != 0 {
            unshuffle_bits(width, filtered, target);
        } else {
            target.copy_from_slice(filtered);
        }
    }
    Ok(whole)
}

fn unstream(codec: u8, from: &[u8], into: &mut [u8]) -> Result<(), CodecError> {
    let failed = |error: String| CodecError(format!("Blosc: {error}"));
    let length = match codec {
        1 => lz4_flex::block::decompress_into(from, into).map_err(|error| failed(error.to_string()))?,
        3 => {
            let bytes = super::inflate(flate2::read::ZlibDecoder::new(from), into.len(), "Blosc: zlib")?;
            into.get_mut(..bytes.len()).unwrap_or_default().copy_from_slice(&bytes);
            bytes.len()
        }
        4 => zstd::bulk::decompress_to_buffer(from, into).map_err(|error| failed(error.to_string()))?,
        0 => return Err(failed("BloscLZ is not read; write the array again with zstd or lz4".to_owned())),
        2 => return Err(failed("Snappy is not read; write the array again with zstd or lz4".to_owned())),
        other => return Err(failed(format!("no compressor has the number {other}"))),
    };
    if length == into.len() {
        return Ok(());
    }
    Err(failed(format!("a stream has {length} bytes where {} should be", into.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_compress_is_stored() {
        let noise = std::iter::successors(Some(1_u64), |last| {
            let next = last ^ last << 13;
            let next = next ^ next >> 7;
            Some(next ^ next << 17)
        });
        let noise: Vec<u8> = noise.map(|number| (number >> 32) as u8).take(100_000).collect();
        let mut stored = Vec::new();
        compress(BloscCodec::Lz4, 5, 2, &noise, &mut stored, &mut Workspace::default())
            .expect("it is stored");
        assert_eq!(stored.len(), noise.len() + HEADER);
        assert_eq!(decompress(&stored, noise.len()).as_deref(), Ok(&noise[..]));
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let mut stored = Vec::new();
        compress(BloscCodec::Zstd, 1, 2, &[1; 1000], &mut stored, &mut Workspace::default())
            .expect("it compresses");
        for (at, value) in [(0, 9), (2, 0xf1), (5, 0xff), (8, 0), (9, 0xff), (12, 0xff), (16, 0xff)] {
            let mut lies = stored.clone();
            lies[at] = value;
            assert!(decompress(&lies, 1000).is_err(), "byte {at}");
        }
        assert!(decompress(&stored[..15], 1000).is_err());
    }
}
