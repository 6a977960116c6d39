use super::*;

const PID: Pid = 7;

fn policy() -> Policy {
    Policy { restart: Restart::default(), stop_deadline: Duration::from_secs(10), ready_within: None }
}

/// Events at seconds since the beginning, and what each brings; every spawn succeeds at once.
fn told(policy: Policy, events: &[(f64, Event)]) -> String {
    let began = Instant::now();
    let mut life = Lifecycle::new(policy);
    let mut text = String::new();
    for (at, event) in events {
        let now = began + Duration::from_secs_f64(*at);
        let mut actions = life.on(*event, now);
        if actions.contains(&Action::Spawn) {
            actions.extend(life.on(Event::Spawned(PID), now));
        }
        let state = match life.state() {
            State::Waiting => "waiting".to_owned(),
            State::Spawning => "spawning".to_owned(),
            State::Starting { .. } => "starting".to_owned(),
            State::Ready { .. } => "ready".to_owned(),
            State::Stopping { then, exit, .. } => format!("stopping, then {then:?}, leader {exit:?}"),
            State::BackingOff { until } => format!("backing off until {:.1}", (until - began).as_secs_f64()),
            State::Stopped { on_request } => format!("stopped, on request: {on_request}"),
            State::Failed => "failed".to_owned(),
            State::GaveUp => "gave up".to_owned(),
        };
        text.push_str(&format!("{at:>5} {event:?} -> {state} {actions:?}\n"));
    }
    text
}

/// A run that ends by itself with this exit.
fn ends(at: f64, exit: Exit) -> [(f64, Event); 2] {
    [(at, Event::Ended(exit)), (at, Event::GroupGone)]
}

#[test]
fn a_service_that_crash_loops_backs_off_and_is_given_up() {
    let mut events = vec![(0.0, Event::DependenciesReady)];
    for (ended, again) in [(0.1, 0.6), (0.7, 1.7), (1.8, 3.8), (3.9, 7.9)] {
        events.extend(ends(ended, Exit::Code(3)));
        events.push((again, Event::Tick));
    }
    events.extend(ends(8.0, Exit::Code(3)));
    insta::assert_snapshot!(told(policy(), &events));
}

#[test]
fn a_long_run_resets_the_back_off() {
    let mut events = vec![(0.0, Event::DependenciesReady)];
    events.extend(ends(1.0, Exit::Code(1)));
    events.push((1.5, Event::Tick));
    events.extend(ends(100.0, Exit::Code(1)));
    insta::assert_snapshot!(told(policy(), &events));
}

#[test]
fn what_follows_an_end_is_the_policy_s() {
    for (restart, exit, expected) in [
        (RestartPolicy::Never, Exit::Code(0), "stopped, on request: false"),
        (RestartPolicy::Never, Exit::Code(1), "failed"),
        (RestartPolicy::OnFailure, Exit::Code(0), "stopped, on request: false"),
        (RestartPolicy::OnFailure, Exit::Code(1), "backing off until 1.5"),
        (RestartPolicy::OnFailure, Exit::Signal(9), "backing off until 1.5"),
        (RestartPolicy::Always, Exit::Code(0), "backing off until 1.5"),
    ] {
        let restart = Restart { policy: restart, ..Restart::default() };
        let mut events = vec![(0.0, Event::DependenciesReady)];
        events.extend(ends(1.0, exit));
        let text = told(Policy { restart: restart.clone(), ..policy() }, &events);
        assert!(
            text.lines().last().unwrap().contains(&format!("-> {expected} ")),
            "{restart:?} {exit:?}:\n{text}"
        );
    }
}

#[test]
fn a_service_that_ignores_its_stop_signal_is_killed_with_its_group_at_the_deadline() {
    insta::assert_snapshot!(told(
        policy(),
        &[
            (0.0, Event::DependenciesReady),
            (1.0, Event::Stop),
            (10.9, Event::Tick),
            (11.0, Event::Tick),
            (11.1, Event::Ended(Exit::Signal(9))),
            (11.2, Event::GroupGone),
        ]
    ));
}

#[test]
fn what_the_leader_left_in_its_group_is_ended_before_a_restart() {
    insta::assert_snapshot!(told(
        policy(),
        &[
            (0.0, Event::DependenciesReady),
            (1.0, Event::Ended(Exit::Code(1))),
            (2.0, Event::Tick),
            (11.0, Event::Tick),
            (11.1, Event::GroupGone),
        ]
    ));
}

#[test]
fn a_process_that_even_kill_does_not_end_does_not_hold_the_stop_up_for_ever() {
    insta::assert_snapshot!(told(
        policy(),
        &[(0.0, Event::DependenciesReady), (1.0, Event::Stop), (11.0, Event::Tick), (13.0, Event::Tick),]
    ));
}

#[test]
fn readiness_comes_in_time_or_counts_as_a_failure() {
    let ready_within = Some(Duration::from_secs(5));
    let start = (0.0, Event::DependenciesReady);
    insta::assert_snapshot!(
        "in_time",
        told(
            Policy { ready_within, ..policy() },
            &[start, (4.0, Event::BecameReady), (5.0, Event::Tick), (6.0, Event::BecameReady),]
        )
    );
    insta::assert_snapshot!(
        "too_late",
        told(
            Policy { ready_within, ..policy() },
            &[
                start,
                (5.0, Event::Tick),
                (5.1, Event::BecameReady),
                (5.2, Event::Ended(Exit::Code(0))),
                (5.2, Event::GroupGone),
            ]
        )
    );
}

#[test]
fn requests_lead_where_they_say_from_every_state() {
    let crashed: Vec<_> = [vec![(0.0, Event::DependenciesReady)], ends(1.0, Exit::Code(1)).to_vec()].concat();
    let running = vec![(0.0, Event::DependenciesReady)];
    let stopping = vec![(0.0, Event::DependenciesReady), (1.0, Event::Stop)];
    let stopped = [stopping.clone(), ends(2.0, Exit::Signal(15)).to_vec()].concat();
    let mut text = String::new();
    for (name, before) in [
        ("waiting", vec![]),
        ("running", running),
        ("backing off", crashed),
        ("stopping", stopping),
        ("stopped", stopped),
    ] {
        for request in [Event::Stop, Event::Restart, Event::Start, Event::Kill] {
            let mut events = before.clone();
            events.push((3.0, request));
            let last = told(policy(), &events).lines().last().unwrap_or_default().trim_start().to_owned();
            text.push_str(&format!("{name}: {last}\n"));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_program_that_cannot_be_started_is_tried_as_its_policy_says() {
    let mut life = Lifecycle::new(policy());
    let now = Instant::now();
    life.on(Event::DependenciesReady, now);
    let actions = life.on(Event::SpawnFailed { code: 127 }, now);
    assert_eq!(actions, [Action::TellRestart(Duration::from_millis(500))]);
    assert_eq!(life.last_exit(), Some(Exit::Code(127)));
}

#[test]
fn endless_deadlines_are_as_good_as_any() {
    let longest = Duration::MAX;
    let restart = Restart { delay: longest, max_delay: longest, window: longest, ..Restart::default() };
    let policy = Policy { restart, stop_deadline: longest, ready_within: Some(longest) };
    let mut events = vec![(0.0, Event::DependenciesReady)];
    events.extend(ends(1.0, Exit::Code(1)));
    assert!(told(policy, &events).contains("backing off"));
}

fn any_event() -> impl proptest::strategy::Strategy<Value = Event> {
    use proptest::prelude::*;
    prop_oneof![
        Just(Event::DependenciesReady),
        Just(Event::DependencyLost),
        Just(Event::BecameReady),
        any::<u8>().prop_map(|code| Event::Ended(Exit::Code(code.into()))),
        Just(Event::Ended(Exit::Signal(9))),
        Just(Event::GroupGone),
        Just(Event::Tick),
        Just(Event::Stop),
        Just(Event::Restart),
        Just(Event::Start),
        Just(Event::Kill),
    ]
}

proptest::proptest! {
    /// Whatever comes in whatever order: no second generation beside a first, and a stop leads to an end.
    #[test]
    fn two_generations_never_run_at_once_and_a_stop_always_ends(
        events in proptest::collection::vec((any_event(), 0_u64..20_000), 0..60),
        probed in proptest::bool::ANY,
    ) {
        let ready_within = probed.then_some(Duration::from_secs(5));
        let mut life = Lifecycle::new(Policy { ready_within, ..policy() });
        let mut now = Instant::now();
        // What the machine would say: the leader runs, and something of its group is left.
        let (mut leader, mut group) = (false, false);
        let feed = |life: &mut Lifecycle, event, now, leader: &mut bool, group: &mut bool| {
            match event {
                Event::Ended(_) if !*leader => return,
                Event::Ended(_) => *leader = false,
                Event::GroupGone if *leader || !*group => return,
                Event::GroupGone => *group = false,
                _ => {}
            }
            let mut actions = life.on(event, now);
            while let Some(action) = actions.pop() {
                if action == Action::Spawn {
                    assert!(!*leader && !*group, "started beside a former one");
                    (*leader, *group) = (true, true);
                    actions.extend(life.on(Event::Spawned(PID), now));
                }
                if action == Action::Kill {
                    assert!(life.group().is_some());
                }
            }
            if *leader || *group {
                assert!(life.group().is_some(), "something runs and is not known");
            }
        };
        for (event, millis) in events {
            now += Duration::from_millis(millis);
            feed(&mut life, event, now, &mut leader, &mut group);
            // The kernel is never two seconds late with a KILL here.
            if matches!(life.state(), State::Stopping { killed: true, .. }) {
                feed(&mut life, Event::Ended(Exit::Signal(9)), now, &mut leader, &mut group);
                feed(&mut life, Event::GroupGone, now, &mut leader, &mut group);
            }
        }
        for _ in 0..4 {
            feed(&mut life, Event::Stop, now, &mut leader, &mut group);
            now += Duration::from_secs(11);
            feed(&mut life, Event::Tick, now, &mut leader, &mut group);
            feed(&mut life, Event::Ended(Exit::Signal(9)), now, &mut leader, &mut group);
            feed(&mut life, Event::GroupGone, now, &mut leader, &mut group);
        }
        assert!(life.is_over(), "{:?}", life.state());
    }
}
