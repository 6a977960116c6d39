//! Repeating what other writers, or a server that restarts, have kept from being done.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::Error;

/// Repeats what may succeed when it is repeated, later and later, until a deadline.
pub(crate) struct Retry {
    attempted: &'static str,
    begun: Instant,
    patience: Duration,
    attempts: u32,
}

impl Retry {
    pub(crate) fn new(attempted: &'static str, patience: Duration) -> Self {
        Self { attempted, begun: Instant::now(), patience, attempts: 0 }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `error` itself, when it would come again; otherwise [`Error::GivenUp`] at the deadline.
    pub(crate) async fn after(&mut self, error: Error) -> Result<(), Error> {
        self.attempts += 1;
        if !error.may_pass() {
            return Err(error);
        }
        // Doubled each time, up to 2 s; the other half by chance, so that those who met once do not meet again.
        let pause = Duration::from_millis(10 << self.attempts.min(8)).min(Duration::from_secs(2));
        let chance = f64::from(Uuid::new_v4().as_bytes()[0]) / 256.0;
        let pause = pause.mul_f64(0.5 + chance / 2.0);
        if self.begun.elapsed() + pause > self.patience {
            let seconds = self.begun.elapsed().as_secs();
            return Err(Error::GivenUp {
                attempted: self.attempted,
                attempts: self.attempts,
                seconds,
                source: Box::new(error),
            });
        }
        tracing::debug!("{}: attempt {} failed, again in {pause:?}: {error}", self.attempted, self.attempts);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
