//! A connection from the pool, and the promise that it goes back only when no transaction is open on it.

use deadpool_postgres::ClientWrapper;
use futures_util::future::try_join_all;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::connect::Object;

/// What a statement is given.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection on which a transaction is open, or may be. Dropped before [`Session::done`], as when whoever waited has
/// gone away, it is closed, by which the server ends the transaction.
#[derive(Debug)]
pub(super) struct Session {
    connection: Option<Object>,
}

impl Session {
    pub(super) const fn new(connection: Object) -> Self {
        Self { connection: Some(connection) }
    }

    pub(super) fn client(&self) -> &ClientWrapper {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("only `done` takes it, and with it the session"),
        }
    }

    /// No transaction is open: the connection goes back to the pool.
    pub(super) fn done(mut self) {
        drop(self.connection.take());
    }

    /// Prepares statements that the connection does not know yet, all in one round trip.
    pub(super) async fn prepare<const N: usize>(
        &self,
        statements: [&str; N],
    ) -> Result<[Statement; N], tokio_postgres::Error> {
        let prepared =
            try_join_all(statements.map(|statement| self.client().prepare_cached(statement))).await?;
        match prepared.try_into() {
            Ok(prepared) => Ok(prepared),
            Err(_) => unreachable!("as many as were asked for"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}
