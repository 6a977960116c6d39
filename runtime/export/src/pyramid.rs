//! The levels of a pyramid: their sizes, their chunks, and the step from one to the next.
//!
//! The rule, the same for every writer. Each side is halved and a half pixel dropped, but no side is less than 1. A sample is
//! the mean of the 2 × 2 samples below it, the fraction cut off (toward zero, as a cast does); along a side of 1 pixel it is the
//! mean of two. The last row or column of an odd side belongs to no sample of the next level: levels stay aligned, and their
//! scale is a power of two to the last digit. For even sides this is bit for bit what omero-cli-zarr 0.8.0 writes; for odd ones
//! it stretches the image a little instead.

use crate::sample::SampleType;

/// The sizes (height, width) of the levels, halved until the longer side is at most `smallest`: omero-cli-zarr has 96.
#[must_use]
pub fn sizes(height: usize, width: usize, smallest: usize) -> Vec<[usize; 2]> {
    let mut sizes = vec![[height, width]];
    let mut last = [height, width];
    while last[0].max(last[1]) > smallest.max(1) {
        last = last.map(|side| (side / 2).max(1));
        sizes.push(last);
    }
    sizes
}

/// The chunks of all levels. A chunk covers the same rows and columns as up to 2 × 2 of the level below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Rows and columns of a whole chunk; even.
    pub(crate) tile: usize,
    /// Height and width of each level.
    pub(crate) sizes: Vec<[usize; 2]>,
}

impl Grid {
    /// How many rows and columns of chunks a level has. At the edge of an odd side there may be some that hold nothing and
    /// only lead to chunks below.
    pub(crate) fn chunks(&self, level: usize) -> [usize; 2] {
        self.sizes[0].map(|side| side.div_ceil(self.tile).div_ceil(1 << level))
    }

    /// Height and width of a chunk; 0 where it holds nothing.
    pub(crate) fn extent(&self, level: usize, row: usize, column: usize) -> [usize; 2] {
        let along = |axis: usize, index: usize| {
            self.sizes[level][axis].saturating_sub(index * self.tile).min(self.tile)
        };
        [along(0, row), along(1, column)]
    }

    /// Height and width of the largest chunk of a level.
    pub(crate) fn largest(&self, level: usize) -> [usize; 2] {
        self.sizes[level].map(|side| side.min(self.tile))
    }

    /// The chunks of the level below that a chunk covers.
    pub(crate) fn below(
        &self,
        level: usize,
        row: usize,
        column: usize,
    ) -> impl Iterator<Item = [usize; 2]> + use<> {
        let [rows, columns] = self.chunks(level - 1);
        let pair = |index: usize, of: usize| 2 * index..(2 * index + 2).min(of);
        pair(row, rows).flat_map(move |row| pair(column, columns).map(move |column| [row, column]))
    }

    /// Where, within its chunk above, the first sample of a chunk goes.
    pub(crate) fn place(&self, row: usize, column: usize) -> [usize; 2] {
        [row % 2, column % 2].map(|half| half * self.tile / 2)
    }
}

/// A rectangle of samples: height, width, and the samples row after row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub(crate) size: [usize; 2],
    pub(crate) samples: &'a [u8],
}

/// A rectangle that is written to, and the first sample that is.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) width: usize,
    pub(crate) samples: &'a mut [u8],
    pub(crate) at: [usize; 2],
}

/// How a sample is made of the 2 × 2 below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// It is their mean.
    Mean,
    /// It is one of them, the last: of numbers of objects there is no mean. omero-cli-zarr takes the same one.
    Nearest,
}

/// Halves a rectangle into another.
pub(crate) fn reduce(reduction: Reduction, sample_type: SampleType, from: Samples<'_>, into: Target<'_>) {
    let [height, width] = from.size;
    if reduction == Reduction::Nearest {
        return nearest(sample_type.bytes(), from, into);
    }
    if width == 1 {
        // Each sample twice: the mean of two pairs is then that of two samples.
        let bytes = sample_type.bytes();
        let doubled: Vec<u8> =
            from.samples.chunks_exact(bytes).flat_map(|sample| [sample, sample].concat()).collect();
        return reduce(reduction, sample_type, Samples { size: [height, 2], samples: &doubled }, into);
    }
    match sample_type {
        SampleType::Int8 => rows::<_, 1, 2>(from, into, |a, b, c, d| mean_i64(a, b, c, d, i8::from_le_bytes)),
        SampleType::Uint8 => pairs::<_, 1, 2>(from, into, |upper, lower| {
            let (upper, lower) = (u16::from_le_bytes(*upper), u16::from_le_bytes(*lower));
            let sum = (upper & 0xff) + (upper >> 8) + (lower & 0xff) + (lower >> 8);
            [(sum >> 2) as u8]
        }),
        SampleType::Int16 => {
            rows::<_, 2, 4>(from, into, |a, b, c, d| mean_i64(a, b, c, d, i16::from_le_bytes))
        }
        SampleType::Uint16 => pairs::<_, 2, 4>(from, into, |upper, lower| {
            let (upper, lower) = (u32::from_le_bytes(*upper), u32::from_le_bytes(*lower));
            let sum = (upper & 0xffff) + (upper >> 16) + (lower & 0xffff) + (lower >> 16);
            ((sum >> 2) as u16).to_le_bytes()
        }),
        SampleType::Int32 => {
            rows::<_, 4, 8>(from, into, |a, b, c, d| mean_i64(a, b, c, d, i32::from_le_bytes))
        }
        SampleType::Uint32 => rows::<_, 4, 8>(from, into, |a, b, c, d| {
            let sum: u64 = [a, b, c, d].into_iter().map(|bytes| u64::from(u32::from_le_bytes(bytes))).sum();
            ((sum >> 2) as u32).to_le_bytes()
        }),
        SampleType::Float => rows::<_, 4, 8>(from, into, |a, b, c, d| {
            let sum: f64 = [a, b, c, d].into_iter().map(|bytes| f64::from(f32::from_le_bytes(bytes))).sum();
            (number_or_nan(sum / 4.0) as f32).to_le_bytes()
        }),
        SampleType::Double => rows::<_, 8, 16>(from, into, |a, b, c, d| {
            let sum: f64 = [a, b, c, d].into_iter().map(f64::from_le_bytes).sum();
            number_or_nan(sum / 4.0).to_le_bytes()
        }),
    }
}

/// Takes the last sample of each 2 × 2.
fn nearest(bytes: usize, from: Samples<'_>, into: Target<'_>) {
    let [height, width] = from.size;
    let [first, left] = into.at;
    let columns = (width / 2).max(1);
    for row in 0..(height / 2).max(1) {
        let source = &from.samples[(2 * row + 1).min(height - 1) * width * bytes..][..width * bytes];
        let target = &mut into.samples[((first + row) * into.width + left) * bytes..][..columns * bytes];
        for (column, sample) in target.chunks_exact_mut(bytes).enumerate() {
            sample.copy_from_slice(&source[(2 * column + 1).min(width - 1) * bytes..][..bytes]);
        }
    }
}

/// One NaN for all: which of several a sum hands on depends on how it was compiled.
const fn number_or_nan(mean: f64) -> f64 {
    if mean.is_nan() { f64::NAN } else { mean }
}

/// The mean of four signed integers.
fn mean_i64<T: Into<i64>, const BYTES: usize>(
    a: [u8; BYTES],
    b: [u8; BYTES],
    c: [u8; BYTES],
    d: [u8; BYTES],
    number: impl Fn([u8; BYTES]) -> T,
) -> [u8; BYTES] {
    let sum: i64 = [a, b, c, d].into_iter().map(|bytes| number(bytes).into()).sum();
    let mean = (sum / 4).to_le_bytes();
    std::array::from_fn(|byte| mean[byte])
}

/// Goes over pairs of rows, and in them over pairs of samples (`PAIR` is twice `BYTES`), each sample by itself.
fn rows<F, const BYTES: usize, const PAIR: usize>(from: Samples<'_>, into: Target<'_>, mean: F)
where
    F: Fn([u8; BYTES], [u8; BYTES], [u8; BYTES], [u8; BYTES]) -> [u8; BYTES],
{
    let split = |pair: &[u8; PAIR]| -> ([u8; BYTES], [u8; BYTES]) {
        (std::array::from_fn(|byte| pair[byte]), std::array::from_fn(|byte| pair[BYTES + byte]))
    };
    pairs::<_, BYTES, PAIR>(from, into, |upper, lower| {
        let ((a, b), (c, d)) = (split(upper), split(lower));
        mean(a, b, c, d)
    });
}

/// The same, two samples at a time. As the halves of a number they stay where they are in a vector: of bytes it is seven times
/// as fast.
fn pairs<F, const BYTES: usize, const PAIR: usize>(from: Samples<'_>, into: Target<'_>, mean: F)
where
    F: Fn(&[u8; PAIR], &[u8; PAIR]) -> [u8; BYTES],
{
    let [height, width] = from.size;
    let stride = width * BYTES;
    let [first, left] = into.at;
    for row in 0..(height / 2).max(1) {
        let upper = &from.samples[2 * row * stride..][..stride];
        let lower = if height == 1 { upper } else { &from.samples[(2 * row + 1) * stride..][..stride] };
        let start = ((first + row) * into.width + left) * BYTES;
        let target = &mut into.samples[start..][..width / 2 * BYTES];
        let pairs = upper.as_chunks::<PAIR>().0.iter().zip(lower.as_chunks::<PAIR>().0);
        for (sample, (upper, lower)) in target.as_chunks_mut::<BYTES>().0.iter_mut().zip(pairs) {
            *sample = mean(upper, lower);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sides_are_halved_until_the_longer_one_is_small_and_none_vanishes() {
        assert_eq!(sizes(2048, 2048, 96).len(), 6);
        assert_eq!(sizes(96, 96, 96), [[96, 96]]);
        assert_eq!(sizes(97, 5, 96), [[97, 5], [48, 2]]);
        assert_eq!(sizes(1, 400, 96), [[1, 400], [1, 200], [1, 100], [1, 50]]);
        assert_eq!(sizes(3, 400, 96), [[3, 400], [1, 200], [1, 100], [1, 50]]);
    }

    fn reduced(kind: SampleType, size: [usize; 2], samples: &[u8]) -> Vec<u8> {
        let target = size.map(|side| (side / 2).max(1));
        let mut into = vec![0; target[0] * target[1] * kind.bytes()];
        let place = Target { width: target[1], samples: &mut into, at: [0, 0] };
        reduce(Reduction::Mean, kind, Samples { size, samples }, place);
        into
    }

    #[test]
    fn a_mean_loses_its_fraction_toward_zero() {
        assert_eq!(reduced(SampleType::Uint8, [2, 2], &[1, 2, 3, 5]), [2]);
        assert_eq!(reduced(SampleType::Uint8, [2, 2], &[255; 4]), [255]);
        // -1, -2, -3 and -5: the mean is -2.75.
        assert_eq!(reduced(SampleType::Int8, [2, 2], &[255, 254, 253, 251]), [254]);
        let large = [u32::MAX, u32::MAX, u32::MAX, u32::MAX - 1].map(u32::to_le_bytes).concat();
        assert_eq!(reduced(SampleType::Uint32, [2, 2], &large), (u32::MAX - 1).to_le_bytes());
        let smallest = [i32::MIN; 4].map(i32::to_le_bytes).concat();
        assert_eq!(reduced(SampleType::Int32, [2, 2], &smallest), i32::MIN.to_le_bytes());
        let fractions = [0.5_f32, 1.0, 1.5, 2.0].map(f32::to_le_bytes).concat();
        assert_eq!(reduced(SampleType::Float, [2, 2], &fractions), 1.25_f32.to_le_bytes());
        let unknown = [f64::NAN, 1.0, 1.5, 2.0].map(f64::to_le_bytes).concat();
        let mean = reduced(SampleType::Double, [2, 2], &unknown);
        assert!(mean.as_array().is_some_and(|bytes| f64::from_le_bytes(*bytes).is_nan()));
    }

    #[test]
    fn the_last_of_an_odd_side_is_left_out_and_a_side_of_one_stays() {
        assert_eq!(reduced(SampleType::Uint8, [3, 3], &[1, 3, 99, 5, 7, 99, 99, 99, 99]), [4]);
        assert_eq!(reduced(SampleType::Uint8, [1, 5], &[1, 4, 5, 8, 99]), [2, 6]);
        assert_eq!(reduced(SampleType::Uint8, [5, 1], &[1, 4, 5, 8, 99]), [2, 6]);
        assert_eq!(reduced(SampleType::Uint16, [1, 1], &[7, 1]), [7, 1]);
    }

    #[test]
    fn numbers_of_objects_are_not_mixed() {
        let mut into = vec![0; 2];
        let samples = [1, 2, 3, 4, 99, 5, 6, 7, 8, 99, 99, 99, 99, 99, 99];
        let place = Target { width: 2, samples: &mut into, at: [0, 0] };
        reduce(Reduction::Nearest, SampleType::Uint8, Samples { size: [3, 5], samples: &samples }, place);
        assert_eq!(into, [6, 8]);
        let place = Target { width: 1, samples: &mut into, at: [0, 0] };
        reduce(Reduction::Nearest, SampleType::Uint8, Samples { size: [3, 1], samples: &[1, 2, 3] }, place);
        assert_eq!(into[0], 2);
    }

    proptest! {
        #[test]
        fn a_chunk_is_what_the_chunks_below_it_make(
            height in 1_usize..200,
            width in 1_usize..200,
            tile in prop::sample::select(vec![2_usize, 8, 16, 64]),
        ) {
            let grid = Grid { tile, sizes: sizes(height, width, 7) };
            for level in 0..grid.sizes.len() {
                let [rows, columns] = grid.chunks(level);
                let mut covered = [0, 0];
                for row in 0..rows {
                    covered[0] += grid.extent(level, row, 0)[0];
                }
                for column in 0..columns {
                    covered[1] += grid.extent(level, 0, column)[1];
                }
                prop_assert_eq!(covered, grid.sizes[level]);
                if level > 0 {
                    let mut seen: Vec<[usize; 2]> = (0..rows)
                        .flat_map(|row| (0..columns).map(move |column| [row, column]))
                        .flat_map(|[row, column]| grid.below(level, row, column))
                        .collect();
                    seen.sort_unstable();
                    let [rows, columns] = grid.chunks(level - 1);
                    let all: Vec<[usize; 2]> =
                        (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column])).collect();
                    prop_assert_eq!(seen, all);
                }
            }
        }
    }
}
