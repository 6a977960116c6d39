//! What an append will write, decided from what the log holds: the same for every database.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::command::Command;
use crate::error::Error;
use crate::event::Event;
use crate::log::{Appended, Recorded};

/// How many events of others an append projects on its way. When more are waiting they are projected before it begins, so
/// that the lock is never held for long.
pub(crate) const ON_THE_WAY: i64 = 500;

/// How many events are projected in one transaction when the views are behind.
pub(crate) const STEP: i64 = 2_000;

/// What a transaction has come to.
pub(crate) enum Attempt {
    /// Committed.
    Done(Vec<Appended>),
    /// Others have written more than is projected on the way.
    Behind,
}

/// An event and where it will stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed<'a> {
    pub(crate) at: Recorded,
    pub(crate) event: &'a Event,
    /// Which of all the commands' events it is.
    pub(crate) draft: usize,
}

/// What commands come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan<'a> {
    /// The events, in their order.
    pub(crate) events: Vec<Placed<'a>>,
    /// For each new command, the ids of its first and last event.
    pub(crate) commands: Vec<(Uuid, i64, i64)>,
}

/// Places the events of commands that are not recorded yet.
///
/// `versions` holds the last version of each aggregate that is in the log, `ids` as many places as there are events.
pub(crate) fn plan<'a>(
    commands: &'a [Command],
    mut versions: HashMap<Uuid, i64>,
    ids: impl IntoIterator<Item = i64>,
    recorded: impl Fn(Uuid) -> bool,
    place: impl Fn() -> String,
) -> Result<Plan<'a>, Error> {
    let mut plan = Plan::default();
    let mut seen = HashSet::new();
    let mut ids = ids.into_iter();
    let mut next = 0;
    for command in commands {
        let drafts = next..;
        next += command.events.len();
        if recorded(command.id) || !seen.insert(command.id) {
            continue;
        }
        let first = plan.events.len();
        for ((number, draft), id) in drafts.zip(&command.events).zip(&mut ids) {
            let id_of = draft.originator_id;
            let originator_version = match (versions.get(&id_of), draft.event.fact.creates()) {
                (None, true) => 0,
                (Some(last), false) => last + 1,
                (None, false) => return Err(Error::Unknown { id: id_of, place: place() }),
                (Some(_), true) => return Err(Error::Exists { id: id_of, place: place() }),
            };
            versions.insert(id_of, originator_version);
            let at = Recorded { id, originator_id: id_of, originator_version };
            plan.events.push(Placed { at, event: &draft.event, draft: number });
        }
        if let (Some(first), Some(last)) = (plan.events.get(first), plan.events.last()) {
            plan.commands.push((command.id, first.at.id, last.at.id));
        }
    }
    Ok(plan)
}

/// For each command, its events: the new ones, or those of the first time.
pub(crate) fn told(
    commands: &[Command],
    new: &[(Uuid, i64, i64)],
    placed: &[Recorded],
    known: &HashMap<Uuid, (i64, i64)>,
    before: &[Recorded],
) -> Vec<Appended> {
    let new: HashMap<Uuid, (i64, i64)> = new.iter().map(|(id, first, last)| (*id, (*first, *last))).collect();
    let mut seen = HashSet::new();
    commands
        .iter()
        .map(|command| {
            let repeated = known.contains_key(&command.id) || !seen.insert(command.id);
            let (events, place) = match known.get(&command.id) {
                Some(place) => (before, Some(place)),
                None => (placed, new.get(&command.id)),
            };
            Appended {
                events: place.map_or_else(Vec::new, |(first, last)| between(events, *first, *last)),
                repeated,
            }
        })
        .collect()
}

/// Of events in the order of their ids.
fn between(events: &[Recorded], first: i64, last: i64) -> Vec<Recorded> {
    let from = events.partition_point(|event| event.id < first);
    events.iter().skip(from).take_while(|event| event.id <= last).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;

    const WORKFLOW: Uuid = Uuid::from_u128(1);
    const TASK: Uuid = Uuid::from_u128(2);

    fn placed(
        commands: &[Command],
        known: &[(Uuid, i64)],
        recorded: &[Uuid],
    ) -> Result<Vec<(i64, Uuid, i64)>, Error> {
        let recorded = recorded.to_vec();
        let plan = plan(
            commands,
            known.iter().copied().collect(),
            7..,
            |id| recorded.contains(&id),
            || "the log".to_owned(),
        )?;
        Ok(plan
            .events
            .iter()
            .map(|event| (event.at.id, event.at.originator_id, event.at.originator_version))
            .collect())
    }

    #[test]
    fn versions_go_on_where_the_log_stands() {
        let commands = [
            Command::initiate_workflow(WORKFLOW, "w", "", 1, 1),
            Command::add_task(WORKFLOW, TASK, "t", "v", Value::Null, Value::Null),
            Command::start_workflow(WORKFLOW),
        ];
        let events = placed(&commands, &[], &[]).expect("a plan");
        assert_eq!(events, [(7, WORKFLOW, 0), (8, TASK, 0), (9, WORKFLOW, 1), (10, WORKFLOW, 2)]);
        assert_eq!(
            placed(&[Command::start_task(TASK)], &[(TASK, 41)], &[]).expect("a plan"),
            [(7, TASK, 42)]
        );
    }

    #[test]
    fn a_recorded_command_is_left_out_and_a_repeated_one_counts_once() {
        let (first, second) = (Command::start_task(TASK), Command::start_task(TASK));
        let commands = [first.clone(), second.clone(), second];
        assert_eq!(placed(&commands, &[(TASK, 0)], &[first.id]).expect("a plan"), [(7, TASK, 1)]);
    }

    #[test]
    fn what_was_not_created_cannot_go_on() {
        let error = placed(&[Command::start_task(TASK)], &[], &[]).expect_err("unknown");
        assert!(matches!(error, Error::Unknown { id: TASK, .. }), "{error}");
    }

    #[test]
    fn what_is_there_cannot_be_created() {
        let initiate = Command::initiate_workflow(WORKFLOW, "w", "", 1, 1);
        let error = placed(&[initiate], &[(WORKFLOW, 0)], &[]).expect_err("there already");
        assert!(matches!(error, Error::Exists { id: WORKFLOW, .. }), "{error}");
    }
}
