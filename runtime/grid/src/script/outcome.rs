//! What is said between a processor and a keeper: what to run, that it runs, what became of it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::environment::Variables;

/// What a keeper is to run. It comes through a pipe: the variables may be secret.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) job: i64,
    pub(crate) launcher: PathBuf,
    pub(crate) variables: Variables,
    pub(crate) limits: Limits,
}

/// Whether it runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Begun {
    Started,
    Failed(String),
}

/// How the script's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By itself.
    Code(u8),
    /// By a signal.
    Signal(u8),
    /// It never ran.
    NotStarted,
    /// Nobody saw it.
    Unknown,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It was done.
    Over,
    /// It had had its time.
    Time,
    /// It had more memory than it may.
    Memory,
    /// Somebody asked for it.
    Cancelled,
    /// Somebody wanted it at once.
    Killed,
    /// Its keeper was told to end: the machine is shut down.
    Told,
    /// It could not be started.
    NotStarted,
    /// Its keeper is gone, and did not say.
    Lost,
}

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How its first process ended.
    pub ended: Ended,
    /// Why.
    pub why: Why,
    /// What there is to say besides.
    pub reason: Option<String>,
    /// From its start until nothing of it was left.
    pub duration: Duration,
    /// The most memory, in bytes, that its processes were seen to have, or one of them had.
    pub peak_memory: u64,
    /// What its processes computed.
    pub processor_time: Duration,
    /// The bytes that it wrote to each stream, kept or not.
    pub written: [u64; 2],
}

impl Outcome {
    /// Of what did not run to an end that anybody saw.
    #[must_use]
    pub(crate) fn without_end(ended: Ended, why: Why, reason: Option<String>) -> Self {
        Self {
            ended,
            why,
            reason,
            duration: Duration::ZERO,
            peak_memory: 0,
            processor_time: Duration::ZERO,
            written: [0; 2],
        }
    }

    /// As Python says it, and with it OMERO: the exit code, or a signal's number as a negative one. What a shell says of what
    /// cannot be run, and KILL for what is lost.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self.ended {
            Ended::Code(code) => code.into(),
            Ended::Signal(signal) => -i32::from(signal),
            Ended::NotStarted if self.why == Why::NotStarted => 127,
            Ended::NotStarted => -15,
            Ended::Unknown => -9,
        }
    }

    /// Whether it did what it was for.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.why == Why::Over && self.ended == Ended::Code(0)
    }

    /// In words, for the log.
    #[must_use]
    pub fn told(&self) -> String {
        let ended = match self.ended {
            Ended::Code(code) => format!("ended with {code}"),
            Ended::Signal(signal) => format!("was ended by signal {signal}"),
            Ended::NotStarted => "did not start".to_owned(),
            Ended::Unknown => "ended unseen".to_owned(),
        };
        let why = match self.why {
            Why::Over | Why::NotStarted => "",
            Why::Time => ", having reached its time limit",
            Why::Memory => ", having taken more memory than it may",
            Why::Cancelled => ", having been cancelled",
            Why::Killed => ", having been killed",
            Why::Told => ", since this machine told its keeper to end",
            Why::Lost => ", its keeper being gone",
        };
        let reason = self.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{ended}{why}{reason}")
    }
}
