//! The smallest and the largest sample: what a display needs to begin with.

use crate::sample::SampleType;

/// Of the samples that were seen. What is not finite is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extremes(Option<(f64, f64)>);

impl Extremes {
    /// The smallest and the largest; `None` where nothing finite was seen.
    #[must_use]
    pub const fn range(&self) -> Option<(f64, f64)> {
        self.0
    }

    /// Those that were told.
    pub(crate) fn of(range: Option<(f64, f64)>) -> Self {
        Self(range.filter(|(low, high)| low <= high))
    }

    /// What another saw counts too.
    pub(crate) fn merge(&mut self, other: &Self) {
        if let Some((low, high)) = other.0 {
            self.include(low, high);
        }
    }

    /// Looks at samples.
    pub(crate) fn see(&mut self, sample_type: SampleType, samples: &[u8]) {
        /// Of integers, in their own type: it becomes vector instructions.
        macro_rules! of {
            ($type:ty) => {{
                let start = (<$type>::MAX, <$type>::MIN);
                let (low, high) = samples.as_chunks().0.iter().fold(start, |(low, high), bytes| {
                    let number = <$type>::from_le_bytes(*bytes);
                    (low.min(number), high.max(number))
                });
                (f64::from(low), f64::from(high))
            }};
        }
        let (low, high) = match sample_type {
            SampleType::Int8 => of!(i8),
            SampleType::Uint8 => of!(u8),
            SampleType::Int16 => of!(i16),
            SampleType::Uint16 => of!(u16),
            SampleType::Int32 => of!(i32),
            SampleType::Uint32 => of!(u32),
            SampleType::Float | SampleType::Double => sample_type
                .numbers(samples)
                .filter(|number| number.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                    (low.min(number), high.max(number))
                }),
        };
        if low <= high {
            self.include(low, high);
        }
    }

    fn include(&mut self, low: f64, high: f64) {
        self.0 = Some(match self.0 {
            None => (low, high),
            Some((lowest, highest)) => (lowest.min(low), highest.max(high)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_those_of_everything_finite() {
        let mut seen = Extremes::default();
        seen.see(SampleType::Int16, &[]);
        assert_eq!(seen.range(), None);
        seen.see(SampleType::Int16, &[-5_i16, 7].map(i16::to_le_bytes).concat());
        assert_eq!(seen.range(), Some((-5.0, 7.0)));
        let mut other = Extremes::default();
        let numbers = [f32::NAN, f32::INFINITY, 9.5, f32::NEG_INFINITY];
        other.see(SampleType::Float, &numbers.map(f32::to_le_bytes).concat());
        assert_eq!(other.range(), Some((9.5, 9.5)));
        seen.merge(&other);
        assert_eq!(seen.range(), Some((-5.0, 9.5)));
    }
}
