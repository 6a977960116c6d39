//! What becomes of a workflow by what happens.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::{Children, End, Machine, Stage, Step};
use crate::failure::{Failure, Remedy};
use crate::request::Request;

/// How often it is tried to remove what was left on the way.
const CLEARINGS: u32 = 6;

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is its turn.
    Started,
    /// A step is done, with a few words about it.
    Done(Step, String),
    /// A step has failed, or what should have ended it, or cleared up behind it.
    Failed(Failure),
    /// A step has something to remember.
    Remembered(Value),
    /// Nothing runs of it any more.
    Withdrawn,
    /// What it had on its way is gone.
    Cleared,
    /// The children of a batch have come so far.
    Gathered(Children),
    /// Somebody wants it to end.
    CancelAsked(String),
    /// Somebody wants it once more.
    RetryAsked(String),
}

/// What goes into the history that Python reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// A workflow was asked for.
    Initiated,
    /// It has begun, in a round.
    Started(u32),
    /// A step has begun, for the how many-th time.
    TaskBegun(Step, u32),
    /// A step is done.
    TaskDone(Step, u32, String),
    /// A step has failed.
    TaskFailed(Step, u32, String),
    /// The children of a batch have come so far.
    Gathered(u32, Children),
    /// A round has ended well.
    Completed(u32),
    /// A round has ended otherwise.
    Failed(u32, String),
}

/// What an event makes of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The workflow behind it.
    pub machine: Machine,
    /// What the history has to hold of it.
    pub facts: Vec<Fact>,
    /// What our own stream tells of it: topics, and their states.
    pub told: Vec<(&'static str, Value)>,
}

/// An event does not belong where the workflow stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it is {phase}")]
pub struct OutOfPlace {
    /// Where it stands.
    pub phase: &'static str,
}

impl Machine {
    /// What an event makes of it, at a moment in milliseconds since 1970.
    ///
    /// # Errors
    /// The event does not belong here.
    pub fn apply(&self, request: &Request, event: &Event, now: i64) -> Result<Transition, OutOfPlace> {
        let mut to = Changing { machine: self.clone(), facts: Vec::new(), told: Vec::new() };
        match (event, self.stage) {
            (Event::Started, Stage::Waiting) => to.start(),
            (Event::Done(step, note), Stage::Doing(current)) if *step == current => to.done(*step, note),
            (Event::Failed(failure), Stage::Doing(current)) if failure.step == current => {
                to.failed(request, failure, now);
            }
            (Event::Failed(failure), Stage::Withdrawing(step)) => {
                if !to.pauses(request, failure, now) {
                    to.withdrawn(step);
                }
            }
            (Event::Failed(failure), Stage::Clearing(end)) => {
                if !to.pauses(request, failure, now) {
                    to.over(end);
                }
            }
            (Event::Remembered(memory), Stage::Doing(_)) => to.machine.memory.clone_from(memory),
            (Event::Withdrawn, Stage::Withdrawing(step)) => to.withdrawn(step),
            (Event::Cleared, Stage::Clearing(end)) => {
                // What stays is where a retry goes on.
                if self.clears(&request.policy) {
                    to.machine.cleared = true;
                    to.machine.memory = Value::Null;
                }
                to.over(end);
            }
            (Event::Gathered(children), Stage::Gathering) => to.gathered(*children),
            (Event::CancelAsked(by), _) => to.cancel(by)?,
            (Event::RetryAsked(by), Stage::Over(End::Failed | End::Cancelled)) => to.retry(by),
            _ => return Err(OutOfPlace { phase: self.phase() }),
        }
        let Changing { machine, facts, told } = to;
        Ok(Transition { machine, facts, told })
    }
}

struct Changing {
    machine: Machine,
    facts: Vec<Fact>,
    told: Vec<(&'static str, Value)>,
}

impl Changing {
    fn start(&mut self) {
        self.facts.push(Fact::Started(self.machine.round));
        self.told.push(("workflow.started", json!({ "round": self.machine.round })));
        // A retry goes on where what is left allows it.
        let first = match &self.machine.failure {
            Some(failure) if !self.machine.cleared => failure.step,
            _ => Step::Export,
        };
        self.machine.cleared = false;
        self.machine.failure = None;
        let step = self.machine.steps.iter().copied().find(|step| *step >= first);
        self.go_to(step);
    }

    /// The next step, or the end where there is none.
    fn go_to(&mut self, step: Option<Step>) {
        self.machine.tries = 0;
        self.machine.not_before = 0;
        match step {
            None => self.over(End::Done),
            Some(step) => {
                self.machine.stage = Stage::Doing(step);
                self.facts.push(Fact::TaskBegun(step, self.machine.attempt(step)));
            }
        }
    }

    fn done(&mut self, step: Step, note: &str) {
        self.facts.push(Fact::TaskDone(step, self.machine.attempt(step), note.to_owned()));
        self.told.push(("workflow.step-done", json!({ "step": step, "result": note })));
        let next = self.machine.steps.iter().copied().find(|next| *next > step);
        self.go_to(next);
    }

    fn failed(&mut self, request: &Request, failure: &Failure, now: i64) {
        let step = failure.step;
        if self.pauses(request, failure, now) {
            return;
        }
        self.facts.push(Fact::TaskFailed(step, self.machine.attempt(step), failure.reason.clone()));
        // Results are home: that something of them is left elsewhere is told, and no failure.
        if step == Step::Clean {
            self.over(End::Done);
            return;
        }
        if let Remedy::Resubmit | Remedy::Exclude(_) = &failure.remedy {
            let jobs = self.machine.attempt(step).saturating_add(1);
            let most = request.policy.retries.jobs.saturating_mul(self.machine.round.saturating_add(1));
            if jobs < most {
                if let Remedy::Exclude(nodes) = &failure.remedy {
                    self.machine.excluded.extend(nodes.iter().cloned());
                }
                self.machine.attempts.insert(step, jobs);
                self.machine.failure = Some(failure.clone());
                self.told.push(("workflow.resubmitted", json!({ "attempt": jobs, "because": failure })));
                self.go_to(Some(step));
                return;
            }
        }
        self.machine.failure = Some(failure.clone());
        self.clear(End::Failed);
    }

    /// Whether the same is tried once more, later.
    fn pauses(&mut self, request: &Request, failure: &Failure, now: i64) -> bool {
        let tried = self.machine.tries.saturating_add(1);
        let most = match self.machine.stage {
            // Whoever waits for the end does not wait for what comes behind it.
            Stage::Doing(Step::Clean) | Stage::Clearing(_) => request.policy.retries.tries.min(CLEARINGS),
            _ => request.policy.retries.tries,
        };
        if failure.remedy != Remedy::Wait || tried >= most {
            self.told.push(("workflow.step-failed", json!(failure)));
            return false;
        }
        let pause = i64::try_from(request.policy.retries.pause(tried).as_millis()).unwrap_or(i64::MAX);
        self.machine.tries = tried;
        self.machine.not_before = now.saturating_add(pause);
        if let Stage::Doing(_) = self.machine.stage {
            self.machine.failure = Some(failure.clone());
        }
        let state = json!({ "tried": tried, "milliseconds": pause, "because": failure });
        self.told.push(("workflow.paused", state));
        true
    }

    fn cancel(&mut self, by: &str) -> Result<(), OutOfPlace> {
        match self.machine.stage {
            Stage::Waiting => {
                self.machine.cancelled_by = Some(by.to_owned());
                self.clear(End::Cancelled);
            }
            // Results are home.
            Stage::Doing(Step::Clean) | Stage::Clearing(End::Done | End::Failed) | Stage::Over(_) => {
                return Err(OutOfPlace { phase: self.machine.phase() });
            }
            Stage::Doing(step) => {
                self.machine.cancelled_by = Some(by.to_owned());
                self.machine.stage = Stage::Withdrawing(step);
                self.machine.tries = 0;
                self.machine.not_before = 0;
            }
            Stage::Gathering => self.machine.cancelled_by = Some(by.to_owned()),
            // It has been asked for before.
            Stage::Withdrawing(_) | Stage::Clearing(End::Cancelled) => return Ok(()),
        }
        self.told.push(("workflow.cancel-asked", json!({ "by": by })));
        Ok(())
    }

    fn withdrawn(&mut self, step: Step) {
        let reason = self.cancelled();
        self.facts.push(Fact::TaskFailed(step, self.machine.attempt(step), reason));
        self.told.push(("workflow.withdrawn", json!({ "step": step })));
        // Where a retry goes on.
        let failure = self.machine.failure.take().filter(|failure| failure.step == step);
        let cancelled = || Failure::new(step, "it was cancelled", Remedy::None);
        self.machine.failure = Some(failure.unwrap_or_else(cancelled));
        self.clear(End::Cancelled);
    }

    /// What is left on the way goes, or is let go of.
    fn clear(&mut self, end: End) {
        self.machine.tries = 0;
        self.machine.not_before = 0;
        self.machine.stage = Stage::Clearing(end);
    }

    fn over(&mut self, end: End) {
        let round = self.machine.round;
        let fact = match end {
            End::Done => Fact::Completed(round),
            End::Failed => {
                let why = self.machine.failure.as_ref().map_or_else(String::new, ToString::to_string);
                Fact::Failed(round, why)
            }
            End::Cancelled => Fact::Failed(round, self.cancelled()),
        };
        if end == End::Done {
            self.machine.failure = None;
        }
        self.facts.push(fact);
        self.machine.stage = Stage::Over(end);
        self.machine.tries = 0;
        self.machine.not_before = 0;
        self.told.push(("workflow.over", json!({ "end": end, "round": round })));
    }

    fn cancelled(&self) -> String {
        format!("cancelled by {}", self.machine.cancelled_by.as_deref().unwrap_or("somebody"))
    }

    fn gathered(&mut self, children: Children) {
        self.machine.children = Some(children);
        self.facts.push(Fact::Gathered(self.machine.round, children));
        self.told.push(("workflow.gathered", json!(children)));
        if children.ended() < children.of {
            return;
        }
        if children.done == children.of {
            self.over(End::Done);
        } else if children.failed == 0 {
            self.over(End::Cancelled);
        } else {
            let of = children.of;
            let why = format!(
                "{} of {of} workflows failed, {} were cancelled",
                children.failed, children.cancelled
            );
            self.machine.failure = Some(Failure::new(Step::Run, why, Remedy::None));
            self.over(End::Failed);
        }
    }

    /// Everything that is done again gets another name: the jobs of the last round are not taken for its own.
    fn retry(&mut self, by: &str) {
        let machine = &mut self.machine;
        machine.round = machine.round.saturating_add(1);
        let first = match &machine.failure {
            Some(failure) if !machine.cleared => failure.step,
            _ => Step::Export,
        };
        for step in machine.steps.iter().filter(|step| **step >= first) {
            let attempt = machine.attempts.entry(*step).or_insert(0);
            *attempt = attempt.saturating_add(1);
        }
        machine.cancelled_by = None;
        machine.tries = 0;
        machine.not_before = 0;
        machine.stage = if machine.children.is_some() { Stage::Gathering } else { Stage::Waiting };
        self.told.push(("workflow.retry-asked", json!({ "by": by, "round": machine.round })));
    }
}
