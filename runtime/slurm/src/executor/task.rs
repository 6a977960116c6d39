//! A task as it stands: what is stored of it, and what is told of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::request::Needs;
use crate::job::{ExitCode, JobId, State};

/// What the scheduler reads and writes of a job: one small file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The job.
    pub(super) id: u32,
    pub(super) needs: Needs,
    /// One; of an array one for each index, in order.
    pub(super) tasks: Vec<Task>,
}

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    /// Its index in an array.
    pub(super) index: Option<u32>,
    /// A number that no other task has: `%j`, `SLURM_JOB_ID`.
    pub(super) own: u32,
    pub(super) phase: Phase,
    pub(super) reason: Option<String>,
    /// How often it was put back.
    pub(super) restarts: u32,
    /// How often a runner was started that did not come up.
    pub(super) launches: u32,
    /// What tells its processes from others: they inherit it as a variable.
    pub(super) token: String,
    pub(super) runner: Option<Runner>,
    /// What somebody wants of a task that runs.
    pub(super) asked: Option<Asked>,
    /// Seconds since 1970, as the next two.
    pub(super) submitted: i64,
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    pub(super) code: Option<u8>,
    pub(super) signal: Option<u8>,
    pub(super) peak_memory: Option<u64>,
    pub(super) processor_time: Option<Duration>,
}

/// The process that runs it. Its id is also that of the session of all that the task starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Runner {
    pub(super) pid: i32,
    /// When it started, in clock ticks since the machine did (proc_pid_stat(5), `starttime`): a number that is used again is
    /// told by it.
    pub(super) started: u64,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Asked {
    Cancel,
    Requeue,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    Pending,
    /// A runner was started and has not said that it is there. The script has not begun.
    Configuring,
    Running,
    Completed,
    Failed,
    Timeout,
    OutOfMemory,
    Cancelled,
    NodeFail,
}

impl Phase {
    pub(super) const fn is_ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Configuring | Self::Running)
    }

    /// Whether it holds processors.
    pub(super) const fn is_active(self) -> bool {
        matches!(self, Self::Configuring | Self::Running)
    }
}

impl Task {
    pub(super) fn new(index: Option<u32>, own: u32, now: i64) -> Self {
        Self {
            index,
            own,
            phase: Phase::Pending,
            reason: None,
            restarts: 0,
            launches: 0,
            token: uuid::Uuid::new_v4().to_string(),
            runner: None,
            asked: None,
            submitted: now,
            started: None,
            ended: None,
            code: None,
            signal: None,
            peak_memory: None,
            processor_time: None,
        }
    }

    /// Puts it back into the queue, as if it had never begun.
    pub(super) fn put_back(&mut self, now: i64) {
        let restarts = self.restarts.saturating_add(1);
        *self = Self { restarts, submitted: now, ..Self::new(self.index, self.own, now) };
    }

    pub(super) fn end(&mut self, phase: Phase, reason: Option<&str>, now: i64) {
        self.phase = phase;
        self.reason = reason.map(str::to_owned);
        self.ended = Some(now);
        self.asked = None;
        self.runner = None;
    }

    pub(super) const fn state(&self) -> State {
        match self.phase {
            Phase::Pending => State::Pending,
            Phase::Configuring => State::Configuring,
            Phase::Running if self.asked.is_some() => State::Completing,
            Phase::Running => State::Running,
            Phase::Completed => State::Completed,
            Phase::Failed => State::Failed,
            Phase::Timeout => State::Timeout,
            Phase::OutOfMemory => State::OutOfMemory,
            Phase::Cancelled => State::Cancelled,
            Phase::NodeFail => State::NodeFail,
        }
    }

    pub(super) fn exit(&self) -> Option<ExitCode> {
        Some(ExitCode { code: self.code?, signal: self.signal? })
    }
}

impl Standing {
    pub(super) fn is_ended(&self) -> bool {
        self.tasks.iter().all(|task| task.phase.is_ended())
    }

    /// The tasks that an id names: one, or all.
    pub(super) fn named(&self, id: JobId) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(move |task| id.task.is_none() || task.index == id.task)
    }

    /// As [`Self::named`].
    pub(super) fn named_mut(&mut self, id: JobId) -> impl Iterator<Item = &mut Task> {
        self.tasks.iter_mut().filter(move |task| id.task.is_none() || task.index == id.task)
    }
}
