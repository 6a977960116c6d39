//! One supervised command, as tini and dumb-init run one: `init -- COMMAND…` and the personalities.
//!
//! A pure core (`core`) says what follows from each event; the shell in this file feeds it signals, ends
//! of processes and deadlines, and does what it says. Synchronous: one `poll` on the signal stream.
//!
//! Exit codes: the command's own, 128+n when signal n ended it, 127 when there is no such program, 126 when it cannot
//! be executed.

mod core;
mod voice;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use biomero_config::Environment;
use biomero_hooks::Identity;

use self::core::{Action, Core, Event, deadline_of};
use crate::reaper::{self, Pid};
use crate::signals::{Signal, Signals};
use crate::spawn::{Command, Group, system};

pub(crate) use self::core::Rest;
pub(crate) use self::voice::Voice;

/// How one command is supervised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which signals become which.
    pub(crate) rewrites: Rewrites,
    /// Whether signals go to the command's whole process group (or session's first group) or to its process alone.
    pub(crate) to_group: bool,
    /// Whether TSTP, TTIN and TTOU stop `init` too, as a shell expects.
    pub(crate) suspend: bool,
    /// How long TERM is held back, so that load balancers notice first; zero forwards it at once.
    pub(crate) term_delay: Duration,
    /// Whether `init` ends only after all descendants have.
    pub(crate) wait_descendants: bool,
    /// What happens to what the command left behind.
    pub(crate) rest: Rest,
    /// Whether orphans become ours although we are not PID 1.
    pub(crate) subreaper: bool,
    /// Exit codes that become 0.
    pub(crate) remapped: Vec<u8>,
    /// Exit code when the program cannot be started, instead of 126 or 127.
    pub(crate) cannot_start: Option<u8>,
    /// Whether `init` gives up its controlling terminal first, for a command that gets its own session.
    pub(crate) detach: bool,
    /// Whether `init` moves to `/`, so that it holds no mount busy.
    pub(crate) to_root: bool,
    /// Sent to us when our parent dies.
    pub(crate) parent_death_signal: Option<Signal>,
    /// Who is speaking.
    pub(crate) voice: Voice,
}

impl Default for Options {
    /// What `init -- COMMAND` does.
    fn default() -> Self {
        Self {
            rewrites: Rewrites::default(),
            to_group: true,
            suspend: true,
            term_delay: Duration::ZERO,
            wait_descendants: false,
            rest: Rest::Stop { deadline: Duration::from_secs(5) },
            subreaper: false,
            remapped: Vec::new(),
            cannot_start: None,
            detach: false,
            to_root: false,
            parent_death_signal: None,
            voice: Voice::Init,
        }
    }
}

impl Options {
    /// Adds `FROM:TO` to what is rewritten; `TO` may be `0`. A later rule for the same signal wins.
    ///
    /// # Errors
    /// [`RewriteError`], which shows how to write one.
    pub(crate) fn rewrite(&mut self, rule: &str) -> Result<(), RewriteError> {
        self.rewrites.add(rule)
    }

    fn exit_code(&self, code: u8) -> u8 {
        if self.remapped.contains(&code) { 0 } else { code }
    }
}

/// Which signal becomes which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rewrites(Vec<(Signal, Option<Signal>)>);

/// A rewriting that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" does not rewrite a signal: write FROM:TO with names or numbers, as TERM:INT or 15:2; TO is 0 to drop FROM"
)]
pub(crate) struct RewriteError(String);

impl Rewrites {
    /// Adds `FROM:TO`; `TO` may be `0`. A later rule for the same signal wins.
    ///
    /// # Errors
    /// [`RewriteError`] that shows how to write one.
    pub(crate) fn add(&mut self, rule: &str) -> Result<(), RewriteError> {
        let wrong = || RewriteError(rule.to_owned());
        let (from, to) = rule.split_once(':').ok_or_else(wrong)?;
        let from = from.parse().map_err(|_| wrong())?;
        let to = if to.trim() == "0" { None } else { Some(to.parse().map_err(|_| wrong())?) };
        self.set(from, to);
        Ok(())
    }

    /// Adds a rule; a later one for the same signal wins.
    pub(crate) fn set(&mut self, from: Signal, to: Option<Signal>) {
        self.0.push((from, to));
    }

    fn apply(&self, signal: Signal) -> Option<Signal> {
        self.0.iter().rev().find(|(from, _)| *from == signal).map_or(Some(signal), |(_, to)| *to)
    }
}

/// Runs one command to its end, in the foreground of the terminal if there is one, and returns the exit code of
/// `init`. A failure was told on standard error. `identity`, when `init` is root, says whom the command runs as.
pub(crate) fn run(
    argv: &[OsString],
    options: &Options,
    environment: &Environment,
    identity: Option<&Identity>,
    signals: Signals,
) -> u8 {
    let mut command = Command::new(argv.to_vec(), environment.clone());
    command.group = Group::Foreground;
    command.user = identity
        .filter(|identity| identity.uid == 0 && identity.service_uid != 0)
        .map(|identity| (identity.service_uid, identity.service_gid));
    run_command(&command, options, signals)
}

/// As [`run`], for a command that is described in full.
pub(crate) fn run_command(command: &Command, options: &Options, mut signals: Signals) -> u8 {
    let mut swallow = Vec::new();
    if let Some(signal) = options.parent_death_signal {
        let known = nix::sys::signal::Signal::try_from(i32::from(signal.get()));
        if known.is_err() || nix::sys::prctl::set_pdeathsig(known.ok()).is_err() {
            options.voice.cannot(&format!("ask for {signal} on the parent's death"));
            return 1;
        }
    }
    if options.subreaper {
        match reaper::become_subreaper() {
            Ok(()) => options.voice.became_subreaper(),
            Err(error) => {
                options.voice.cannot(&format!("become a subreaper: {error}"));
                return 1;
            }
        }
    }
    if options.detach {
        match system::detach_terminal(0) {
            // The kernel sends both to the foreground group of a session whose leader leaves its terminal.
            Ok(()) if nix::unistd::getsid(None) == Ok(nix::unistd::getpid()) => {
                swallow = vec![Signal::HUP, Signal::CONT];
            }
            Ok(()) => {}
            Err(error) => options.voice.no_terminal_to("detach from", &error),
        }
    }
    let main = match command.spawn(signals.inherited()) {
        Ok(pid) => pid,
        Err(error) => {
            options.voice.cannot_start(command, &error);
            return options.cannot_start.unwrap_or_else(|| error.exit_code());
        }
    };
    if options.to_root {
        // Staying where we are is no reason not to go on.
        let _ = nix::unistd::chdir("/");
    }
    options.voice.started(command, main);
    supervise(main, command.group, options, swallow, &mut signals)
}

/// Between two looks at whether processes that are not our children have gone: nothing tells us of their end.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn supervise(main: Pid, group: Group, options: &Options, swallow: Vec<Signal>, signals: &mut Signals) -> u8 {
    let target = if options.to_group && group != Group::Inherit { -main } else { main };
    let everyone = std::process::id() == 1 && matches!(options.rest, Rest::Stop { .. });
    let reaps = std::process::id() == 1 || options.subreaper;
    let mut core = Core::new(options, main, swallow);
    let mut deadline: Option<Instant> = None;
    let mut pending = vec![Event::Signal(Signal::CHLD)];
    loop {
        let mut events = std::mem::take(&mut pending);
        if events.contains(&Event::Signal(Signal::CHLD)) {
            events.extend(reaper::reap_all().map(|(pid, exit)| Event::Ended(pid, exit)));
        }
        for event in events {
            let actions = core.on(event);
            deadline = deadline_of(&actions, Instant::now(), deadline);
            for action in actions {
                options.voice.tells(action);
                match action {
                    Action::Forward(signal) => send(target, signal),
                    Action::Sweep(signal) if everyone => send(-1, signal),
                    Action::Sweep(signal) => send(target, signal),
                    Action::Suspend => drop(system::kill(nix::unistd::getpid().as_raw(), Signal::STOP.get())),
                    Action::Finish(code) => return code,
                    _ => {}
                }
            }
        }
        if core.waits_to_be_alone() {
            let alone = if everyone || (options.wait_descendants && reaps) {
                !reaper::has_children()
            } else {
                system::kill(target, 0).is_err() && !(options.wait_descendants && reaper::has_children())
            };
            if alone {
                pending.push(Event::Alone);
                continue;
            }
        }
        let look_again = core.waits_to_be_alone().then_some(LOOK_AGAIN);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            deadline = None;
            pending.push(Event::Deadline);
            continue;
        }
        match signals.next([look_again, left].into_iter().flatten().min()) {
            Ok(Some(received)) => pending.push(Event::Signal(received.signal)),
            Ok(None) => pending.push(Event::Signal(Signal::CHLD)),
            Err(error) => {
                options.voice.cannot(&format!("read signals: {error}"));
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }
}

/// A target that has gone meanwhile is no error: its end is on its way to us.
fn send(target: i32, signal: Signal) {
    if let Err(error) = system::kill(target, signal.get()) {
        tracing::debug!("{signal} was not delivered to {target}: {error}");
    }
}
