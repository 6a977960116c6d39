//! What is said of one supervised command, in `init`'s own words or in those that scripts expect of tini and dumb-init.

use std::io::Write as _;

use biomero_hooks::Exit;

use super::core::Action;
use crate::reaper::{self, Pid};
use crate::signals::Signal;
use crate::spawn::{Command, Group, SpawnError, system};

/// Whose words the messages are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// `init`'s own: log lines.
    Init,
    /// tini's, with its verbosity and whether reaping is worth a warning.
    Tini {
        /// 0 errors, 1 warnings, 2 what happens, 3 details, 4 everything.
        verbosity: u8,
        /// `-w`.
        warn_on_reap: bool,
    },
    /// dumb-init's.
    DumbInit {
        /// `-v`.
        debug: bool,
    },
}

impl Voice {
    fn line(text: &str) {
        // One write, so that lines of several processes do not mix; nobody is left to tell of a failure.
        drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
    }

    /// `init --no-hooks -- COMMAND` reads no settings and so has no log: an error is told all the same.
    fn init_error(text: &str) {
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{text}");
        } else {
            Self::line(&format!("init: {text}"));
        }
    }

    /// One of tini's lines: shown from the given verbosity on.
    fn tini(self, level: u8, text: &str) {
        if let Self::Tini { verbosity, .. } = self
            && verbosity >= level
        {
            let tag = ["FATAL", "WARN ", "INFO ", "DEBUG", "TRACE"][usize::from(level.min(4))];
            let line = format!("[{tag} tini ({})] {text}\n", std::process::id());
            // What happens goes to standard output, what is wrong to standard error; nobody is left to tell of a
            // failure to write.
            drop(if level < 2 {
                std::io::stderr().write_all(line.as_bytes())
            } else {
                std::io::stdout().write_all(line.as_bytes())
            });
        }
    }

    fn dumb_init(self, text: &str) {
        if self == (Self::DumbInit { debug: true }) {
            Self::line(&format!("[dumb-init] {text}"));
        }
    }

    pub(super) fn cannot(self, what: &str) {
        match self {
            Self::Init => Self::init_error(&format!("cannot {what}")),
            Self::Tini { .. } => self.tini(0, &format!("cannot {what}")),
            Self::DumbInit { .. } => Self::line(&format!("[dumb-init] cannot {what}")),
        }
    }

    pub(super) fn cannot_start(self, command: &Command, error: &SpawnError) {
        match self {
            Self::Init => Self::init_error(&error.to_string()),
            Self::Tini { .. } => {
                self.tini(0, &format!("exec {} failed: {}", command.program(), error.reason()))
            }
            Self::DumbInit { .. } => {
                Self::line(&format!("[dumb-init] {}: {}", command.program(), error.reason()))
            }
        }
    }

    pub(super) fn became_subreaper(self) {
        self.tini(4, "Registered as child subreaper");
    }

    pub(super) fn no_terminal_to(self, what: &str, error: &std::io::Error) {
        let errno = error.raw_os_error().unwrap_or_default();
        let reason = system::describe(errno);
        self.dumb_init(&format!("Unable to {what} controlling tty (errno={errno} {reason})."));
    }

    pub(super) fn started(self, command: &Command, pid: Pid) {
        match self {
            Self::Init => tracing::debug!("started {} as process {pid}", command.program()),
            Self::Tini { .. } => {
                self.tini(2, &format!("Spawned child process '{}' with pid '{pid}'", command.program()));
            }
            Self::DumbInit { .. } => {
                self.dumb_init(&format!("Child spawned with PID {pid}."));
                if command.group == Group::Session {
                    self.dumb_init("setsid complete.");
                }
            }
        }
    }

    pub(super) fn tells(self, action: Action) {
        match self {
            Self::Init => Self::tells_as_init(action),
            Self::Tini { warn_on_reap, .. } => self.tells_as_tini(action, warn_on_reap),
            Self::DumbInit { .. } => self.tells_as_dumb_init(action),
        }
    }

    fn tells_as_init(action: Action) {
        match action {
            Action::Rewritten(from, Some(to)) => tracing::debug!("{from} becomes {to}"),
            Action::Rewritten(from, None) => tracing::debug!("{from} is dropped"),
            Action::Forward(signal) => tracing::debug!("{signal} forwarded"),
            Action::Sweep(signal) => tracing::debug!("{signal} sent to what the command left behind"),
            Action::MainEnded(pid, exit) => tracing::debug!("process {pid} {}", reaper::describe(exit)),
            Action::OrphanEnded(pid) => tracing::debug!("collected orphan {pid}"),
            Action::TermHeld(delay) => {
                let delay = biomero_config::duration::display(delay);
                tracing::info!("SIGTERM is held back for {delay}; a second one is forwarded at once");
            }
            Action::KillingTheRest => {
                tracing::warn!("processes that the command left behind ignored SIGTERM: sending SIGKILL");
            }
            Action::Suspend | Action::Arm(_) | Action::Finish(_) => {}
        }
    }

    fn tells_as_tini(self, action: Action, warn_on_reap: bool) {
        match action {
            Action::Forward(signal) => self.tini(3, &format!("Passing signal: '{signal}'")),
            Action::MainEnded(pid, exit) => {
                self.tini(3, "Received SIGCHLD");
                self.tini(3, &format!("Reaped child with pid: '{pid}'"));
                match exit {
                    Exit::Code(code) => {
                        self.tini(2, &format!("Main child exited normally (with status '{code}')"))
                    }
                    Exit::Signal(signal) => {
                        self.tini(2, &format!("Main child exited with signal (with signal '{signal}')"));
                    }
                }
            }
            Action::OrphanEnded(pid) => {
                self.tini(3, &format!("Reaped child with pid: '{pid}'"));
                if warn_on_reap {
                    self.tini(1, &format!("Reaped zombie process with pid={pid}"));
                }
            }
            Action::Finish(_) => self.tini(4, "Exiting: child has exited"),
            _ => {}
        }
    }

    fn tells_as_dumb_init(self, action: Action) {
        let sent =
            |signal: Signal| self.dumb_init(&format!("Forwarded signal {} to children.", signal.get()));
        match action {
            Action::Rewritten(from, to) => {
                let number = to.map_or(0, Signal::get);
                self.dumb_init(&format!("Translating signal {} to {number}.", from.get()));
                if to.is_none() {
                    self.dumb_init("Not forwarding signal 0 to children (ignored).");
                }
            }
            Action::Forward(signal) | Action::Sweep(signal) => sent(signal),
            Action::MainEnded(pid, Exit::Code(code)) => {
                self.dumb_init(&format!("A child with PID {pid} exited with exit status {code}."));
            }
            Action::MainEnded(pid, Exit::Signal(signal)) => {
                self.dumb_init(&format!("A child with PID {pid} was terminated by signal {signal}."));
            }
            Action::OrphanEnded(pid) => self.dumb_init(&format!("A child with PID {pid} exited.")),
            Action::Finish(code) => self.dumb_init(&format!("Child exited with status {code}. Goodbye.")),
            _ => {}
        }
    }
}
