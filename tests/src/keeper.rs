//! A thread that what it starts lives as long as: programs die with the thread that started them, and a test's own ends
//! before the last of those that share its server.

use std::sync::mpsc::{Sender, channel};

use crate::{Result, Trouble};

/// A thread that starts something and then does nothing until this is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    _end: Sender<()>,
}

impl Keeper {
    /// What `start` has made, and the thread that it was made in.
    pub(crate) fn keep<T: Send + 'static>(
        start: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> (Result<T>, Self) {
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
