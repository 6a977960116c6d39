//! The life of one service as a pure state machine: `(state, event, now) -> (state, actions)`. No process, clock or
//! socket is touched here; deadlines are points in time that the caller brings back as [`Event::Tick`].
//!
//! A life ends for good in `Stopped`, `Failed` or `GaveUp`; only an explicit start leaves these. When the leader of
//! the process group ends, what it left behind in its group gets the stop signal and, at the deadline, KILL, before
//! anything else happens to the service: two generations never run at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use biomero_config::{Restart, RestartPolicy};
use biomero_hooks::Exit;

use crate::reaper::Pid;

/// What the state machine needs to know of a service.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) restart: Restart,
    pub(super) stop_deadline: Duration,
    /// Time until it must be ready; `None`: it is ready once it is started.
    pub(super) ready_within: Option<Duration>,
}

/// Where a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// For its dependencies.
    Waiting,
    /// It is being started: what follows at once is [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawning,
    /// It runs and is not ready yet.
    Starting { pid: Pid, since: Instant, ready_by: Instant },
    /// It runs.
    Ready { pid: Pid, since: Instant },
    /// Its group is being ended; `exit` is how its leader ended, once it has.
    Stopping { pid: Pid, since: Instant, kill_at: Instant, killed: bool, exit: Option<Exit>, then: Then },
    /// It will be started again.
    BackingOff { until: Instant },
    /// It ended well, or was stopped.
    Stopped { on_request: bool },
    /// It ended badly and its policy says never to restart, or what it depends on is lost.
    Failed,
    /// It ended too often.
    GaveUp,
}

/// What follows when a group has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The restart policy decides.
    Policy,
    /// As [`Then::Policy`], and it counts as a failure whatever its exit code: it was not ready in time.
    NotReady,
    /// It stays stopped.
    Stay,
    /// It is started again.
    Restart,
}

/// Something that has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// All that it depends on is ready.
    DependenciesReady,
    /// Something that it depends on ended for good.
    DependencyLost,
    /// It was started.
    Spawned(Pid),
    /// It could not be started.
    SpawnFailed { code: u8 },
    /// A probe succeeded.
    BecameReady,
    /// Its leader was collected.
    Ended(Exit),
    /// Nothing is left of its group.
    GroupGone,
    /// Time has passed.
    Tick,
    /// It is to stop and stay stopped.
    Stop,
    /// It is to stop and start again.
    Restart,
    /// It is to start, if it does not run.
    Start,
    /// It is to end now.
    Kill,
}

/// Something to do, or to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Spawn,
    StartProbing,
    StopProbing,
    /// The stop signal to the group.
    Signal,
    /// KILL to the group.
    Kill,
    TellStarted(Pid),
    TellReady(Duration),
    TellNotReady(Duration),
    TellEnded(Exit),
    TellKilled(Duration),
    TellRestart(Duration),
    TellGaveUp {
        ends: usize,
        within: Duration,
    },
    TellStopped,
    TellDependencyLost,
}

/// How long the kernel may take to remove what was killed before we go on without it.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// One service's state and history.
#[derive(Debug)]
pub(super) struct Lifecycle {
    policy: Policy,
    state: State,
    /// When it ended, within the window of the give-up rule.
    ends: VecDeque<Instant>,
    /// Ends since the last run that counts as a success.
    streak: u32,
    restarts: u64,
    last_exit: Option<Exit>,
}

impl Lifecycle {
    pub(super) const fn new(policy: Policy) -> Self {
        Self { policy, state: State::Waiting, ends: VecDeque::new(), streak: 0, restarts: 0, last_exit: None }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Starts after the first.
    pub(super) const fn restarts(&self) -> u64 {
        self.restarts
    }

    pub(super) const fn last_exit(&self) -> Option<Exit> {
        self.last_exit
    }

    /// The leader of its group, while anything of it may run.
    pub(super) const fn group(&self) -> Option<Pid> {
        match self.state {
            State::Starting { pid, .. } | State::Ready { pid, .. } | State::Stopping { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// Whether the end of its group is of interest: its leader has ended already.
    pub(super) const fn awaits_group(&self) -> bool {
        matches!(self.state, State::Stopping { exit: Some(_), .. })
    }

    /// Whether nothing of it runs, nor will without a request.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Stopped { .. } | State::Failed | State::GaveUp)
    }

    /// Whether those that depend on it may start: it is ready, or has done its work.
    pub(super) const fn satisfies(&self) -> bool {
        matches!(self.state, State::Ready { .. } | State::Stopped { on_request: false })
    }

    /// Whether those that wait for it wait in vain.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.state, State::Failed | State::GaveUp)
    }

    /// When [`Event::Tick`] is due.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Starting { ready_by, .. } => Some(ready_by),
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::BackingOff { until } => Some(until),
            _ => None,
        }
    }

    pub(super) fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match (event, self.state) {
            (Event::DependenciesReady, State::Waiting) => {
                self.state = State::Spawning;
                vec![Action::Spawn]
            }
            (Event::DependencyLost, State::Waiting) => {
                self.state = State::Failed;
                vec![Action::TellDependencyLost]
            }
            (Event::Spawned(pid), _) => self.started(pid, now),
            (Event::SpawnFailed { code }, _) => {
                let exit = Exit::Code(code.into());
                self.last_exit = Some(exit);
                self.by_policy(exit, now, now, false)
            }
            (Event::BecameReady, State::Starting { pid, since, .. }) => {
                self.state = State::Ready { pid, since };
                vec![Action::StopProbing, Action::TellReady(now.saturating_duration_since(since))]
            }
            (Event::Ended(exit), state) => self.ended(exit, state, now),
            (Event::GroupGone, State::Stopping { exit: Some(exit), since, then, .. }) => {
                self.finish(exit, since, then, now)
            }
            (Event::Tick, state) => self.tick(state, now),
            (Event::Stop, State::Starting { pid, since, .. } | State::Ready { pid, since }) => {
                self.stop(pid, since, Then::Stay, now)
            }
            (Event::Restart, State::Starting { pid, since, .. } | State::Ready { pid, since }) => {
                self.forget_failures();
                self.stop(pid, since, Then::Restart, now)
            }
            (Event::Stop, State::Waiting | State::BackingOff { .. }) => {
                self.state = State::Stopped { on_request: true };
                vec![Action::TellStopped]
            }
            (Event::Stop | Event::Restart, State::Stopping { pid, since, kill_at, killed, exit, .. }) => {
                let then = if event == Event::Stop { Then::Stay } else { Then::Restart };
                self.state = State::Stopping { pid, since, kill_at, killed, exit, then };
                Vec::new()
            }
            (Event::Stop, State::Failed | State::GaveUp) => {
                self.state = State::Stopped { on_request: true };
                Vec::new()
            }
            (
                Event::Start | Event::Restart,
                State::Stopped { .. } | State::Failed | State::GaveUp | State::BackingOff { .. },
            ) => {
                self.forget_failures();
                self.state = State::Waiting;
                Vec::new()
            }
            (Event::Kill, State::Starting { .. } | State::Ready { .. } | State::Stopping { .. }) => {
                self.kill(now)
            }
            _ => Vec::new(),
        }
    }

    fn forget_failures(&mut self) {
        self.ends.clear();
        self.streak = 0;
    }

    fn started(&mut self, pid: Pid, now: Instant) -> Vec<Action> {
        match self.policy.ready_within {
            Some(within) => {
                self.state = State::Starting { pid, since: now, ready_by: after(now, within) };
                vec![Action::TellStarted(pid), Action::StartProbing]
            }
            None => {
                self.state = State::Ready { pid, since: now };
                vec![Action::TellStarted(pid)]
            }
        }
    }

    fn ended(&mut self, exit: Exit, state: State, now: Instant) -> Vec<Action> {
        self.last_exit = Some(exit);
        match state {
            State::Starting { pid, since, .. } | State::Ready { pid, since } => {
                let actions = self.stop(pid, since, Then::Policy, now);
                if let State::Stopping { exit: ended, .. } = &mut self.state {
                    *ended = Some(exit);
                }
                [vec![Action::TellEnded(exit)], actions].concat()
            }
            State::Stopping { pid, since, kill_at, killed, then, .. } => {
                self.state = State::Stopping { pid, since, kill_at, killed, exit: Some(exit), then };
                vec![Action::TellEnded(exit)]
            }
            _ => Vec::new(),
        }
    }

    fn stop(&mut self, pid: Pid, since: Instant, then: Then, now: Instant) -> Vec<Action> {
        let kill_at = after(now, self.policy.stop_deadline);
        self.state = State::Stopping { pid, since, kill_at, killed: false, exit: None, then };
        vec![Action::StopProbing, Action::Signal]
    }

    fn kill(&mut self, now: Instant) -> Vec<Action> {
        let (State::Starting { pid, since, .. }
        | State::Ready { pid, since }
        | State::Stopping { pid, since, .. }) = self.state
        else {
            return Vec::new();
        };
        let (exit, then) = match self.state {
            State::Stopping { exit, then, .. } => (exit, then),
            _ => (None, Then::Stay),
        };
        self.state = State::Stopping { pid, since, kill_at: now + AFTER_KILL, killed: true, exit, then };
        vec![Action::StopProbing, Action::Kill]
    }

    fn tick(&mut self, state: State, now: Instant) -> Vec<Action> {
        match state {
            State::Starting { pid, since, ready_by } if now >= ready_by => {
                let actions = self.stop(pid, since, Then::NotReady, now);
                [vec![Action::TellNotReady(ready_by.saturating_duration_since(since))], actions].concat()
            }
            State::Stopping { kill_at, killed: false, .. } if now >= kill_at => {
                let told = Action::TellKilled(self.policy.stop_deadline);
                [vec![told], self.kill(now)].concat()
            }
            // A process in an uninterruptible wait holds the group up: nothing more can be done to it.
            State::Stopping { kill_at, killed: true, exit, since, then, .. } if now >= kill_at => {
                let exit = exit.unwrap_or(Exit::Signal(9));
                self.last_exit = Some(exit);
                self.finish(exit, since, then, now)
            }
            State::BackingOff { until } if now >= until => {
                self.restarts += 1;
                self.state = State::Spawning;
                vec![Action::Spawn]
            }
            _ => Vec::new(),
        }
    }

    fn finish(&mut self, exit: Exit, since: Instant, then: Then, now: Instant) -> Vec<Action> {
        match then {
            Then::Stay => {
                self.state = State::Stopped { on_request: true };
                vec![Action::TellStopped]
            }
            Then::Restart => {
                self.restarts += 1;
                self.state = State::Waiting;
                Vec::new()
            }
            Then::Policy => self.by_policy(exit, since, now, false),
            Then::NotReady => self.by_policy(exit, since, now, true),
        }
    }

    fn by_policy(&mut self, exit: Exit, since: Instant, now: Instant, not_ready: bool) -> Vec<Action> {
        let restart = &self.policy.restart;
        let well = exit == Exit::Code(0) && !not_ready;
        let again = match restart.policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !well,
            RestartPolicy::Always => true,
        };
        if !again {
            self.state = if well { State::Stopped { on_request: false } } else { State::Failed };
            return Vec::new();
        }
        if now.saturating_duration_since(since) >= restart.window {
            self.ends.clear();
            self.streak = 0;
        }
        self.ends.push_back(now);
        while self.ends.front().is_some_and(|end| now.saturating_duration_since(*end) > restart.window) {
            self.ends.pop_front();
        }
        self.streak = self.streak.saturating_add(1);
        let limit = usize::try_from(restart.give_up_after).unwrap_or(usize::MAX);
        if limit > 0 && self.ends.len() >= limit {
            self.state = State::GaveUp;
            return vec![Action::TellGaveUp { ends: self.ends.len(), within: restart.window }];
        }
        // Nothing older than the limit is ever counted: bounded whatever the window.
        if limit == 0 {
            self.ends.clear();
        }
        let doubled =
            restart.delay.saturating_mul(1_u32.checked_shl((self.streak - 1).min(31)).unwrap_or(u32::MAX));
        let pause = doubled.min(restart.max_delay.max(restart.delay));
        self.state = State::BackingOff { until: after(now, pause) };
        vec![Action::TellRestart(pause)]
    }
}

/// A deadline so long that no point in time stands for it is as good as a hundred years.
fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration).unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 86_400))
}

#[cfg(test)]
mod tests;
