//! How long to wait before asking again.

use std::time::Duration;

/// Between which bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The shortest interval: for jobs that have just been submitted, or have just begun.
    pub shortest: Duration,
    /// The longest one. The controllers of large clusters ask users not to ask more often than once a minute in a loop.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { shortest: Duration::from_secs(2), longest: Duration::from_secs(30) }
    }
}

/// What the interval follows from, for one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age {
    /// How long it has been as it is.
    pub(super) unchanged: Duration,
    /// How long it may still run.
    pub(super) left: Option<Duration>,
    /// It has ended, and how is about to be known.
    pub(super) settling: bool,
}

/// A job is asked after when it has been as it is for a tenth longer: its end is known a tenth of its duration late at most.
const PART: u32 = 10;

impl Pace {
    /// The interval for jobs of these ages, after so many failures in a row. `chance` is between 0 and 1.
    pub(super) fn interval(&self, ages: impl Iterator<Item = Age>, failures: u32, chance: f64) -> Duration {
        let longest = self.longest.max(self.shortest);
        let wanted = if failures > 0 {
            self.shortest.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX))
        } else {
            ages.map(|age| self.of(age)).min().unwrap_or(longest)
        };
        // Up to a fifth less.
        wanted.clamp(self.shortest, longest).mul_f64(1.0 - 0.2 * chance.clamp(0.0, 1.0))
    }

    fn of(&self, age: Age) -> Duration {
        if age.settling {
            return self.shortest;
        }
        let by_age = age.unchanged / PART;
        // At its limit it is ended: that moment is known.
        let by_limit = age.left.map(|left| left + Duration::from_secs(1));
        by_limit.map_or(by_age, |limit| by_age.min(limit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn age(unchanged: u64, left: Option<u64>, settling: bool) -> Age {
        Age {
            unchanged: Duration::from_secs(unchanged),
            left: match left {
                Some(left) => Some(Duration::from_secs(left)),
                None => None,
            },
            settling,
        }
    }

    #[test]
    fn what_is_young_is_asked_after_often_and_what_lasts_is_not() {
        let pace = Pace { shortest: Duration::from_secs(2), longest: Duration::from_secs(60) };
        for (case, ages, failures, seconds) in [
            ("just submitted", vec![age(0, None, false)], 0, 2),
            ("a few minutes", vec![age(120, None, false)], 0, 12),
            ("hours", vec![age(9999, None, false)], 0, 60),
            ("the youngest counts", vec![age(9999, None, false), age(50, None, false)], 0, 5),
            ("near its limit", vec![age(9999, Some(6), false)], 0, 7),
            ("far from it", vec![age(100, Some(5000), false)], 0, 10),
            ("about to be known", vec![age(9999, None, true)], 0, 2),
            ("one failure", vec![age(9999, None, false)], 1, 4),
            ("many failures", vec![age(0, None, false)], 40, 60),
            ("none", vec![], 0, 60),
        ] {
            assert_eq!(pace.interval(ages.into_iter(), failures, 0.0).as_secs(), seconds, "{case}");
        }
    }

    proptest! {
        #[test]
        fn it_is_never_longer_than_asked_for_nor_much_shorter(
            ages in proptest::collection::vec((0_u64..u64::MAX / 2, any::<bool>()), 0..9), failures: u32, chance in 0.0..1.0_f64,
        ) {
            let pace = Pace::default();
            let interval = pace.interval(ages.iter().map(|(unchanged, settling)| age(*unchanged, None, *settling)), failures, chance);
            prop_assert!(interval <= pace.longest && interval >= pace.shortest.mul_f64(0.79));
        }
    }
}
