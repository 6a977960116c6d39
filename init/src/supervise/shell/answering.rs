//! What the control socket is answered.

use std::time::{Duration, Instant};

use super::Shell;
use crate::control::{Answer, Phase, Request, ServiceStatus, Status, Verb};
use crate::reaper;
use crate::supervise::fleet::Outlook;
use crate::supervise::lifecycle::{Event, State};

impl Shell {
    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        let Some(name) = &request.service else {
            return match request.verb {
                Verb::Status => Answer::Status(Box::new(self.status())),
                _ => Answer::Refused("name a service, as in `init restart node`".to_owned()),
            };
        };
        let Some(index) = self.fleet.by_name(name) else {
            let known: Vec<_> = self.definitions.iter().map(|definition| definition.name.as_str()).collect();
            return Answer::Refused(format!(
                "there is no service \"{name}\": the services are {}",
                known.join(", ")
            ));
        };
        if self.fleet.outlook() != Outlook::Running {
            return Answer::Refused("init is stopping all services".to_owned());
        }
        let (event, done) = match request.verb {
            Verb::Status => return Answer::Status(Box::new(self.status())),
            Verb::Restart => (Event::Restart, "restarting"),
            Verb::Stop => (Event::Stop, "stopping"),
            Verb::Start => (Event::Start, "starting"),
        };
        tracing::info!(service = name, "{done} on request");
        let actions = self.fleet.on(index, event, Instant::now());
        self.perform(actions);
        Answer::Done(format!("{done} {name}"))
    }

    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        let services = self.fleet.members().iter().zip(&self.parts).map(|(member, parts)| {
            let (state, since) = match member.life.state() {
                State::Waiting => ("waiting", None),
                State::Spawning => ("starting", None),
                State::Starting { since, .. } => ("starting", Some(since)),
                State::Ready { since, .. } => ("ready", Some(since)),
                State::Stopping { since, .. } => ("stopping", Some(since)),
                State::BackingOff { .. } => ("backing-off", None),
                State::Stopped { on_request: true } => ("stopped", None),
                State::Stopped { on_request: false } => ("completed", None),
                State::Failed => ("failed", None),
                State::GaveUp => ("gave-up", None),
            };
            ServiceStatus {
                name: member.name.clone(),
                state: state.to_owned(),
                ready: member.life.satisfies(),
                main: member.main,
                pid: member.life.group(),
                running_s: since.map(|since| to_millis(now.saturating_duration_since(since))),
                restarts: member.life.restarts(),
                last_exit: member.life.last_exit().map(reaper::describe),
                says: parts.says.clone(),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            phase: if self.fleet.outlook() == Outlook::Running { Phase::Running } else { Phase::Stopping },
            start_up_ms: (self.start_up.as_secs_f64() * 1e5).round() / 1e2,
            uptime_s: to_millis(self.began.elapsed()),
            hook_warnings: self.hook_warnings.clone(),
            services: services.collect(),
        }
    }
}

/// Seconds, to the millisecond.
fn to_millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}
