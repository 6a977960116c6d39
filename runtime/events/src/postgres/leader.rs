//! The right to act, as an advisory lock.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::connect::{self, Notifications};
use super::{DatabaseError, Store};
use crate::error::Error;

/// The lock of all workers on one database: `biomero` in ASCII, which nobody else will choose.
const KEY: i64 = 0x62_696f_6d65_726f;
/// How often a silent connection is asked whether it is there.
const BEAT: Duration = Duration::from_secs(2);
/// How long its answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The server notices within half a minute that a worker's machine is gone, and gives its lock to another one.
const SESSION: &str =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4";

/// A session that holds the lock.
#[derive(Debug)]
pub(crate) struct PostgresLeadership {
    client: Client,
    ended: Notifications,
}

impl PostgresLeadership {
    /// Returns when the connection has ended or does not answer any more.
    pub(crate) async fn lost(&mut self) -> String {
        loop {
            tokio::select! {
                heard = self.ended.next() => if let Err(error) = heard {
                    let why = error.map_or_else(|| "it was closed".to_owned(), |error| error.to_string());
                    return format!("the connection to the database has ended: {why}");
                },
                () = sleep(BEAT) => match timeout(ANSWER, self.client.simple_query("")).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return format!("the connection to the database has ended: {error}"),
                    Err(_) => return "the database does not answer".to_owned(),
                },
            }
        }
    }
}

impl Store {
    /// Takes the lock, unless another session has it.
    pub(crate) async fn lead(&self) -> Result<Option<PostgresLeadership>, Error> {
        let (client, ended) = connect::listener(&self.pool)
            .await
            .map_err(|error| DatabaseError::pool("connect", self.limits.command, error.into()))?;
        let work = async {
            client
                .batch_execute(SESSION)
                .await
                .map_err(|error| self.failed("become the one that acts", error))?;
            let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&KEY]).await;
            row.and_then(|row| row.try_get(0)).map_err(|error| self.failed("become the one that acts", error))
        };
        let held: bool = self.answered("become the one that acts", work).await?;
        Ok(held.then_some(PostgresLeadership { client, ended }))
    }
}
