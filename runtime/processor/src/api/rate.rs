//! How often somebody may ask: a bucket for each that fills again.
//!
//! Invariant: what is remembered is bounded, however many ask.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How many are remembered.
const REMEMBERED: usize = 4_096;

/// How often each may ask.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: f64,
    most: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rate {
    /// So many a second, and two seconds' worth at once.
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, most: per_second * 2.0, buckets: Mutex::default() }
    }

    /// Whether it may ask now; else, how long it has to wait.
    pub(crate) fn take(&self, who: &str, now: Instant) -> Result<(), Duration> {
        // A thread that panicked in here has left whole buckets.
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(who) {
            // Who has not asked for two seconds has a full bucket, as if it had never asked.
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.most);
            if buckets.len() >= REMEMBERED {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = buckets.entry(who.to_owned()).or_insert(Bucket { left: self.most, at: now });
        let left = self.filled(*bucket, now);
        *bucket = Bucket { left: left.max(0.0), at: now };
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / self.per_second));
        }
        bucket.left = left - 1.0;
        Ok(())
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + since * self.per_second).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_worth_at_once_and_then_as_many_a_second() {
        let rate = Rate::new(10);
        let begun = Instant::now();
        assert!((0..20).all(|_| rate.take("a", begun).is_ok()));
        let wait = rate.take("a", begun).expect_err("too often");
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(100), "{wait:?}");
        assert_eq!(rate.take("b", begun), Ok(()), "another one has a bucket of its own");
        let later = begun + Duration::from_secs(1);
        assert_eq!((0..20).filter(|_| rate.take("a", later).is_ok()).count(), 10);
        let much_later = begun + Duration::from_secs(3_600);
        assert_eq!((0..40).filter(|_| rate.take("a", much_later).is_ok()).count(), 20);
    }

    #[test]
    fn however_many_ask_what_is_remembered_is_bounded() {
        let rate = Rate::new(1);
        let begun = Instant::now();
        for who in 0..REMEMBERED + 10 {
            let outcome = rate.take(&who.to_string(), begun);
            assert_eq!(outcome.is_ok(), who < REMEMBERED, "{who}");
        }
        let later = begun + Duration::from_secs(3);
        assert_eq!(rate.take("new", later), Ok(()), "those who have waited make room");
        assert_eq!(rate.buckets.lock().expect("no panic").len(), 1);
    }
}
