//! The one engine, as it runs components and as the compiler program compiles for it.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine};

use crate::machine::{Machine, MachineError};

/// The version of wasmtime. A component compiled by another is never loaded, for it is looked for under another name.
pub(super) const WASMTIME: &str = "48.0.8";

/// WebAssembly's own stack, for all frames of a call.
const STACK: usize = 512 << 10;

/// What holds for compiled code and for the engine that runs it alike. A change here is a change of `settings`.
///
/// No signal handlers: PID 1 keeps its own, so that traps are checked for in the code and memory is not guarded by
/// mapping gigabytes of address space, which `ulimit -v` and small containers refuse.
///
/// # Panics
/// Never: the stack is larger than nothing.
pub fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .signals_based_traps(false)
        .memory_reservation(0)
        .memory_reservation_for_growth(1 << 20)
        .memory_guard_size(0)
        // An instance lives for one call: its memory is filled faster than a file for its image is made.
        .memory_init_cow(false)
        .max_wasm_stack(STACK)
        // Half of the file, for traces that nobody would read: a trap says what happened.
        .generate_address_map(false)
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false)
        // Nothing that a hook is written in has a use for it.
        .wasm_memory64(false);
    config
}

/// The settings of [`config`] that compiled code depends on, in words.
pub(super) const fn settings() -> &'static str {
    "fuel, epochs, no signals, no reservation, no guard, no 64-bit memory, no traces, no images"
}

/// The target that components are compiled for: this machine's, without what only some processors have, so that a
/// cache made where the image is built holds where it runs.
pub fn target() -> String {
    let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-unknown-linux-{environment}", std::env::consts::ARCH)
}

/// The engine that runs components.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// How a guest came to its end.
pub(super) enum Ended<T> {
    /// By itself, or stopped: its answer says which.
    Answered(T),
    /// A stop signal came, and it was stopped.
    Interrupted(MachineError),
}

/// Runs `guest` in a thread of its own and stops what it runs in `engine` when the time is over or a stop signal
/// arrives.
///
/// # Errors
/// The system's, when no thread can be had.
pub(super) fn within<T: Send>(
    engine: &Engine,
    time: Duration,
    machine: &mut dyn Machine,
    guest: impl FnOnce() -> T + Send,
) -> io::Result<Ended<T>> {
    let (over, running) = UnixStream::pair()?;
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("hook".to_owned()).stack_size(4 * STACK).spawn_scoped(
            scope,
            move || {
                // Its end is what is waited for.
                let _running = running;
                guest()
            },
        )?;
        let waited = machine.wait_readable(over.as_fd(), time);
        if !matches!(waited, Ok(true)) {
            engine.increment_epoch();
        }
        let answer = thread.join().map_err(|_| io::Error::other("the host of components failed"))?;
        Ok(match waited {
            Ok(_) => Ended::Answered(answer),
            Err(interrupted) => Ended::Interrupted(interrupted),
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        let entry = format!("name = \"wasmtime\"\nversion = \"{}\"\n", super::WASMTIME);
        assert!(lock.contains(&entry), "write the version of wasmtime in Cargo.lock into engine.rs");
    }
}
