//! The one owner of `waitpid`: every process that ends below us is collected here, our own children and the orphans
//! that the kernel hands to PID 1 (or to a subreaper).

use std::io;

use biomero_hooks::Exit;
use nix::libc;

use crate::spawn::system;

/// A process id in our pid namespace.
pub(crate) type Pid = i32;

/// Collects all processes that have ended, however many; one SIGCHLD can stand for thousands. Never blocks.
pub(crate) fn reap_all() -> impl Iterator<Item = (Pid, Exit)> {
    std::iter::from_fn(|| {
        system::wait_any(-1, libc::WNOHANG).ok().flatten().map(|(pid, status)| (pid, exit(status)))
    })
}

/// Whether any child is left, ended or not.
pub(crate) fn has_children() -> bool {
    // WNOWAIT would be the honest question, but waitpid lacks it; /proc is not always mounted. waitid has it.
    nix::sys::wait::waitid(
        nix::sys::wait::Id::All,
        nix::sys::wait::WaitPidFlag::WNOHANG
            | nix::sys::wait::WaitPidFlag::WEXITED
            | nix::sys::wait::WaitPidFlag::WNOWAIT,
    ) != Err(nix::errno::Errno::ECHILD)
}

/// Makes orphaned descendants ours, although we are not PID 1.
///
/// # Errors
/// On a kernel older than 3.4.
pub(crate) fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// The exit code that stands for an end: the code itself, or 128 and the signal's number.
pub(crate) const fn exit_code(exit: Exit) -> u8 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an exit code has eight bits")]
    match exit {
        Exit::Code(code) => (code & 0xff) as u8,
        Exit::Signal(signal) => (128 + signal) as u8,
    }
}

const fn exit(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

/// An end in words: `exited with code 3`, `killed by SIGKILL`.
pub(crate) fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(signal) => {
            let name = u32::try_from(signal).ok().and_then(crate::signals::Signal::from_number);
            name.map_or_else(|| format!("killed by signal {signal}"), |name| format!("killed by {name}"))
        }
    }
}
