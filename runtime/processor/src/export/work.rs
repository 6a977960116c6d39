//! Work that takes long: how much of the machine it has, a bar, and a way to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use biomero_export::WriteError;
use biomero_export::pipeline::Options;
use biomero_export::source::Limits;
use tokio::signal::unix::{SignalKind, signal};

use crate::command_line::export::Effort;
use crate::ended::Ended;
use crate::progress::Bytes;

/// What a source may use of the memory.
pub(super) const fn limits(effort: Effort) -> Limits {
    Limits::of((effort.memory as usize) << 20)
}

/// Does it on threads of its own; Ctrl-C and TERM end it early, with nothing half done left.
pub(super) fn run<T: Send + 'static>(
    effort: Effort,
    what: &'static str,
    work: impl FnOnce(&Options<'_>) -> Result<T, WriteError> + Send + 'static,
) -> Result<T, Ended> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Ended::System)?;
    let bar = Arc::new(Bytes::new(what));
    let cancelled = Arc::new(AtomicBool::new(false));
    let (shown, stopped) = (Arc::clone(&bar), Arc::clone(&cancelled));
    let outcome = runtime.block_on(async move {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Ended::System)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Ended::System)?;
        let mut done = tokio::task::spawn_blocking(move || {
            let memory = (effort.memory as usize) << 20;
            let options = Options {
                threads: effort.threads.map_or_else(processors, usize::from),
                // The rest is the source's.
                memory: memory - limits(effort).cache,
                cancelled: &stopped,
                progress: &|done, total| shown.at(done, total),
            };
            work(&options)
        });
        let ended = tokio::select! {
            ended = &mut done => ended,
            _ = interrupt.recv() => {
                cancelled.store(true, Ordering::Relaxed);
                done.await
            }
            _ = terminate.recv() => {
                cancelled.store(true, Ordering::Relaxed);
                done.await
            }
        };
        match ended {
            Ok(outcome) => outcome.map_err(Ended::from),
            Err(error) => Err(Ended::System(std::io::Error::other(error))),
        }
    });
    bar.clear();
    outcome
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
