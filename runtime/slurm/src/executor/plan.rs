//! What starts next: a pure decision on the whole queue.
//!
//! Invariants: in order of submission, and none overtakes one that only waits for room; never more processors, memory or
//! tasks of an array at once than there may be; what waits for another job, for its array or for ever keeps nobody else waiting.

use super::request::{Condition, Kind, Needs};
use super::task::{Phase, Standing};
use crate::job::JobId;

/// What the machine gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capacity {
    pub(super) processors: u32,
    /// In bytes; none where memory is not counted.
    pub(super) memory: Option<u64>,
}

/// What became of a job or task that another waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Unfinished,
    Succeeded,
    Failed,
    /// Nobody knows it.
    Absent,
}

/// What is done with a pending task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Start,
    /// The reason in Slurm's words (squeue(1), "JOB REASON CODES").
    Wait(&'static str),
    Cancel(&'static str),
}

/// Of a task: its place in the queue and within its job.
pub(super) type Place = (usize, usize);

/// Decides on every pending task. `queue` is in order of submission.
pub(super) fn plan(
    queue: &[Standing],
    capacity: Capacity,
    outcome: impl Fn(JobId) -> Outcome,
) -> Vec<(Place, Decision)> {
    let mut free = free(queue, capacity);
    let mut blocked = false;
    let mut decisions = Vec::new();
    for (at, job) in queue.iter().enumerate() {
        let conditions = met(&job.needs.conditions, &outcome);
        let mut active = job.tasks.iter().filter(|task| task.phase.is_active()).count();
        for (index, task) in job.tasks.iter().enumerate() {
            if task.phase != Phase::Pending {
                continue;
            }
            let decision = match conditions {
                Met::Never => Decision::Cancel("DependencyNeverSatisfied"),
                Met::NotYet => Decision::Wait("Dependency"),
                Met::Yes if !fits(&job.needs, capacity) => Decision::Wait("PartitionConfig"),
                Met::Yes if job.needs.at_once.is_some_and(|most| active >= most as usize) => {
                    Decision::Wait("JobArrayTaskLimit")
                }
                Met::Yes if blocked => Decision::Wait("Priority"),
                Met::Yes if !fits(&job.needs, free) => {
                    blocked = true;
                    Decision::Wait("Resources")
                }
                Met::Yes => {
                    take(&mut free, &job.needs);
                    active += 1;
                    Decision::Start
                }
            };
            decisions.push(((at, index), decision));
        }
    }
    decisions
}

/// What the active tasks leave.
fn free(queue: &[Standing], capacity: Capacity) -> Capacity {
    let mut free = capacity;
    for job in queue {
        for _ in job.tasks.iter().filter(|task| task.phase.is_active()) {
            take(&mut free, &job.needs);
        }
    }
    free
}

fn take(free: &mut Capacity, needs: &Needs) {
    free.processors = free.processors.saturating_sub(needs.processors);
    free.memory = free.memory.map(|memory| memory.saturating_sub(needs.memory.unwrap_or(0)));
}

/// Whether there is room. A job that names no memory is taken to need none.
pub(super) fn fits(needs: &Needs, room: Capacity) -> bool {
    needs.processors <= room.processors
        && room.memory.is_none_or(|memory| needs.memory.unwrap_or(0) <= memory)
}

#[derive(Clone, Copy)]
enum Met {
    Yes,
    NotYet,
    Never,
}

fn met(conditions: &[Condition], outcome: &impl Fn(JobId) -> Outcome) -> Met {
    let mut all = Met::Yes;
    for condition in conditions {
        let became = outcome(condition.id());
        match (condition.kind, became) {
            (_, Outcome::Absent)
            | (Kind::Succeeded, Outcome::Failed)
            | (Kind::Failed, Outcome::Succeeded) => {
                return Met::Never;
            }
            (_, Outcome::Unfinished) => all = Met::NotYet,
            (Kind::Ended, Outcome::Succeeded | Outcome::Failed)
            | (Kind::Succeeded, Outcome::Succeeded)
            | (Kind::Failed, Outcome::Failed) => {}
        }
    }
    all
}

/// What became of what `id` names in `job`; of a whole array, success is that of every task.
pub(super) fn outcome(job: &Standing, id: JobId) -> Outcome {
    let mut tasks = job.named(id).peekable();
    if tasks.peek().is_none() {
        return Outcome::Absent;
    }
    let mut all = Outcome::Succeeded;
    for task in tasks {
        match task.phase {
            phase if !phase.is_ended() => return Outcome::Unfinished,
            Phase::Completed => {}
            _ => all = Outcome::Failed,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::task::Task;
    use super::*;

    fn job(id: u32, processors: u32, tasks: u32) -> Standing {
        Standing {
            id,
            needs: Needs { processors, ..Needs::default() },
            tasks: (0..tasks).map(|index| Task::new(Some(index), id * 1000 + index, 0)).collect(),
        }
    }

    const fn of(processors: u32) -> Capacity {
        Capacity { processors, memory: None }
    }

    fn decisions(queue: &[Standing], capacity: Capacity) -> Vec<Decision> {
        let known = |id: JobId| {
            queue.iter().find(|job| job.id == id.job).map_or(Outcome::Absent, |job| outcome(job, id))
        };
        plan(queue, capacity, known).into_iter().map(|(_, decision)| decision).collect()
    }

    #[test]
    fn nobody_overtakes_one_that_waits_for_room() {
        let queue = [job(1, 3, 1), job(2, 2, 1), job(3, 1, 1)];
        let expected = [Decision::Start, Decision::Wait("Resources"), Decision::Wait("Priority")];
        assert_eq!(decisions(&queue, of(4)), expected);
    }

    #[test]
    fn what_can_never_run_keeps_nobody_waiting() {
        let queue = [job(1, 9, 1), job(2, 2, 1)];
        assert_eq!(decisions(&queue, of(4)), [Decision::Wait("PartitionConfig"), Decision::Start]);
    }

    #[test]
    fn memory_is_counted_where_there_is_a_budget() {
        let mut queue = [job(1, 1, 2)];
        queue[0].needs.memory = Some(6);
        let capacity = Capacity { processors: 4, memory: Some(10) };
        assert_eq!(decisions(&queue, capacity), [Decision::Start, Decision::Wait("Resources")]);
    }

    #[test]
    fn an_array_has_so_many_at_once_and_lets_others_pass() {
        let mut queue = [job(1, 1, 3), job(2, 1, 1)];
        queue[0].needs.at_once = Some(2);
        let limited = Decision::Wait("JobArrayTaskLimit");
        assert_eq!(decisions(&queue, of(8)), [Decision::Start, Decision::Start, limited, Decision::Start]);
    }

    #[test]
    fn conditions_are_waited_for_met_or_never_met() {
        let first = |phase: Phase| {
            let mut job = job(1, 1, 1);
            job.tasks[0].phase = phase;
            job
        };
        let start = Decision::Start;
        let never = Decision::Cancel("DependencyNeverSatisfied");
        let wait = Decision::Wait("Dependency");
        let table = [
            (Kind::Succeeded, Phase::Running, wait),
            (Kind::Succeeded, Phase::Completed, start),
            (Kind::Succeeded, Phase::Timeout, never),
            (Kind::Ended, Phase::Cancelled, start),
            (Kind::Ended, Phase::Configuring, wait),
            (Kind::Failed, Phase::Failed, start),
            (Kind::Failed, Phase::Completed, never),
        ];
        for (kind, phase, expected) in table {
            let mut second = job(2, 1, 1);
            second.needs.conditions = vec![Condition { kind, job: 1, task: None }];
            assert_eq!(decisions(&[first(phase), second], of(8)), [expected], "{kind:?} {phase:?}");
        }
        let mut orphan = job(2, 1, 1);
        orphan.needs.conditions = vec![Condition { kind: Kind::Ended, job: 7, task: None }];
        assert_eq!(decisions(&[orphan], of(8)), [never]);
    }

    proptest! {
        /// Runs whole queues to their end: whatever starts is in order, within what there is, and all that can start does.
        #[test]
        fn every_queue_is_worked_off_in_order(
            sizes in prop::collection::vec((1_u32..6, 1_u32..6, prop::option::of(1_u32..3)), 1..12),
            capacity in 1_u32..6,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 80),
        ) {
            let mut queue: Vec<Standing> = sizes.iter().enumerate().map(|(id, (processors, tasks, at_once))| {
                let mut job = job(id as u32, *processors, *tasks);
                job.needs.at_once = *at_once;
                job
            }).collect();
            for pick in picks {
                let mut passed = false;
                for ((at, index), decision) in plan(&queue, of(capacity), |_| Outcome::Absent) {
                    match decision {
                        Decision::Start => {
                            prop_assert!(!passed, "it overtook");
                            queue[at].tasks[index].phase = Phase::Running;
                        }
                        Decision::Wait(reason) => passed |= reason == "Resources",
                        Decision::Cancel(_) => prop_assert!(false, "nothing to cancel"),
                    }
                }
                let active: Vec<Place> = queue.iter().enumerate().flat_map(|(at, job)| {
                    job.tasks.iter().enumerate().filter(|(_, task)| task.phase.is_active()).map(move |(index, _)| (at, index))
                }).collect();
                let used: u32 = active.iter().map(|(at, _)| queue[*at].needs.processors).sum();
                prop_assert!(used <= capacity);
                for job in &queue {
                    let running = job.tasks.iter().filter(|task| task.phase.is_active()).count();
                    prop_assert!(job.needs.at_once.is_none_or(|most| running <= most as usize));
                }
                if active.is_empty() {
                    break;
                }
                let (at, index) = active[pick.index(active.len())];
                queue[at].tasks[index].phase = Phase::Completed;
            }
            for job in &queue {
                let possible = job.needs.processors <= capacity;
                prop_assert!(job.tasks.iter().all(|task| (task.phase == Phase::Completed) == possible));
            }
        }
    }
}
