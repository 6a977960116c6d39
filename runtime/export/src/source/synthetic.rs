//! Images that are computed: of any size and type, without a file. What tests and benchmarks export.

use std::sync::Arc;

use super::{Level, ReadError, Source, check};
use crate::metadata::Metadata;
use crate::roi::Roi;
use crate::sample::SampleType;
use crate::shape::{Region, Shape};

/// What is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Every sample is 0.
    Empty,
    /// Numbers that use the whole range of the type, and differ from plane to plane; floating-point ones with fractions,
    /// infinities and NaN among them.
    Every,
    /// Waves with a little noise, which compress as images of a microscope do.
    Waves,
}

/// An image that is computed.
#[derive(Debug)]
pub struct Synthetic {
    pattern: Pattern,
    sample_type: SampleType,
    metadata: Metadata,
    rois: Vec<Arc<Roi>>,
    levels: [Level; 1],
}

impl Synthetic {
    /// Of this shape and type.
    #[must_use]
    pub fn new(shape: Shape, sample_type: SampleType, pattern: Pattern, metadata: Metadata) -> Self {
        let levels = [Level { shape, tile: [1024, 1024] }];
        Self { pattern, sample_type, metadata, rois: Vec::new(), levels }
    }

    /// With this drawn on it.
    #[must_use]
    pub fn with(self, rois: Vec<Roi>) -> Self {
        Self { rois: rois.into_iter().map(Arc::new).collect(), ..self }
    }

    fn sample(&self, plane: u64, y: u64, x: u64, into: &mut [u8]) {
        let hash = scatter(plane << 48 ^ y << 24 ^ x);
        match self.pattern {
            Pattern::Empty => into.fill(0),
            // No sample is wider than the hash.
            Pattern::Every => into.copy_from_slice(&hash.to_le_bytes()[..into.len()]),
            Pattern::Waves => {
                let wave = triangle(x * 3 + plane * 97, 1021) + triangle(y * 2 + plane * 31, 761);
                let noise = (hash & 0x3f) as u32;
                let value = wave * 20 + noise;
                match self.sample_type {
                    SampleType::Int8 | SampleType::Uint8 => into.copy_from_slice(&[(value >> 7) as u8]),
                    SampleType::Int16 | SampleType::Uint16 => {
                        into.copy_from_slice(&(value as u16).to_le_bytes());
                    }
                    SampleType::Int32 | SampleType::Uint32 => into.copy_from_slice(&value.to_le_bytes()),
                    SampleType::Float => into.copy_from_slice(&(value as f32 / 7.0).to_le_bytes()),
                    SampleType::Double => into.copy_from_slice(&(f64::from(value) / 7.0).to_le_bytes()),
                }
            }
        }
    }
}

/// Up and down between 0 and half of the period.
const fn triangle(at: u64, period: u64) -> u32 {
    let phase = at % period;
    (if phase * 2 < period { phase } else { period - phase }) as u32
}

/// A number for a number: the finalizer of `SplitMix64`.
const fn scatter(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl Source for Synthetic {
    fn sample_type(&self) -> SampleType {
        self.sample_type
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn storage(&self) -> &str {
        "computed"
    }

    fn rois(&self) -> &[Arc<Roi>] {
        &self.rois
    }

    fn memory(&self) -> usize {
        0
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        let found = check(self, level, region, into)?;
        let Region { y, x, width, .. } = *region;
        let plane = found.shape.number(region.plane) as u64;
        let bytes = self.sample_type.bytes();
        for (row, samples) in into.chunks_exact_mut(width.max(1) * bytes).enumerate() {
            for (column, sample) in samples.chunks_exact_mut(bytes).enumerate() {
                self.sample(plane, (y + row) as u64, (x + column) as u64, sample);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Plane;

    #[test]
    fn a_region_is_the_same_wherever_it_is_cut_from() {
        let shape = Shape::new([1, 2, 1, 30, 40]).expect("it is small");
        for kind in SampleType::ALL {
            for pattern in [Pattern::Every, Pattern::Waves, Pattern::Empty] {
                let image = Synthetic::new(shape, kind, pattern, Metadata::default());
                let plane = Plane { t: 0, c: 1, z: 0 };
                let all = Region { plane, y: 0, x: 0, height: 30, width: 40 };
                let mut whole = vec![1; 1200 * kind.bytes()];
                image.read(0, &all, &mut whole).expect("it is there");
                let part = Region { plane, y: 3, x: 5, height: 1, width: 2 };
                let mut pixels = vec![1; 2 * kind.bytes()];
                image.read(0, &part, &mut pixels).expect("it is there");
                assert_eq!(pixels, whole[(3 * 40 + 5) * kind.bytes()..][..2 * kind.bytes()]);
                assert_eq!(pattern == Pattern::Empty, whole.iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let shape = Shape::new([1, 1, 1, 3, 4]).expect("it is small");
        let image = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default());
        let region = Region { plane: Plane::default(), y: 0, x: 0, height: 3, width: 4 };
        assert!(image.read(0, &region, &mut [0; 12]).is_ok());
        assert!(image.read(0, &region, &mut [0; 11]).is_err());
        assert!(image.read(1, &region, &mut [0; 12]).is_err());
        assert!(image.read(0, &Region { y: 1, ..region }, &mut [0; 12]).is_err());
    }
}
