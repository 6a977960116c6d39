//! The two predictors: differences between neighbours in a row (TIFF 6.0, section 14), and, for floating-point numbers, the same
//! over their bytes, the highest of all samples first (Adobe's technical note 3).
//!
//! Samples are little-endian before and after; what is stored has the byte order of its file but for the floating-point one,
//! which has an order of its own.

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Predictor {
    /// 1.
    None,
    /// 2.
    Horizontal,
    /// 3.
    Float,
}

/// Samples in a row, in little-endian order, from the differences. A row has `width` pixels of `channels` samples.
pub(crate) fn undo(predictor: Predictor, rows: &mut [u8], width: usize, channels: usize, bytes: usize) {
    let row = width * channels * bytes;
    if row == 0 {
        return;
    }
    match (predictor, bytes) {
        (Predictor::None, _) => {}
        (Predictor::Horizontal, 1) => rows.chunks_exact_mut(row).for_each(|row| sum::<1>(row, channels)),
        (Predictor::Horizontal, 2) => rows.chunks_exact_mut(row).for_each(|row| sum::<2>(row, channels)),
        (Predictor::Horizontal, 4) => rows.chunks_exact_mut(row).for_each(|row| sum::<4>(row, channels)),
        (Predictor::Horizontal, _) => rows.chunks_exact_mut(row).for_each(|row| sum::<8>(row, channels)),
        (Predictor::Float, _) => {
            let mut planes = vec![0; row];
            for row in rows.chunks_exact_mut(row) {
                sum::<1>(row, channels);
                planes.copy_from_slice(row);
                let samples = width * channels;
                for (number, sample) in row.chunks_exact_mut(bytes).enumerate() {
                    for (byte, value) in sample.iter_mut().enumerate() {
                        *value = planes[(bytes - 1 - byte) * samples + number];
                    }
                }
            }
        }
    }
}

/// Undoes [`undo`].
pub(crate) fn apply(predictor: Predictor, rows: &mut [u8], width: usize, channels: usize, bytes: usize) {
    let row = width * channels * bytes;
    if row == 0 {
        return;
    }
    match (predictor, bytes) {
        (Predictor::None, _) => {}
        (Predictor::Horizontal, 1) => {
            rows.chunks_exact_mut(row).for_each(|row| difference::<1>(row, channels));
        }
        (Predictor::Horizontal, 2) => {
            rows.chunks_exact_mut(row).for_each(|row| difference::<2>(row, channels));
        }
        (Predictor::Horizontal, 4) => {
            rows.chunks_exact_mut(row).for_each(|row| difference::<4>(row, channels));
        }
        (Predictor::Horizontal, _) => {
            rows.chunks_exact_mut(row).for_each(|row| difference::<8>(row, channels));
        }
        (Predictor::Float, _) => {
            let mut samples = vec![0; row];
            for row in rows.chunks_exact_mut(row) {
                samples.copy_from_slice(row);
                for (number, sample) in samples.chunks_exact(bytes).enumerate() {
                    for (byte, value) in sample.iter().enumerate() {
                        row[(bytes - 1 - byte) * width * channels + number] = *value;
                    }
                }
                difference::<1>(row, channels);
            }
        }
    }
}

fn number<const BYTES: usize>(sample: &[u8; BYTES]) -> u64 {
    let mut wide = [0; 8];
    wide[..BYTES].copy_from_slice(sample);
    u64::from_le_bytes(wide)
}

fn bytes<const BYTES: usize>(number: u64) -> [u8; BYTES] {
    let wide = number.to_le_bytes();
    std::array::from_fn(|byte| wide[byte])
}

fn sum<const BYTES: usize>(row: &mut [u8], channels: usize) {
    let samples = row.as_chunks_mut::<BYTES>().0;
    for at in channels..samples.len() {
        samples[at] = bytes(number(&samples[at - channels]).wrapping_add(number(&samples[at])));
    }
}

fn difference<const BYTES: usize>(row: &mut [u8], channels: usize) {
    // Where it is a constant the loop is so much faster that the whole of a conversion to zstd takes a third less.
    match channels {
        1 => difference_of::<BYTES, 1>(row),
        3 => difference_of::<BYTES, 3>(row),
        _ => {
            let samples = row.as_chunks_mut::<BYTES>().0;
            for at in (channels..samples.len()).rev() {
                samples[at] = bytes(number(&samples[at]).wrapping_sub(number(&samples[at - channels])));
            }
        }
    }
}

fn difference_of<const BYTES: usize, const CHANNELS: usize>(row: &mut [u8]) {
    let mut before = [0; CHANNELS];
    for pixel in row.as_chunks_mut::<BYTES>().0.as_chunks_mut::<CHANNELS>().0 {
        for (sample, before) in pixel.iter_mut().zip(&mut before) {
            let found = number(sample);
            *sample = bytes(found.wrapping_sub(*before));
            *before = found;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn differences_are_those_of_each_channel() {
        let mut rows = [10, 20, 1, 1, 255, 2, 7, 7, 0, 0, 0, 1];
        undo(Predictor::Horizontal, &mut rows, 3, 2, 1);
        assert_eq!(rows, [10, 20, 11, 21, 10, 23, 7, 7, 7, 7, 7, 8]);
    }

    proptest! {
        #[test]
        fn what_is_predicted_comes_back(
            bytes in prop::sample::select(vec![1_usize, 2, 4, 8]),
            (width, channels) in (1_usize..20, 1_usize..4),
            seed in prop::collection::vec(any::<u8>(), 960),
        ) {
            let row = width * channels * bytes;
            let rows = seed[..seed.len() / row * row].to_vec();
            for predictor in [Predictor::None, Predictor::Horizontal, Predictor::Float] {
                let mut stored = rows.clone();
                apply(predictor, &mut stored, width, channels, bytes);
                undo(predictor, &mut stored, width, channels, bytes);
                prop_assert_eq!(&stored, &rows);
            }
        }
    }
}
