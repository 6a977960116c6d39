//! A chunk as the bytes of a tile: its pixels with their samples side by side, predicted, compressed.

use std::io::Read as _;

use super::Compress;
use crate::codec::{CodecError, Workspace};
use crate::pyramid::Samples;
use crate::tiff::predictor::{self, Predictor};

/// What a thread uses again from tile to tile.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) tile: Vec<u8>,
    pub(super) stored: Vec<u8>,
    workspace: Workspace,
}

/// What the pixels of a file are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel {
    /// Bytes of a sample.
    pub(super) bytes: usize,
    /// Samples of a pixel: a chunk has them one after the other, a file side by side.
    pub(super) samples: usize,
}

impl Pixel {
    pub(super) const fn size(self) -> usize {
        self.bytes * self.samples
    }

    /// Puts the rows of a chunk into rows of so many pixels; where a row ends before these do there stays 0.
    pub(super) fn interleave(self, chunk: Samples<'_>, width: usize, height: usize, into: &mut Vec<u8>) {
        into.clear();
        into.resize(width * height * self.size(), 0);
        let row = chunk.size[1] * self.bytes;
        let of_channel = chunk.size[0] * row;
        for (sample, samples) in chunk.samples.chunks_exact(of_channel).enumerate() {
            let rows = samples.chunks_exact(row).zip(into.chunks_exact_mut(width * self.size()));
            for (from, into) in rows {
                match (self.samples, self.bytes) {
                    (1, _) => into[..row].copy_from_slice(from),
                    (_, 1) => spread::<1>(from, into, sample, self.samples),
                    (_, 2) => spread::<2>(from, into, sample, self.samples),
                    (_, 4) => spread::<4>(from, into, sample, self.samples),
                    _ => spread::<8>(from, into, sample, self.samples),
                }
            }
        }
    }
}

fn spread<const BYTES: usize>(from: &[u8], into: &mut [u8], sample: usize, samples: usize) {
    let into = into.as_chunks_mut::<BYTES>().0.iter_mut().skip(sample).step_by(samples);
    into.zip(from.as_chunks::<BYTES>().0).for_each(|(into, from)| *into = *from);
}

impl Scratch {
    /// Makes what is stored of a chunk, in a tile of so many rows and columns.
    pub(super) fn make(
        &mut self,
        chunk: Samples<'_>,
        tile: usize,
        pixel: Pixel,
        predictor: Predictor,
        how: Compress,
    ) -> Result<(), CodecError> {
        pixel.interleave(chunk, tile, tile, &mut self.tile);
        predictor::apply(predictor, &mut self.tile, tile, pixel.samples, pixel.bytes);
        let Self { tile, stored, workspace } = self;
        stored.clear();
        match how {
            Compress::None => std::mem::swap(tile, stored),
            Compress::Lzw => {
                let mut encoder =
                    weezl::encode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8).build();
                let result = encoder.into_vec(stored).encode_all(tile);
                result.status.map_err(|error| CodecError::new(format!("LZW: {error}")))?;
            }
            Compress::Deflate { level } => {
                let level = flate2::Compression::new(level.into());
                let mut encoder = flate2::read::ZlibEncoder::new(tile.as_slice(), level);
                encoder.read_to_end(stored).map_err(|error| CodecError::new(format!("Deflate: {error}")))?;
            }
            Compress::Zstd { level } => workspace.zstd(level, tile, stored)?,
        }
        Ok(())
    }
}
