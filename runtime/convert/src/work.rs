//! Work that takes long: how much of the machine it has, who looks on, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use biomero_export::pipeline;
use biomero_export::source::Limits;
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::command_line::Effort;
use crate::error::Error;

/// What a source may use of the memory.
#[must_use]
pub const fn limits(effort: Effort) -> Limits {
    Limits::of((effort.memory as usize) << 20)
}

/// Ctrl-C and TERM as a flag, as long as this lives: work that sees it ends early, with nothing half done left.
#[derive(Debug)]
pub struct Interruption {
    flag: Arc<AtomicBool>,
    registered: Vec<SigId>,
}

impl Interruption {
    /// From now on.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn new() -> Result<Self, Error> {
        let mut interruption = Self { flag: Arc::default(), registered: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            let id = signal_hook::flag::register(signal, Arc::clone(&interruption.flag));
            interruption.registered.push(id.map_err(Error::System)?);
        }
        Ok(interruption)
    }

    /// By a flag alone, which somebody else sets.
    #[must_use]
    pub const fn by(flag: Arc<AtomicBool>) -> Self {
        Self { flag, registered: Vec::new() }
    }

    /// Whether it is to end.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// How the pipeline works: with what is left of the memory when the source has its part.
pub fn options<'a>(
    effort: Effort,
    cancelled: &'a AtomicBool,
    progress: &'a (dyn Fn(u64, u64) + Sync),
) -> pipeline::Options<'a> {
    let memory = (effort.memory as usize) << 20;
    pipeline::Options {
        threads: effort.threads.map_or_else(processors, usize::from),
        memory: memory - limits(effort).cache,
        cancelled,
        progress,
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
