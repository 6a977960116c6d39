//! One server for the tests of a process: initialising a cluster takes longer than most of them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Postgres;
use crate::Result;
use crate::keeper::Keeper;
use crate::scratch::Scratch;

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
