//! All services together, still pure: who may start, in which order they stop, and when the worker ends with which
//! code.
//!
//! - A service starts when all that it depends on is ready, or has ended well by itself. A dependency that ends later
//!   on does not take its dependents with it: they are told by their connections, as in any network.
//! - A service that depends on one that failed or was given up on fails too, unless it runs already.
//! - The end for good of a `main` service ends the worker with its last code. The end of another one is told, and
//!   the rest go on.
//! - Stopping goes against the dependencies: a service stops when nothing that depends on it runs.

use std::time::Instant;

use super::lifecycle::{Action, Event, Lifecycle, Policy, State};
use crate::reaper::{Pid, exit_code};

/// A service by its place in the order of starting.
pub(super) type Index = usize;

/// What the fleet knows of a service besides its life.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) main: bool,
    /// What it depends on.
    pub(super) depends_on: Vec<Index>,
    pub(super) life: Lifecycle,
}

/// What becomes of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It runs.
    Running,
    /// It stops; the code it will end with when no main service says otherwise.
    Stopping(u8),
    /// Everything has ended.
    Over(u8),
}

/// All services.
#[derive(Debug)]
pub(super) struct Fleet {
    members: Vec<Member>,
    outlook: Outlook,
}

impl Fleet {
    pub(super) fn new(members: Vec<(String, bool, Vec<Index>, Policy)>) -> Self {
        let members = members.into_iter().map(|(name, main, depends_on, policy)| Member {
            name,
            main,
            depends_on,
            life: Lifecycle::new(policy),
        });
        Self { members: members.collect(), outlook: Outlook::Running }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) const fn outlook(&self) -> Outlook {
        self.outlook
    }

    pub(super) fn by_name(&self, name: &str) -> Option<Index> {
        self.members.iter().position(|member| member.name == name)
    }

    /// The service whose group's leader this is.
    pub(super) fn by_leader(&self, pid: Pid) -> Option<Index> {
        self.members.iter().position(|member| member.life.group() == Some(pid))
    }

    /// When [`Fleet::tick`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.members.iter().filter_map(|member| member.life.deadline()).min()
    }

    /// Tells one service of an event, and all of what follows from it.
    pub(super) fn on(&mut self, index: Index, event: Event, now: Instant) -> Vec<(Index, Action)> {
        let mut actions = self.tell(index, event, now);
        actions.extend(self.settle(now));
        actions
    }

    pub(super) fn tick(&mut self, now: Instant) -> Vec<(Index, Action)> {
        let mut actions = Vec::new();
        for index in 0..self.members.len() {
            actions.extend(self.tell(index, Event::Tick, now));
        }
        actions.extend(self.settle(now));
        actions
    }

    /// The worker is to stop; `code` is what it ends with when no main service has ever run.
    pub(super) fn stop(&mut self, code: u8, now: Instant) -> Vec<(Index, Action)> {
        if self.outlook == Outlook::Running {
            self.outlook = Outlook::Stopping(code);
        }
        self.settle(now)
    }

    /// Everything ends now.
    pub(super) fn kill(&mut self, now: Instant) -> Vec<(Index, Action)> {
        let mut actions = Vec::new();
        for index in 0..self.members.len() {
            actions.extend(self.tell(index, Event::Kill, now));
        }
        actions.extend(self.settle(now));
        actions
    }

    fn tell(&mut self, index: Index, event: Event, now: Instant) -> Vec<(Index, Action)> {
        let Some(member) = self.members.get_mut(index) else { return Vec::new() };
        member.life.on(event, now).into_iter().map(|action| (index, action)).collect()
    }

    /// What follows from the states as they are, until nothing more does.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<(Index, Action)> {
        let mut actions = Vec::new();
        if self.outlook == Outlook::Running {
            self.settle_end();
        }
        for index in 0..self.members.len() {
            // Services are in the order of starting: one pass sees each change of a dependency before its dependents.
            let Some(event) = self.due(index) else { continue };
            actions.extend(self.tell(index, event, now));
        }
        if self.outlook == Outlook::Running {
            self.settle_end();
            if matches!(self.outlook, Outlook::Stopping(_)) {
                actions.extend(self.settle(now));
                return actions;
            }
        }
        if let Outlook::Stopping(code) = self.outlook
            && self.members.iter().all(|member| member.life.is_over())
        {
            self.outlook = Outlook::Over(self.main_code().unwrap_or(code));
        }
        actions
    }

    fn due(&self, index: Index) -> Option<Event> {
        let member = self.members.get(index)?;
        match self.outlook {
            Outlook::Running if member.life.state() == State::Waiting => {
                let dependencies = || member.depends_on.iter().filter_map(|index| self.members.get(*index));
                if dependencies().any(|dependency| dependency.life.is_lost()) {
                    Some(Event::DependencyLost)
                } else if dependencies().all(|dependency| dependency.life.satisfies()) {
                    Some(Event::DependenciesReady)
                } else {
                    None
                }
            }
            Outlook::Stopping(_) if !member.life.is_over() => {
                let needed = self
                    .members
                    .iter()
                    .any(|other| other.depends_on.contains(&index) && other.life.group().is_some());
                // Who has not started yet need not wait for its dependents.
                (!needed || member.life.group().is_none()).then_some(Event::Stop)
            }
            _ => None,
        }
    }

    /// Whether a main service's end, or the end of all, ends the worker.
    fn settle_end(&mut self) {
        let ended_for_good = |member: &&Member| {
            member.life.is_over() && member.life.state() != State::Stopped { on_request: true }
        };
        if let Some(main) = self.members.iter().filter(|member| member.main).find(ended_for_good) {
            self.outlook = Outlook::Stopping(self.code_of(main));
        } else if self.members.iter().all(|member| ended_for_good(&member)) {
            let codes = self.members.iter().map(|member| self.code_of(member));
            self.outlook = Outlook::Stopping(codes.into_iter().find(|code| *code != 0).unwrap_or(0));
        }
    }

    /// The code a service ended with; that of the lost one, or 1, when it never ran because of a service that it depends on.
    fn code_of(&self, member: &Member) -> u8 {
        match (member.life.last_exit(), member.life.is_lost()) {
            // It ended with 0 and failed all the same: it was not ready in time.
            (Some(exit), true) => exit_code(exit).max(1),
            (Some(exit), false) => exit_code(exit),
            (None, true) => {
                let lost = member.depends_on.iter().filter_map(|index| self.members.get(*index));
                lost.filter(|dependency| dependency.life.is_lost())
                    .map(|dependency| self.code_of(dependency))
                    .find(|code| *code != 0)
                    .unwrap_or(1)
            }
            (None, false) => 0,
        }
    }

    /// The code of the main service: the first that ended badly, else the first.
    fn main_code(&self) -> Option<u8> {
        let codes: Vec<u8> = self
            .members
            .iter()
            .filter(|member| member.main)
            .filter(|member| member.life.last_exit().is_some())
            .map(|member| self.code_of(member))
            .collect();
        codes.iter().copied().find(|code| *code != 0).or_else(|| codes.first().copied())
    }
}

#[cfg(test)]
mod tests;
