//! Pixels whose samples lie side by side, taken apart into a plane for each channel.

/// Samples side by side: of how many channels, and bytes of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pixel {
    pub(super) samples: usize,
    pub(super) bytes: usize,
}

impl Pixel {
    pub(super) const fn size(self) -> usize {
        self.samples * self.bytes
    }

    /// Takes one sample of each pixel.
    ///
    /// What slide scanners and cameras write has a width that the compiler knows: without, each sample costs a call of `memcpy`.
    pub(super) fn take(self, sample: usize, from: &[u8], into: &mut [u8]) {
        match (self.samples, self.bytes) {
            (1, _) => into.copy_from_slice(from),
            (3, 1) => match sample {
                0 => of_three::<0>(from, into),
                1 => of_three::<1>(from, into),
                _ => of_three::<2>(from, into),
            },
            (4, 1) => take::<4, 1>(sample, from, into),
            (3, 2) => take::<6, 2>(sample, from, into),
            (4, 2) => take::<8, 2>(sample, from, into),
            (samples, 1) => stride::<1>(samples, sample, from, into),
            (samples, 2) => stride::<2>(samples, sample, from, into),
            (samples, 4) => stride::<4>(samples, sample, from, into),
            (samples, _) => stride::<8>(samples, sample, from, into),
        }
    }
}

/// One of three bytes, eight pixels at a time: words are loaded, and not bytes, which halves the time.
fn of_three<const SAMPLE: usize>(from: &[u8], into: &mut [u8]) {
    let ((eights, rest), (targets, last)) = (from.as_chunks::<24>(), into.as_chunks_mut::<8>());
    for (into, pixels) in targets.iter_mut().zip(eights) {
        *into = std::array::from_fn(|number| pixels[3 * number + SAMPLE]);
    }
    take::<3, 1>(SAMPLE, rest, last);
}

fn take<const PIXEL: usize, const BYTES: usize>(sample: usize, from: &[u8], into: &mut [u8]) {
    let pixels = from.as_chunks::<PIXEL>().0;
    for (into, pixel) in into.as_chunks_mut::<BYTES>().0.iter_mut().zip(pixels) {
        *into = std::array::from_fn(|byte| pixel[(sample * BYTES + byte) % PIXEL]);
    }
}

fn stride<const BYTES: usize>(samples: usize, sample: usize, from: &[u8], into: &mut [u8]) {
    let from = from.as_chunks::<BYTES>().0.iter().skip(sample).step_by(samples);
    into.as_chunks_mut::<BYTES>().0.iter_mut().zip(from).for_each(|(into, from)| *into = *from);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_channel_gets_its_sample_of_every_pixel(
            samples in 1_usize..7,
            bytes in prop::sample::select(vec![1_usize, 2, 4, 8]),
            pixels in 0_usize..100,
            seed in any::<u8>(),
        ) {
            let pixel = Pixel { samples, bytes };
            let from: Vec<u8> = (0..pixels * pixel.size()).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect();
            for sample in 0..samples {
                let mut found = vec![0; pixels * bytes];
                pixel.take(sample, &from, &mut found);
                let at = |number: usize| (number / bytes * samples + sample) * bytes + number % bytes;
                let expected: Vec<u8> = (0..found.len()).map(|number| from[at(number)]).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
