//! The log in a file, for one machine without a database server: SQLite, in the tables and bytes that the Python client
//! makes there, so that it can be pointed at the same file.
//!
//! Invariants: what is appended, projected and tracked is committed together or not at all; an acknowledged event survives a
//! loss of power; several processes share the file; whoever reads does not wait for whoever writes; every wait for another
//! writer ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Params, Row};
use tokio::sync::{Mutex as TaskMutex, Semaphore};
use tokio::time::timeout;
use uuid::Uuid;

use crate::command::Command;
use crate::error::Error;
use crate::log::{Appended, Initialised, Limits};
use crate::plan::Attempt;
use crate::rebuild::{Compared, Rebuilt};
use crate::retry::Retry;
use crate::stored::Notification;
use crate::timestamp::Timestamp;

mod activity;
mod append;
mod connection;
mod copy;
mod error;
mod leader;
mod project;
mod query;
mod rebuild;
mod schema;
mod sql;
mod value;
mod watch;
mod worker;
mod workflow;

use connection::Connection;
pub use error::FileError;
pub(crate) use leader::FileLeadership;
use sql::Statements;
pub(crate) use watch::Watch;

/// A file that holds the log.
#[derive(Debug)]
pub(crate) struct Store {
    database: Arc<Database>,
    /// One writer at a time in this process: the others wait here instead of asking SQLite again and again.
    writer: Arc<TaskMutex<Option<Connection>>>,
    readers: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

/// What the threads that wait for the disk need to know.
#[derive(Debug)]
struct Database {
    path: PathBuf,
    limits: Limits,
    sql: Statements,
}

impl Database {
    fn place(&self) -> String {
        format!("sqlite:///{}", self.path.display())
    }

    fn failed(&self, attempted: &'static str, error: rusqlite::Error) -> Error {
        // SQLite tells by its text alone that a table is missing.
        if let rusqlite::Error::SqliteFailure(_, Some(text)) = &error
            && let Some(table) = text.strip_prefix("no such table: ")
        {
            return self.not_initialised(table);
        }
        FileError::new(attempted, &self.path, error).into()
    }

    fn not_initialised(&self, table: &str) -> Error {
        Error::NotInitialised { place: self.place(), table: table.to_owned() }
    }

    /// A connection that was used before and is still good, or a new one.
    fn connect(&self, used: Option<Connection>) -> Result<Connection, FileError> {
        match used.filter(|connection| connection.is_good(&self.path)) {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.path, &self.limits),
        }
    }
}

impl Store {
    /// A store in this file; nothing is asked of it yet.
    pub(crate) fn open(path: &Path, limits: Limits) -> Self {
        let database = Database { path: path.to_path_buf(), limits, sql: Statements::new() };
        Self {
            database: Arc::new(database),
            writer: Arc::default(),
            readers: Arc::new(Semaphore::new(limits.connections.max(1))),
            idle: Arc::default(),
        }
    }

    /// Which file, for messages.
    pub(crate) fn place(&self) -> String {
        self.database.place()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.database.limits
    }

    /// Begins to notice what is written.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(&self.database.path)
    }

    /// Creates the file and the tables that are missing, and projects what the log holds.
    pub(crate) async fn initialise(&self) -> Result<Initialised, Error> {
        let path = self.database.path.clone();
        self.blocking("create tables", move || Ok(connection::create(&path)?)).await?;
        let created = self
            .write("create tables", |database, connection| {
                let failed = |error| database.failed("create tables", error);
                let found = schema::compare(connection).map_err(failed)?;
                if !found.differences.is_empty() {
                    return Err(Error::Schema { place: database.place(), differences: found.differences });
                }
                schema::create(connection, &found.missing).map_err(failed)?;
                Ok(found.missing.iter().map(|table| (*table).to_owned()).collect())
            })
            .await?;
        Ok(Initialised { created, projected: self.catch_up().await? })
    }

    /// Whether all tables are there and as they have to be.
    pub(crate) async fn verify(&self) -> Result<(), Error> {
        self.read("read the catalogue", |database, connection| {
            let found =
                schema::compare(connection).map_err(|error| database.failed("read the catalogue", error))?;
            if let Some(table) = found.missing.first() {
                return Err(database.not_initialised(table));
            }
            if found.differences.is_empty() {
                return Ok(());
            }
            Err(Error::Schema { place: database.place(), differences: found.differences })
        })
        .await
    }

    /// Events from an id on, in their order.
    pub(crate) async fn select(&self, start: i64, limit: i64) -> Result<Vec<Notification>, Error> {
        let since = self.database.sql.since.clone();
        self.rows("read events", since, [start.saturating_sub(1), limit], value::notification).await
    }

    /// All events of an aggregate, in their order.
    pub(crate) async fn history(&self, id: Uuid) -> Result<Vec<Notification>, Error> {
        let history = self.database.sql.history.clone();
        self.rows("read events", history, [id.into_bytes()], value::notification).await
    }

    /// Records commands, all of them or none, each exactly once however often it is repeated.
    pub(crate) async fn append(&self, commands: &[Command]) -> Result<Vec<Appended>, Error> {
        let commands: Arc<[Command]> = commands.into();
        let mut retry = Retry::new("append events", self.database.limits.command);
        loop {
            let commands = Arc::clone(&commands);
            let attempt = self.write("append events", move |database, connection| {
                append::append(database, connection, &commands)
            });
            match attempt.await {
                Ok(Attempt::Done(appended)) => return Ok(appended),
                Ok(Attempt::Behind) => drop(self.catch_up().await?),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Projects what others have written. Returns how many events that were.
    pub(crate) async fn catch_up(&self) -> Result<u64, Error> {
        let mut retry = Retry::new("project events", self.database.limits.command);
        let mut projected = 0;
        loop {
            match self.write("project events", append::project_step).await {
                Ok((step, more)) => {
                    projected += step;
                    if !more {
                        return Ok(projected);
                    }
                }
                Err(error) => retry.after(error).await?,
            }
        }
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

    /// Runs `work` in a transaction that holds the write lock, and commits it unless it fails.
    async fn write<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Database, &rusqlite::Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.exclusively(attempted, move |database, writer| {
            let connection = database.connect(writer.take())?;
            let connection = writer.insert(connection);
            let failed = |error| database.failed(attempted, error);
            connection.begin(database.limits.lock).map_err(failed)?;
            let done = work(database, connection)
                .and_then(|done| connection.execute_batch("COMMIT").map_err(failed).map(|()| done));
            if done.is_ok() {
                watch::touch(&database.path);
            } else {
                // Where this fails too, the connection is not used again.
                let _ = connection.execute_batch("ROLLBACK");
            }
            done
        })
        .await
    }

    /// Runs `work` while nobody else in this process writes.
    async fn exclusively<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Database, &mut Option<Connection>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let writer = Arc::clone(&self.writer).lock_owned();
        let mut writer =
            timeout(self.database.limits.lock, writer).await.map_err(|_| self.locked(attempted))?;
        let database = Arc::clone(&self.database);
        self.blocking(attempted, move || work(&database, &mut writer)).await
    }

    /// Runs one statement that reads.
    async fn rows<T: Send + 'static>(
        &self,
        attempted: &'static str,
        statement: String,
        values: impl Params + Send + 'static,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Vec<T>, Error> {
        self.read(attempted, move |database, connection| {
            let rows = || -> rusqlite::Result<_> {
                connection.prepare_cached(&statement)?.query_map(values, read)?.collect()
            };
            rows().map_err(|error| database.failed(attempted, error))
        })
        .await
    }

    /// Runs `work` on what was committed last, all of it at one moment.
    async fn read<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Database, &rusqlite::Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.readers).acquire_owned();
        let permit = timeout(self.database.limits.lock, permit).await.map_err(|_| self.locked(attempted))?;
        let (database, idle) = (Arc::clone(&self.database), Arc::clone(&self.idle));
        self.blocking(attempted, move || {
            let _permit = permit;
            let used = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = database.connect(used)?;
            let transaction = connection.transaction().map_err(|error| database.failed(attempted, error))?;
            let done = work(&database, &transaction)?;
            drop(transaction);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok(done)
        })
        .await
    }

    fn locked(&self, attempted: &'static str) -> Error {
        FileError::Locked { attempted, path: self.database.path.clone() }.into()
    }

    /// Waits for the disk on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(FileError::Ending { attempted, path: self.database.path.clone() }.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
