//! One question for the jobs of all runs, however many runs ask.
//!
//! Each run follows its own jobs at its own pace. What they ask within a short while is answered from one snapshot, which was
//! asked for all jobs that anybody has asked after lately. The more jobs there are, the longer an answer counts as fresh.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::job::{Job, JobId};
use crate::scheduler::Snapshot;
use crate::scheduler::watch::Standing;

/// How long an answer counts as fresh where there are few jobs.
const FRESH: Duration = Duration::from_secs(1);
/// How many jobs are few; for each as many more an answer counts for as long again.
const FEW: u32 = 8;

/// Asks for all who ask. Its clones are the same.
#[derive(Debug)]
pub struct Questions<S> {
    source: S,
    poll: Duration,
    asked: Arc<Mutex<Asked>>,
}

/// What was asked.
#[derive(Debug, Default)]
struct Asked {
    /// When each job was asked after last.
    jobs: BTreeMap<JobId, Instant>,
    /// The last answer, when it came, and for which jobs.
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    of: Vec<JobId>,
    told: Result<Snapshot, Unanswered>,
}

/// Nobody could tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered(String);

impl fmt::Display for Unanswered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<S: Clone> Clone for Questions<S> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), poll: self.poll, asked: Arc::clone(&self.asked) }
    }
}

impl<S: Standing> Questions<S> {
    /// To this source; `poll` is the longest interval at which anybody asks.
    pub fn new(source: S, poll: Duration) -> Self {
        Self { source, poll, asked: Arc::default() }
    }

    /// How long an answer about so many jobs counts as fresh.
    fn fresh(&self, jobs: usize) -> Duration {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        FRESH.saturating_mul(1 + jobs / FEW).min((self.poll / 2).max(FRESH))
    }
}

impl<S: Standing + Send + Sync> Standing for Questions<S> {
    type Error = Unanswered;

    async fn standing(&self, ids: &[JobId]) -> Result<Snapshot, Unanswered> {
        // Whoever comes while somebody asks waits for that answer.
        let mut asked = self.asked.lock().await;
        let now = Instant::now();
        // Whoever follows a job asks at least that often.
        let kept = self.poll.saturating_mul(5) / 4;
        asked.jobs.retain(|_, last| now.saturating_duration_since(*last) < kept);
        asked.jobs.extend(ids.iter().map(|id| (*id, now)));
        let fresh = self.fresh(asked.jobs.len());
        let is_fresh = |answer: &Answer| {
            now.saturating_duration_since(answer.at) < fresh && ids.iter().all(|id| answer.of.contains(id))
        };
        if !asked.answer.as_ref().is_some_and(is_fresh) {
            let of: Vec<JobId> = asked.jobs.keys().copied().collect();
            let told = self.source.standing(&of).await.map_err(|error| Unanswered(error.to_string()));
            asked.answer = Some(Answer { at: Instant::now(), of, told });
        }
        match asked.answer.as_ref().map(|answer| &answer.told) {
            Some(Ok(snapshot)) => Ok(of_these(snapshot, ids)),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Unanswered("nobody was asked".to_owned())),
        }
    }

    async fn complete(&self, jobs: &mut [Job]) {
        self.source.complete(jobs).await;
    }
}

/// What a snapshot says of some jobs; of a whole array each task.
fn of_these(snapshot: &Snapshot, ids: &[JobId]) -> Snapshot {
    let is_meant =
        |job: &&Job| ids.iter().any(|id| *id == job.id || id.task.is_none() && id.job == job.id.job);
    Snapshot { jobs: snapshot.jobs.iter().filter(is_meant).cloned().collect(), ..snapshot.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::scheduler::{self, Heard};

    #[derive(Debug, Clone, Default)]
    struct Counted(Arc<AtomicUsize>);

    impl Standing for Counted {
        type Error = Unanswered;

        async fn standing(&self, ids: &[JobId]) -> Result<Snapshot, Unanswered> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let jobs = ids.iter().map(|id| scheduler::unknown(*id)).collect();
            Ok(Snapshot { jobs, controller: Heard::Yes, accounting: Heard::Yes })
        }

        async fn complete(&self, _: &mut [Job]) {}
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_runs_ask_about_as_often_as_one() {
        let source = Counted::default();
        let poll = Duration::from_secs(60);
        let questions = Questions::new(source.clone(), poll);
        let mut runs = tokio::task::JoinSet::new();
        for job in 1..=500 {
            let questions = questions.clone();
            runs.spawn(async move {
                // Each at its own moment.
                tokio::time::sleep(Duration::from_millis(u64::from(job) * 117 % 60_000)).await;
                for _ in 0..10 {
                    let told = questions.standing(&[JobId::of(job)]).await.expect("an answer");
                    assert_eq!(told.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [JobId::of(job)]);
                    tokio::time::sleep(poll).await;
                }
            });
        }
        let begun = Instant::now();
        while runs.join_next().await.transpose().expect("no run panics").is_some() {}
        let polls = begun.elapsed().as_secs() / poll.as_secs();
        let asked = source.0.load(Ordering::Relaxed);
        // While the first of them come, each brings a job that was not asked after.
        assert!(asked as u64 <= 500 + 3 * polls, "{asked} questions in {polls} polls");
        let before = asked;
        for _ in 0..4 {
            questions.standing(&[JobId::of(1)]).await.expect("an answer");
        }
        assert!(source.0.load(Ordering::Relaxed) <= before + 1);
    }
}
