//! Listening for connections.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use super::Serving;
use crate::connection::{Connection, Setup, accept};
use crate::endpoint::{Endpoint, NetworkEndpoint, Transport};
use crate::limits::Limits;
use crate::{KeepAlive, Tls};

/// How long nothing is accepted when the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Why an adapter cannot listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The system said no.
    #[error("cannot listen on {endpoint}: {source}; is the port taken, or the address another machine's?")]
    Bind {
        /// Where.
        endpoint: String,
        /// Why not.
        source: io::Error,
    },
    /// Not over that.
    #[error("cannot listen on {endpoint}: {remedy}")]
    Transport {
        /// Where.
        endpoint: String,
        /// What to do.
        remedy: &'static str,
    },
    /// All interfaces have no name.
    #[error("{endpoint} is every address of this machine; say by which name or address others reach it")]
    Unpublished {
        /// Where.
        endpoint: String,
    },
}

pub(super) struct Listening {
    setup: Setup,
    room: Arc<Semaphore>,
    open: Arc<Mutex<Open>>,
}

/// What is open.
#[derive(Default)]
struct Open {
    published: Vec<Endpoint>,
    listeners: Vec<AbortHandle>,
    connections: HashMap<u64, Connection>,
    next: u64,
    closed: bool,
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listening {
    pub(super) fn new(limits: Limits, keep_alive: KeepAlive, tls: Option<Tls>) -> Self {
        let setup = Setup { limits, keep_alive, dispatch: None, tls };
        let room = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
        Self { setup, room, open: Arc::default() }
    }

    pub(super) fn published(&self) -> Vec<Endpoint> {
        lock(&self.open).published.clone()
    }

    pub(super) fn connections(&self) -> usize {
        lock(&self.open).connections.len()
    }

    pub(super) async fn listen(
        &self,
        endpoint: &NetworkEndpoint,
        published: Option<&str>,
        serving: &Arc<Serving>,
    ) -> Result<NetworkEndpoint, ListenError> {
        let wrong = |remedy| ListenError::Transport { endpoint: endpoint.to_string(), remedy };
        let encrypted = match (endpoint.transport, &self.setup.tls) {
            (Transport::Tcp, _) => false,
            (Transport::Ssl, Some(Tls { server: Some(_), .. })) => true,
            (Transport::Ssl, _) => return Err(wrong("give a certificate to show")),
            _ => return Err(wrong("use tcp or ssl")),
        };
        let every = endpoint.host.is_empty() || endpoint.host == "0.0.0.0" || endpoint.host == "::";
        let host = match published {
            Some(host) => host,
            None if every => return Err(ListenError::Unpublished { endpoint: endpoint.to_string() }),
            None => &endpoint.host,
        };
        let failed = |source| ListenError::Bind { endpoint: endpoint.to_string(), source };
        let address = if endpoint.host.is_empty() { "0.0.0.0" } else { &endpoint.host };
        let listener = TcpListener::bind((address, endpoint.port)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let published = NetworkEndpoint { host: host.to_owned(), port, ..endpoint.clone() };
        let setup = Setup { dispatch: Some(Arc::clone(serving)), ..self.setup.clone() };
        let accepting = Accepting {
            listener,
            encrypted,
            setup,
            room: Arc::clone(&self.room),
            open: Arc::clone(&self.open),
        };
        let task = tokio::spawn(accepting.run()).abort_handle();
        let mut open = lock(&self.open);
        open.published.push(published.clone().into());
        open.listeners.push(task);
        Ok(published)
    }

    pub(super) async fn close(&self, patience: Duration) {
        let connections = {
            let mut open = lock(&self.open);
            open.closed = true;
            open.published.clear();
            open.listeners.drain(..).for_each(|listener| listener.abort());
            std::mem::take(&mut open.connections)
        };
        let mut closing = JoinSet::new();
        for connection in connections.into_values() {
            closing.spawn(async move { connection.close(patience).await });
        }
        while closing.join_next().await.is_some() {}
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.listeners.drain(..).for_each(|listener| listener.abort());
        open.closed = true;
        open.connections.clear();
    }
}

struct Accepting {
    listener: TcpListener,
    encrypted: bool,
    setup: Setup,
    room: Arc<Semaphore>,
    open: Arc<Mutex<Open>>,
}

impl Accepting {
    async fn run(self) {
        loop {
            // Who comes when all places are taken waits in the system's queue.
            let Ok(place) = Arc::clone(&self.room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    let greeting = greet(
                        socket,
                        peer.to_string(),
                        self.encrypted,
                        self.setup.clone(),
                        Arc::clone(&self.open),
                        place,
                    );
                    drop(tokio::spawn(greeting));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted; trying again");
                    drop(place);
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// A connection, from its greeting to its end.
async fn greet(
    socket: TcpStream,
    peer: String,
    encrypted: bool,
    setup: Setup,
    open: Arc<Mutex<Open>>,
    place: OwnedSemaphorePermit,
) {
    let connection = match accept(socket, peer, encrypted, &setup).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "a client has gone before it was greeted");
            return;
        }
    };
    let number = {
        let mut open = lock(&open);
        if open.closed {
            return;
        }
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, connection.clone());
        number
    };
    // The table holds it open, this task does not.
    let ended = connection.watch();
    drop(connection);
    ended.await;
    let ended = lock(&open).connections.remove(&number);
    drop(ended);
    drop(place);
}
