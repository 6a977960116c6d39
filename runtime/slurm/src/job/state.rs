//! The words for a job's state: Slurm's long and compact ones, what they mean for who waits, and what Python records.
//!
//! Invariants: a word that is not known is [`State::Unknown`], never an error, and never an end; each state belongs to one
//! group.

use std::fmt;

use super::State;

/// Each state with its long and its compact name: sacct(1) and squeue(1), "JOB STATE CODES".
const NAMES: &[(State, &str, &str)] = &[
    (State::BootFail, "BOOT_FAIL", "BF"),
    (State::Cancelled, "CANCELLED", "CA"),
    (State::Completed, "COMPLETED", "CD"),
    (State::Completing, "COMPLETING", "CG"),
    (State::Configuring, "CONFIGURING", "CF"),
    (State::Deadline, "DEADLINE", "DL"),
    (State::Failed, "FAILED", "F"),
    (State::NodeFail, "NODE_FAIL", "NF"),
    (State::OutOfMemory, "OUT_OF_MEMORY", "OOM"),
    (State::Pending, "PENDING", "PD"),
    (State::Preempted, "PREEMPTED", "PR"),
    (State::Requeued, "REQUEUED", "RQ"),
    (State::RequeueFed, "REQUEUE_FED", "RF"),
    (State::RequeueHold, "REQUEUE_HOLD", "RH"),
    (State::Resizing, "RESIZING", "RS"),
    (State::ResvDelHold, "RESV_DEL_HOLD", "RD"),
    (State::Revoked, "REVOKED", "RV"),
    (State::Running, "RUNNING", "R"),
    (State::Signaling, "SIGNALING", "SI"),
    (State::SpecialExit, "SPECIAL_EXIT", "SE"),
    (State::StageOut, "STAGE_OUT", "SO"),
    (State::Stopped, "STOPPED", "ST"),
    (State::Suspended, "SUSPENDED", "S"),
    (State::Timeout, "TIMEOUT", "TO"),
];

/// What a state means for people who wait for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// It has yet to begin, or to begin again.
    Waiting,
    /// It has begun and has not ended; also where it is stopped for a while.
    Running,
    /// It ended as it should.
    Succeeded,
    /// It ended otherwise.
    Failed,
    /// It cannot be told.
    Unknown,
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

impl State {
    /// The state that Slurm writes so: `RUNNING`, `R`, `CANCELLED by 1001`, `CANCELLED+`, and the first of `COMPLETING,FAILED`.
    ///
    /// What `sacct` has cut (`OUT_OF_ME+`) is taken for the state that begins so.
    #[must_use]
    pub fn read(word: &str) -> Self {
        let word = word.trim().split([' ', ',']).next().unwrap_or_default();
        let named = |name: &str| {
            let found =
                NAMES.iter().find(|(_, long, compact)| name.eq_ignore_ascii_case(long) || name == *compact);
            found.map(|(state, _, _)| *state)
        };
        match word.strip_suffix('+') {
            None => named(word).unwrap_or(Self::Unknown),
            Some(cut) => named(cut).unwrap_or_else(|| {
                let mut beginning =
                    NAMES.iter().filter(|(_, long, _)| cut.len() > 1 && long.starts_with(cut));
                match (beginning.next(), beginning.next()) {
                    (Some((state, _, _)), None) => *state,
                    _ => Self::Unknown,
                }
            }),
        }
    }

    /// The name that Slurm writes, and that Python records as a task's status: `COMPLETED`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(state, _, _)| *state == self).map_or("UNKNOWN", |(_, long, _)| long)
    }

    /// Whether nothing more will come of the job by itself.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self.group(), Group::Succeeded | Group::Failed)
    }

    /// Whether it ended as it should.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Completed)
    }

    /// What it means for who waits.
    #[must_use]
    pub const fn group(self) -> Group {
        match self {
            Self::Pending
            | Self::Configuring
            | Self::Requeued
            | Self::RequeueFed
            | Self::RequeueHold
            | Self::ResvDelHold
            | Self::SpecialExit => Group::Waiting,
            Self::Running
            | Self::Completing
            | Self::Resizing
            | Self::Signaling
            | Self::StageOut
            | Self::Stopped
            | Self::Suspended => Group::Running,
            Self::Completed => Group::Succeeded,
            Self::BootFail
            | Self::Cancelled
            | Self::Deadline
            | Self::Failed
            | Self::NodeFail
            | Self::OutOfMemory
            | Self::Preempted
            | Self::Revoked
            | Self::Timeout => Group::Failed,
            Self::Unknown => Group::Unknown,
        }
    }

    /// The status that is recorded for Python's scripts, which wait for one of `COMPLETED`, `FAILED`, `CANCELLED` and `TIMEOUT`
    /// and for ever at any other end: those ends are recorded as `FAILED`, all else under its own name.
    #[must_use]
    pub fn python(self) -> &'static str {
        match self {
            Self::BootFail
            | Self::Deadline
            | Self::NodeFail
            | Self::OutOfMemory
            | Self::Preempted
            | Self::Revoked => Self::Failed.name(),
            other => other.name(),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_read_from_the_names_that_slurm_has_for_it() {
        for (state, long, compact) in NAMES {
            for word in [(*long).to_owned(), (*compact).to_owned(), format!("{long}+"), format!(" {long} ")] {
                assert_eq!(State::read(&word), *state, "{word}");
            }
            assert_eq!(state.name(), *long);
            assert_ne!(state.group(), Group::Unknown, "{long}");
        }
    }

    #[test]
    fn what_slurm_adds_or_cuts_does_not_hide_the_state() {
        for (word, state) in [
            ("CANCELLED by 1001", State::Cancelled),
            ("OUT_OF_ME+", State::OutOfMemory),
            ("COMPLETI+", State::Completing),
            ("COMPLET+", State::Unknown),
            ("COMPLETING,FAILED", State::Completing),
            ("TIRED", State::Unknown),
            ("+", State::Unknown),
            ("", State::Unknown),
        ] {
            assert_eq!(State::read(word), state, "{word:?}");
        }
    }

    #[test]
    fn python_is_told_an_end_that_it_knows() {
        for (state, _, _) in NAMES {
            let known = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"].contains(&state.python());
            assert_eq!(known, state.is_ended(), "{state}");
            assert_eq!(state.is_success(), state.python() == "COMPLETED", "{state}");
        }
    }
}
