//! What the log says of services.

use std::time::Duration;

use biomero_hooks::Exit;

use super::{Index, Shell};
use crate::reaper;
use crate::supervise::fleet::Outlook;
use crate::supervise::lifecycle::Action;

impl Shell {
    pub(super) fn tell(&self, index: Index, action: Action) {
        let service = self.name(index);
        match action {
            Action::TellStarted(pid) => tracing::info!(service, "started as process {pid}"),
            Action::TellReady(after) => tracing::info!(service, "ready after {}", spoken(after)),
            Action::TellNotReady(after) => {
                tracing::error!(
                    service,
                    "not ready after {}: stopping it (services.{service}.ready.deadline)",
                    spoken(after)
                );
            }
            Action::TellEnded(exit) => {
                let stopping = !matches!(self.fleet.outlook(), Outlook::Running);
                let by_request = Exit::Signal(self.definitions[index].stop_signal.get().into());
                let expected = stopping || [Exit::Code(0), by_request].contains(&exit);
                let how = reaper::describe(exit);
                if expected { tracing::info!(service, "{how}") } else { tracing::warn!(service, "{how}") }
            }
            Action::TellKilled(after) => {
                tracing::warn!(
                    service,
                    "still running {} after {}: killing its process group (services.{service}.stop.deadline)",
                    spoken(after),
                    self.definitions[index].stop_signal
                );
            }
            Action::TellRestart(pause) => {
                tracing::info!(service, "starts again in {}", spoken(pause))
            }
            Action::TellGaveUp { ends, within } => {
                let consequence =
                    if self.definitions[index].main { "the worker ends" } else { "the others go on" };
                tracing::error!(
                    service,
                    "ended {ends} times within {}: given up, {consequence}; read its output, then `init start {service}`",
                    spoken(within)
                );
            }
            Action::TellStopped => tracing::info!(service, "stopped"),
            Action::TellDependencyLost => {
                let lost = self.fleet.members()[index].depends_on.iter();
                let lost: Vec<_> = lost
                    .filter(|index| self.fleet.members()[**index].life.is_lost())
                    .map(|index| self.name(*index))
                    .collect();
                tracing::error!(service, "not started: it depends on {}, which failed", lost.join(", "));
            }
            _ => {}
        }
    }

    pub(super) fn tell_all_ready(&mut self) {
        let ready = self.fleet.members().iter().all(|member| member.life.satisfies());
        match self.all_ready {
            _ if !ready || self.fleet.outlook() != Outlook::Running => {}
            None => tracing::info!(
                "all services are ready after {}",
                spoken(self.start_up + self.began.elapsed())
            ),
            Some(false) => tracing::info!("all services are ready again"),
            Some(true) => {}
        }
        if ready || self.all_ready.is_some() {
            self.all_ready = Some(ready);
        }
    }
}

/// As a reader wants it: to the millisecond.
fn spoken(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    biomero_config::duration::display(Duration::from_millis(millis))
}
