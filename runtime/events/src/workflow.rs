//! What the worker carries: a row for each workflow, with all that is needed to take it up again.
//!
//! Invariants: a row is changed only by whoever has read what it holds (`revision`), and by a worker that acts only while no
//! later one does (`term`); rows and what our own stream tells of the change are written together or not at all.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;
use crate::log::{EventLog, Store};
use crate::query::Page;
use crate::worker::WorkerEvent;

/// What a workflow has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRecord {
    /// Which, as in the log.
    pub id: Uuid,
    /// The batch that it belongs to.
    pub parent: Option<Uuid>,
    /// OMERO's id of the user.
    pub user: i64,
    /// OMERO's id of the group.
    pub group: i64,
    /// The workflow's name.
    pub name: String,
    /// Where it stands, in one word.
    pub phase: String,
    /// Whether anything is left to be done.
    pub is_open: bool,
    /// How often it was changed; the first is 1.
    pub revision: i64,
    /// The term of the worker that has changed it last, 0 before the first.
    pub term: i64,
    /// When it was asked for.
    pub created: OffsetDateTime,
    /// When it was changed last.
    pub changed: OffsetDateTime,
    /// The rest, as its owner writes it.
    pub state: String,
}

/// The few words by which an open workflow's turn is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowHead {
    /// Which.
    pub id: Uuid,
    /// The batch that it belongs to.
    pub parent: Option<Uuid>,
    /// OMERO's id of the user.
    pub user: i64,
    /// Where it stands, in one word.
    pub phase: String,
    /// How often it was changed.
    pub revision: i64,
}

/// A row that is to be written: its revision is the one that it will have. That before has to be the one that is there.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What it will be.
    pub record: &'a WorkflowRecord,
    /// The term of who writes: refused where a later one has written. Who does not act for the worker says none.
    pub term: Option<i64>,
}

/// Which of them, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordFilter {
    /// Whose.
    pub user: Option<i64>,
    /// Of which group.
    pub group: Option<i64>,
    /// In this phase.
    pub phase: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// Of this batch.
    pub parent: Option<Uuid>,
    /// Only those with something left to do.
    pub open: bool,
}

impl EventLog {
    /// Writes rows and events of our own in one transaction, all or nothing. False where a row is not as it was read, or a
    /// later term has written it: nothing was written then, and it has to be read again.
    ///
    /// Where it is not known whether it was written, the same may be written once more: it counts once.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep(&self, changes: &[Change<'_>], events: &[WorkerEvent]) -> Result<bool, Error> {
        match self.store() {
            Store::Postgres(store) => store.keep(changes, events).await,
            Store::Sqlite(store) => store.keep(changes, events).await,
        }
    }

    /// A workflow that the worker carries, or has carried.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_of(&self, id: Uuid) -> Result<Option<WorkflowRecord>, Error> {
        match self.store() {
            Store::Postgres(store) => store.record_of(id).await,
            Store::Sqlite(store) => store.record_of(id).await,
        }
    }

    /// Those with something left to do, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_heads(&self) -> Result<Vec<WorkflowHead>, Error> {
        match self.store() {
            Store::Postgres(store) => store.open_heads().await,
            Store::Sqlite(store) => store.open_heads().await,
        }
    }

    /// Workflows that the worker carries or has carried, newest first. How many there are in all is another question
    /// ([`EventLog::count_records`]): to answer it takes longer than a page does.
    ///
    /// # Errors
    /// The database's.
    pub async fn records(&self, filter: &RecordFilter, page: Page) -> Result<Vec<WorkflowRecord>, Error> {
        match self.store() {
            Store::Postgres(store) => store.records(filter, page).await,
            Store::Sqlite(store) => store.records(filter, page).await,
        }
    }

    /// How many workflows there are of these.
    ///
    /// # Errors
    /// The database's.
    pub async fn count_records(&self, filter: &RecordFilter) -> Result<u64, Error> {
        match self.store() {
            Store::Postgres(store) => store.count_records(filter).await,
            Store::Sqlite(store) => store.count_records(filter).await,
        }
    }

    /// Begins a term: every row that is open belongs to it from now on. Returns its number.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_term(&self) -> Result<i64, Error> {
        match self.store() {
            Store::Postgres(store) => store.begin_term().await,
            Store::Sqlite(store) => store.begin_term().await,
        }
    }
}
