//! Waiting for the job of a step, and judging how it ended.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use super::beat::Log;
use super::failure::Failure;
use super::steps::{FOUND_WITHIN, Run, comment, log_of};
use super::{Happened, Keep, Step, Witness};
use crate::job::{Job, JobId, State};
use crate::scheduler::log::News;
use crate::scheduler::progress::Progress;
use crate::scheduler::watch::{Change, Pace, Watch, WatchOptions};
use crate::scheduler::{Failure as JobFailure, is_launch_failure};

/// How much of the end of a failed job's log is looked at, in bytes.
const LOG_END: usize = 16 << 10;
/// How many of an array's failed tasks are told one by one.
const TOLD_TASKS: usize = 5;
/// For how many questions, and how long at least, a job may be unknown to daemons that do answer before it is given up.
const FORGOTTEN: (u32, Duration) = (10, Duration::from_secs(60));
/// Why a job counts as gone whose number another one has.
const REPLACED: &str =
    "slurmctld has forgotten it and given its number to another job, as one does that was killed";

impl<K: Keep, W: Witness> Run<'_, K, W> {
    /// Waits until a job, or every task of an array, has ended, and succeeded. A cluster that is silent for a while is waited
    /// for. Where one task fails the others are cancelled: their work would be for nothing.
    pub(super) async fn wait(
        &mut self,
        step: Step,
        id: JobId,
        log: Option<PathBuf>,
    ) -> Result<Vec<Job>, Failure> {
        let pace = Pace { longest: self.worker.poll, ..Pace::default() };
        let (questions, least) = FORGOTTEN;
        let forget = self.worker.poll.saturating_mul(questions).max(least);
        let options = WatchOptions { pace, forget, ..WatchOptions::default() };
        let comment = comment(self.request, step);
        let (place, mut log) = self.worker.beat.follow(log);
        let (mut watch, adder) = Watch::new(place, &[id], options);
        drop(adder);
        let mut tasks: BTreeMap<JobId, Job> = BTreeMap::new();
        let mut progress = Progress::default();
        let mut percent = None;
        let mut cancelled = false;
        loop {
            // Not asked anew at each news of the log: what is told of one answer comes one after the other.
            let mut next = pin!(watch.next());
            let change = loop {
                tokio::select! {
                    change = &mut next => break change,
                    news = news(&mut log) => {
                        if let Some(now) = read(&mut progress, &news)
                            && percent != Some(now)
                        {
                            percent = Some(now);
                            self.tell(Happened::Progress { step, percent: now }).await?;
                        }
                    }
                }
            };
            match change {
                None => break,
                Some(Change::Silent { reason, .. }) => {
                    tracing::warn!("it cannot be told how job {id} stands, and it is waited for: {reason}");
                }
                Some(Change::Back) => tracing::warn!("it can be told again how job {id} stands"),
                Some(Change::Gone { id: gone, reason }) => {
                    self.worker.engine.cancel(&[id]).await?;
                    return Err(Failure::Gone { step: step.name(), job: gone, reason });
                }
                Some(Change::Job(job)) => {
                    let job = *job;
                    if job.has_number_of(&comment) {
                        // It may have ended before it was forgotten.
                        let ended = self.worker.engine.ended(&comment, FOUND_WITHIN).await?;
                        let Some(ended) = ended.filter(|ended| ended.id == id) else {
                            let reason = REPLACED.to_owned();
                            return Err(Failure::Gone { step: step.name(), job: job.id, reason });
                        };
                        self.tell(Happened::State { step, job: &ended, tasks: (1, 1) }).await?;
                        tasks = BTreeMap::from([(id, ended)]);
                        break;
                    }
                    tasks.insert(job.id, job.clone());
                    // Of an array that has begun, the entry of the whole is none of its tasks.
                    if tasks.len() > 1 {
                        tasks.remove(&id);
                    }
                    let ended = tasks.values().filter(|task| task.state.is_ended()).count();
                    self.tell(Happened::State { step, job: &job, tasks: (ended, tasks.len()) }).await?;
                    if let Some(reason) = job.never.filter(|_| !job.state.is_ended()) {
                        self.worker.engine.cancel(&[id]).await?;
                        let launch = job.reason.as_deref().is_some_and(is_launch_failure);
                        return Err(Failure::Never { step: step.name(), job: id, reason, launch });
                    }
                    let has_failed = job.state.is_ended() && !job.state.is_success();
                    if has_failed && ended < tasks.len() && !cancelled {
                        self.worker.engine.cancel(&[id]).await?;
                        cancelled = true;
                    }
                }
            }
        }
        let tasks: Vec<Job> = tasks.into_values().collect();
        for job in &tasks {
            self.tell(Happened::Used { step, job }).await?;
        }
        self.judged(step, tasks).await
    }

    async fn judged(&self, step: Step, tasks: Vec<Job>) -> Result<Vec<Job>, Failure> {
        let mut failed: Vec<&Job> = tasks.iter().filter(|job| !job.state.is_success()).collect();
        if failed.is_empty() {
            return Ok(tasks);
        }
        // Those that were cancelled because of another one are no news.
        if failed.iter().any(|job| job.state != State::Cancelled) {
            failed.retain(|job| job.state != State::Cancelled);
        }
        let mut failures = Vec::new();
        for job in failed.iter().take(TOLD_TASKS) {
            let path = log_of(job.id);
            let files = self.worker.cluster.files();
            let size = files.metadata(&path).await?.map_or(0, |found| found.size);
            let offset = size.saturating_sub(LOG_END as u64);
            let log = if size == 0 { Vec::new() } else { files.read(&path, offset, LOG_END).await? };
            failures.extend(JobFailure::of(job, &log));
        }
        let more = failed.len().saturating_sub(failures.len());
        Err(Failure::Job { step: step.name(), failures, more })
    }
}

/// What is new in a job's log, where it is followed.
async fn news<S>(log: &mut Option<Log<S>>) -> News {
    match log {
        Some(log) => log.news().await,
        None => pending().await,
    }
}

/// How far the job's own program says it is.
fn read(progress: &mut Progress, news: &News) -> Option<u8> {
    if news.restarted {
        progress.restart();
    }
    if news.skipped {
        // What the line before would have gone on with is not known.
        progress.push(b"\n");
    }
    progress.push(&news.bytes).map(|reading| reading.percent)
}
