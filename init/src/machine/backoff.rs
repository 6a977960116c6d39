//! Pauses between tries: doubled each time up to a limit, with jitter so that many workers do not try in step.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The next pause, and the longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backoff {
    pause: Duration,
    longest: Duration,
}

impl Backoff {
    /// Between two tries of something remote.
    pub(crate) const fn between_tries() -> Self {
        Self { pause: Duration::from_millis(100), longest: Duration::from_secs(5) }
    }

    /// Between two looks at something local.
    pub(crate) const fn between_looks() -> Self {
        Self { pause: Duration::from_millis(50), longest: Duration::from_secs(1) }
    }

    /// The next pause: between three quarters of the nominal one and all of it.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let nominal = self.pause;
        self.pause = (nominal * 2).min(self.longest);
        // The standard library's hasher is seeded at random: enough for jitter.
        let random = RandomState::new().hash_one(0_u8) % 1000;
        nominal.mul_f64((random as f64 / 1000.0).mul_add(0.25, 0.75))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let mut backoff = Backoff::between_tries();
        for nominal in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = backoff.next_pause().as_millis();
            assert!((nominal * 3 / 4..=nominal).contains(&pause), "{pause} ms of {nominal} ms");
        }
        let pauses: std::collections::BTreeSet<_> =
            (0..20).map(|_| Backoff::between_tries().next_pause()).collect();
        assert!(pauses.len() > 1, "all pauses were {pauses:?}");
    }
}
