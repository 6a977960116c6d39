//! Blosc's two filters. Bytes: all first bytes of the samples, then all second ones, and so on. Bits: the same with bits.
//!
//! What is left over behind the last whole sample stays as it is. Bits are taken from eight samples at a time: where their number
//! is no multiple of eight, c-blosc leaves all of them as they are.

/// Shuffles the bytes of samples of this width.
pub(crate) fn shuffle(width: usize, from: &[u8], into: &mut [u8]) {
    match width {
        2 => shuffle_by::<2>(from, into),
        4 => shuffle_by::<4>(from, into),
        8 => shuffle_by::<8>(from, into),
        _ => {
            let samples = from.len() / width;
            let (whole, rest) = from.split_at(samples * width);
            for (number, sample) in whole.chunks_exact(width).enumerate() {
                for (byte, value) in sample.iter().enumerate() {
                    into[byte * samples + number] = *value;
                }
            }
            into[samples * width..].copy_from_slice(rest);
        }
    }
}

/// The same with a width that the compiler knows, a byte at a time: it becomes vector instructions.
fn shuffle_by<const WIDTH: usize>(from: &[u8], into: &mut [u8]) {
    let (whole, rest) = from.as_chunks::<WIDTH>();
    let (planes, left_over) = into.split_at_mut(whole.len() * WIDTH);
    if !whole.is_empty() {
        for (byte, plane) in planes.chunks_exact_mut(whole.len()).enumerate() {
            for (target, sample) in plane.iter_mut().zip(whole) {
                *target = sample[byte % WIDTH];
            }
        }
    }
    left_over.copy_from_slice(rest);
}

/// Undoes [`shuffle`].
pub(crate) fn unshuffle(width: usize, from: &[u8], into: &mut [u8]) {
    match width {
        2 => unshuffle_by::<2>(from, into),
        4 => unshuffle_by::<4>(from, into),
        8 => unshuffle_by::<8>(from, into),
        _ => {
            let samples = from.len() / width;
            let (planes, rest) = from.split_at(samples * width);
            let (whole, left_over) = into.split_at_mut(samples * width);
            for (number, sample) in whole.chunks_exact_mut(width).enumerate() {
                for (byte, value) in sample.iter_mut().enumerate() {
                    *value = planes[byte * samples + number];
                }
            }
            left_over.copy_from_slice(rest);
        }
    }
}

fn unshuffle_by<const WIDTH: usize>(from: &[u8], into: &mut [u8]) {
    let (whole, left_over) = into.as_chunks_mut::<WIDTH>();
    let (planes, rest) = from.split_at(whole.len() * WIDTH);
    if !whole.is_empty() {
        let mut parts = planes.chunks_exact(whole.len());
        let parts: [&[u8]; WIDTH] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        for (number, sample) in whole.iter_mut().enumerate() {
            *sample = std::array::from_fn(|byte| parts[byte].get(number).copied().unwrap_or_default());
        }
    }
    left_over.copy_from_slice(rest);
}

/// Undoes the shuffling of bits, which is read and never written: zarr-python chooses it for samples of one byte.
pub(crate) fn unshuffle_bits(width: usize, from: &[u8], into: &mut [u8]) {
    let samples = from.len() / width;
    if !samples.is_multiple_of(8) {
        into.copy_from_slice(from);
        return;
    }
    let row = samples / 8;
    let (planes, rest) = from.split_at(samples * width);
    let (whole, left_over) = into.split_at_mut(samples * width);
    whole.fill(0);
    for byte in 0..width {
        for bit in 0..8 {
            let start = (byte * 8 + bit) * row;
            for (eight, bits) in planes[start..start + row].iter().enumerate() {
                for number in 0..8 {
                    whole[(eight * 8 + number) * width + byte] |= (bits >> number & 1) << bit;
                }
            }
        }
    }
    left_over.copy_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_of_a_kind_come_together() {
        let mut shuffled = [0; 7];
        shuffle(2, b"aAbBcC!", &mut shuffled);
        assert_eq!(&shuffled, b"abcABC!");
        let mut wide = [0; 7];
        shuffle(3, b"123abc?", &mut wide);
        assert_eq!(&wide, b"1a2b3c?");
    }

    #[test]
    fn the_bits_of_eight_bytes_are_turned() {
        // The lowest bits of the eight samples are 10000000, those above 01000000, and so on.
        let mut samples = [0; 9];
        unshuffle_bits(1, &[1, 2, 4, 8, 16, 32, 64, 128], &mut samples[..8]);
        assert_eq!(samples[..8], [1, 2, 4, 8, 16, 32, 64, 128]);
        unshuffle_bits(1, &[255, 0, 0, 0, 0, 0, 0, 0, 42], &mut samples);
        assert_eq!(samples, [255, 0, 0, 0, 0, 0, 0, 0, 42]);
        unshuffle_bits(1, &[255, 0, 0, 0, 0, 0, 0, 0], &mut samples[..8]);
        assert_eq!(samples[..8], [1; 8]);
    }

    proptest! {
        #[test]
        fn what_is_shuffled_comes_back(
            width in 1_usize..20,
            bytes in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let (mut shuffled, mut back) = (vec![0; bytes.len()], vec![0; bytes.len()]);
            shuffle(width, &bytes, &mut shuffled);
            unshuffle(width, &shuffled, &mut back);
            prop_assert_eq!(back, bytes);
        }
    }
}
