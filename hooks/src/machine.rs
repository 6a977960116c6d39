//! What the applying interpreter asks of its host beyond files: processes, names, addresses, time. PID 1 answers
//! from its one signal loop, so that a stop signal interrupts each of these.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use biomero_config::Environment;

/// The host of an applying interpreter. Every call returns within its deadline or when a stop signal arrives.
pub trait Machine {
    /// Runs a program to its end; its process group is killed at the deadline or on interruption.
    ///
    /// # Errors
    /// [`MachineError`]; a non-zero exit is not an error here but an [`Exit`].
    fn run(&mut self, process: &Process<'_>, deadline: Duration) -> Result<Exit, MachineError>;

    /// All addresses of a host name, tried again with back-off until the deadline. An address resolves to itself.
    ///
    /// # Errors
    /// [`MachineError::Timeout`] with the resolver's last words.
    fn resolve(&mut self, host: &str, deadline: Duration) -> Result<Vec<IpAddr>, MachineError>;

    /// Waits until `host:port` accepts a connection.
    ///
    /// # Errors
    /// [`MachineError::Timeout`] with the last reason.
    fn wait_tcp(&mut self, address: &str, deadline: Duration) -> Result<(), MachineError>;

    /// Waits until a path exists.
    ///
    /// # Errors
    /// [`MachineError::Timeout`].
    fn wait_path(&mut self, path: &std::path::Path, deadline: Duration) -> Result<(), MachineError>;

    /// Waits until a descriptor can be read or its other end is closed; `false` when the deadline passed first.
    ///
    /// # Errors
    /// [`MachineError::Interrupted`].
    fn wait_readable(&mut self, descriptor: BorrowedFd<'_>, deadline: Duration)
    -> Result<bool, MachineError>;

    /// Pauses, as between two tries.
    ///
    /// # Errors
    /// [`MachineError::Interrupted`].
    fn pause(&mut self, duration: Duration) -> Result<(), MachineError>;

    /// The name of a stop signal (`TERM`) that has arrived; asked between two effects.
    fn interrupted(&mut self) -> Option<String>;
}

/// A program to run.
#[derive(Debug)]
pub struct Process<'a> {
    /// Program and arguments.
    pub argv: &'a [String],
    /// The whole environment.
    pub environment: &'a Environment,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// User and group to run as, when `init` is root.
    pub user: Option<(u32, u32)>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// Killed by a signal's number.
    Signal(i32),
}

/// Why a request to the machine failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// The deadline passed.
    #[error("gave up after {}: {last}", biomero_config::duration::display(*after))]
    Timeout {
        /// The deadline.
        after: Duration,
        /// What the last try said.
        last: String,
    },
    /// A stop signal arrived.
    #[error("interrupted by SIG{0}")]
    Interrupted(String),
    /// The program could not be started; `code` is 127 when it was not found and 126 otherwise.
    #[error("cannot start {program}: {reason}")]
    Start {
        /// As it was named.
        program: String,
        /// The system's reason.
        reason: String,
        /// As a shell would exit.
        code: i32,
    },
}
