//! JPEG in strips and tiles: the stream of each without the tables that a page has once, in `JPEGTables` (TIFF technical note 2).
//!
//! Invariant: what a stream says of its size is compared with the tile's before anything is decoded; what the decoder takes then
//! follows from the tile.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::codec::CodecError;

/// The longest tables that are read: four of each kind take less.
pub(super) const TABLES: u64 = 64 << 10;

/// What a decoder takes besides the stream and the samples, in samples: the coefficients of a progressive stream have two bytes.
pub(super) const COEFFICIENTS: usize = 3;

/// A progressive stream may have so many scans; encoders make about ten.
const SCANS: usize = 64;

const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];

/// What a strip or tile has to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Rows that are asked for. A last strip may have those of a whole one.
    pub(super) rows: usize,
    /// Rows at most.
    pub(super) most: usize,
    pub(super) columns: usize,
    /// Samples of a pixel.
    pub(super) samples: usize,
    /// Whether red, green and blue were turned into YCbCr, and are turned back.
    pub(super) is_ycbcr: bool,
}

/// Decodes a strip or tile: its samples, side by side.
pub(super) fn decode(tables: &[u8], stored: &[u8], expected: Expected) -> Result<Vec<u8>, CodecError> {
    let failed = |error: DecodeErrors| CodecError::new(format!("JPEG: {error}"));
    let wrong = |problem: String| CodecError::new(format!("JPEG: {problem}"));
    let Expected { rows, most, columns, samples, is_ycbcr } = expected;
    let stream = stored.strip_prefix(&START).ok_or_else(|| wrong("it does not begin as JPEG does".into()))?;
    let mut whole = Vec::with_capacity(tables.len() + stored.len());
    match tables {
        [] => whole.extend_from_slice(&START),
        tables => {
            let tables = tables.strip_suffix(&END).filter(|tables| tables.starts_with(&START));
            whole.extend_from_slice(tables.ok_or_else(|| wrong("its tables are none".into()))?);
        }
    }
    whole.extend_from_slice(stream);
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(columns)
        .set_max_height(most)
        .jpeg_set_max_scans(SCANS);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(whole.as_slice()), options);
    decoder.decode_headers().map_err(failed)?;
    let info = decoder.info().ok_or_else(|| wrong("it says nothing of its size".into()))?;
    let (height, width) = (usize::from(info.height), usize::from(info.width));
    if width != columns || !(rows..=most).contains(&height) || usize::from(info.components) != samples {
        let components = info.components;
        let found = format!("{height} × {width} pixels of {components} samples");
        return Err(wrong(format!("it has {found} where {rows} × {columns} of {samples} should be")));
    }
    // What the stream has, as it is; but of YCbCr the colours that it stands for.
    let stored_as = decoder.input_colorspace();
    let colours = match (samples, stored_as) {
        (1, _) => ColorSpace::Luma,
        (3, Some(ColorSpace::YCbCr)) if !is_ycbcr => ColorSpace::YCbCr,
        (3, Some(ColorSpace::YCbCr | ColorSpace::RGB)) => ColorSpace::RGB,
        _ => return Err(wrong(format!("its pixels have {samples} samples"))),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let bytes = height * columns * samples;
    if decoder.output_buffer_size() != Some(bytes) {
        return Err(wrong("it would become more samples than it has".into()));
    }
    let mut pixels = vec![0; bytes];
    decoder.decode_into(&mut pixels).map_err(failed)?;
    pixels.truncate(rows * columns * samples);
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 16 × 24 pixels in colour, one of the two for 2 × 2 of the other.
    const COLOURS: &[u8] = include_bytes!("jpeg/colours.jpg");

    const EXPECTED: Expected = Expected { rows: 16, most: 16, columns: 24, samples: 3, is_ycbcr: true };

    /// Where the height and width stand: behind the marker of the frame, its length and the bits of a sample.
    fn size() -> usize {
        COLOURS.windows(2).position(|bytes| bytes == [0xff, 0xc0]).expect("it is a baseline stream") + 5
    }

    #[test]
    fn a_stream_is_decoded_with_its_tables_inside_or_apart() {
        let whole = decode(&[], COLOURS, EXPECTED).expect("it is whole");
        assert_eq!(whole.len(), 16 * 24 * 3);
        // Red grows to the right and green downwards, as it was drawn.
        assert!(whole[23 * 3] > whole[0] + 60 && whole[15 * 24 * 3 + 1] > whole[1] + 50, "{whole:?}");
        // Everything before the frame are tables.
        let (tables, stream) = COLOURS.split_at(size() - 5);
        let tables = [tables, &END].concat();
        let stream = [&START[..], stream].concat();
        assert_eq!(decode(&tables, &stream, EXPECTED), Ok(whole.clone()));
        assert!(decode(&[], &stream, EXPECTED).is_err());
        assert!(decode(&tables[1..], &stream, EXPECTED).is_err());
        let raw = decode(&[], COLOURS, Expected { is_ycbcr: false, ..EXPECTED }).expect("it is whole");
        assert_ne!(raw, whole);
    }

    #[test]
    fn fewer_rows_may_be_asked_for_and_no_other_size() {
        let whole = decode(&[], COLOURS, EXPECTED).expect("it is whole");
        let less = decode(&[], COLOURS, Expected { rows: 9, ..EXPECTED }).expect("it is whole");
        assert_eq!(less, whole[..9 * 24 * 3]);
        for expected in [
            Expected { rows: 17, most: 17, ..EXPECTED },
            Expected { rows: 15, most: 15, ..EXPECTED },
            Expected { columns: 23, ..EXPECTED },
            Expected { columns: 25, ..EXPECTED },
            Expected { samples: 1, ..EXPECTED },
            Expected { samples: 4, ..EXPECTED },
        ] {
            assert!(decode(&[], COLOURS, expected).is_err(), "{expected:?}");
        }
        let mut bomb = COLOURS.to_vec();
        bomb[size()..size() + 4].fill(0xff);
        assert!(decode(&[], &bomb, EXPECTED).is_err());
    }

    #[test]
    fn a_stream_that_ends_early_is_told() {
        for length in 0..COLOURS.len() - 12 {
            assert!(decode(&[], &COLOURS[..length], EXPECTED).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_told_or_changes_colours_and_nothing_else(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut damaged = COLOURS.to_vec();
            damaged[at.index(COLOURS.len())] ^= 1 << bit;
            if let Ok(found) = decode(&[], &damaged, EXPECTED) {
                prop_assert_eq!(found.len(), 16 * 24 * 3);
            }
        }
    }
}
