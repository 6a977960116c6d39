//! One server for the tests of a process: initialising a cluster takes longer than most of them.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Postgres;
use crate::scratch::Scratch;
use crate::{Result, Trouble};

/// The one server that the tests of this process share, started by the first and stopped by the last of those that
/// hold it at a time. Each test has a database of its own there.
///
/// # Errors
/// It does not start.
pub fn shared() -> Result<Arc<Shared>> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(Shared::start()?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

/// A server and its folder, which go in this order, and the thread that it would die with: a test's own ends too early.
#[derive(Debug)]
pub struct Shared {
    server: Postgres,
    _scratch: Scratch,
    _keeper: Keeper,
}

impl Shared {
    fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().to_path_buf();
        let (server, keeper) = Keeper::keep(move || Postgres::start(&folder));
        Ok(Self { server: server?, _scratch: scratch, _keeper: keeper })
    }
}

impl std::ops::Deref for Shared {
    type Target = Postgres;

    fn deref(&self) -> &Postgres {
        &self.server
    }
}

/// A thread that starts something and then does nothing until this is dropped.
#[derive(Debug)]
struct Keeper {
    _end: Sender<()>,
}

impl Keeper {
    fn keep<T: Send + 'static>(start: impl FnOnce() -> Result<T> + Send + 'static) -> (Result<T>, Self) {
        let (end, ended) = channel();
        let (started, result) = channel();
        std::thread::spawn(move || {
            let _ = started.send(start());
            let _ = ended.recv();
        });
        let panicked = |_| Err(Trouble::new("the thread that starts a server has panicked"));
        (result.recv().unwrap_or_else(panicked), Self { _end: end })
    }
}
