//! Keeping services running: dependencies, readiness, restarts with back-off, an orderly stop.
//!
//! A pure core ([`fleet`] of [`lifecycle`]s) says what follows from each event; the shell ([`shell`]) feeds it ends of
//! processes, deadlines, probes and requests, and does what it says. One thread, one loop, one channel of events.
//!
//! Exit codes of the worker: those of the main service (128+n when signal n ended it; 126 or 127 when it could not be
//! started; its last code when it was given up on). A stop signal ends the worker with what the main service then ends
//! with; with 128 + the signal when it never ran; with 0 when there is no main service. 71 when another `init` answers
//! on the control socket or the system refuses what supervision needs.
//!
//! Signals: TERM, INT and QUIT stop the worker. A further TERM changes nothing (orchestrators repeat it, and KILL comes
//! from them); a further INT or QUIT, as of a second Ctrl-C, kills at once what still runs. All others but CHLD are
//! forwarded to every service's process group.

mod definition;
mod fleet;
mod leftovers;
mod lifecycle;
mod notify;
mod output;
mod readiness;
mod shell;

use std::path::PathBuf;
use std::time::Duration;

use biomero_config::ServiceOutput;

use crate::signals::Signals;

pub(crate) use definition::ServiceDefinition;

/// The operating system failed `init` itself, or another `init` is at work here.
const SYSTEM_FAILURE: u8 = 71;

/// What to supervise, and how.
#[derive(Debug)]
pub(crate) struct SuperviseOptions {
    /// In the order of starting.
    pub(crate) services: Vec<ServiceDefinition>,
    /// The control socket.
    pub(crate) socket: PathBuf,
    /// What happens to the services' output.
    pub(crate) output: ServiceOutput,
    /// How long the start-up took until now.
    pub(crate) start_up: Duration,
    /// Hooks that failed and were passed over.
    pub(crate) hook_warnings: Vec<String>,
}

/// Supervises until everything has ended; returns the exit code of the worker. What went wrong was told to the log.
pub(crate) fn run(options: SuperviseOptions, signals: Signals) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Only name resolution of probes blocks.
        .max_blocking_threads(4)
        .thread_stack_size(256 * 1024)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(
                "cannot supervise services: {error}; raise the limit of open files (`ulimit -n`)"
            );
            return SYSTEM_FAILURE;
        }
    };
    let code = runtime.block_on(shell::supervise(options, signals));
    // A probe's name resolution that never answers must not hold up the end.
    runtime.shutdown_background();
    code
}
