//! Following jobs until they have ended.
//!
//! Invariants: one question for all jobs at a time; what has not changed is not told; a connection or a daemon that is gone
//! is told once, and again when it is back, and nothing is concluded from its silence; a job that ended is told once.
//!
//! Of a task of an array that is cancelled while it waits among the rest (`12_[4-9]`), Slurm 22.05 keeps no record:
//! slurmctld takes it out of the rest, the accounting never hears of it. That it waited and is in no answer any more is
//! all that can be seen of its end.

mod pace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub use pace::Pace;

use super::log::{Look, Wish};
use super::{Error, Slurm, Snapshot};
use crate::job::{Group, Job, JobId, State};

/// Who can tell how jobs stand.
pub trait Standing {
    /// Why they cannot.
    type Error: fmt::Display + Send;

    /// How these jobs stand: at least one entry for each.
    fn standing(&self, ids: &[JobId]) -> impl Future<Output = Result<Snapshot, Self::Error>> + Send;

    /// Waits until it is time to ask again: at `next`, or as soon as somebody else has asked for all.
    fn due(&self, next: Instant) -> impl Future<Output = ()> + Send
    where
        Self: Sync,
    {
        sleep_until(next)
    }

    /// Fills in what ended jobs used, where it can be told.
    fn complete(&self, jobs: &mut [Job]) -> impl Future<Output = ()> + Send;
}

/// Who can tell what jobs write, too.
pub trait Looking: Standing + Send + Sync {
    /// How these jobs stand, and what is new in these logs, in their order: one question where there is a way to be gone.
    fn look(
        &self,
        ids: &[JobId],
        logs: &[Wish],
    ) -> impl Future<Output = Result<(Snapshot, Vec<Option<Look>>), Self::Error>> + Send;
}

impl Standing for Slurm {
    type Error = Error;

    async fn standing(&self, ids: &[JobId]) -> Result<Snapshot, Error> {
        self.snapshot(ids).await
    }

    async fn complete(&self, jobs: &mut [Job]) {
        if let Err(error) = self.add_usage(jobs).await {
            tracing::debug!("what ended jobs used is not known: {error}");
        }
    }
}

/// What is set for following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// How often is asked.
    pub pace: Pace,
    /// How long the accounting may take to tell how a job ended that slurmctld says has ended, or has no more.
    pub settle: Duration,
    /// How long a job may be unknown to daemons that do answer before it is given up.
    pub forget: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { pace: Pace::default(), settle: Duration::from_secs(20), forget: Duration::from_secs(600) }
    }
}

/// What has changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// How a job or a task of an array stands.
    Job(Box<Job>),
    /// It cannot be told how jobs stand, or not completely: what was told before may not hold any more.
    Silent {
        /// Since when.
        since: SystemTime,
        /// Who is silent, and why.
        reason: String,
    },
    /// Everybody answers again.
    Back,
    /// Nobody knows the job any more, and nobody will: it is not followed further.
    Gone {
        /// Which.
        id: JobId,
        /// What is known.
        reason: String,
    },
}

/// Adds jobs to those that are followed. While there is one of these, following does not end.
#[derive(Debug, Clone)]
pub struct Adder {
    ids: mpsc::Sender<Vec<JobId>>,
}

impl Adder {
    /// Follows these too, and asks at once. False where nobody follows any more.
    pub async fn add(&self, ids: Vec<JobId>) -> bool {
        self.ids.send(ids).await.is_ok()
    }
}

/// Jobs that are followed.
#[derive(Debug)]
pub struct Watch<S> {
    source: S,
    options: WatchOptions,
    followed: BTreeMap<JobId, Followed>,
    changes: VecDeque<Change>,
    additions: mpsc::Receiver<Vec<JobId>>,
    silent: Option<Silence>,
    failures: u32,
    next: Instant,
}

/// A job that was asked for, or an array with its tasks.
#[derive(Debug)]
struct Followed {
    since: Instant,
    tasks: BTreeMap<JobId, Task>,
    unknown: Option<Instant>,
    /// Whether the last question was about the whole of it, not only about tasks that are known and have not ended.
    whole: bool,
    over: bool,
}

impl Followed {
    /// Whether all that is known of it has ended.
    fn ended(&self) -> bool {
        !self.tasks.is_empty() && self.tasks.values().all(|task| task.told)
    }
}

/// Who is silent: the accounting alone, or anybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    Accounting,
    Other,
}

#[derive(Debug)]
struct Task {
    job: Job,
    changed: Instant,
    /// When it was first seen to have ended, until how it did is known.
    settling: Option<Instant>,
    /// Since when it is in no answer any more, although all answer.
    missing: Option<Instant>,
    told: bool,
}

/// Why a task counts as cancelled that has left no record.
const WITHOUT_RECORD: &str =
    "it waited, and Slurm has it no more: of a task that is cancelled before it begins no record is kept";

impl<S: Standing + Sync> Watch<S> {
    /// Follows these jobs, and those that are added. Nothing is asked before [`Watch::next`] is.
    pub fn new(source: S, ids: &[JobId], options: WatchOptions) -> (Self, Adder) {
        let (sender, additions) = mpsc::channel(64);
        let now = Instant::now();
        let mut watch = Self {
            source,
            options,
            followed: BTreeMap::new(),
            changes: VecDeque::new(),
            additions,
            silent: None,
            failures: 0,
            next: now,
        };
        watch.follow(ids);
        (watch, Adder { ids: sender })
    }

    /// The next change; none when all have ended and nobody can add more. May be dropped at any time: nothing is lost.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Some(change);
            }
            if self.followed.values().all(|followed| followed.over) {
                let ids = self.additions.recv().await?;
                self.follow(&ids);
                continue;
            }
            tokio::select! {
                Some(ids) = self.additions.recv() => self.follow(&ids),
                () = self.source.due(self.next) => self.ask().await,
            }
        }
    }

    fn follow(&mut self, ids: &[JobId]) {
        let now = Instant::now();
        for id in ids {
            let followed =
                Followed { since: now, tasks: BTreeMap::new(), unknown: None, whole: true, over: false };
            self.followed.entry(*id).or_insert(followed);
        }
        self.next = now;
    }

    /// One question for all, and what follows from the answer.
    async fn ask(&mut self) {
        let mut open: Vec<JobId> = Vec::new();
        for (id, followed) in self.followed.iter_mut().filter(|(_, followed)| !followed.over) {
            // Tasks that have ended need no second question; once none is left, the array is asked after once more.
            let before = open.len();
            open.extend(followed.tasks.iter().filter(|(_, task)| !task.told).map(|(id, _)| *id));
            followed.whole = open.len() == before || followed.tasks.contains_key(id);
            if open.len() == before {
                open.push(*id);
            }
        }
        match self.source.standing(&open).await {
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.fall_silent(Silence::Other, error.to_string());
            }
            Ok(mut snapshot) => {
                // What has ended since the last answer: what it used is asked for once.
                let known = |job: &Job| {
                    let followed =
                        self.followed.get(&job.id).or_else(|| self.followed.get(&JobId::of(job.id.job)));
                    followed.and_then(|followed| followed.tasks.get(&job.id)).is_some_and(|task| task.told)
                };
                let (mut fresh, rest): (Vec<Job>, Vec<Job>) =
                    snapshot.jobs.drain(..).partition(|job| job.state.is_ended() && !known(job));
                if !fresh.is_empty() && snapshot.accounting.is_yes() {
                    self.source.complete(&mut fresh).await;
                }
                // From here on nothing waits: an answer is taken as a whole or not at all.
                self.failures = 0;
                let silent = silence(&snapshot);
                let known = fresh.iter().chain(&rest).filter(|job| job.state != State::Unknown);
                let known: BTreeSet<JobId> = known.map(|job| job.id).collect();
                for job in fresh.into_iter().chain(rest) {
                    self.take(job, &snapshot);
                }
                self.miss(&known, &snapshot);
                self.close(&snapshot);
                let unasked = snapshot.accounting == super::Heard::Unasked;
                match (silent, self.silent) {
                    (Some((who, reason)), _) => self.fall_silent(who, reason),
                    (None, Some(Silence::Other)) => self.back(),
                    (None, Some(Silence::Accounting)) if !unasked => self.back(),
                    (None, _) => {}
                }
            }
        }
        let now = Instant::now();
        let tasks = self.followed.values().filter(|followed| !followed.over).flat_map(|followed| {
            let none = followed.tasks.is_empty().then_some((followed.since, None));
            let tasks =
                followed.tasks.values().filter(|task| !task.told).map(|task| (task.changed, Some(task)));
            none.into_iter().chain(tasks)
        });
        let ages = tasks.map(|(changed, task)| pace::Age {
            unchanged: now.saturating_duration_since(changed),
            left: task.and_then(|task| left(&task.job, now.saturating_duration_since(task.changed))),
            settling: task.is_some_and(|task| task.settling.or(task.missing).is_some()),
        });
        // A random part of the interval, so that many workers do not ask at the same moment.
        let chance = f64::from(u16::from_le_bytes({
            let [first, second, ..] = *uuid::Uuid::new_v4().as_bytes();
            [first, second]
        })) / f64::from(u16::MAX);
        self.next = now + self.options.pace.interval(ages, self.failures, chance);
        // All that is known of an array has ended: whether that is all of it is asked at once.
        let ended = |followed: &Followed| !followed.over && followed.ended();
        if self.failures == 0 && self.followed.values().any(ended) {
            self.next = now;
        }
    }

    fn fall_silent(&mut self, who: Silence, reason: String) {
        if self.silent.replace(who).is_none() {
            self.changes.push_back(Change::Silent { since: SystemTime::now(), reason });
        }
    }

    fn back(&mut self) {
        self.silent = None;
        self.changes.push_front(Change::Back);
    }

    /// What an answer says of one job.
    fn take(&mut self, job: Job, snapshot: &Snapshot) {
        let now = Instant::now();
        let whole = JobId::of(job.id.job);
        for id in [job.id, whole].into_iter().take(if job.id == whole { 1 } else { 2 }) {
            let Some(followed) = self.followed.get_mut(&id) else { continue };
            if followed.over {
                continue;
            }
            if job.state == State::Unknown {
                let sure =
                    snapshot.controller.is_yes() && !matches!(snapshot.accounting, super::Heard::No(_));
                followed.unknown = if sure { followed.unknown.or(Some(now)) } else { None };
                // What was known of it may still hold: nothing is told yet.
                continue;
            }
            if !job.state.is_ended() {
                // Of an array, tasks that have ended are still known when another one is not.
                followed.unknown = None;
            }
            let settled = |since: Instant| {
                job.exit.is_some()
                    || !snapshot.accounting.is_yes()
                    || now.saturating_duration_since(since) >= self.options.settle
            };
            let task = followed.tasks.entry(job.id);
            let known = match task {
                std::collections::btree_map::Entry::Occupied(task) => Some(task.into_mut()),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let settling = job.state.is_ended().then_some(now);
                    let told = settling.is_some_and(settled);
                    if settling.is_none() || told {
                        self.changes.push_back(Change::Job(Box::new(job.clone())));
                    }
                    place.insert(Task { job: job.clone(), changed: now, settling, missing: None, told });
                    None
                }
            };
            let Some(task) = known else { continue };
            if task.told {
                continue;
            }
            if job.state.is_ended() {
                let since = *task.settling.get_or_insert(now);
                if settled(since) {
                    task.told = true;
                    self.changes.push_back(Change::Job(Box::new(job.clone())));
                }
            } else {
                // It was put back into the queue while we waited for the accounting.
                task.settling = None;
                if differs(&task.job, &job) {
                    task.changed = now;
                    self.changes.push_back(Change::Job(Box::new(job.clone())));
                }
            }
            task.job = job.clone();
        }
    }

    /// Tasks of arrays that were told of before and are in no answer any more: `known` are those that are.
    fn miss(&mut self, known: &BTreeSet<JobId>, snapshot: &Snapshot) {
        let now = Instant::now();
        let sure = snapshot.controller.is_yes() && !matches!(snapshot.accounting, super::Heard::No(_));
        for followed in self.followed.values_mut().filter(|followed| !followed.over) {
            for (id, task) in followed.tasks.iter_mut().filter(|(id, task)| id.task.is_some() && !task.told) {
                if known.contains(id) || !sure {
                    task.missing = None;
                    continue;
                }
                let missing = now.saturating_duration_since(*task.missing.get_or_insert(now));
                let waited = task.job.state.group() == Group::Waiting;
                // Without accounts it may as well have ended while we could not ask.
                if waited && snapshot.accounting.is_yes() && missing >= self.options.settle {
                    task.told = true;
                    task.job.state = State::Cancelled;
                    task.job.reason = Some(WITHOUT_RECORD.to_owned());
                    task.job.never = None;
                    self.changes.push_back(Change::Job(Box::new(task.job.clone())));
                } else if missing >= self.options.forget {
                    task.told = true;
                    self.changes.push_back(Change::Gone { id: *id, reason: forgotten(snapshot).to_owned() });
                }
            }
        }
    }

    /// Jobs that are over, and those that nobody knows.
    fn close(&mut self, snapshot: &Snapshot) {
        let now = Instant::now();
        for (id, followed) in self.followed.iter_mut().filter(|(_, followed)| !followed.over) {
            followed.over = followed.whole && followed.ended();
            if followed.over {
                // An array of many tasks is not kept.
                followed.tasks.clear();
            }
            let is_forgotten = followed
                .unknown
                .is_some_and(|since| now.saturating_duration_since(since) >= self.options.forget);
            if is_forgotten && !followed.over {
                followed.over = true;
                followed.tasks.clear();
                self.changes.push_back(Change::Gone { id: *id, reason: forgotten(snapshot).to_owned() });
            }
        }
    }
}

/// Why it will never be known how a job ended.
const fn forgotten(snapshot: &Snapshot) -> &'static str {
    match snapshot.accounting {
        super::Heard::Off => {
            "slurmctld has forgotten it, and this cluster keeps no accounts: how it ended is not known"
        }
        _ => "neither slurmctld nor the accounting knows how it ended",
    }
}

/// Who does not answer.
fn silence(snapshot: &Snapshot) -> Option<(Silence, String)> {
    match (&snapshot.controller, &snapshot.accounting) {
        (super::Heard::No(reason), _) => Some((
            Silence::Other,
            format!("slurmctld does not answer ({reason}): what is told is what the accounting knew"),
        )),
        (_, super::Heard::No(reason)) => Some((
            Silence::Accounting,
            format!("the accounting does not answer ({reason}): how jobs ended is not known"),
        )),
        _ => None,
    }
}

/// Whether people would want to know.
fn differs(before: &Job, now: &Job) -> bool {
    (before.state, &before.reason, &before.never, &before.nodes)
        != (now.state, &now.reason, &now.never, &now.nodes)
}

/// How long a running job may still run by its limit.
fn left(job: &Job, since: Duration) -> Option<Duration> {
    if job.state != State::Running {
        return None;
    }
    Some(job.limit?.saturating_sub(job.elapsed.unwrap_or(since)))
}

#[cfg(test)]
mod tests;
