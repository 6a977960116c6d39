//! Connections ("Connection Management", "Connection Closure", "Bidirectional Connections").
//!
//! A connection has two tasks: one reads, and answers what is answered at once; one writes what the socket did not take when
//! it was sent. What they decide is in `state` and `keep_alive`, which know no sockets.

mod error;
mod keep_alive;
mod open;
mod outgoing;
mod reader;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;

pub use error::ConnectionError;
pub use keep_alive::KeepAlive;
pub use tls::Tls;

pub(crate) use open::{Dispatch, Setup, accept, connect};

use crate::encoding::Payload;
use crate::identity::Identity;
use crate::protocol::{Compression, MessageType, Outcome, OutgoingMessage};
use outgoing::Outgoing;
use state::{Phase, State};

/// A connection, open or not: it is closed when the last of these goes.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    guard: Arc<Guard>,
}

/// Closes the connection when nobody has a use for it any more. What its tasks hold is [`Shared`].
struct Guard {
    shared: Arc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.shared.lock().state.phase() == Phase::Active {
            // As much as can be done at once: the peer then knows that nothing was lost.
            self.shared.outgoing.send_now(OutgoingMessage::bare(MessageType::Close));
        }
        self.shared.end(ConnectionError::Left { peer: self.shared.peer.clone() });
    }
}

/// What the tasks and the handles of a connection share.
pub(crate) struct Shared {
    /// Who is there, for messages.
    peer: String,
    inner: Mutex<Inner>,
    outgoing: Outgoing,
    /// Requests of the peer's that may be answered at a time.
    room: Arc<Semaphore>,
    dispatches: u32,
    ended: Notify,
    idle: Notify,
}

struct Inner {
    state: State,
    /// Calls that wait for a reply, by their number.
    waiting: HashMap<i32, oneshot::Sender<Outcome>>,
    next: i32,
    ended: Option<ConnectionError>,
    dispatch: Option<Dispatch>,
    tasks: Vec<AbortHandle>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of it: who waits is told, the tasks stop, the socket closes. Only the first reason counts.
    fn end(&self, why: ConnectionError) {
        let (waiting, tasks, dispatch) = {
            let mut inner = self.lock();
            if inner.ended.is_some() {
                return;
            }
            tracing::debug!(peer = self.peer, why = %why, "a connection has ended");
            inner.ended = Some(why);
            (std::mem::take(&mut inner.waiting), std::mem::take(&mut inner.tasks), inner.dispatch.take())
        };
        self.outgoing.close();
        // Not while it is locked: a servant may hold the last handle of this very connection.
        drop((waiting, dispatch));
        self.ended.notify_waiters();
        self.idle.notify_waiters();
        for task in tasks {
            task.abort();
        }
    }

    async fn ended(&self) -> ConnectionError {
        loop {
            let notified = self.ended.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(why) = self.lock().ended.clone() {
                return why;
            }
            notified.await;
        }
    }

    fn why(&self) -> ConnectionError {
        let ended = self.lock().ended.clone();
        ended.unwrap_or_else(|| ConnectionError::Left { peer: self.peer.clone() })
    }
}

/// A call that is waited for: forgotten when nobody waits any more.
struct Waiting<'c> {
    shared: &'c Shared,
    number: i32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.waiting.remove(&self.number);
        if inner.waiting.is_empty() {
            self.shared.idle.notify_waiters();
        }
    }
}

/// How a call failed on a connection.
#[derive(Debug)]
pub(crate) struct CallFailure {
    pub(crate) error: ConnectionError,
    /// Whether the peer may have carried the call out.
    pub(crate) sent: bool,
}

impl Connection {
    fn new(shared: Arc<Shared>) -> Self {
        let guard = Arc::new(Guard { shared: Arc::clone(&shared) });
        Self { shared, guard }
    }

    /// Who is there: an address and port, or the endpoint that was connected to.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared.peer
    }

    /// Whether calls can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let inner = self.shared.lock();
        inner.ended.is_none() && inner.state.phase() == Phase::Active
    }

    /// Returns when it has ended, with the reason.
    pub async fn ended(&self) -> ConnectionError {
        self.shared.ended().await
    }

    /// The same, without holding it open.
    pub(crate) fn watch(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { drop(shared.ended().await) }
    }

    /// Requests that the peer sends from now on are answered by these servants ("Bidirectional Connections").
    pub fn serve(&self, adapter: &crate::Adapter) {
        self.shared.lock().dispatch = Some(adapter.dispatch());
    }

    /// Sends a request and waits for what comes of it.
    pub(crate) async fn call(&self, compression: Compression, body: Payload) -> Result<Outcome, CallFailure> {
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut inner = self.shared.lock();
            self.check(&inner)?;
            let number = inner.next_number();
            inner.waiting.insert(number, sender);
            number
        };
        let _waiting = Waiting { shared: &self.shared, number };
        let message = OutgoingMessage::numbered(MessageType::Request, compression, number, body);
        if self.shared.outgoing.send(message).await.is_err() {
            return Err(self.failure(false));
        }
        match receiver.await {
            Ok(outcome) => Ok(outcome),
            Err(_) => Err(self.failure(true)),
        }
    }

    /// Sends requests that nobody waits for: one, with number 0, or so many in a batch.
    pub(crate) async fn send(
        &self,
        message: MessageType,
        compression: Compression,
        number: i32,
        body: Payload,
    ) -> Result<(), CallFailure> {
        self.check(&self.shared.lock())?;
        let message = OutgoingMessage::numbered(message, compression, number, body);
        self.shared.outgoing.send(message).await.map_err(|_| self.failure(false))
    }

    fn check(&self, inner: &Inner) -> Result<(), CallFailure> {
        match (&inner.ended, inner.state.phase()) {
            (Some(error), _) => Err(CallFailure { error: error.clone(), sent: false }),
            (None, Phase::Active) => Ok(()),
            (None, Phase::Closing) => {
                let error = ConnectionError::Closed { peer: self.shared.peer.clone() };
                Err(CallFailure { error, sent: false })
            }
        }
    }

    fn failure(&self, sent: bool) -> CallFailure {
        let error = self.shared.why();
        // A peer that closes in good order has answered all that it has carried out.
        let sent = sent && !matches!(error, ConnectionError::Closed { .. });
        CallFailure { error, sent }
    }

    /// Tells the peer that this end lives ("Active Connection Management").
    pub async fn heartbeat(&self) {
        let _ = self.shared.outgoing.send(OutgoingMessage::bare(MessageType::Validate)).await;
    }

    /// Closes it in good order: what was called and what is being answered comes to its end first, for at most so long.
    pub async fn close(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.close_in_order()).await;
        self.shared.end(ConnectionError::Closed { peer: self.shared.peer.clone() });
    }

    async fn close_in_order(&self) {
        loop {
            let idle = self.shared.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.shared.lock().waiting.is_empty() {
                break;
            }
            idle.await;
        }
        let answered = self.shared.room.acquire_many(self.shared.dispatches).await;
        self.shared.lock().state.close();
        // A request that has waited for its turn since is dropped like those that come later.
        drop(answered);
        if self.shared.outgoing.send(OutgoingMessage::bare(MessageType::Close)).await.is_ok() {
            // The peer closes the socket, so that nothing that is still on its way is lost.
            self.ended().await;
        }
    }

    /// Whether it is the same connection.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// What a peer over this connection is told to call back: an object that is nowhere else.
    #[must_use]
    pub fn callback(identity: Identity) -> crate::Reference {
        crate::Reference::new(identity, crate::Address::Direct(Vec::new()))
    }

    fn downgrade(&self) -> WeakConnection {
        WeakConnection { shared: Arc::clone(&self.shared), guard: Arc::downgrade(&self.guard) }
    }
}

impl Inner {
    /// Numbers go round; one that is waited for is passed over.
    fn next_number(&mut self) -> i32 {
        loop {
            let number = self.next;
            self.next = self.next.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&number) {
                return number;
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").field("peer", &self.shared.peer).finish_non_exhaustive()
    }
}

/// What a task has of its connection: it does not keep it open.
struct WeakConnection {
    shared: Arc<Shared>,
    guard: Weak<Guard>,
}

impl WeakConnection {
    fn upgrade(&self) -> Option<Connection> {
        Some(Connection { shared: Arc::clone(&self.shared), guard: self.guard.upgrade()? })
    }
}
