//! Events as they come, none left out.
//!
//! Listening begins before the log is read: what is recorded in between is either read or heard. When the connection is
//! lost, listening begins anew, then the log is read again from where it was left.

use crate::error::Error;
use crate::log::EventLog;
use crate::postgres::Listener;
use crate::retry::Retry;
use crate::sqlite::Watch;
use crate::stored::Notification;

/// How many events are read at a time.
const STEP: u32 = 500;

/// Reads on at the end of the log; made by [`EventLog::follow`].
#[derive(Debug)]
pub struct Follower<'a> {
    log: &'a EventLog,
    position: i64,
    listener: Option<Wake>,
}

/// What tells that there is more to read.
#[derive(Debug)]
pub(crate) enum Wake {
    /// `NOTIFY`, which Python sends as well.
    Postgres(Listener),
    /// What the file system tells.
    Sqlite(Watch),
}

impl<'a> Follower<'a> {
    pub(crate) const fn new(log: &'a EventLog, position: i64) -> Self {
        Self { log, position, listener: None }
    }

    /// The last event that was returned, or where it began.
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// The next events, in their order, never none. Dropped while it waits, it loses none.
    ///
    /// # Errors
    /// The database cannot be reached for as long as a command may take; calling again goes on from the same event.
    pub async fn next(&mut self) -> Result<Vec<Notification>, Error> {
        let mut retry = Retry::new("follow the log", self.log.limits().command);
        loop {
            match self.step().await {
                Ok(events) if events.is_empty() => {
                    retry = Retry::new("follow the log", self.log.limits().command)
                }
                Ok(events) => return Ok(events),
                Err(error) => {
                    self.listener = None;
                    retry.after(error).await?;
                }
            }
        }
    }

    /// Reads, and when there is nothing waits once.
    async fn step(&mut self) -> Result<Vec<Notification>, Error> {
        let listener = match &mut self.listener {
            Some(listener) => listener,
            None => self.listener.insert(self.log.wake().await?),
        };
        let events = self.log.select(self.position + 1, STEP).await?;
        if let Some(last) = events.last() {
            self.position = last.id;
            return Ok(events);
        }
        let still_there = match listener {
            Wake::Postgres(listener) => listener.woken().await,
            Wake::Sqlite(watch) => {
                watch.woken().await;
                true
            }
        };
        if !still_there {
            self.listener = None;
        }
        Ok(events)
    }
}

/// Tells that something was recorded, in the log or in our own stream, without saying what; made by [`EventLog::bell`].
#[derive(Debug)]
pub struct Bell<'a> {
    log: &'a EventLog,
    wake: Option<Wake>,
}

impl<'a> Bell<'a> {
    pub(crate) const fn new(log: &'a EventLog) -> Self {
        Self { log, wake: None }
    }

    /// Waits until something was recorded, at most for a minute. The first time it returns at once, listening: what is read
    /// from then on misses nothing. Dropped while it waits, it loses nothing.
    ///
    /// # Errors
    /// The database cannot be reached for as long as a command may take; calling again listens anew.
    pub async fn rung(&mut self) -> Result<(), Error> {
        let mut retry = Retry::new("hear of news", self.log.limits().command);
        while self.wake.is_none() {
            match self.log.wake().await {
                Ok(wake) => {
                    self.wake = Some(wake);
                    return Ok(());
                }
                Err(error) => retry.after(error).await?,
            }
        }
        let still_there = match &mut self.wake {
            Some(Wake::Postgres(listener)) => listener.woken().await,
            Some(Wake::Sqlite(watch)) => {
                watch.woken().await;
                true
            }
            None => false,
        };
        if !still_there {
            self.wake = None;
        }
        Ok(())
    }
}
