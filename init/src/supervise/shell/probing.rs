//! Asking a service that starts whether it is ready. A probe belongs to one process: an answer that comes for an
//! earlier one is dropped.

use std::time::Instant;

use tokio::time::sleep;

use super::{Happening, Index, PROBE_COMMAND, Pid, ProbeProcess, Shell};
use crate::signals::Signal;
use crate::spawn::{Command, system};
use crate::supervise::definition::Probe;
use crate::supervise::lifecycle::{Event, State};
use crate::supervise::readiness;

impl Shell {
    pub(super) fn start_probing(&mut self, index: Index) {
        let (Some(probing), Some(pid)) =
            (self.definitions[index].readiness.clone(), self.fleet.members()[index].life.group())
        else {
            return;
        };
        let events = self.events.clone();
        // A closed channel: we are ending.
        self.parts[index].probing = match probing.probe {
            Probe::Notify => None,
            Probe::Exec(_) => Some(tokio::spawn(async move {
                let _ = events.send(Happening::ProbeCommand(index, pid)).await;
            })),
            Probe::Tcp(address) => Some(tokio::spawn(async move {
                readiness::accepts(&address, probing.interval).await;
                let _ = events.send(Happening::Probed(index, pid)).await;
            })),
            Probe::Path(path) => Some(tokio::spawn(async move {
                readiness::exists(&path, probing.interval).await;
                let _ = events.send(Happening::Probed(index, pid)).await;
            })),
        };
    }

    pub(super) fn stop_probing(&mut self, index: Index) {
        if let Some(probing) = self.parts[index].probing.take() {
            probing.abort();
        }
        for (pid, _) in self.probes.iter().filter(|(_, probe)| probe.service == index) {
            let _ = system::kill(-pid, Signal::KILL.get());
        }
    }

    /// Whether this process is the service's present one and is not known to be ready.
    pub(super) fn is_starting(&self, index: Index, pid: Pid) -> bool {
        matches!(self.fleet.members()[index].life.state(), State::Starting { pid: present, .. } if present == pid)
    }

    pub(super) fn run_probe(&mut self, index: Index, pid: Pid) {
        let Some(Probe::Exec(argv)) =
            self.definitions[index].readiness.as_ref().map(|probing| probing.probe.clone())
        else {
            return;
        };
        if !self.is_starting(index, pid) {
            return;
        }
        let definition = &self.definitions[index];
        let mut command = Command::new(argv, definition.environment.clone());
        command.directory = Some(definition.directory.clone());
        command.user = definition.user;
        match command.spawn(self.inherited) {
            Ok(probe) => {
                let events = self.events.clone();
                let late = tokio::spawn(async move {
                    sleep(PROBE_COMMAND).await;
                    // A closed channel: we are ending.
                    let _ = events.send(Happening::ProbeCommandLate(probe)).await;
                });
                self.probes.insert(probe, ProbeProcess { service: index, generation: pid, late });
            }
            Err(error) => {
                tracing::warn!(service = self.name(index), "its readiness cannot be probed: {error}");
                self.probe_later(index, pid);
            }
        }
    }

    pub(super) fn probe_later(&mut self, index: Index, pid: Pid) {
        let Some(probing) =
            self.definitions[index].readiness.as_ref().filter(|_| self.is_starting(index, pid))
        else {
            return;
        };
        let pause = probing.interval.max(readiness::SHORTEST_INTERVAL);
        let events = self.events.clone();
        self.parts[index].probing = Some(tokio::spawn(async move {
            sleep(pause).await;
            let _ = events.send(Happening::ProbeCommand(index, pid)).await;
        }));
    }

    pub(super) fn probed(&mut self, index: Index, pid: Pid) {
        if self.is_starting(index, pid) {
            let actions = self.fleet.on(index, Event::BecameReady, Instant::now());
            self.perform(actions);
        }
    }
}
