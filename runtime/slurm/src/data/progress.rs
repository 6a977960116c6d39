//! How far a transfer is.
//!
//! Invariant: whoever watches is told at most ten times a second, and the end always.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const BETWEEN: Duration = Duration::from_millis(100);

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that are there, or under way.
    pub bytes: u64,
    /// Bytes of all.
    pub of_bytes: u64,
    /// Files, folders and links that are there and verified.
    pub entries: u64,
    /// All of them.
    pub of_entries: u64,
}

/// Who is told.
pub type Watcher = Arc<dyn Fn(Progress) + Send + Sync>;

/// Counts, and tells.
pub(crate) struct Meter {
    bytes: AtomicU64,
    entries: AtomicU64,
    of_bytes: u64,
    of_entries: u64,
    watcher: Option<Watcher>,
    told: Mutex<Option<Instant>>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.so_far().fmt(formatter)
    }
}

impl Meter {
    pub(crate) fn new(of_bytes: u64, of_entries: u64, watcher: Option<Watcher>) -> Self {
        let told = Mutex::new(None);
        Self { bytes: 0.into(), entries: 0.into(), of_bytes, of_entries, watcher, told }
    }

    pub(crate) fn bytes(&self, more: u64) {
        self.bytes.fetch_add(more, Ordering::Relaxed);
        self.tell(false);
    }

    pub(crate) fn entries(&self, more: u64) {
        self.entries.fetch_add(more, Ordering::Relaxed);
        self.tell(false);
    }

    pub(crate) fn end(&self) {
        self.tell(true);
    }

    fn so_far(&self) -> Progress {
        Progress {
            // What is sent again is not counted beyond the whole.
            bytes: self.bytes.load(Ordering::Relaxed).min(self.of_bytes),
            of_bytes: self.of_bytes,
            entries: self.entries.load(Ordering::Relaxed).min(self.of_entries),
            of_entries: self.of_entries,
        }
    }

    fn tell(&self, last: bool) {
        let Some(watcher) = &self.watcher else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if last || told.is_none_or(|told| told.elapsed() >= BETWEEN) {
            *told = Some(Instant::now());
            watcher(self.so_far());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_hears_of_the_end_and_not_of_each_step() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let watcher: Watcher = Arc::new(move |progress| ear.lock().expect("a lock").push(progress));
        let meter = Meter::new(100_000, 10, Some(watcher));
        for _ in 0..100_000 {
            meter.bytes(1);
        }
        meter.entries(10);
        meter.end();
        let heard = heard.lock().expect("a lock");
        let all = Progress { bytes: 100_000, of_bytes: 100_000, entries: 10, of_entries: 10 };
        assert_eq!(heard.last(), Some(&all));
        assert!(heard.len() < 1_000, "told {} times", heard.len());
    }
}
