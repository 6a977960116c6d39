//! A history from one database into another: events with their ids, versions and bytes, the commands they came from, our own
//! stream, what jobs have used. The views are not copied but made again.
//!
//! Invariants: the source is only read; what is in the target stays as it is; a part at a time, so that memory is bounded
//! and a copy that was interrupted goes on where it stopped; nothing is written behind a history that is another one.

use thiserror::Error;
use uuid::Uuid;

use crate::error::Error;
use crate::log::{EventLog, Store};
use crate::rebuild::Progress;
use crate::schema::{COMMANDS, JOB_USAGE, LOG, WORKER_EVENTS};
use crate::stored::Notification;
use crate::worker::{JobUsage, RecordedWorkerEvent};

/// How many rows are copied at a time.
pub(crate) const ROWS: u32 = 2_000;

/// How many bytes of events are copied at a time, but for the last event of a part.
pub(crate) const BYTES: i64 = 8 << 20;

/// How many ids back the last rows of both histories are compared.
const COMPARED: i64 = 1_000;

/// Why a history was not copied, or not to its end.
#[derive(Debug, Error)]
pub enum CopyError {
    /// One of the databases could not do it.
    #[error(transparent)]
    Log(#[from] Error),
    /// The target holds another history.
    #[error(
        "{to} already holds a history that is not the beginning of the one in {from} (`{table}` differs at or before id {id}): name a database that is empty, or one that a copy of the same history has begun"
    )]
    Different {
        /// The source.
        from: String,
        /// The target.
        to: String,
        /// Where they differ.
        table: &'static str,
        /// A row in which they do, or the last one of the target.
        id: i64,
    },
    /// Somebody else writes to the target.
    #[error(
        "somebody else writes to {to}: events came behind id {id} while it was being copied to; stop the workers that use it and begin with an empty database"
    )]
    Busy {
        /// The target.
        to: String,
        /// The last id that was copied.
        id: i64,
    },
}

/// What a copy has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Events that were there already.
    pub present: u64,
    /// Events that were copied.
    pub events: u64,
    /// Commands that can now be repeated without effect.
    pub commands: u64,
    /// Events of our own stream.
    pub worker_events: u64,
    /// Jobs whose usage was copied.
    pub job_usage: u64,
    /// Events that were projected.
    pub projected: u64,
}

/// What a command became.
pub(crate) type RecordedCommand = (Uuid, i64, i64);

/// The key of what a job has used: behind it the next ones are read.
pub(crate) type UsageKey = (String, i64, time::OffsetDateTime);

/// Copies what `to` does not have yet, and creates its tables when they are missing.
///
/// # Errors
/// [`CopyError::Different`] before anything was written; [`CopyError::Busy`]; the databases'. What was copied until then
/// stays, and the next copy goes on behind it.
pub async fn copy(
    from: &EventLog,
    to: &EventLog,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Copied, CopyError> {
    let source = from.extent(LOG, i64::MAX).await?;
    to.initialise().await?;
    let present = beginning(from, to, LOG).await?;
    let has_stream = from.has(WORKER_EVENTS).await?;
    let streamed = if has_stream { beginning(from, to, WORKER_EVENTS).await? } else { Extent::default() };

    let mut copied = Copied { present: present.rows, ..Copied::default() };
    let mut last = present.last;
    loop {
        let part = from.part(last).await?;
        let Some(next) = part.last().map(|event| event.id) else { break };
        copied.events += part.len() as u64;
        if !to.import(last, part).await? {
            return Err(CopyError::Busy { to: to.place(), id: last });
        }
        last = next;
        progress(Progress { done: last, total: source.last.max(last) });
    }
    if from.has(COMMANDS).await? {
        let mut next = Some(Uuid::nil());
        while let Some(first) = next {
            let part = from.commands(first).await?;
            let Some((id, ..)) = part.last() else { break };
            next = id.as_u128().checked_add(1).map(Uuid::from_u128);
            // What was recorded meanwhile has to be recorded again when it is repeated: its events were not copied.
            let complete = part.into_iter().filter(|(.., event)| *event <= last).collect();
            copied.commands += to.import_commands(complete).await?;
        }
    }
    if has_stream {
        let mut last = streamed.last;
        loop {
            let part = from.worker_events(last + 1, ROWS).await?;
            let Some(next) = part.last().map(|event| event.id) else { break };
            copied.worker_events += part.len() as u64;
            to.import_worker_events(part).await?;
            last = next;
        }
    }
    if from.has(JOB_USAGE).await? {
        let mut behind = None;
        loop {
            let part = from.usage_behind(behind.clone()).await?;
            let Some(job) = part.last() else { break };
            behind = Some((job.cluster.clone(), job.slurm_job_id, job.submitted));
            copied.job_usage += part.len() as u64;
            to.record_job_usage(&part).await?;
        }
    }
    copied.projected = to.catch_up().await?;
    Ok(copied)
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// How many rows.
    pub(crate) rows: u64,
    /// The id of the last one.
    pub(crate) last: i64,
}

/// What the target has of a table, when that is the beginning of what the source has: as many rows, and the same last ones.
async fn beginning(from: &EventLog, to: &EventLog, table: &'static str) -> Result<Extent, CopyError> {
    let present = to.extent(table, i64::MAX).await?;
    let different = |id| CopyError::Different { from: from.place(), to: to.place(), table, id };
    if from.extent(table, present.last).await? != present {
        return Err(different(present.last));
    }
    let mut last = present.last.saturating_sub(COMPARED).max(0);
    while last < present.last {
        let (id, same) = if table == LOG {
            let part = to.part(last).await?;
            let id = part.last().map_or(present.last, |event| event.id);
            let mut other = from.part(last).await?;
            other.retain(|event| event.id <= id);
            (id, other == part)
        } else {
            let part = to.worker_events(last + 1, ROWS).await?;
            let id = part.last().map_or(present.last, |event| event.id);
            let mut other = from.worker_events(last + 1, ROWS).await?;
            other.retain(|event| event.id <= id);
            (id, other == part)
        };
        if !same {
            return Err(different(id));
        }
        last = id;
    }
    Ok(present)
}

/// What only a copy asks of a log.
impl EventLog {
    /// Whether there is such a table: Python makes those of its own alone.
    async fn has(&self, table: &'static str) -> Result<bool, Error> {
        match self.store() {
            Store::Postgres(store) => store.has(table).await,
            Store::Sqlite(store) => store.has(table).await,
        }
    }

    /// How much of a table there is up to an id.
    async fn extent(&self, table: &'static str, upto: i64) -> Result<Extent, Error> {
        match self.store() {
            Store::Postgres(store) => store.extent(table, upto).await,
            Store::Sqlite(store) => store.extent(table, upto).await,
        }
    }

    /// The next events behind an id, as many as memory is to hold.
    async fn part(&self, behind: i64) -> Result<Vec<Notification>, Error> {
        match self.store() {
            Store::Postgres(store) => store.part(behind).await,
            Store::Sqlite(store) => store.part(behind).await,
        }
    }

    /// Puts events behind the one with this id. Not done when that is not the last one any more.
    async fn import(&self, behind: i64, events: Vec<Notification>) -> Result<bool, Error> {
        match self.store() {
            Store::Postgres(store) => store.import(behind, &events).await,
            Store::Sqlite(store) => store.import(behind, events).await,
        }
    }

    /// The next commands, from an id on.
    async fn commands(&self, first: Uuid) -> Result<Vec<RecordedCommand>, Error> {
        match self.store() {
            Store::Postgres(store) => store.commands(first).await,
            Store::Sqlite(store) => store.commands(first).await,
        }
    }

    /// Remembers commands. Returns how many of them were not known.
    async fn import_commands(&self, commands: Vec<RecordedCommand>) -> Result<u64, Error> {
        match self.store() {
            Store::Postgres(store) => store.import_commands(&commands).await,
            Store::Sqlite(store) => store.import_commands(commands).await,
        }
    }

    /// Puts events of our own behind those that are there.
    async fn import_worker_events(&self, events: Vec<RecordedWorkerEvent>) -> Result<(), Error> {
        match self.store() {
            Store::Postgres(store) => store.import_worker_events(&events).await,
            Store::Sqlite(store) => store.import_worker_events(events).await,
        }
    }

    /// What the next jobs have used, behind a key.
    async fn usage_behind(&self, behind: Option<UsageKey>) -> Result<Vec<JobUsage>, Error> {
        match self.store() {
            Store::Postgres(store) => store.usage_behind(behind).await,
            Store::Sqlite(store) => store.usage_behind(behind).await,
        }
    }
}
