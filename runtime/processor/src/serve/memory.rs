//! How far a run on the cluster is, kept in the row of its workflow.

use std::collections::BTreeMap;

use biomero_slurm::run::{Keep, Progress, Step, StoreError};
use biomero_workflow::{Memory, Work};
use serde::{Deserialize, Serialize};

/// What the row holds for the steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Remembered {
    /// Of the run.
    progress: Progress,
    /// In which attempt a job of a step was asked for: another attempt has another job.
    attempts: BTreeMap<Step, u32>,
    /// What results are moved by: the device and the number of their folder.
    pub(super) delivering: Option<(u64, u64)>,
}

impl Remembered {
    /// The job of the workflow, once it is known.
    pub(super) const fn job(&self) -> Option<u32> {
        self.progress.job
    }

    /// What the row holds.
    pub(super) fn of(work: &Work) -> Self {
        if work.machine.memory.is_null() {
            return Self::default();
        }
        serde_json::from_value(work.machine.memory.clone()).unwrap_or_else(|error| {
            tracing::error!("what workflow {} has remembered cannot be read: {error}", work.id);
            Self::default()
        })
    }
}

/// Keeps the progress of a run in the row.
pub(super) struct Kept<'a, M> {
    memory: Option<&'a M>,
    remembered: Remembered,
    /// Those of this process.
    attempts: BTreeMap<Step, u32>,
}

impl<'a, M: Memory> Kept<'a, M> {
    /// As the row says; without a memory nothing can be kept any more.
    pub(super) fn new(work: &Work, attempts: &BTreeMap<Step, u32>, memory: Option<&'a M>) -> Self {
        let mut remembered = Remembered::of(work);
        let asked_in = |step: &Step| remembered.attempts.get(step).copied().unwrap_or(0);
        let now = |step: &Step| attempts.get(step).copied().unwrap_or(0);
        let mut progress = remembered.progress.clone();
        progress.asked.retain(|step, _| asked_in(step) == now(step));
        remembered.progress = progress;
        Self { memory, remembered, attempts: attempts.clone() }
    }
}

impl<M: Memory> Keep for Kept<'_, M> {
    fn progress(&self) -> &Progress {
        &self.remembered.progress
    }

    fn is_resumed(&self) -> bool {
        // Where nothing was asked for, there is no job to be found.
        !self.remembered.progress.asked.is_empty()
    }

    async fn keep(&mut self, progress: Progress) -> Result<(), StoreError> {
        self.remembered.progress = progress;
        self.remembered.attempts = self.attempts.clone();
        let Some(memory) = self.memory else { return Ok(()) };
        let elsewhere = |error| StoreError::Elsewhere(error);
        let value = serde_json::to_value(&self.remembered).map_err(|error| elsewhere(Box::new(error)))?;
        memory.keep(value).await.map_err(|error| elsewhere(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use biomero_workflow::{Error, Input, Machine, Policy, Request, Results};

    use super::*;

    #[derive(Default)]
    struct Row(Mutex<serde_json::Value>);

    impl Memory for Row {
        async fn keep(&self, value: serde_json::Value) -> Result<(), Error> {
            *self.0.lock().expect("nobody panics with it") = value;
            Ok(())
        }
    }

    fn work(memory: serde_json::Value) -> Work {
        let request = Request {
            workflow: "copy".to_owned(),
            version: None,
            inputs: vec![Input::Path("/in".into())],
            parameters: Vec::new(),
            user: -1,
            group: -1,
            results: Results::Directory("/out".into()),
            policy: Policy::default(),
        };
        let machine = Machine { memory, ..Machine::new("v1".to_owned(), Vec::new()) };
        Work { id: uuid::Uuid::nil(), request, machine }
    }

    #[tokio::test]
    async fn a_job_of_another_attempt_is_not_looked_for() {
        let row = Row::default();
        let first = BTreeMap::new();
        let mut kept = Kept::new(&work(serde_json::Value::Null), &first, Some(&row));
        assert!(!kept.is_resumed(), "nothing was asked for");
        let asked = BTreeMap::from([(Step::Workflow, SystemTime::now())]);
        kept.keep(Progress { asked, job: Some(7), ..Progress::default() }).await.expect("it is kept");
        let memory = row.0.lock().expect("nobody panics with it").clone();
        assert!(Kept::new(&work(memory.clone()), &first, Some(&row)).is_resumed(), "the same attempt");
        let second = BTreeMap::from([(Step::Workflow, 1)]);
        let again = Kept::new(&work(memory), &second, Some(&row));
        assert!(!again.is_resumed(), "another one has a job of its own");
        assert_eq!(again.progress().job, Some(7), "the log of the first is still to be removed");
    }
}
