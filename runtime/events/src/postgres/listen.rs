//! Hearing that others have recorded something.

use std::time::Duration;

use tokio_postgres::Client;

use super::connect::{self, Notifications};
use super::{DatabaseError, Store};
use crate::error::Error;
use crate::schema::{LOG, WORKER_EVENTS};

/// How long silence is believed: after that the log is read again, in case a notification was lost with a connection that
/// nobody has noticed the end of.
const SILENCE: Duration = Duration::from_secs(60);

/// A connection that hears that the log or our own stream has grown.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Kept: the connection ends with it.
    _client: Client,
    notifications: Notifications,
}

impl Listener {
    /// Waits for a notification. False when the connection has ended.
    pub(crate) async fn woken(&mut self) -> bool {
        match tokio::time::timeout(SILENCE, self.notifications.next()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => false,
            // The connection may be dead without a word: a new one tells.
            Err(_) => false,
        }
    }
}

impl Store {
    /// Begins to listen.
    pub(crate) async fn listen(&self) -> Result<Listener, Error> {
        let (client, notifications) = connect::listener(&self.pool)
            .await
            .map_err(|error| DatabaseError::pool("listen for events", self.limits.command, error.into()))?;
        let listen = format!("LISTEN {LOG}; LISTEN {WORKER_EVENTS}");
        let work = async {
            client.batch_execute(&listen).await.map_err(|error| self.failed("listen for events", error))
        };
        self.answered("listen for events", work).await?;
        Ok(Listener { _client: client, notifications })
    }
}
