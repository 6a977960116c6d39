//! How far a run is: what has to be known to take it up again, wherever it is kept.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::Step;
use super::store::StoreError;
use crate::job::JobId;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Steps that are done and cannot be done again: what they worked on is not as it was.
    #[serde(default)]
    pub done: Vec<Step>,
    /// The array that converts, from the moment before it is submitted.
    #[serde(default)]
    pub conversion: Option<Converting>,
    /// When a job of a step was asked for last.
    #[serde(default)]
    pub asked: BTreeMap<Step, SystemTime>,
    /// The job of the workflow, once it is known.
    #[serde(default)]
    pub job: Option<u32>,
}

/// The array that converts a run's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Converting {
    /// How many images it has: its tasks are counted from 1.
    pub images: u32,
    /// The job, once it is known.
    pub job: Option<u32>,
}

/// Keeps how far a run is. What is kept is on disk, wherever that is, before the call returns.
pub trait Keep: Send {
    /// What was kept last.
    fn progress(&self) -> &Progress;

    /// Whether another process may have asked for jobs of it.
    fn is_resumed(&self) -> bool;

    /// Keeps this in its place.
    fn keep(&mut self, progress: Progress) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What the steps of a run note.
pub(super) trait Notes: Keep {
    /// Whether this step is done.
    fn is_done(&self, step: Step) -> bool {
        self.progress().done.contains(&step)
    }

    /// How long ago a job of this step was asked for, in whichever process.
    fn asked(&self, step: Step) -> Option<Duration> {
        // Where the clock was put back meanwhile, it counts as just now.
        Some(self.progress().asked.get(&step)?.elapsed().unwrap_or_default())
    }

    /// A step is done.
    async fn done(&mut self, step: Step) -> Result<(), StoreError> {
        if self.is_done(step) {
            return Ok(());
        }
        let mut progress = self.progress().clone();
        progress.done.push(step);
        self.keep(progress).await
    }

    /// What is known of the array that converts.
    async fn converts(&mut self, conversion: Converting) -> Result<(), StoreError> {
        let progress = Progress { conversion: Some(conversion), ..self.progress().clone() };
        self.keep(progress).await
    }

    /// The job of the workflow.
    async fn runs(&mut self, job: JobId) -> Result<(), StoreError> {
        let progress = Progress { job: Some(job.job), ..self.progress().clone() };
        self.keep(progress).await
    }

    /// A job of this step is about to be asked for.
    async fn asks(&mut self, step: Step) -> Result<(), StoreError> {
        let mut progress = self.progress().clone();
        progress.asked.insert(step, SystemTime::now());
        self.keep(progress).await
    }
}

impl<K: Keep> Notes for K {}
