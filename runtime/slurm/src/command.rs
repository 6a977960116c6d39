//! A command for a cluster, and what came of it.
//!
//! Invariants: the program for the shell is written in this crate's sources (`&'static str`); whatever else there is goes in
//! as arguments or as variables, quoted in one place alone (`line`), so that no value is ever read as a program.

mod line;

use std::ffi::{OsStr, OsString};
use std::time::Duration;

pub use line::{BOOTSTRAP, Unsuitable, is_name};

/// How long a command may take where nobody says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How much a command may answer, in bytes, where nobody says otherwise: 16 MiB.
pub const LARGEST_ANSWER: usize = 16 << 20;

/// A command: a program with its arguments, or a few lines of POSIX `sh` with parameters.
///
/// It runs in the login folder, by `/bin/sh`, whatever the login shell is.
#[derive(Debug, Clone)]
pub struct Command {
    program: Program,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    folder: Option<OsString>,
    input: Vec<u8>,
    deadline: Duration,
    largest_answer: usize,
    repeatable: bool,
}

#[derive(Debug, Clone)]
enum Program {
    /// A program by name or path.
    Exec(OsString),
    /// Lines for `sh`, which has the arguments as `$1`, `$2` and so on.
    Shell(&'static str),
}

impl Command {
    /// A program, by its name on the cluster's `PATH` or by its path there.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::of(Program::Exec(program.as_ref().to_owned()))
    }

    /// A few lines of POSIX `sh`, constant by type: what varies are the arguments, `"$1"` and so on.
    #[must_use]
    pub fn shell(program: &'static str) -> Self {
        Self::of(Program::Shell(program))
    }

    const fn of(program: Program) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
            input: Vec::new(),
            deadline: DEADLINE,
            largest_answer: LARGEST_ANSWER,
            repeatable: false,
        }
    }

    /// One more argument, which arrives as it is.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<T: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// A variable of the command's environment. Its name has to be one for a shell ([`is_name`]); its value arrives as it is.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// The folder it runs in, instead of the login folder.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<OsStr>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long it may take, from asking to the last byte of the answer, connecting and repeating included.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many bytes it may answer on standard output; more is an error, and the command is ended.
    #[must_use]
    pub const fn largest_answer(mut self, bytes: usize) -> Self {
        self.largest_answer = bytes;
        self
    }

    /// It only asks, or doing it twice is the same as once: it is asked again where the connection was lost meanwhile.
    #[must_use]
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// What a message calls it: the program, or the first word of its lines.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.program {
            Program::Exec(program) => program.to_string_lossy().into_owned(),
            Program::Shell(lines) => lines.split_whitespace().next().unwrap_or("sh").to_owned(),
        }
    }

    pub(crate) const fn how_long(&self) -> Duration {
        self.deadline
    }

    pub(crate) const fn most(&self) -> usize {
        self.largest_answer
    }

    pub(crate) const fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    pub(crate) fn what_it_reads(&self) -> &[u8] {
        &self.input
    }

    /// The one line that [`BOOTSTRAP`] reads.
    pub(crate) fn line(&self, mark: &str) -> Result<Vec<u8>, Unsuitable> {
        line::line(self, mark)
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(u8),
    /// By a signal or without a word: `sshd` was told to end it, or somebody killed it.
    Killed,
}

impl Status {
    /// Whether it was code 0.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Its standard output, without what the login shell said before.
    pub stdout: Vec<u8>,
    /// Its standard error, likewise; the last 64 KiB.
    pub stderr: Vec<u8>,
}
