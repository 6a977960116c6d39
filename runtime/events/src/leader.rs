//! Which of several workers on one database acts.
//!
//! In PostgreSQL an advisory lock of a session of its own: it is lost with the connection, and whoever had it notices. In a
//! file's case a lock on a file beside it, which the system takes back with the process.

use crate::error::Error;
use crate::log::{EventLog, Store};
use crate::postgres::PostgresLeadership;
use crate::sqlite::FileLeadership;

/// The right to act, until it is dropped or lost.
#[derive(Debug)]
pub struct Leadership {
    held: Held,
}

#[derive(Debug)]
enum Held {
    Postgres(PostgresLeadership),
    Sqlite(FileLeadership),
}

impl Leadership {
    /// Returns when it is lost, with the reason: another one may act from this moment on. Dropped while it waits, nothing is
    /// lost.
    pub async fn lost(&mut self) -> String {
        match &mut self.held {
            Held::Postgres(leadership) => leadership.lost().await,
            Held::Sqlite(leadership) => leadership.lost().await,
        }
    }
}

impl EventLog {
    /// Takes the right to act, unless another worker has it.
    ///
    /// # Errors
    /// The database's.
    pub async fn lead(&self) -> Result<Option<Leadership>, Error> {
        let held = match self.store() {
            Store::Postgres(store) => store.lead().await?.map(Held::Postgres),
            Store::Sqlite(store) => store.lead().await?.map(Held::Sqlite),
        };
        Ok(held.map(|held| Leadership { held }))
    }
}
