//! The log in PostgreSQL, beside the Python client.
//!
//! Invariants: what is appended, projected and tracked is committed together or not at all; a connection whose transaction
//! did not end is closed, never given back; every statement has a deadline.

use tokio_postgres::Row;
use uuid::Uuid;

use crate::command::Command;
use crate::error::Error;
use crate::log::{Appended, Initialised, Limits};
use crate::plan::{Attempt, STEP};
use crate::projection::projectable;
use crate::rebuild::{Compared, Rebuilt};
use crate::retry::Retry;
use crate::stored::Notification;
use crate::timestamp::Timestamp;
use crate::url::PostgresUrl;

mod activity;
mod append;
pub mod connect;
mod copy;
mod error;
mod leader;
mod listen;
mod project;
mod query;
mod rebuild;
mod schema;
mod session;
mod sql;
mod tls;
mod worker;
mod workflow;
mod write;

pub use connect::ConnectError;
use connect::Pool;
pub use error::DatabaseError;
pub(crate) use leader::PostgresLeadership;
pub(crate) use listen::Listener;
use session::Session;
use sql::{Appending, Place, Projecting};

/// A database that holds the log.
#[derive(Debug)]
pub(crate) struct Store {
    pool: Pool,
    place: String,
    limits: Limits,
    append: Appending,
    real: Projecting,
}

impl Store {
    /// Which database, for messages: without its password.
    pub(crate) fn place(&self) -> String {
        self.place.clone()
    }

    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    fn failed(&self, attempted: &'static str, source: tokio_postgres::Error) -> Error {
        DatabaseError::new(attempted, &self.place, source).into()
    }

    /// A store in the database of this URL; nothing is asked of it yet.
    pub(crate) fn open(url: &PostgresUrl, limits: Limits) -> Result<Self, Error> {
        let pool = connect::pool(url, &limits)
            .map_err(|error| DatabaseError::pool("open the history", limits.command, error.into()))?;
        Ok(Self::new(pool, format!("{url}"), limits))
    }

    /// A store on connections of a pool.
    pub(crate) fn new(pool: Pool, place: String, limits: Limits) -> Self {
        Self { pool, place, limits, append: Appending::new(), real: Projecting::at(Place::Real) }
    }

    async fn session(&self) -> Result<Session, Error> {
        // Boxed: what connecting keeps while it waits is large, and every question would hold it.
        match Box::pin(self.pool.get()).await {
            Ok(connection) => Ok(Session::new(connection)),
            Err(error) => Err(DatabaseError::pool("connect", self.limits.command, error).into()),
        }
    }

    /// The server ends what takes too long; this is for one that has stopped, or that the network has cut off. Whoever
    /// has to do with it drops the session, and with that the connection.
    async fn answered<T>(
        &self,
        attempted: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.limits.statement + self.limits.lock;
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(DatabaseError::Silent { attempted, place: self.place(), limit }.into()))
    }

    /// A connection that still answers, for what is not repeated when it meets a dead one.
    async fn living_session(&self) -> Result<Session, Error> {
        for _ in 0..self.limits.connections {
            let session = self.session().await?;
            let asked = tokio::time::timeout(self.limits.connect, session.client().simple_query(""));
            if matches!(asked.await, Ok(Ok(_))) {
                return Ok(session);
            }
        }
        self.session().await
    }

    /// Creates the tables that are missing, and projects what the log holds.
    pub(crate) async fn initialise(&self) -> Result<Initialised, Error> {
        let session = self.living_session().await?;
        let found = self.answered("compare the tables", schema::compare(self, &session)).await?;
        if !found.differences.is_empty() {
            session.done();
            return Err(Error::Schema { place: self.place(), differences: found.differences });
        }
        self.answered("create tables", schema::create(self, &session, &found)).await?;
        session.done();
        let created = found.missing.iter().map(|table| (*table).to_owned()).collect();
        Ok(Initialised { created, projected: self.catch_up().await? })
    }

    /// Whether all tables are there and as they have to be.
    pub(crate) async fn verify(&self) -> Result<(), Error> {
        let session = self.living_session().await?;
        let found = self.answered("compare the tables", schema::compare(self, &session)).await?;
        session.done();
        if let Some(table) = found.missing.first() {
            return Err(Error::NotInitialised { place: self.place(), table: (*table).to_owned() });
        }
        if found.differences.is_empty() {
            return Ok(());
        }
        Err(Error::Schema { place: self.place(), differences: found.differences })
    }

    /// Events from an id on, in their order.
    pub(crate) async fn select(&self, start: i64, limit: i64) -> Result<Vec<Notification>, Error> {
        self.notifications(&self.append.since, &[&start.saturating_sub(1), &limit]).await
    }

    /// All events of an aggregate, in their order.
    pub(crate) async fn history(&self, id: Uuid) -> Result<Vec<Notification>, Error> {
        self.notifications(&self.append.history, &[&id]).await
    }

    async fn notifications(
        &self,
        statement: &str,
        values: session::Values<'_>,
    ) -> Result<Vec<Notification>, Error> {
        self.rows("read events", statement, values, notification).await
    }

    /// Records commands, all of them or none, each exactly once however often it is repeated.
    pub(crate) async fn append(&self, commands: &[Command]) -> Result<Vec<Appended>, Error> {
        let mut retry = Retry::new("append events", self.limits.command);
        loop {
            match append::attempt(self, commands).await {
                Ok(Attempt::Done(appended)) => return Ok(appended),
                Ok(Attempt::Behind) => drop(self.catch_up().await?),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Projects what others have written. Returns how many events that were.
    pub(crate) async fn catch_up(&self) -> Result<u64, Error> {
        let mut retry = Retry::new("project events", self.limits.command);
        let mut projected = 0;
        loop {
            match self.project_step().await {
                Ok(step) => {
                    projected += step;
                    if step < STEP as u64 {
                        return Ok(projected);
                    }
                }
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// How far the views are; nobody else projects until the transaction ends.
    async fn position(&self, session: &Session) -> Result<Standing, Error> {
        self.stands(session, &self.append.position).await
    }

    /// How far the views are at this moment.
    async fn standing(&self, session: &Session) -> Result<Standing, Error> {
        self.stands(session, &self.append.standing).await
    }

    /// There is no row that says how far the views are.
    fn not_initialised(&self) -> Error {
        Error::NotInitialised { place: self.place(), table: crate::schema::POSITION.to_owned() }
    }

    async fn stands(&self, session: &Session, statement: &str) -> Result<Standing, Error> {
        let failed = |error| self.failed("read how far the views are", error);
        let [statement] = session.prepare([statement]).await.map_err(failed)?;
        let row = session.client().query_opt(&statement, &[]).await.map_err(failed)?;
        let row = row.ok_or_else(|| self.not_initialised())?;
        let read = || Ok(Standing { notification_id: row.try_get(0)?, first_id: row.try_get(1)? });
        read().map_err(failed)
    }

    /// Says how far the views are, to Python's listeners too, so that they skip what was projected.
    async fn move_positions(
        &self,
        session: &Session,
        last: i64,
        first: Option<i64>,
    ) -> Result<(), tokio_postgres::Error> {
        let [moved, first_moved] = session.prepare([&self.append.moved, &self.append.first]).await?;
        session.client().execute(&moved, &[&last]).await?;
        if let Some(first) = first {
            session.client().execute(&first_moved, &[&first]).await?;
        }
        Ok(())
    }

    /// Writes the views anew; see [`crate::EventLog::rebuild`].
    pub(crate) async fn rebuild(
        &self,
        since: Option<Timestamp>,
        progress: rebuild::Progressed<'_>,
    ) -> Result<Rebuilt, Error> {
        rebuild::rebuild(self, since, progress).await
    }

    /// Compares the views with the log; see [`crate::EventLog::compare`].
    pub(crate) async fn compare(&self, progress: rebuild::Progressed<'_>) -> Result<Compared, Error> {
        rebuild::compare(self, progress).await
    }

    async fn project_step(&self) -> Result<u64, Error> {
        let session = self.session().await?;
        let projected = self.answered("project events", self.project_within(&session)).await?;
        session.done();
        Ok(projected)
    }

    async fn project_within(&self, session: &Session) -> Result<u64, Error> {
        let failed = |error| self.failed("project events", error);
        session.client().batch_execute("BEGIN").await.map_err(failed)?;
        let position = self.position(session).await?.notification_id;
        let missing = append::since(self, session, position, STEP).await.map_err(failed)?;
        if let Some(last) = missing.last() {
            let events = projectable(&missing);
            append::witness(self, session, position).await.map_err(failed)?;
            project::project(session, &self.real, &events).await.map_err(failed)?;
            self.move_positions(session, last.id, None).await.map_err(failed)?;
        }
        session.client().batch_execute("COMMIT").await.map_err(failed)?;
        Ok(missing.len() as u64)
    }
}

/// How far the views are.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// The last event that was projected.
    notification_id: i64,
    /// Rows last written before this event are left out.
    first_id: i64,
}

/// A row of the log.
fn notification(row: &Row) -> Result<Notification, tokio_postgres::Error> {
    Ok(Notification {
        id: row.try_get(0)?,
        originator_id: row.try_get(1)?,
        originator_version: row.try_get(2)?,
        topic: row.try_get(3)?,
        state: row.try_get(4)?,
    })
}
