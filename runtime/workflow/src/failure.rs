//! Why a step failed, and what can be done about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::machine::Step;

/// How many of a job's last lines are kept.
const LINES: usize = 20;
/// How long what is said may be, in bytes.
const LONGEST: usize = 4_000;

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which step.
    pub step: Step,
    /// Why, in a sentence or a few.
    pub reason: String,
    /// The job, as Slurm names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<String>,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// The last lines of its log, as they are: whoever shows them makes them harmless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// What can be done.
    pub remedy: Remedy,
}

/// What can be done about a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// It may pass: the same again, later.
    Wait,
    /// Another job: the one that failed was lost, through no fault of its own.
    Resubmit,
    /// Another job, on other nodes.
    Exclude(Vec<String>),
    /// Nothing, without somebody who changes something.
    None,
}

impl Failure {
    /// Of a step, with a reason and no job.
    #[must_use]
    pub fn new(step: Step, reason: impl Into<String>, remedy: Remedy) -> Self {
        let reason = bounded(reason.into());
        Self { step, reason, job: None, nodes: None, exit_code: None, signal: None, log: Vec::new(), remedy }
    }

    /// With the end of a job's log.
    #[must_use]
    pub fn with_log(mut self, log: &[String]) -> Self {
        let behind = log.len().saturating_sub(LINES);
        self.log = log.iter().skip(behind).cloned().map(bounded).collect();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.step.name(), self.reason)
    }
}

/// As much as is kept of a text, whole letters.
fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let failure = Failure::new(Step::Run, "ä".repeat(LONGEST), Remedy::None);
        let log: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        let failure = failure.with_log(&log);
        assert!(failure.reason.len() <= LONGEST + '…'.len_utf8());
        assert_eq!((failure.log.len(), failure.log.last().map(String::as_str)), (LINES, Some("99")));
    }
}
