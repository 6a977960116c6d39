//! Any order of events, at any time: what holds whatever happens.

use proptest::prelude::*;

use super::*;
use crate::failure::Remedy;
use crate::request::tests::request;
use crate::request::{CleanUp, Request, Retries};

fn asked(clean_up: CleanUp) -> Request {
    let mut request = request();
    request.policy.clean_up = clean_up;
    request.policy.retries = Retries { tries: 3, jobs: 2, first_seconds: 1, longest_seconds: 4 };
    request
}

/// What may happen, whether or not it belongs where the workflow stands.
fn event() -> impl Strategy<Value = Event> {
    let step = || prop::sample::select(Step::ALL.to_vec());
    let remedy = prop_oneof![
        Just(Remedy::Wait),
        Just(Remedy::Resubmit),
        Just(Remedy::Exclude(vec!["n1".to_owned()])),
        Just(Remedy::None)
    ];
    prop_oneof![
        2 => Just(Event::Started),
        8 => step().prop_map(|step| Event::Done(step, "done".to_owned())),
        6 => (step(), remedy).prop_map(|(step, remedy)| Event::Failed(Failure::new(step, "no", remedy))),
        1 => Just(Event::Remembered(serde_json::json!({ "job": 7 }))),
        1 => Just(Event::Withdrawn),
        1 => Just(Event::Cleared),
        1 => Just(Event::CancelAsked("somebody".to_owned())),
        1 => Just(Event::RetryAsked("somebody".to_owned())),
    ]
}

/// The event that belongs to what is to be done, as a world makes it in which nothing fails.
fn going_well(machine: &Machine) -> Option<Event> {
    Some(match machine.next(i64::MAX) {
        Next::Wait => Event::Started,
        Next::Perform(step) => Event::Done(step, String::new()),
        Next::Withdraw(_) => Event::Withdrawn,
        Next::Clear => Event::Cleared,
        Next::Pause(_) | Next::Gather | Next::Nothing => return None,
    })
}

/// What the facts of a whole life say: each task begins before it ends and ends once, each round ends once.
fn are_sound(facts: &[Fact], is_over: bool) {
    let mut open = BTreeSet::new();
    let mut known = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for fact in facts {
        match fact {
            Fact::TaskBegun(step, attempt) => {
                assert!(open.is_empty(), "two tasks at once: {facts:?}");
                // A retry begins anew what was cleared, under another attempt.
                assert!(known.insert((*step, *attempt)), "{step:?} was begun twice: {facts:?}");
                open.insert((*step, *attempt));
            }
            Fact::TaskDone(step, attempt, _) | Fact::TaskFailed(step, attempt, _) => {
                assert!(open.remove(&(*step, *attempt)), "{step:?} ends and was not open: {facts:?}");
            }
            Fact::Completed(round) | Fact::Failed(round, _) => {
                assert!(open.is_empty(), "a task is left open: {facts:?}");
                assert!(ended.insert(*round), "round {round} ends twice: {facts:?}");
            }
            Fact::Initiated | Fact::Started(_) | Fact::Gathered(..) => {}
        }
    }
    assert!(!is_over || open.is_empty(), "{facts:?}");
}

proptest! {
    #[test]
    fn any_order_of_events_leads_to_a_sound_history(
        events in prop::collection::vec((event(), 0_i64..5_000), 0..80),
        clean_up in prop::sample::select(vec![CleanUp::Always, CleanUp::OnSuccess, CleanUp::Never]),
    ) {
        let request = asked(clean_up);
        let mut machine = Machine::new("v1".to_owned(), Step::ALL.to_vec());
        let (mut facts, mut now) = (Vec::new(), 0);
        for (event, later) in events {
            now += later;
            let before = machine.clone();
            match machine.apply(&request, &event, now) {
                Err(_) => {}
                Ok(transition) => {
                    // Pure: the same again is the same.
                    prop_assert_eq!(&before.apply(&request, &event, now).ok(), &Some(transition.clone()));
                    facts.extend(transition.facts);
                    machine = transition.machine;
                }
            }
            if before.is_over() && !machine.is_over() {
                prop_assert!(matches!(event, Event::RetryAsked(_)), "only a retry leads out of an end");
            }
            prop_assert!(machine.tries < 3);
            prop_assert!(machine.attempts.values().all(|attempt| *attempt < 2 * (machine.round + 1)));
            // What is written is what is read.
            let text = serde_json::to_string(&machine).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Machine>(&text).expect("the same"), &machine);
        }
        are_sound(&facts, machine.is_over());
        // From wherever it is, a world in which nothing fails any more brings it to an end.
        let mut steps = 0;
        while let Some(event) = going_well(&machine) {
            let transition = machine.apply(&request, &event, now).expect("what is to be done belongs here");
            facts.extend(transition.facts);
            machine = transition.machine;
            steps += 1;
            prop_assert!(steps < 20, "it does not end: {machine:?}");
        }
        prop_assert!(machine.is_over());
        are_sound(&facts, true);
        let has_succeeded = machine.stage == Stage::Over(End::Done);
        prop_assert!(!has_succeeded || machine.failure.is_none());
        prop_assert!(machine.stage != Stage::Over(End::Failed) || machine.failure.is_some());
    }

    #[test]
    fn what_may_pass_is_tried_as_often_as_was_asked_for(step in prop::sample::select(Step::ALL.to_vec())) {
        let request = asked(CleanUp::Always);
        let mut machine = Machine { stage: Stage::Doing(step), ..Machine::new("v1".to_owned(), Step::ALL.to_vec()) };
        let mut pauses = Vec::new();
        while machine.stage == Stage::Doing(step) {
            let failure = Failure::new(step, "away", Remedy::Wait);
            machine = machine.apply(&request, &Event::Failed(failure), 0).expect("it belongs here").machine;
            pauses.extend((machine.not_before > 0).then_some(machine.not_before));
        }
        prop_assert_eq!(pauses, vec![1_000, 2_000]);
    }
}

#[test]
fn a_node_that_is_to_blame_is_avoided_by_the_next_job() {
    let request = asked(CleanUp::Always);
    let mut machine =
        Machine { stage: Stage::Doing(Step::Run), ..Machine::new("v1".to_owned(), Step::ALL.to_vec()) };
    let failure =
        || Event::Failed(Failure::new(Step::Run, "no data", Remedy::Exclude(vec!["n7".to_owned()])));
    let transition = machine.apply(&request, &failure(), 0).expect("it belongs here");
    assert_eq!(
        transition.facts,
        [Fact::TaskFailed(Step::Run, 0, "no data".to_owned()), Fact::TaskBegun(Step::Run, 1)]
    );
    machine = transition.machine;
    assert_eq!((machine.stage, machine.attempt(Step::Run)), (Stage::Doing(Step::Run), 1));
    assert!(machine.excluded.contains("n7"));
    // Two jobs were allowed.
    machine = machine.apply(&request, &failure(), 0).expect("it belongs here").machine;
    assert_eq!(machine.stage, Stage::Clearing(End::Failed));
}

#[test]
fn results_that_are_home_are_no_failure_although_something_is_left_elsewhere() {
    let request = asked(CleanUp::Always);
    let machine =
        Machine { stage: Stage::Doing(Step::Clean), ..Machine::new("v1".to_owned(), Step::ALL.to_vec()) };
    let failure = Event::Failed(Failure::new(Step::Clean, "no right to", Remedy::None));
    let transition = machine.apply(&request, &failure, 0).expect("it belongs here");
    assert_eq!(transition.machine.stage, Stage::Over(End::Done));
    let cancel = Event::CancelAsked("somebody".to_owned());
    assert!(machine.apply(&request, &cancel, 0).is_err(), "results are home");
}

#[test]
fn results_that_could_not_be_brought_home_stay_for_a_retry() {
    let request = asked(CleanUp::Always);
    let doing =
        |step| Machine { stage: Stage::Doing(step), ..Machine::new("v1".to_owned(), Step::ALL.to_vec()) };
    for (step, begins_at) in
        [(Step::Run, Step::Export), (Step::Fetch, Step::Fetch), (Step::Deliver, Step::Deliver)]
    {
        let mut machine = doing(step);
        let failed = Event::Failed(Failure::new(step, "no", Remedy::None));
        for event in [failed, Event::Cleared, Event::RetryAsked("somebody".to_owned()), Event::Started] {
            machine = machine.apply(&request, &event, 0).expect("it belongs here").machine;
        }
        assert_eq!(machine.stage, Stage::Doing(begins_at), "{step:?}");
    }
}

#[test]
fn a_batch_ends_with_the_last_of_its_children() {
    let request = asked(CleanUp::Always);
    let children = |done, failed, cancelled| Children { of: 3, done, failed, cancelled };
    for (children, stage) in [
        (children(1, 1, 0), Stage::Gathering),
        (children(3, 0, 0), Stage::Over(End::Done)),
        (children(2, 1, 0), Stage::Over(End::Failed)),
        (children(1, 0, 2), Stage::Over(End::Cancelled)),
    ] {
        let batch = Machine::batch("v1".to_owned(), 3);
        let transition = batch.apply(&request, &Event::Gathered(children), 0).expect("it belongs here");
        assert_eq!(transition.machine.stage, stage, "{children:?}");
    }
}
