//! What is to be sent.
//!
//! Who sends writes to the socket itself while nothing waits: no task is woken for a call. What the socket does not take
//! waits in a queue for a task that writes it. A message once begun is always ended, whatever becomes of who sent it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use super::stream::Writer;
use crate::protocol::OutgoingMessage;

/// Pieces that are given to the system at a time.
const PIECES: usize = 16;

pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Bytes that may wait.
    room: Semaphore,
    limit: usize,
}

struct Queue {
    messages: VecDeque<Queued>,
    /// Whether the task has something: then all others stand behind.
    writing: bool,
    /// The socket, if who sends may write to it.
    socket: Option<Arc<TcpStream>>,
    closed: bool,
    last: Instant,
}

struct Queued {
    message: OutgoingMessage,
    sent: usize,
    /// Of [`Outgoing::room`].
    permits: u32,
}

/// The connection has ended.
#[derive(Debug)]
pub(super) struct Ended;

impl Outgoing {
    pub(super) fn new(socket: Option<Arc<TcpStream>>, limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS.min(i32::MAX.unsigned_abs() as usize));
        let queue =
            Queue { messages: VecDeque::new(), writing: false, socket, closed: false, last: Instant::now() };
        Self { queue: Mutex::new(queue), wake: Notify::new(), room: Semaphore::new(limit), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When something was last sent.
    pub(super) fn last(&self) -> Instant {
        self.lock().last
    }

    /// Sends a message: it is on its way, or in the queue. Waits while the queue is full.
    pub(super) async fn send(&self, message: OutgoingMessage) -> Result<(), Ended> {
        let message = match self.begin(message) {
            Begun::Done => return Ok(()),
            Begun::Ended => return Err(Ended),
            Begun::Not(message) => message,
        };
        let permits = u32::try_from(message.len().min(self.limit)).unwrap_or(u32::MAX);
        let permit = self.room.acquire_many(permits).await.map_err(|_| Ended)?;
        let mut queue = self.lock();
        if queue.closed {
            return Err(Ended);
        }
        permit.forget();
        queue.messages.push_back(Queued { message, sent: 0, permits });
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Sends a message if that can be done without waiting.
    pub(super) fn send_now(&self, message: OutgoingMessage) {
        drop(self.begin(message));
    }

    fn begin(&self, message: OutgoingMessage) -> Begun {
        let mut queue = self.lock();
        if queue.closed {
            return Begun::Ended;
        }
        let Some(socket) = queue.socket.as_ref().filter(|_| !queue.writing && queue.messages.is_empty())
        else {
            return Begun::Not(message);
        };
        let sent = {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let used = fill(&mut pieces, message.pieces_from(0));
            // An error is found again, and told, by the task.
            socket.try_write_vectored(pieces.get(..used).unwrap_or_default()).unwrap_or(0)
        };
        queue.last = Instant::now();
        match sent {
            sent if sent == message.len() => return Begun::Done,
            0 => return Begun::Not(message),
            sent => queue.messages.push_back(Queued { message, sent, permits: 0 }),
        }
        drop(queue);
        self.wake.notify_one();
        Begun::Done
    }

    /// The end: what waits is dropped, and whoever waits is told.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.socket = None;
        queue.messages.clear();
        drop(queue);
        self.room.close();
    }

    /// Writes what the queue holds, for as long as there is a connection.
    pub(super) async fn write(&self, mut writer: Writer) -> io::Error {
        let mut taken = VecDeque::new();
        loop {
            let nothing = {
                let mut queue = self.lock();
                std::mem::swap(&mut taken, &mut queue.messages);
                queue.writing = !taken.is_empty();
                taken.is_empty()
            };
            if nothing {
                self.wake.notified().await;
                continue;
            }
            let written = self.write_all(&mut writer, &mut taken).await;
            self.lock().last = Instant::now();
            if let Err(error) = written {
                return error;
            }
        }
    }

    async fn write_all(&self, writer: &mut Writer, taken: &mut VecDeque<Queued>) -> io::Result<()> {
        while !taken.is_empty() {
            let written = {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let queued = taken.iter().flat_map(|queued| queued.message.pieces_from(queued.sent));
                let used = fill(&mut pieces, queued);
                writer.write(pieces.get(..used).unwrap_or_default()).await?
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let mut left = written;
            while let Some(first) = taken.front_mut() {
                let of_it = left.min(first.message.len() - first.sent);
                first.sent += of_it;
                left -= of_it;
                if first.sent < first.message.len() {
                    break;
                }
                self.room.add_permits(usize::try_from(first.permits).unwrap_or_default());
                taken.pop_front();
            }
        }
        writer.flush().await
    }
}

enum Begun {
    Done,
    Not(OutgoingMessage),
    Ended,
}

fn fill<'p>(places: &mut [IoSlice<'p>], pieces: impl Iterator<Item = &'p [u8]>) -> usize {
    let mut used = 0;
    for (place, piece) in places.iter_mut().zip(pieces) {
        *place = IoSlice::new(piece);
        used += 1;
    }
    used
}
