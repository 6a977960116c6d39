//! How many sessions there are at a time.
//!
//! `MaxSessions` of a server is not told to anybody. A session that is refused is no trouble: there are too many, and from
//! then on there are fewer at a time, though never fewer than have been seen to work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    /// How many places there are.
    all: AtomicUsize,
    /// How many sessions are open.
    open: AtomicUsize,
    /// How many were open at a time, at the most.
    proven: AtomicUsize,
}

/// A place for a session; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    counts: Arc<Counts>,
    is_open: bool,
}

impl Places {
    pub(super) fn new(all: usize) -> Self {
        let all = all.clamp(1, 1000);
        let counts =
            Counts { all: AtomicUsize::new(all), open: AtomicUsize::new(0), proven: AtomicUsize::new(1) };
        Self { free: Arc::new(Semaphore::new(all)), counts: Arc::new(counts) }
    }

    /// Waits for one, first come, first served.
    pub(super) async fn take(&self) -> Place {
        loop {
            // Nobody closes the semaphore.
            if let Ok(permit) = Arc::clone(&self.free).acquire_owned().await {
                return Place { permit: Some(permit), counts: Arc::clone(&self.counts), is_open: false };
            }
        }
    }

    /// How many there are.
    pub(super) fn all(&self) -> usize {
        self.counts.all.load(Ordering::SeqCst)
    }
}

impl Place {
    /// The server has opened a session.
    pub(super) fn open(mut self) -> Self {
        self.is_open = true;
        let open = self.counts.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.proven.fetch_max(open, Ordering::SeqCst);
        self
    }

    /// The server has refused one: there is a place less from now on, unless as many were open before; then it is kept,
    /// and worth another attempt.
    pub(super) fn refused(mut self) -> Option<Self> {
        let least = self.counts.proven.load(Ordering::SeqCst);
        let fewer = |all: usize| (all > least).then(|| all - 1);
        match self.counts.all.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
            Ok(before) => {
                tracing::info!(sessions = before - 1, "the server allows fewer sessions at a time");
                if let Some(permit) = self.permit.take() {
                    permit.forget();
                }
                None
            }
            Err(_) => Some(self),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_open {
            self.counts.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_leaves_fewer_places_but_never_fewer_than_have_worked() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let places = Places::new(4);
            let open = [places.take().await.open(), places.take().await.open()];
            assert!(places.take().await.refused().is_none(), "a place less");
            assert_eq!(places.all(), 3);
            assert!(places.take().await.refused().is_none(), "a place less");
            assert_eq!(places.all(), 2);
            drop(open);
            let kept = places.take().await.refused().expect("two have worked");
            assert_eq!(places.all(), 2);
            drop(kept);
            let _both = [places.take().await, places.take().await];
            assert_eq!(places.free.available_permits(), 0);
        });
    }
}
