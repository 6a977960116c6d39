//! The task that reads, and answers what can be answered at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior};

use super::keep_alive::{Due, Facts};
use super::state::{Event, Phase};
use super::stream::Reader;
use super::{ConnectionError, KeepAlive, Shared, WeakConnection};
use crate::limits::Limits;
use crate::protocol::{
    Batch, Compression, Fault, Framer, Message, MessageType, OutgoingMessage, ProtocolError, Reply, Request,
};

/// How long an idle connection's peer may take to close.
const CLOSING: Duration = Duration::from_secs(5);

pub(super) struct Incoming {
    pub(super) connection: WeakConnection,
    pub(super) reader: Reader,
    pub(super) framer: Framer,
    pub(super) limits: Limits,
    pub(super) keep_alive: KeepAlive,
    pub(super) received: Instant,
}

impl Incoming {
    /// Reads until there is nothing more to read; why.
    pub(super) async fn read(mut self) -> ConnectionError {
        let mut clock = self.keep_alive.interval().map(|period| {
            let mut clock = tokio::time::interval(period.max(Duration::from_millis(10)));
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock
        });
        loop {
            match self.messages(&mut clock).await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(source) => return ConnectionError::Protocol { peer: self.shared().peer.clone(), source },
            }
            let read = tokio::select! {
                biased;
                read = self.reader.read(self.framer.space()) => read,
                () = tick(&mut clock) => {
                    match self.look_after() {
                        Some(end) => return end,
                        None => continue,
                    }
                }
            };
            let lost = |problem| ConnectionError::Lost { peer: self.connection.shared.peer.clone(), problem };
            match read {
                Ok(0) if self.framer.is_within() => return lost("it broke off in a message".to_owned()),
                Ok(0) => return lost("it was closed without a word".to_owned()),
                Ok(_) => self.received = Instant::now(),
                Err(error) => return lost(error.to_string()),
            }
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.connection.shared
    }

    /// Handles the messages that are complete. The end, if that was among them.
    async fn messages(
        &mut self,
        clock: &mut Option<Interval>,
    ) -> Result<Option<ConnectionError>, ProtocolError> {
        while let Some(Message { message, compression, body }) = self.framer.next_message()? {
            let event = self.shared().lock().state.receive(message);
            match event {
                Event::Heartbeat | Event::Dropped => {}
                Event::End => return Ok(Some(ConnectionError::Closed { peer: self.shared().peer.clone() })),
                Event::Reply => {
                    let reply = Reply::decode(body, self.limits.decode)?;
                    // Nobody may wait any more.
                    let waiting = self.shared().lock().waiting.remove(&reply.id);
                    if let Some(waiting) = waiting {
                        let _ = waiting.send(reply.outcome);
                    }
                }
                Event::Request => {
                    let request = Request::decode(body, self.limits.decode)?;
                    if let Some(end) = self.answer(request, compression, clock).await {
                        return Ok(Some(end));
                    }
                }
                Event::Batch => {
                    let mut batch = Batch::decode(body, self.limits.decode)?;
                    while let Some(request) = batch.next_request()? {
                        if let Some(end) = self.answer(request, compression, clock).await {
                            return Ok(Some(end));
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Carries a request out: here if that needs no waiting, otherwise in a task of its own. When there are too many, nothing
    /// is read until one has come to its end.
    async fn answer(
        &mut self,
        request: Request,
        compression: Compression,
        clock: &mut Option<Interval>,
    ) -> Option<ConnectionError> {
        let permit = loop {
            let room = Arc::clone(&self.shared().room);
            tokio::select! {
                biased;
                permit = room.acquire_owned() => break permit.ok()?,
                () = tick(clock) => {
                    // It is we who are slow.
                    self.received = Instant::now();
                    if let Some(end) = self.look_after() {
                        return Some(end);
                    }
                }
            }
        };
        if self.shared().lock().state.phase() == Phase::Closing {
            return None;
        }
        let mut answering: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(answered(self.connection.upgrade()?, request, compression, permit));
        let done = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context).is_ready())).await;
        if !done {
            drop(tokio::spawn(answering));
        }
        None
    }

    fn look_after(&self) -> Option<ConnectionError> {
        let shared = self.shared();
        let facts = Facts {
            received: self.received.elapsed(),
            sent: shared.outgoing.last().elapsed(),
            waiting: !shared.lock().waiting.is_empty(),
            answering: shared.room.available_permits() < self.limits.dispatches.max(1),
            within: self.framer.is_within(),
        };
        match self.keep_alive.due(facts) {
            Due::Nothing => {}
            Due::Heartbeat => shared.outgoing.send_now(OutgoingMessage::bare(MessageType::Validate)),
            Due::Close => {
                if let Some(connection) = self.connection.upgrade() {
                    drop(tokio::spawn(async move { connection.close(CLOSING).await }));
                }
            }
            Due::GiveUp(during) => {
                let (peer, after) = (shared.peer.clone(), facts.received);
                return Some(ConnectionError::Silent { peer, after, during });
            }
        }
        None
    }
}

async fn tick(clock: &mut Option<Interval>) {
    match clock {
        Some(clock) => drop(clock.tick().await),
        None => std::future::pending().await,
    }
}

/// Carries a request out and sends the reply, if somebody waits for one.
async fn answered(
    connection: super::Connection,
    request: Request,
    compression: Compression,
    permit: OwnedSemaphorePermit,
) {
    let number = request.id;
    let operation = request.operation.clone();
    let dispatch = connection.shared.lock().dispatch.clone();
    let body = match dispatch {
        Some(serving) => serving.answer(request, &connection).await,
        None => Fault::ObjectNotExist {
            identity: request.identity,
            facet: request.facet,
            operation: request.operation,
        }
        .body(),
    };
    if number != 0 {
        let body = match body {
            Ok(body) => Ok(body),
            Err(error) => Fault::UnknownLocal(format!("the result of {operation}: {error}")).body(),
        };
        if let Ok(body) = body {
            let compression = match compression {
                Compression::Unsupported => Compression::Unsupported,
                Compression::Accepted | Compression::Compressed => Compression::Accepted,
            };
            let reply = OutgoingMessage::numbered(MessageType::Reply, compression, number, body);
            let _ = connection.shared.outgoing.send(reply).await;
        }
    }
    drop(permit);
}
