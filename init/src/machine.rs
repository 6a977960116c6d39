//! What hooks need of the machine beyond files, answered from PID 1's one signal stream: while a hook's program runs,
//! a name is resolved or an address is waited for, orphans are collected and a stop signal ends the wait at once.
//!
//! Invariants: every call returns by its deadline (a stop or a deadline adds at most the two seconds that a program
//! is given between TERM and KILL); a program that missed its deadline or was interrupted is ended with its whole
//! process group. What a program leaves behind on purpose when it ends by itself is left alone.

mod backoff;

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use biomero_hooks::{Exit, Machine, MachineError, Process};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, sockopt};

use self::backoff::Backoff;
use crate::reaper::{self, Pid};
use crate::signals::{Signal, Signals};
use crate::spawn::{Command, system};

/// What a program of a hook is given between TERM and KILL.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How long one attempt to connect may take before the next one.
const CONNECT_ATTEMPT: Duration = Duration::from_secs(5);

/// How long one call of the resolver may take before it is left alone and another one starts: longer than glibc's own
/// two tries of five seconds per server.
const RESOLVE_ATTEMPT: Duration = Duration::from_secs(15);

/// The machine as PID 1 serves it to hooks.
#[derive(Debug)]
pub(crate) struct PidOne {
    signals: Signals,
    stopped_by: Option<Signal>,
}

/// What a turn of the loop brought.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// A descriptor is ready.
    Ready,
    /// The deadline passed.
    Deadline,
    /// Something else: look again.
    Other,
}

impl PidOne {
    /// Takes the signal stream for as long as hooks run.
    pub(crate) const fn new(signals: Signals) -> Self {
        Self { signals, stopped_by: None }
    }

    /// Gives the signal stream back.
    pub(crate) fn into_signals(self) -> Signals {
        self.signals
    }

    /// Waits for one thing to happen; `ended` is told of every process that was collected.
    fn turn(
        &mut self,
        other: Option<(BorrowedFd<'_>, PollFlags)>,
        deadline: Instant,
        ended: &mut dyn FnMut(Pid, Exit),
    ) -> Result<Turn, MachineError> {
        let failed = |error: io::Error| MachineError::Timeout {
            after: Duration::ZERO,
            last: format!("cannot wait for signals: {error}"),
        };
        let mut others: Vec<_> = other.into_iter().map(|(fd, flags)| (fd, flags, false)).collect();
        self.signals.wait(&mut others, Some(deadline)).map_err(failed)?;
        let mut got_signal = false;
        while let Some(received) = self.signals.try_next().map_err(failed)? {
            got_signal = true;
            match received.signal {
                Signal::CHLD => reaper::reap_all().for_each(|(pid, exit)| ended(pid, exit)),
                signal if signal.is_stop() && self.stopped_by.is_none() => self.stopped_by = Some(signal),
                _ => {}
            }
        }
        Ok(match others.first() {
            Some((_, _, true)) => Turn::Ready,
            _ if !got_signal && Instant::now() >= deadline => Turn::Deadline,
            _ => Turn::Other,
        })
    }

    fn check_stop(&self) -> Result<(), MachineError> {
        match self.stopped_by {
            Some(signal) => Err(MachineError::Interrupted(signal.name())),
            None => Ok(()),
        }
    }

    /// Waits until `until`, or until a stop signal.
    fn sleep_until(&mut self, until: Instant) -> Result<(), MachineError> {
        loop {
            self.check_stop()?;
            if self.turn(None, until, &mut |_, _| {})? == Turn::Deadline {
                return Ok(());
            }
        }
    }

    /// Waits until a descriptor is ready. `false`: the deadline passed first.
    fn ready(
        &mut self,
        descriptor: BorrowedFd<'_>,
        flags: PollFlags,
        deadline: Instant,
    ) -> Result<bool, MachineError> {
        loop {
            self.check_stop()?;
            match self.turn(Some((descriptor, flags)), deadline, &mut |_, _| {})? {
                Turn::Ready => return Ok(true),
                Turn::Deadline => return Ok(false),
                Turn::Other => {}
            }
        }
    }

    /// Waits until a process group's leader has been collected. `None`: the deadline passed, or a stop signal arrived.
    fn ended(
        &mut self,
        leader: Pid,
        deadline: Instant,
        heed_stop: bool,
    ) -> Result<Option<Exit>, MachineError> {
        let mut exit = None;
        loop {
            let turn = self.turn(None, deadline, &mut |pid, how| {
                if pid == leader {
                    exit = Some(how);
                }
            })?;
            if exit.is_some() || turn == Turn::Deadline || (heed_stop && self.stopped_by.is_some()) {
                return Ok(exit);
            }
        }
    }

    /// Ends a hook's process group: TERM, and KILL to what is left after [`STOP_GRACE`].
    fn end_group(&mut self, leader: Pid) -> Result<(), MachineError> {
        for signal in [Signal::TERM, Signal::CONT] {
            // Gone already: nothing left to end.
            let _ = system::kill(-leader, signal.get());
        }
        let ended = self.ended(leader, Instant::now() + STOP_GRACE, false)?;
        let _ = system::kill(-leader, Signal::KILL.get());
        if ended.is_none() {
            self.ended(leader, Instant::now() + STOP_GRACE, false)?;
        }
        Ok(())
    }

    fn resolve_once(
        &mut self,
        host: &str,
        deadline: Instant,
    ) -> Result<Result<Vec<IpAddr>, String>, MachineError> {
        // The C library's resolver can block for as long as a name server is silent, and cannot be interrupted: it
        // gets a thread of its own, which ends by itself some time after it was given up.
        let (answer, question) = match UnixStream::pair() {
            Ok(pair) => pair,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let name = host.to_owned();
        let asked =
            std::thread::Builder::new().name("resolver".to_owned()).stack_size(256 * 1024).spawn(move || {
                // Held until the answer is there: its end is what wakes the loop.
                let _question = question;
                (name.as_str(), 0)
                    .to_socket_addrs()
                    .map(|addresses| {
                        let mut unique = Vec::new();
                        for address in addresses.map(|address| address.ip()) {
                            if !unique.contains(&address) {
                                unique.push(address);
                            }
                        }
                        unique
                    })
                    .map_err(|error| error.to_string())
            });
        let thread = match asked {
            Ok(thread) => thread,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if self.ready(answer.as_fd(), PollFlags::POLLIN, deadline)? {
            return Ok(thread.join().unwrap_or_else(|_| Err("the resolver failed".to_owned())));
        }
        Ok(Err("no answer from the name server".to_owned()))
    }

    fn connect_once(
        &mut self,
        address: SocketAddr,
        deadline: Instant,
    ) -> Result<Result<(), String>, MachineError> {
        let socket = match start_connecting(address) {
            Ok(socket) => socket,
            Err(error) => return Ok(Err(error.desc().to_owned())),
        };
        if !self.ready(socket.as_fd(), PollFlags::POLLOUT, deadline)? {
            return Ok(Err("no answer".to_owned()));
        }
        Ok(match socket::getsockopt(&socket, sockopt::SocketError) {
            Ok(0) => Ok(()),
            Ok(errno) => Err(Errno::from_raw(errno).desc().to_owned()),
            Err(error) => Err(error.desc().to_owned()),
        })
    }
}

fn start_connecting(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    let connecting = match address {
        SocketAddr::V4(address) => socket::connect(socket.as_raw_fd(), &SockaddrIn::from(address)),
        SocketAddr::V6(address) => socket::connect(socket.as_raw_fd(), &SockaddrIn6::from(address)),
    };
    match connecting {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// `host:port`, an IPv6 address in brackets.
fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(())?;
    Some((host, port.parse().ok()?))
}

impl Machine for PidOne {
    fn run(&mut self, process: &Process<'_>, deadline: Duration) -> Result<Exit, MachineError> {
        self.check_stop()?;
        let argv = process.argv.iter().map(OsString::from).collect();
        let mut command = Command::new(argv, process.environment.clone());
        command.directory.clone_from(&process.directory);
        command.user = process.user;
        let leader = command.spawn(self.signals.inherited()).map_err(|error| MachineError::Start {
            program: command.program(),
            reason: error.reason(),
            code: error.exit_code().into(),
        })?;
        let until = Instant::now().checked_add(deadline);
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(u32::MAX.into()));
        match self.ended(leader, until, true)? {
            Some(exit) => Ok(exit),
            None => {
                self.end_group(leader)?;
                self.check_stop()?;
                Err(MachineError::Timeout {
                    after: deadline,
                    last: format!(
                        "{} was still running and was ended with all that it started",
                        command.program()
                    ),
                })
            }
        }
    }

    fn resolve(&mut self, host: &str, deadline: Duration) -> Result<Vec<IpAddr>, MachineError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let until = Instant::now() + deadline;
        let mut backoff = Backoff::between_tries();
        loop {
            self.check_stop()?;
            let last = match self.resolve_once(host, until.min(Instant::now() + RESOLVE_ATTEMPT))? {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
                Ok(_) => "the name has no address".to_owned(),
                Err(reason) => reason,
            };
            let next = Instant::now() + backoff.next_pause();
            if next >= until {
                return Err(MachineError::Timeout {
                    after: deadline,
                    last: format!("cannot resolve {host}: {last}"),
                });
            }
            tracing::debug!("cannot resolve {host} yet: {last}");
            self.sleep_until(next)?;
        }
    }

    fn wait_tcp(&mut self, address: &str, deadline: Duration) -> Result<(), MachineError> {
        let until = Instant::now() + deadline;
        let timeout =
            |last: &str| MachineError::Timeout { after: deadline, last: format!("{address}: {last}") };
        let Some((host, port)) = split_address(address) else {
            return Err(timeout("is not HOST:PORT, as omeroserver:4063 or [::1]:4063"));
        };
        let mut backoff = Backoff::between_tries();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut last = "no address".to_owned();
            for ip in self.resolve(host, left)? {
                let attempt = until.min(Instant::now() + CONNECT_ATTEMPT);
                match self.connect_once(SocketAddr::new(ip, port), attempt)? {
                    Ok(()) => return Ok(()),
                    Err(reason) => last = reason,
                }
            }
            let next = Instant::now() + backoff.next_pause();
            if next >= until {
                return Err(timeout(&last));
            }
            tracing::debug!("{address} does not accept connections yet: {last}");
            self.sleep_until(next)?;
        }
    }

    fn wait_path(&mut self, path: &Path, deadline: Duration) -> Result<(), MachineError> {
        let until = Instant::now() + deadline;
        let mut backoff = Backoff::between_looks();
        loop {
            self.check_stop()?;
            let last = match path.try_exists() {
                Ok(true) => return Ok(()),
                Ok(false) => "it is not there".to_owned(),
                Err(error) => error.to_string(),
            };
            let next = Instant::now() + backoff.next_pause();
            if next >= until {
                return Err(MachineError::Timeout {
                    after: deadline,
                    last: format!("{}: {last}", path.display()),
                });
            }
            self.sleep_until(next)?;
        }
    }

    fn wait_readable(
        &mut self,
        descriptor: BorrowedFd<'_>,
        deadline: Duration,
    ) -> Result<bool, MachineError> {
        self.ready(descriptor, PollFlags::POLLIN, Instant::now() + deadline)
    }

    fn pause(&mut self, duration: Duration) -> Result<(), MachineError> {
        self.sleep_until(Instant::now() + duration)
    }

    fn interrupted(&mut self) -> Option<String> {
        // A broken signal stream is told by the next call that waits.
        let _ = self.turn(None, Instant::now(), &mut |_, _| {});
        self.stopped_by.map(Signal::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_at_its_last_colon() {
        for (text, expected) in [
            ("db:5432", Some(("db", 5432))),
            ("[::1]:4063", Some(("::1", 4063))),
            ("10.0.0.1:1", Some(("10.0.0.1", 1))),
            ("db", None),
            (":1", None),
            ("db:", None),
            ("db:65536", None),
            ("", None),
        ] {
            assert_eq!(split_address(text), expected, "{text}");
        }
    }
}
