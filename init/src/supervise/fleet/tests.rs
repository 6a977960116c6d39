use std::time::Duration;

use biomero_config::{Restart, RestartPolicy};
use biomero_hooks::Exit;

use super::*;

/// Services by name, with what each depends on; a name that ends in `!` is a main service.
fn fleet(services: &[(&str, &[Index])], policy: RestartPolicy) -> Fleet {
    let restart = Restart { policy, give_up_after: 1, ..Restart::default() };
    let policy =
        || Policy { restart: restart.clone(), stop_deadline: Duration::from_secs(10), ready_within: None };
    let members = services.iter().map(|(name, depends_on)| {
        (name.trim_end_matches('!').to_owned(), name.ends_with('!'), depends_on.to_vec(), policy())
    });
    Fleet::new(members.collect())
}

/// Plays a machine on which every spawn succeeds; returns what was spawned and signalled, in order.
struct Stage {
    fleet: Fleet,
    now: Instant,
    told: Vec<String>,
}

impl Stage {
    fn new(fleet: Fleet) -> Self {
        let mut stage = Self { fleet, now: Instant::now(), told: Vec::new() };
        let actions = stage.fleet.settle(stage.now);
        stage.perform(actions);
        stage
    }

    fn perform(&mut self, mut actions: Vec<(Index, Action)>) {
        while !actions.is_empty() {
            let (index, action) = actions.remove(0);
            let name = &self.fleet.members()[index].name;
            match action {
                Action::Spawn => {
                    self.told.push(format!("start {name}"));
                    let pid = 100 + Pid::try_from(index).unwrap();
                    actions.extend(self.fleet.on(index, Event::Spawned(pid), self.now));
                }
                Action::Signal if self.fleet.members()[index].life.awaits_group() => {
                    self.told.push(format!("sweep {name}"));
                }
                Action::Signal => self.told.push(format!("stop {name}")),
                Action::Kill => self.told.push(format!("kill {name}")),
                Action::TellDependencyLost => self.told.push(format!("lost {name}")),
                Action::TellGaveUp { .. } => self.told.push(format!("give up {name}")),
                _ => {}
            }
        }
    }

    fn on(&mut self, name: &str, event: Event) {
        let index = self.fleet.by_name(name).unwrap();
        let actions = self.fleet.on(index, event, self.now);
        self.perform(actions);
    }

    fn ends(&mut self, name: &str, exit: Exit) {
        self.on(name, Event::Ended(exit));
        self.on(name, Event::GroupGone);
    }

    fn stop(&mut self) {
        let actions = self.fleet.stop(143, self.now);
        self.perform(actions);
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.told).join(", ")
    }
}

#[test]
fn services_start_after_what_they_depend_on_and_stop_before_it() {
    let services: &[(&str, &[Index])] = &[("db", &[]), ("node!", &[0]), ("page", &[0, 1])];
    let mut stage = Stage::new(fleet(services, RestartPolicy::OnFailure));
    assert_eq!(stage.told(), "start db, start node, start page");
    stage.stop();
    assert_eq!(stage.told(), "stop page");
    stage.ends("page", Exit::Code(0));
    assert_eq!(stage.told(), "stop node");
    stage.ends("node", Exit::Signal(15));
    assert_eq!(stage.told(), "stop db");
    assert_eq!(stage.fleet.outlook(), Outlook::Stopping(143));
    stage.ends("db", Exit::Code(1));
    assert_eq!(stage.fleet.outlook(), Outlook::Over(143), "the main service's code counts");
}

#[test]
fn nothing_is_started_twice_while_others_start() {
    let services: &[(&str, &[Index])] = &[("a", &[]), ("b", &[]), ("c", &[])];
    assert_eq!(Stage::new(fleet(services, RestartPolicy::Never)).told(), "start a, start b, start c");
}

#[test]
fn the_end_of_a_main_service_ends_the_worker_with_its_code() {
    for (exit, code) in [(Exit::Code(0), 0), (Exit::Code(5), 5), (Exit::Signal(9), 137)] {
        let mut stage = Stage::new(fleet(&[("a", &[]), ("node!", &[])], RestartPolicy::Never));
        stage.told();
        stage.ends("node", exit);
        assert_eq!(stage.told(), "sweep node, stop a");
        stage.ends("a", Exit::Code(9));
        assert_eq!(stage.fleet.outlook(), Outlook::Over(code));
    }
}

#[test]
fn a_main_service_that_is_given_up_ends_the_worker_and_never_with_0() {
    let mut stage = Stage::new(fleet(&[("node!", &[])], RestartPolicy::Always));
    stage.told();
    stage.ends("node", Exit::Code(0));
    assert_eq!(stage.told(), "sweep node, give up node");
    assert_eq!(stage.fleet.outlook(), Outlook::Over(1), "given up on is no success, whatever its last code");
}

#[test]
fn another_service_that_is_given_up_leaves_the_rest_running() {
    let mut stage = Stage::new(fleet(&[("a", &[]), ("node!", &[])], RestartPolicy::Always));
    stage.told();
    stage.ends("a", Exit::Code(1));
    assert_eq!(stage.told(), "sweep a, give up a");
    assert_eq!(stage.fleet.outlook(), Outlook::Running);
}

#[test]
fn what_depends_on_a_service_that_fails_before_it_fails_too() {
    let mut stage = Stage::new(fleet(&[("db", &[]), ("node!", &[0])], RestartPolicy::Never));
    let mut other = fleet(&[("db", &[]), ("node!", &[0])], RestartPolicy::Never);
    // Its dependent runs already: nothing happens to it.
    stage.told();
    stage.ends("db", Exit::Code(4));
    assert_eq!((stage.told().as_str(), stage.fleet.outlook()), ("sweep db", Outlook::Running));
    // Its dependent waits: it is lost, and with it the worker, with the code that is to blame.
    let now = Instant::now();
    assert_eq!(other.settle(now), [(0, Action::Spawn)]);
    let actions = other.on(0, Event::SpawnFailed { code: 127 }, now);
    assert!(actions.contains(&(1, Action::TellDependencyLost)), "{actions:?}");
    assert_eq!(other.outlook(), Outlook::Over(127));
}

#[test]
fn a_service_that_has_done_its_work_is_a_dependency_fulfilled() {
    let mut fleet = fleet(&[("setup", &[]), ("node!", &[0])], RestartPolicy::OnFailure);
    let now = Instant::now();
    fleet.settle(now);
    fleet.on(0, Event::Spawned(100), now);
    fleet.on(0, Event::Ended(Exit::Code(0)), now);
    let actions = fleet.on(0, Event::GroupGone, now);
    assert_eq!(fleet.outlook(), Outlook::Running);
    assert!(actions.is_empty() || actions.contains(&(1, Action::Spawn)));
}

#[test]
fn when_all_have_ended_by_themselves_the_worker_ends_with_the_first_code_that_is_not_0() {
    let mut stage = Stage::new(fleet(&[("a", &[]), ("b", &[]), ("c", &[])], RestartPolicy::Never));
    for (name, code) in [("a", 0), ("b", 6), ("c", 7)] {
        stage.ends(name, Exit::Code(code));
    }
    assert_eq!(stage.fleet.outlook(), Outlook::Over(6));
}

#[test]
fn a_service_that_was_stopped_on_request_keeps_the_worker_up() {
    let mut stage = Stage::new(fleet(&[("node!", &[])], RestartPolicy::OnFailure));
    stage.on("node", Event::Stop);
    stage.ends("node", Exit::Signal(15));
    assert_eq!(stage.fleet.outlook(), Outlook::Running);
    stage.told();
    stage.on("node", Event::Start);
    assert_eq!(stage.told(), "start node");
}

#[test]
fn a_stop_before_anything_runs_ends_at_once() {
    let mut fleet = fleet(&[("db", &[]), ("node!", &[0])], RestartPolicy::OnFailure);
    fleet.stop(143, Instant::now());
    assert_eq!(fleet.outlook(), Outlook::Over(143));
}

#[test]
fn killing_ends_all_at_once() {
    let mut stage = Stage::new(fleet(&[("db", &[]), ("node!", &[0])], RestartPolicy::OnFailure));
    stage.stop();
    stage.told();
    let actions = stage.fleet.kill(stage.now);
    stage.perform(actions);
    assert_eq!(stage.told(), "kill db, kill node");
}
