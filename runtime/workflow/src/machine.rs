//! Where a workflow stands, and what becomes of it by what happens: pure, so that it is the same in a test, after a crash, and
//! in another worker.
//!
//! Invariants: what is to be done next follows from what is persisted alone ([`Machine::next`]); an event that does not belong
//! where the workflow stands changes nothing; only a retry leads out of [`Stage::Over`]; each round ends once.

#[cfg(test)]
mod tests;
mod transition;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::request::{CleanUp, Policy};

pub use transition::{Event, Fact, OutOfPlace, Transition};

/// The parts of a workflow, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Images become files of the worker.
    Export,
    /// They go to the cluster.
    Transfer,
    /// They become what the workflow reads.
    Convert,
    /// The workflow itself.
    Run,
    /// Results come back.
    Fetch,
    /// They go where they belong.
    Deliver,
    /// What is left on the way goes.
    Clean,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 7] =
        [Self::Export, Self::Transfer, Self::Convert, Self::Run, Self::Fetch, Self::Deliver, Self::Clean];

    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Transfer => "transfer",
            Self::Convert => "convert",
            Self::Run => "workflow",
            Self::Fetch => "fetch",
            Self::Deliver => "deliver",
            Self::Clean => "clean",
        }
    }

    /// What a workflow is in while it does this, by the words of the view.
    const fn phase(self) -> &'static str {
        match self {
            Self::Export | Self::Transfer => "TRANSFERRING",
            Self::Convert => "CONVERTING",
            Self::Run => "RUNNING",
            Self::Fetch | Self::Deliver | Self::Clean => "RETRIEVING",
        }
    }
}

/// How a workflow has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Its results are home.
    Done,
    /// A step failed.
    Failed,
    /// Somebody asked for it.
    Cancelled,
}

/// Where a workflow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// For its turn.
    Waiting,
    /// A step is under way, or paused before its next try.
    Doing(Step),
    /// It was cancelled in this step: what runs of it is being ended.
    Withdrawing(Step),
    /// It will end so; what it has left on the way is being removed.
    Clearing(End),
    /// A batch: its children are under way.
    Gathering,
    /// It has ended.
    Over(End),
}

/// Where a workflow stands, with all that its next step has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The version that it runs.
    pub version: String,
    /// The steps that it has, in their order.
    pub steps: Vec<Step>,
    /// Where it stands.
    pub stage: Stage,
    /// How often it was asked for again.
    #[serde(default)]
    pub round: u32,
    /// How often each step was begun anew, each time under another name: 0 the first time.
    #[serde(default)]
    pub attempts: BTreeMap<Step, u32>,
    /// How often what is to be done now was tried in vain.
    #[serde(default)]
    pub tries: u32,
    /// Before this moment nothing is tried, in milliseconds since 1970.
    #[serde(default)]
    pub not_before: i64,
    /// Nodes that its jobs have to avoid.
    #[serde(default)]
    pub excluded: BTreeSet<String>,
    /// Who has cancelled it.
    #[serde(default)]
    pub cancelled_by: Option<String>,
    /// What failed last; what it ended with where it has failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// What steps have to remember, in their own words.
    #[serde(default)]
    pub memory: serde_json::Value,
    /// Of a batch: how its children stand.
    #[serde(default)]
    pub children: Option<Children>,
    /// Whether what it had on its way is gone, so that a retry begins at its beginning.
    #[serde(default)]
    pub cleared: bool,
}

/// How the children of a batch stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Children {
    /// How many there are.
    pub of: u32,
    /// How many have succeeded.
    pub done: u32,
    /// How many have failed.
    pub failed: u32,
    /// How many were cancelled.
    pub cancelled: u32,
}

impl Children {
    /// How many have ended.
    #[must_use]
    pub const fn ended(&self) -> u32 {
        self.done.saturating_add(self.failed).saturating_add(self.cancelled)
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until it is its turn.
    Wait,
    /// Nothing before this moment, in milliseconds since 1970.
    Pause(i64),
    /// This step.
    Perform(Step),
    /// What runs of this step is ended.
    Withdraw(Step),
    /// What it has left on its way is removed.
    Clear,
    /// Its children are counted.
    Gather,
    /// Nothing any more.
    Nothing,
}

impl Machine {
    /// A workflow that waits for its turn.
    #[must_use]
    pub fn new(version: String, steps: Vec<Step>) -> Self {
        Self {
            version,
            steps,
            stage: Stage::Waiting,
            round: 0,
            attempts: BTreeMap::new(),
            tries: 0,
            not_before: 0,
            excluded: BTreeSet::new(),
            cancelled_by: None,
            failure: None,
            memory: serde_json::Value::Null,
            children: None,
            cleared: false,
        }
    }

    /// A batch.
    #[must_use]
    pub fn batch(version: String, of: u32) -> Self {
        let children = Some(Children { of, ..Children::default() });
        Self { stage: Stage::Gathering, children, ..Self::new(version, Vec::new()) }
    }

    /// What is to be done next, at a moment.
    #[must_use]
    pub const fn next(&self, now: i64) -> Next {
        let is_paused = self.not_before > now;
        match self.stage {
            Stage::Waiting => Next::Wait,
            Stage::Doing(_) | Stage::Withdrawing(_) | Stage::Clearing(_) if is_paused => {
                Next::Pause(self.not_before)
            }
            Stage::Doing(step) => Next::Perform(step),
            Stage::Withdrawing(step) => Next::Withdraw(step),
            Stage::Clearing(_) => Next::Clear,
            Stage::Gathering => Next::Gather,
            Stage::Over(_) => Next::Nothing,
        }
    }

    /// One word, as Python's views have it; `BATCH`, `CANCELLING` and `CANCELLED`, which they have not.
    #[must_use]
    pub const fn phase(&self) -> &'static str {
        Self::phase_of(self.stage)
    }

    /// The same of a stage.
    #[must_use]
    pub const fn phase_of(stage: Stage) -> &'static str {
        match stage {
            Stage::Waiting => "INITIALIZING",
            Stage::Doing(step) => step.phase(),
            Stage::Gathering => "BATCH",
            Stage::Withdrawing(_) | Stage::Clearing(End::Cancelled) => "CANCELLING",
            Stage::Clearing(_) => "CLEANING",
            Stage::Over(End::Done) => "DONE",
            Stage::Over(End::Failed) => "FAILED",
            Stage::Over(End::Cancelled) => "CANCELLED",
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over(_))
    }

    /// Whether what it has left on its way is removed, now that it ends otherwise than well. Results that were computed and
    /// could not be brought home stay, for a retry.
    #[must_use]
    pub fn clears(&self, policy: &Policy) -> bool {
        let has_results = self.failure.as_ref().is_some_and(|failure| failure.step >= Step::Fetch);
        let is_kept = has_results && self.stage == Stage::Clearing(End::Failed);
        policy.clean_up == CleanUp::Always && !is_kept
    }

    /// How often a step was begun anew.
    #[must_use]
    pub fn attempt(&self, step: Step) -> u32 {
        self.attempts.get(&step).copied().unwrap_or(0)
    }
}
