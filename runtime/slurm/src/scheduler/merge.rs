//! How jobs stand, by what `squeue` and `sacct` each say of them.
//!
//! `squeue` asks slurmctld, which decides, but forgets an ended job after `MinJobAge`. `sacct` asks the accounting, which
//! remembers, but is told late. `squeue` is asked first, so that a job that ends in between is found by the second one.
//!
//! Invariants: nothing is invented: where both do not know, or contradict each other in a way that passes, the state is
//! [`State::Unknown`] with the reason said; a job is told to have ended only by who knows that it has not been put back
//! into the queue.

use std::collections::{BTreeMap, BTreeSet};

use super::array::Place;
use super::reason;
use super::record::Record;
use crate::job::{Group, Job, JobId, State};

/// How many tasks of arrays one answer may have: 50 MB of them.
pub(super) const MOST_TASKS: usize = 100_000;

/// Whether one of the two has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It has.
    Yes,
    /// There is no such service on this cluster: `AccountingStorageType=accounting_storage/none`.
    Off,
    /// It was not asked: the other one has said all there is to say.
    Unasked,
    /// It has not, for this reason.
    No(String),
}

impl Heard {
    /// Whether it has answered.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// A job of which nothing is known.
pub(crate) const fn unknown(id: JobId) -> Job {
    Job {
        id,
        own: None,
        name: String::new(),
        state: State::Unknown,
        reason: None,
        exit: None,
        partition: None,
        nodes: None,
        comment: None,
        submitted: None,
        started: None,
        ended: None,
        elapsed: None,
        limit: None,
        processors: None,
        peak_memory: None,
        processor_time: None,
        never: None,
        folder: None,
    }
}

/// There are more tasks than can be told one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// One entry for each job, and for each task of an array, that was asked for; ordered.
pub(super) fn merge(
    asked: &[JobId],
    squeue: &[Record],
    sacct: &[Record],
    controller: &Heard,
    accounting: &Heard,
) -> Result<Vec<Job>, TooMany> {
    let (queued, recorded) = (by_id(squeue)?, by_id(sacct)?);
    let known: BTreeSet<JobId> = queued.keys().chain(recorded.keys()).copied().collect();
    let wanted = wanted(asked, &known);
    let mut jobs: Vec<Job> = wanted
        .into_iter()
        .map(|id| {
            let job = match (queued.get(&id), recorded.get(&id)) {
                // The accounting is late with tasks that have begun: it still has them among the rest of the array.
                (Some((queued, _)), Some((recorded, rest))) if !rest => both(queued, recorded),
                (Some((queued, _)), _) => (*queued).clone(),
                (None, Some((recorded, _))) => alone(recorded, controller),
                (None, None) => Job { reason: Some(nowhere(controller, accounting)), ..unknown(id) },
            };
            Job { id, ..job }
        })
        .collect();
    for job in &mut jobs {
        if job.state.group() == Group::Waiting {
            job.never = job.reason.as_deref().and_then(reason::never);
        }
    }
    Ok(jobs)
}

/// Of what is asked for, what slurmctld does not say waits or runs: how that ended, or whether it ever was, the accounting
/// has to tell. An array as a whole is always among it, as slurmctld may have forgotten some of its tasks; and a job that is
/// completing, whose end may be known while its epilog takes its time.
pub(super) fn open(asked: &[JobId], squeue: &[Record]) -> Result<Vec<JobId>, TooMany> {
    let queued = by_id(squeue)?;
    let stands = |id: &JobId| {
        queued.get(id).is_some_and(|(job, _)| {
            matches!(job.state.group(), Group::Waiting | Group::Running) && job.state != State::Completing
        })
    };
    Ok(asked.iter().filter(|id| !stands(id)).copied().collect())
}

/// The newest record of each id, and whether it is one of a rest of an array, which has no record of its own.
fn by_id(records: &[Record]) -> Result<BTreeMap<JobId, (&Job, bool)>, TooMany> {
    let mut by_id: BTreeMap<JobId, (&Job, bool)> = BTreeMap::new();
    for record in records {
        let rest = matches!(record.place, Place::Rest { .. });
        for id in record.place.ids(MOST_TASKS + 1) {
            let newer = by_id.get(&id).is_none_or(|(other, other_rest)| {
                (!rest, record.job.submitted, record.job.started)
                    >= (!other_rest, other.submitted, other.started)
            });
            if newer {
                by_id.insert(id, (&record.job, rest));
            }
        }
        if by_id.len() > MOST_TASKS {
            return Err(TooMany);
        }
    }
    Ok(by_id)
}

/// The ids to tell of: of an array that was asked for as a whole, each task.
fn wanted(asked: &[JobId], known: &BTreeSet<JobId>) -> BTreeSet<JobId> {
    let mut wanted = BTreeSet::new();
    for id in asked {
        let tasks =
            known.range(JobId { job: id.job, task: Some(0) }..=JobId { job: id.job, task: Some(u32::MAX) });
        let mut tasks = tasks.copied().peekable();
        if id.task.is_none() && tasks.peek().is_some() {
            wanted.extend(tasks);
        } else {
            wanted.insert(*id);
        }
    }
    wanted
}

/// Where both know a job.
fn both(queued: &Job, recorded: &Job) -> Job {
    let ended = recorded.state.is_ended();
    let recorded_wins = !queued.state.is_ended()
        && ended
        // It was put back into the queue since: the record is that of its last life.
        && queued.submitted <= recorded.submitted
        // It may be about to be put back: slurmctld will say.
        && !matches!(recorded.state, State::NodeFail | State::Preempted | State::BootFail);
    if recorded_wins {
        let mut job = recorded.clone();
        job.comment = job.comment.or_else(|| queued.comment.clone());
        return job;
    }
    let mut job = queued.clone();
    if queued.state.is_ended() && ended && queued.submitted == recorded.submitted {
        job.exit = recorded.exit;
        job.ended = recorded.ended.or(job.ended);
        job.processor_time = recorded.processor_time;
        job.elapsed = job.elapsed.or(recorded.elapsed);
    }
    job
}

/// Where the accounting alone knows it.
fn alone(recorded: &Job, controller: &Heard) -> Job {
    let mut job = recorded.clone();
    if controller.is_yes() && !recorded.state.is_ended() {
        // It ended a moment ago and the accounting is late, or slurmctld has lost it and nobody will ever close the record.
        job.state = State::Unknown;
        job.reason = Some(format!(
            "slurmctld does not have it any more, and the accounting still says {}",
            recorded.state.name()
        ));
    }
    job
}

/// Where neither knows it.
fn nowhere(controller: &Heard, accounting: &Heard) -> String {
    let told = match (controller, accounting) {
        (Heard::Yes, Heard::Yes) => "neither slurmctld nor the accounting knows it",
        (Heard::Yes, Heard::Off) => {
            "slurmctld does not know it, or not any more: this cluster keeps no accounts of ended jobs"
        }
        (Heard::Yes, Heard::No(_)) => {
            "slurmctld does not know it, or not any more, and the accounting does not answer"
        }
        (_, Heard::Yes) => "the accounting does not know it yet, and slurmctld does not answer",
        _ => "neither slurmctld nor the accounting answers",
    };
    told.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::ExitCode;

    const YES: Heard = Heard::Yes;

    fn record(id: &str, state: State, submitted: i64) -> Record {
        let place = Place::read(id).expect("an id");
        let job = Job { state, submitted: Some(submitted), ..unknown(JobId::of(place.job())) };
        Record { place, job }
    }

    /// What is said of job 1: by `squeue` and by `sacct`, each a state and when it was submitted.
    type Said = Option<(State, i64)>;

    #[test]
    fn who_is_right_where_they_differ() {
        use State::*;
        let silent = Heard::No("connect failure".to_owned());
        let table: &[(&str, Said, Said, &Heard, &Heard, State)] = &[
            ("both agree", Some((Running, 5)), Some((Running, 5)), &YES, &YES, Running),
            ("the accounting does not have it yet", Some((Pending, 5)), None, &YES, &YES, Pending),
            ("the accounting is late", Some((Completed, 5)), Some((Running, 5)), &YES, &YES, Completed),
            ("it ended between the two", Some((Running, 5)), Some((Failed, 5)), &YES, &YES, Failed),
            ("its epilog still runs", Some((Completing, 5)), Some((Completed, 5)), &YES, &YES, Completed),
            ("it was put back", Some((Pending, 9)), Some((Failed, 5)), &YES, &YES, Pending),
            ("and runs again", Some((Running, 9)), Some((Failed, 5)), &YES, &YES, Running),
            (
                "it is about to be put back",
                Some((Completing, 5)),
                Some((NodeFail, 5)),
                &YES,
                &YES,
                Completing,
            ),
            ("it was preempted and waits", Some((Pending, 5)), Some((Preempted, 5)), &YES, &YES, Pending),
            ("slurmctld has forgotten it", None, Some((Timeout, 5)), &YES, &YES, Timeout),
            ("forgotten before the accounting heard", None, Some((Running, 5)), &YES, &YES, Unknown),
            ("slurmctld is silent", None, Some((Running, 5)), &silent, &YES, Running),
            ("the accounting is silent", Some((Running, 5)), None, &YES, &silent, Running),
            ("no accounts are kept", Some((Completed, 5)), None, &YES, &Heard::Off, Completed),
            ("no accounts, and forgotten", None, None, &YES, &Heard::Off, Unknown),
            ("nobody knows it", None, None, &YES, &YES, Unknown),
            ("a word of a later Slurm", Some((Unknown, 5)), Some((Running, 5)), &YES, &YES, Unknown),
            ("of which the end is known", Some((Unknown, 5)), Some((Completed, 5)), &YES, &YES, Completed),
            ("cancelled while it waited", Some((Pending, 5)), Some((Cancelled, 5)), &YES, &YES, Cancelled),
        ];
        for (case, squeue, sacct, controller, accounting, expected) in table {
            let records =
                |said: &Said| said.iter().map(|(state, at)| record("1", *state, *at)).collect::<Vec<_>>();
            let jobs = merge(&[JobId::of(1)], &records(squeue), &records(sacct), controller, accounting);
            let jobs = jobs.expect("few");
            assert_eq!(jobs.len(), 1, "{case}");
            assert_eq!(jobs[0].state, *expected, "{case}");
            assert!(
                jobs[0].state != Unknown || jobs[0].reason.is_some() || squeue.is_some(),
                "{case} is said"
            );
        }
    }

    #[test]
    fn the_accounting_is_asked_only_after_what_may_have_ended() {
        let squeue = [
            record("1", State::Running, 5),
            record("2", State::Completed, 5),
            record("3", State::Completing, 5),
            record("4", State::Unknown, 5),
            record("7_[4-6%2]", State::Pending, 5),
            record("7_2", State::Suspended, 5),
        ];
        let asked =
            |text: &str| -> Vec<JobId> { text.split(' ').map(|id| id.parse().expect("an id")).collect() };
        let open = |ids| open(&asked(ids), &squeue).expect("few");
        assert_eq!(open("1 7_2 7_4 7_6"), []);
        assert_eq!(open("1 2 3 4 5"), asked("2 3 4 5"));
        assert_eq!(open("7 7_1 7_4"), asked("7 7_1"), "of a whole array some tasks may be forgotten");
    }

    #[test]
    fn each_task_of_an_array_is_told_once() {
        let squeue = [
            record("7_[4-6%2]", State::Pending, 5),
            record("7_2", State::Running, 5),
            record("7_3", State::Running, 5),
        ];
        let sacct = [
            record("7_0", State::Completed, 5),
            record("7_1", State::Failed, 5),
            record("7_[2-6%2]", State::Pending, 5),
        ];
        let jobs = merge(&[JobId::of(7)], &squeue, &sacct, &YES, &YES).expect("few");
        let told: Vec<_> = jobs.iter().map(|job| format!("{} {}", job.id, job.state)).collect();
        assert_eq!(
            told,
            [
                "7_0 COMPLETED",
                "7_1 FAILED",
                "7_2 RUNNING",
                "7_3 RUNNING",
                "7_4 PENDING",
                "7_5 PENDING",
                "7_6 PENDING"
            ]
        );
        let one = merge(&["7_3".parse().expect("an id")], &squeue, &sacct, &YES, &YES).expect("few");
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].state, State::Running);
    }

    #[test]
    fn the_newest_life_of_a_job_counts() {
        let sacct = [record("1", State::Completed, 9), record("1", State::NodeFail, 5)];
        let jobs = merge(&[JobId::of(1)], &[], &sacct, &YES, &YES).expect("few");
        assert_eq!(jobs[0].state, State::Completed);
    }

    #[test]
    fn how_it_ended_is_taken_from_the_accounting() {
        let mut recorded = record("1", State::Failed, 5);
        recorded.job.exit = Some(ExitCode { code: 3, signal: 0 });
        let queued = [record("1", State::Failed, 5)];
        let told = |recorded: Record| {
            merge(&[JobId::of(1)], &queued, &[recorded], &YES, &YES).expect("few").remove(0).exit
        };
        assert_eq!(told(recorded.clone()), Some(ExitCode { code: 3, signal: 0 }));
        recorded.job.submitted = Some(1);
        assert_eq!(told(recorded), None, "not that of its last life");
    }

    #[test]
    fn why_it_can_never_start_is_said_while_it_waits_alone() {
        let mut waiting = record("1", State::Pending, 5);
        waiting.job.reason = Some("PartitionTimeLimit".to_owned());
        let mut ended = record("2", State::Failed, 5);
        ended.job.reason = Some("JobLaunchFailure".to_owned());
        let jobs = merge(&[JobId::of(1), JobId::of(2)], &[waiting, ended], &[], &YES, &YES).expect("few");
        assert!(jobs[0].never.is_some());
        assert!(jobs[1].never.is_none());
    }

    #[test]
    fn an_array_without_end_is_refused() {
        let squeue = [record("7_[0-4000000]", State::Pending, 5)];
        assert_eq!(merge(&[JobId::of(7)], &squeue, &[], &YES, &YES), Err(TooMany));
    }
}
