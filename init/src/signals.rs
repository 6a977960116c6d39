//! The one stream of signals of the whole program: everything that can be blocked is blocked before anything else
//! happens, and read from one `signalfd`. Children get back exactly what `init` inherited.
//!
//! Invariants: no signal handler is ever installed; nobody else reads signals; a signal that arrives before the first
//! read waits in the kernel.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::spawn::system;

/// A signal by its number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Signal(u8);

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "signal numbers are 1 to 64")]
const fn number(signal: i32) -> Signal {
    Signal(signal as u8)
}

macro_rules! signals {
    ($($name:ident = $number:ident),* $(,)?) => {
        impl Signal {
            $(#[doc = concat!("`SIG", stringify!($name), "`")] pub(crate) const $name: Self = number(libc::$number);)*

            const NAMES: &'static [(&'static str, Self)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

signals! {
    HUP = SIGHUP, INT = SIGINT, QUIT = SIGQUIT, ILL = SIGILL, TRAP = SIGTRAP, ABRT = SIGABRT, BUS = SIGBUS,
    FPE = SIGFPE, KILL = SIGKILL, USR1 = SIGUSR1, SEGV = SIGSEGV, USR2 = SIGUSR2, PIPE = SIGPIPE, ALRM = SIGALRM,
    TERM = SIGTERM, STKFLT = SIGSTKFLT, CHLD = SIGCHLD, CONT = SIGCONT, STOP = SIGSTOP, TSTP = SIGTSTP,
    TTIN = SIGTTIN, TTOU = SIGTTOU, URG = SIGURG, XCPU = SIGXCPU, XFSZ = SIGXFSZ, VTALRM = SIGVTALRM,
    PROF = SIGPROF, WINCH = SIGWINCH, IO = SIGIO, PWR = SIGPWR, SYS = SIGSYS,
}

/// The first and last real-time signal that the C library leaves to programs.
const REAL_TIME: std::ops::RangeInclusive<u8> = 34..=64;

impl Signal {
    /// A signal by its number.
    pub(crate) fn from_number(signal: u32) -> Option<Self> {
        u8::try_from(signal).ok().filter(|signal| (1..=64).contains(signal)).map(Self)
    }

    /// Its number.
    pub(crate) const fn get(self) -> u8 {
        self.0
    }

    /// Its name without `SIG`.
    pub(crate) fn name(self) -> String {
        match Self::NAMES.iter().find(|(_, signal)| *signal == self) {
            Some((name, _)) => (*name).to_owned(),
            None if self.0 == *REAL_TIME.start() => "RTMIN".to_owned(),
            None if self.0 == *REAL_TIME.end() => "RTMAX".to_owned(),
            None if REAL_TIME.contains(&self.0) => format!("RTMIN+{}", self.0 - REAL_TIME.start()),
            None => self.0.to_string(),
        }
    }

    /// Whether it asks the worker to stop.
    pub(crate) const fn is_stop(self) -> bool {
        matches!(self, Self::TERM | Self::INT | Self::QUIT)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SIG{}", self.name())
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A word that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a signal: write a name as TERM or SIGTERM, or a number from 1 to 64 (`kill -l` lists them)"
)]
pub(crate) struct UnknownSignal(pub String);

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Reads `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3` or `RTMAX-1`.
    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let unknown = || UnknownSignal(text.to_owned());
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Ok(number) = upper.parse() {
            return Self::from_number(number).ok_or_else(unknown);
        }
        let aliases = [("IOT", Self::ABRT), ("POLL", Self::IO), ("CLD", Self::CHLD)];
        if let Some((_, signal)) = Self::NAMES.iter().chain(&aliases).find(|(known, _)| *known == name) {
            return Ok(*signal);
        }
        let offset = |text: &str| if text.is_empty() { Some(0) } else { text[1..].parse::<u8>().ok() };
        let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) if rest.is_empty() || rest.starts_with('+') => {
                offset(rest).and_then(|offset| REAL_TIME.start().checked_add(offset))
            }
            (_, Some(rest)) if rest.is_empty() || rest.starts_with('-') => {
                offset(rest).and_then(|offset| REAL_TIME.end().checked_sub(offset))
            }
            _ => None,
        };
        real_time.filter(|signal| REAL_TIME.contains(signal)).map(Self).ok_or_else(unknown)
    }
}

/// Why signals could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignalsError {
    /// `signalfd` failed.
    #[error("cannot open a signal descriptor: {0}; raise the limit of open files (`ulimit -n`)")]
    Descriptor(io::Error),
}

/// The mask and the ignored signals that `init` was started with; bit `n - 1` stands for signal `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Blocked signals.
    pub(crate) mask: u64,
    /// Those of SIGPIPE and SIGCHLD that were ignored; the dispositions of all others pass through us untouched.
    pub(crate) ignored: u64,
}

impl Inherited {
    /// Nothing blocked, nothing ignored.
    pub(crate) const NOTHING: Self = Self { mask: 0, ignored: 0 };
}

/// A signal, and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Which.
    pub(crate) signal: Signal,
    /// The sender's process id; 0 for the kernel or for a process outside of our pid namespace.
    pub(crate) sender: u32,
}

/// The stream of signals. There is one, made first thing in `main`.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: File,
    inherited: Inherited,
}

/// Bytes of one `signalfd_siginfo`.
const RECORD: usize = 128;

impl Signals {
    /// Blocks every signal that can be blocked and opens the stream.
    ///
    /// # Errors
    /// [`SignalsError`] when the process may not open another file.
    pub(crate) fn install() -> Result<Self, SignalsError> {
        let inherited =
            Inherited { mask: system::swap_mask(system::ALL_SIGNALS), ignored: system::ignored_at_entry() };
        // Children of a parent that ignores SIGCHLD vanish without a status.
        if inherited.ignored & (1 << (Signal::CHLD.get() - 1)) != 0 {
            system::set_default(Signal::CHLD.get());
        }
        let descriptor = system::signal_descriptor(system::ALL_SIGNALS).map_err(SignalsError::Descriptor)?;
        Ok(Self { descriptor: descriptor.into(), inherited })
    }

    /// What children get back.
    pub(crate) const fn inherited(&self) -> Inherited {
        self.inherited
    }

    /// A signal that has already arrived.
    ///
    /// # Errors
    /// When the descriptor cannot be read.
    pub(crate) fn try_next(&mut self) -> io::Result<Option<Received>> {
        let mut record = [0; RECORD];
        match self.descriptor.read(&mut record) {
            Ok(RECORD) => {
                let word = |at: usize| {
                    u32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
                };
                Ok(Signal::from_number(word(0)).map(|signal| Received { signal, sender: word(12) }))
            }
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The next signal, or `None` when `timeout` has passed. `None` as the timeout waits for ever.
    ///
    /// # Errors
    /// When the descriptor cannot be read.
    pub(crate) fn next(&mut self, timeout: Option<Duration>) -> io::Result<Option<Received>> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(received) = self.try_next()? {
                return Ok(Some(received));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            self.wait(&mut [], deadline)?;
        }
    }

    /// Waits until a signal has arrived, one of `others` is ready, or the deadline has passed; takes nothing.
    ///
    /// # Errors
    /// When `poll` fails for another reason than an interruption.
    pub(crate) fn wait(
        &self,
        others: &mut [(BorrowedFd<'_>, PollFlags, bool)],
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        let mut descriptors = vec![PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        descriptors.extend(others.iter().map(|(descriptor, flags, _)| PollFd::new(*descriptor, *flags)));
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounded up, so that a wait of less than a millisecond does not spin.
            let left = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            PollTimeout::try_from(left.min(i32::MAX as u128)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        for ((_, _, ready), polled) in others.iter_mut().zip(&descriptors[1..]) {
            *ready = polled.revents().is_some_and(|events| !events.is_empty());
        }
        Ok(())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl From<Signals> for OwnedFd {
    fn from(signals: Signals) -> Self {
        signals.descriptor.into()
    }
}

impl std::os::fd::AsRawFd for Signals {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.descriptor.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_by_name_or_number() {
        for (text, expected) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("15", 15),
            (" HUP ", 1),
            ("IOT", 6),
            ("POLL", 29),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(text.parse::<Signal>().map(Signal::get), Ok(expected), "{text}");
        }
        for text in ["", "0", "65", "-1", "SIG", "TERMS", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "15x"] {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn every_signal_s_name_reads_back() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().trim_start_matches("SIG").parse(), Ok(signal), "{signal}");
        }
    }
}
