//! One workflow, from where its row stands to its end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use biomero_events::workflow::Change;
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;
use uuid::Uuid;

use crate::error::Error;
use crate::failure::Failure;
use crate::history;
use crate::machine::{Children, Event, Machine, Next, Stage, Step};
use crate::record::{Workflow, milliseconds};
use crate::steps::{Memory, Steps, Work};
use crate::workflows::{Filter, Workflows, all_told, told};

/// How often a row is read again that others have changed meanwhile.
const TRIES: usize = 20;
/// How often a batch looks at its children when it hears nothing.
const LOOKS: Duration = Duration::from_secs(5);

/// Carries one workflow.
pub(super) struct Carrier<S> {
    pub(super) workflows: Workflows<S>,
    pub(super) id: Uuid,
    /// What is written late, when a later term has begun, is refused.
    pub(super) term: i64,
    /// Others have changed its row.
    pub(super) news: Arc<Notify>,
    /// The last revision that is known here.
    pub(super) seen: Arc<AtomicI64>,
}

/// What is kept of it, as it was read or written last.
struct Kept<'a, S> {
    carrier: &'a Carrier<S>,
    workflow: Mutex<Workflow>,
}

impl<S: Steps> Carrier<S> {
    /// Does what is to be done until nothing is.
    pub(super) async fn carry(self) -> Result<(), Error> {
        let kept = Kept { workflow: Mutex::new(self.workflows.show(self.id).await?), carrier: &self };
        kept.taken_up().await?;
        let mut has_begun = false;
        loop {
            let workflow = kept.workflow.lock().await.clone();
            match workflow.machine.next(milliseconds()) {
                Next::Wait if has_begun => return Ok(()),
                Next::Wait => {
                    kept.happened(&Event::Started).await?;
                }
                Next::Pause(until) => {
                    let left = until.saturating_sub(milliseconds()).max(0).unsigned_abs();
                    tokio::select! {
                        () = sleep(Duration::from_millis(left)) => {}
                        () = self.news.notified() => kept.read().await?,
                    }
                }
                Next::Perform(step) => kept.perform(&workflow, step).await?,
                Next::Withdraw(step) => {
                    let withdrawn = self.workflows.steps.withdraw(&work(&workflow), step).await;
                    kept.happened(&withdrawn.map_or_else(Event::Failed, |()| Event::Withdrawn)).await?;
                }
                Next::Clear => {
                    let cleared = self.workflows.steps.clear(&work(&workflow)).await;
                    kept.happened(&cleared.map_or_else(Event::Failed, |()| Event::Cleared)).await?;
                }
                Next::Gather => {
                    kept.gather(&workflow.machine).await?;
                    if !kept.workflow.lock().await.machine.is_over() {
                        tokio::select! {
                            () = sleep(LOOKS) => {}
                            () = self.news.notified() => kept.read().await?,
                        }
                    }
                }
                Next::Nothing => return kept.close().await,
            }
            has_begun = true;
        }
    }
}

fn work(workflow: &Workflow) -> Work {
    Work { id: workflow.id, request: workflow.request.clone(), machine: workflow.machine.clone() }
}

impl<S: Steps> Kept<'_, S> {
    /// Does a step; dropped as soon as somebody has cancelled it.
    async fn perform(&self, workflow: &Workflow, step: Step) -> Result<(), Error> {
        let work = work(workflow);
        let mut performing = pin!(self.carrier.workflows.steps.perform(&work, step, self));
        // Both are polled all the time: the step may hold what is kept while it writes.
        let done = tokio::select! {
            done = &mut performing => done,
            stopped = self.stopped(step) => return stopped,
        };
        let event = match done {
            Ok(note) => Event::Done(step, note),
            Err(failure) => Event::Failed(Failure { step, ..failure }),
        };
        self.happened(&event).await.map(drop)
    }

    /// Returns once this step is not to be done any more.
    async fn stopped(&self, step: Step) -> Result<(), Error> {
        loop {
            self.carrier.news.notified().await;
            self.read().await?;
            if self.workflow.lock().await.machine.stage != Stage::Doing(step) {
                return Ok(());
            }
        }
    }

    /// Counts the children of a batch, and tells where that has changed.
    async fn gather(&self, machine: &Machine) -> Result<(), Error> {
        let count = async |phase: &str| -> Result<u32, Error> {
            let filter =
                Filter { parent: Some(self.carrier.id), phase: Some(phase.to_owned()), ..Filter::default() };
            let counted = self.carrier.workflows.log.count_records(&filter).await?;
            Ok(u32::try_from(counted).unwrap_or(u32::MAX))
        };
        let known = machine.children.unwrap_or_default();
        let now = Children {
            of: known.of,
            done: count("DONE").await?,
            failed: count("FAILED").await?,
            cancelled: count("CANCELLED").await?,
        };
        if now != known || now.ended() >= now.of {
            self.happened(&Event::Gathered(now)).await?;
        }
        Ok(())
    }

    /// What happened becomes part of the row. False where it does not belong there any more: somebody was quicker.
    async fn happened(&self, event: &Event) -> Result<bool, Error> {
        let mut workflow = self.workflow.lock().await;
        for _ in 0..TRIES {
            self.tell(&mut workflow).await?;
            let Ok(transition) = workflow.machine.apply(&workflow.request, event, milliseconds()) else {
                return Ok(false);
            };
            let events = all_told(workflow.id, &transition.told)?;
            for (topic, state) in &transition.told {
                tracing::debug!("{} {topic} {state}", workflow.id);
            }
            if self.write(&mut workflow, |workflow| workflow.after(transition), &events).await? {
                // Where this is as far as it comes, whoever takes it up tells it again.
                self.tell(&mut workflow).await?;
                return Ok(true);
            }
        }
        Err(Error::Contended { id: workflow.id })
    }

    /// It was not begun here: whoever had it before is told apart in our own stream.
    async fn taken_up(&self) -> Result<(), Error> {
        let mut workflow = self.workflow.lock().await;
        if workflow.machine.stage == Stage::Waiting || workflow.machine.is_over() {
            return Ok(());
        }
        let state = serde_json::json!({ "term": self.carrier.term, "phase": workflow.machine.phase() });
        for _ in 0..TRIES {
            self.tell(&mut workflow).await?;
            let events = [told(workflow.id, "workflow.taken-up", &state)?];
            let same = |workflow: &Workflow| Workflow { revision: workflow.revision + 1, ..workflow.clone() };
            if self.write(&mut workflow, same, &events).await? {
                return Ok(());
            }
        }
        Err(Error::Contended { id: workflow.id })
    }

    /// Nothing is left to be done, and once this is written, nothing to be told.
    async fn close(&self) -> Result<(), Error> {
        let mut workflow = self.workflow.lock().await;
        for _ in 0..TRIES {
            // Somebody has asked for it once more.
            if !workflow.machine.is_over() {
                return Ok(());
            }
            self.tell(&mut workflow).await?;
            let same = |workflow: &Workflow| Workflow { revision: workflow.revision + 1, ..workflow.clone() };
            if self.write(&mut workflow, same, &[]).await? {
                return Ok(());
            }
        }
        Err(Error::Contended { id: workflow.id })
    }

    /// The history holds what it was owed.
    async fn tell(&self, workflow: &mut Workflow) -> Result<(), Error> {
        let workflows = &self.carrier.workflows;
        for fact in &workflow.owed {
            workflows.may_end_here().await;
            history::tell(&workflows.log, workflow, std::slice::from_ref(fact)).await?;
        }
        workflow.owed.clear();
        Ok(())
    }

    /// Writes the row; where others have changed it meanwhile it is read anew instead, and the answer is false.
    async fn write(
        &self,
        workflow: &mut Workflow,
        change: impl FnOnce(&Workflow) -> Workflow,
        events: &[biomero_events::worker::WorkerEvent],
    ) -> Result<bool, Error> {
        let term = self.carrier.term;
        let changed = Workflow { term, ..change(workflow) };
        let row = changed.row()?;
        let workflows = &self.carrier.workflows;
        workflows.may_end_here().await;
        let is_kept = workflows.log.keep(&[Change { record: &row, term: Some(term) }], events).await?;
        workflows.may_end_here().await;
        if is_kept {
            self.carrier.seen.store(changed.revision, Ordering::Release);
            *workflow = changed;
            return Ok(true);
        }
        *workflow = self.current().await?;
        Ok(false)
    }

    /// Reads the row, as others may have changed it.
    async fn read(&self) -> Result<(), Error> {
        let mut workflow = self.workflow.lock().await;
        *workflow = self.current().await?;
        Ok(())
    }

    async fn current(&self) -> Result<Workflow, Error> {
        let id = self.carrier.id;
        let workflow = self.carrier.workflows.show(id).await?;
        if workflow.term > self.carrier.term {
            return Err(Error::Superseded { id });
        }
        self.carrier.seen.store(workflow.revision, Ordering::Release);
        Ok(workflow)
    }
}

impl<S: Steps> Memory for Kept<'_, S> {
    async fn keep(&self, value: serde_json::Value) -> Result<(), Error> {
        if self.happened(&Event::Remembered(value)).await? {
            return Ok(());
        }
        let phase = self.workflow.lock().await.machine.phase().to_owned();
        let remedy = "the step that is under way has to end";
        Err(Error::OutOfPlace { id: self.carrier.id, phase, remedy })
    }
}
