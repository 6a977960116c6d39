//! What strips and tiles are compressed with, by the number in their tag.

use std::io::Read as _;
use std::path::Path;

use crate::codec::{CodecError, zstd_frame};
use crate::source::ReadError;

/// How strips and tiles are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// 1.
    None,
    /// 5.
    Lzw,
    /// 8, and 32946 of old writers.
    Deflate,
    /// 7, whose streams `jpeg` decodes.
    Jpeg,
    /// 32773.
    PackBits,
    /// 50000, and 34926 of old writers.
    Zstd,
}

impl Method {
    /// By its number.
    pub(crate) fn of(path: &Path, number: u64) -> Result<Self, ReadError> {
        Ok(match number {
            1 => Self::None,
            5 => Self::Lzw,
            8 | 32_946 => Self::Deflate,
            7 => Self::Jpeg,
            32_773 => Self::PackBits,
            34_926 | 50_000 => Self::Zstd,
            other => {
                let name = match other {
                    6 => "JPEG as TIFF 6.0 had it, before it was mended",
                    34_712 | 33_003 | 33_005 => "JPEG 2000",
                    2..=4 => "a fax code",
                    _ => "an unusual compression",
                };
                let what = format!("it is compressed with {name} (number {other})");
                return Err(ReadError::unsupported(path, what, "convert it with bioformats2raw first"));
            }
        })
    }

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "not compressed",
            Self::Lzw => "LZW",
            Self::Deflate => "Deflate",
            Self::Jpeg => "JPEG",
            Self::PackBits => "PackBits",
            Self::Zstd => "zstd",
        }
    }

    /// Decompresses the first so many bytes; what some writers leave behind them does not count.
    pub(crate) fn decompress(self, from: Vec<u8>, bytes: usize) -> Result<Vec<u8>, CodecError> {
        let whole = match self {
            Self::None => from,
            Self::Lzw => unpack_lzw(&from, bytes)?,
            Self::PackBits => unpack_bits(&from, bytes),
            Self::Deflate => {
                let mut whole = Vec::with_capacity(bytes);
                let decoder = flate2::read::ZlibDecoder::new(from.as_slice());
                decoder
                    .take(bytes as u64)
                    .read_to_end(&mut whole)
                    .map_err(|error| CodecError::new(format!("Deflate: {error}")))?;
                whole
            }
            Self::Zstd => zstd_frame(&from, bytes)?,
            Self::Jpeg => {
                return Err(CodecError::new("JPEG: it is not decoded without what the page says of it"));
            }
        };
        let found = whole.len();
        if found < bytes {
            return Err(CodecError::new(format!("{}: {found} bytes where {bytes} should be", self.name())));
        }
        let mut whole = whole;
        whole.truncate(bytes);
        Ok(whole)
    }
}

/// TIFF's LZW: most significant bits first, the code grows one code early.
fn unpack_lzw(from: &[u8], bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut decoder = weezl::decode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
        .with_yield_on_full_buffer(true)
        .build();
    let mut whole = vec![0; bytes];
    let (mut read, mut written) = (0, 0);
    while written < bytes {
        let step = decoder.decode_bytes(&from[read..], &mut whole[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status {
            Ok(weezl::LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(CodecError::new(format!("LZW: {error}"))),
        }
    }
    whole.truncate(written);
    Ok(whole)
}

/// Runs and literals; TIFF 6.0, section 9.
fn unpack_bits(from: &[u8], bytes: usize) -> Vec<u8> {
    let mut whole = Vec::with_capacity(bytes);
    let mut rest = from;
    while let Some((head, tail)) = rest.split_first().filter(|_| whole.len() < bytes) {
        let head = usize::from(*head);
        match head {
            0..128 => {
                let (literal, tail) = tail.split_at(tail.len().min(head + 1));
                whole.extend_from_slice(literal);
                rest = tail;
            }
            128 => rest = tail,
            _ => {
                let Some((byte, tail)) = tail.split_first() else { break };
                whole.extend(std::iter::repeat_n(*byte, 257 - head));
                rest = tail;
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_literals_are_those_of_the_specification() {
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let plain = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        let unpacked = Method::PackBits.decompress(packed.to_vec(), plain.len()).expect("it is whole");
        assert_eq!(unpacked, plain);
        assert!(Method::PackBits.decompress(packed.to_vec(), plain.len() + 1).is_err());
    }

    #[test]
    fn what_is_short_or_no_code_is_told() {
        for method in [Method::None, Method::Lzw, Method::Deflate, Method::PackBits, Method::Zstd] {
            assert!(method.decompress(Vec::new(), 10).is_err(), "{method:?}");
            let _ = method.decompress(vec![0xff; 100], 10_000);
        }
    }

    #[test]
    fn a_bomb_makes_no_more_than_was_expected() {
        let zeros = vec![0; 64 << 20];
        let mut lzw = Vec::new();
        let mut encoder =
            weezl::encode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8).build();
        encoder.into_vec(&mut lzw).encode_all(&zeros).status.expect("it compresses");
        let mut deflate = Vec::new();
        flate2::read::ZlibEncoder::new(zeros.as_slice(), flate2::Compression::new(1))
            .read_to_end(&mut deflate)
            .expect("it compresses");
        let mut zstd = Vec::new();
        crate::codec::Workspace::default().zstd(1, &zeros, &mut zstd).expect("it compresses");
        // Runs of 128 zeros.
        let runs = [0x81, 0].repeat(1 << 16);
        for (method, bomb) in
            [(Method::Lzw, lzw), (Method::Deflate, deflate), (Method::Zstd, zstd), (Method::PackBits, runs)]
        {
            if let Ok(found) = method.decompress(bomb, 1000) {
                assert!(found.len() == 1000 && found.capacity() <= 2128, "{method:?}: {}", found.capacity());
            }
        }
    }
}
