//! One question for the jobs and logs of all runs on a cluster, however many runs there are.
//!
//! Each run follows its own job at its own pace. Whoever is the first to want to know asks for all, and all have the answer at
//! once: it is the next one for those too who would have asked later. The more jobs there are the longer the next question
//! waits, up to the time between two polls: five hundred runs cost the login node one session a poll.
//!
//! Invariants: one question at a time; who asks may be dropped at any moment, and the next one asks instead; a run that is over
//! is asked after no more; the logs of one answer are bounded, and where there are more they have their turns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::job::{Group, Job, JobId};
use crate::scheduler::Snapshot;
use crate::scheduler::log::{Follower, Look, MOST_LOGS, News, Wish};
use crate::scheduler::watch::{Looking, Standing};

/// The time between two questions where there are few jobs.
const SHORTEST: Duration = Duration::from_secs(1);
/// How many jobs are few; for each as many more the next question waits for as long again.
const FEW: u32 = 8;

/// Asks for all runs on a cluster. Its clones are the same.
#[derive(Debug)]
pub struct Beat<S> {
    shared: Arc<Shared<S>>,
}

#[derive(Debug)]
struct Shared<S> {
    source: S,
    poll: Duration,
    /// Whoever asks holds it; when the last answer came.
    asking: tokio::sync::Mutex<Option<Instant>>,
    runs: Mutex<Runs>,
    answers: watch::Sender<Arc<Answer>>,
}

/// Those who follow a job, by number.
#[derive(Debug, Default)]
struct Runs {
    last: u64,
    /// Whose log was the last one that had its turn.
    turn: u64,
    all: BTreeMap<u64, Interest>,
}

/// What one of them wants to know.
#[derive(Debug)]
struct Interest {
    ids: Vec<JobId>,
    log: Option<Wish>,
    /// Nothing of it has begun: it has no log yet.
    waits: bool,
}

#[derive(Debug)]
struct Answer {
    number: u64,
    of: BTreeSet<JobId>,
    told: Result<Snapshot, Unanswered>,
    looks: BTreeMap<u64, Look>,
}

/// Nobody could tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered(String);

impl fmt::Display for Unanswered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<S> Clone for Beat<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> Beat<S> {
    /// Of this source; `poll` is the longest time between two questions.
    pub fn new(source: S, poll: Duration) -> Self {
        let told = Err(Unanswered("nobody was asked yet".to_owned()));
        let nothing = Answer { number: 0, of: BTreeSet::new(), told, looks: BTreeMap::new() };
        let shared = Shared {
            source,
            poll,
            asking: tokio::sync::Mutex::default(),
            runs: Mutex::default(),
            answers: watch::Sender::new(Arc::new(nothing)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place among those who follow jobs, and what is new in this log, until both are dropped.
    pub(super) fn follow(&self, log: Option<PathBuf>) -> (Place<S>, Option<Log<S>>) {
        let follower = log.map(Follower::new);
        let number = {
            let mut runs = self.shared.runs();
            runs.last += 1;
            let log = follower.as_ref().map(Follower::wish);
            let interest = Interest { ids: Vec::new(), log, waits: false };
            let number = runs.last;
            runs.all.insert(number, interest);
            number
        };
        let seat = Arc::new(Seat { shared: Arc::clone(&self.shared), number });
        let answers = self.shared.answers.subscribe();
        // Those before know nothing of it.
        let seen = AtomicU64::new(answers.borrow().number);
        let log = follower.map(|follower| Log { seat: Arc::clone(&seat), answers, follower });
        (Place { seat, seen }, log)
    }
}

impl<S> Shared<S> {
    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interest(&self, number: u64, change: impl FnOnce(&mut Interest)) {
        if let Some(interest) = self.runs().all.get_mut(&number) {
            change(interest);
        }
    }

    /// The time between the last answer and the next question.
    fn pause(&self) -> Duration {
        let jobs = self.runs().all.values().map(|interest| interest.ids.len()).sum::<usize>();
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        SHORTEST.saturating_mul(1 + jobs / FEW).min(self.poll)
    }
}

impl<S: Looking> Shared<S> {
    /// One question for all.
    async fn ask(&self) -> Answer {
        let number = self.answers.borrow().number + 1;
        let (of, logs) = self.runs().wanted();
        let ids: Vec<JobId> = of.iter().copied().collect();
        let (numbers, wishes): (Vec<u64>, Vec<Wish>) = logs.into_iter().unzip();
        let (told, looks) = match self.source.look(&ids, &wishes).await {
            Ok((mut snapshot, looks)) => {
                snapshot.jobs.sort_by_key(|job| job.id);
                let looks = numbers.into_iter().zip(looks);
                (Ok(snapshot), looks.filter_map(|(number, look)| Some((number, look?))).collect())
            }
            Err(error) => (Err(Unanswered(error.to_string())), BTreeMap::new()),
        };
        Answer { number, of, told, looks }
    }
}

impl Runs {
    /// All jobs, and the logs whose turn it is.
    fn wanted(&mut self) -> (BTreeSet<JobId>, Vec<(u64, Wish)>) {
        let ids = self.all.values().flat_map(|interest| interest.ids.iter().copied()).collect();
        let behind = self.all.range((Bound::Excluded(self.turn), Bound::Unbounded));
        let logs = behind.chain(self.all.range(..=self.turn)).filter(|(_, interest)| !interest.waits);
        let logs = logs.filter_map(|(number, interest)| Some((*number, interest.log.clone()?)));
        let logs: Vec<(u64, Wish)> = logs.take(MOST_LOGS).collect();
        if let Some((number, _)) = logs.last() {
            self.turn = *number;
        }
        (ids, logs)
    }
}

impl Answer {
    /// Whether it is about these too; of a whole array about each task.
    fn is_of(&self, ids: &[JobId]) -> bool {
        ids.iter().all(|id| self.of.contains(id) || self.of.contains(&JobId::of(id.job)))
    }

    /// What it says of these; of a whole array each task.
    fn about(&self, ids: &[JobId]) -> Result<Snapshot, Unanswered> {
        let snapshot = self.told.as_ref().map_err(Clone::clone)?;
        let mut jobs: BTreeMap<JobId, &Job> = BTreeMap::new();
        for id in ids {
            let begin = snapshot.jobs.partition_point(|job| job.id < *id);
            let of_it = snapshot.jobs.iter().skip(begin).take_while(|job| match id.task {
                Some(_) => job.id == *id,
                None => job.id.job == id.job,
            });
            jobs.extend(of_it.map(|job| (job.id, job)));
        }
        Ok(Snapshot {
            jobs: jobs.into_values().cloned().collect(),
            controller: snapshot.controller.clone(),
            accounting: snapshot.accounting.clone(),
        })
    }
}

/// A run's number, until it is over.
#[derive(Debug)]
struct Seat<S> {
    shared: Arc<Shared<S>>,
    number: u64,
}

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        self.shared.runs().all.remove(&self.number);
    }
}

/// A run's place among those who follow jobs.
#[derive(Debug)]
pub(super) struct Place<S> {
    seat: Arc<Seat<S>>,
    /// The last answer that it has had.
    seen: AtomicU64,
}

impl<S: Looking> Standing for Place<S> {
    type Error = Unanswered;

    async fn standing(&self, ids: &[JobId]) -> Result<Snapshot, Unanswered> {
        let Seat { shared, number } = &*self.seat;
        shared.interest(*number, |interest| interest.ids = ids.to_vec());
        let seen = self.seen.load(Ordering::Relaxed);
        // Whoever comes while somebody asks waits for that answer.
        let mut last = shared.asking.lock().await;
        let mut answer = Arc::clone(&shared.answers.borrow());
        if answer.number <= seen || !answer.is_of(ids) {
            if let Some(last) = *last {
                sleep_until(last + shared.pause()).await;
            }
            answer = Arc::new(shared.ask().await);
            *last = Some(Instant::now());
            shared.answers.send_replace(Arc::clone(&answer));
        }
        drop(last);
        self.seen.store(answer.number, Ordering::Relaxed);
        let snapshot = answer.about(ids)?;
        let waits = snapshot.jobs.iter().all(|job| job.state.group() == Group::Waiting);
        shared.interest(*number, |interest| interest.waits = waits);
        Ok(snapshot)
    }

    async fn due(&self, next: Instant) {
        let mut answers = self.seat.shared.answers.subscribe();
        let seen = self.seen.load(Ordering::Relaxed);
        tokio::select! {
            () = sleep_until(next) => {}
            _ = answers.wait_for(|answer| answer.number > seen) => {}
        }
    }

    async fn complete(&self, jobs: &mut [Job]) {
        self.seat.shared.source.complete(jobs).await;
    }
}

/// What is new in a run's log.
#[derive(Debug)]
pub(super) struct Log<S> {
    seat: Arc<Seat<S>>,
    answers: watch::Receiver<Arc<Answer>>,
    follower: Follower,
}

impl<S> Log<S> {
    /// The next news of it. May be dropped at any time: nothing is lost.
    pub(super) async fn news(&mut self) -> News {
        let Self { seat, answers, follower } = self;
        loop {
            // Who sends lives as long as the seat.
            if answers.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let look = answers.borrow_and_update().looks.get(&seat.number).cloned();
            if let Some(look) = look {
                let news = follower.seen(look);
                seat.shared.interest(seat.number, |interest| interest.log = Some(follower.wish()));
                return news;
            }
        }
    }
}

#[cfg(test)]
mod tests;
