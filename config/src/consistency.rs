//! What no key can say alone: references between services, and combinations of which one part could never act.

use std::collections::BTreeMap;

use crate::layer::{Problem, dotted};
use crate::load::Places;
use crate::nearest::nearest;
use crate::{Readiness, Service, Settings, WorkerMode};

/// A path of a Unix socket is at most this long, its NUL included.
const LONGEST_SOCKET_PATH: usize = 108;

/// Adds to `problems` what cannot work and to `warnings` what has no effect.
///
/// A service that already has a problem of its own is left out: what would be found there follows from it.
pub(crate) fn check(
    settings: &Settings,
    places: &Places<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    let mut found = Findings { places, problems: Vec::new() };
    let enabled: BTreeMap<&str, &Service> = settings
        .services
        .iter()
        .filter(|(_, service)| service.enabled)
        .map(|(name, service)| (name.as_str(), service))
        .collect();
    let sound = |name: &str| {
        !problems.iter().any(|problem| {
            problem.key.first().is_some_and(|top| top == "services")
                && problem.key.get(1).is_some_and(|key| key == name)
        })
    };
    for (name, service) in &enabled {
        if sound(name) {
            found.service(name, service);
            found.dependencies(name, service, settings);
        }
    }
    found.cycle(&enabled);
    found.main(&enabled);
    found.worker(settings);
    found.paths(settings);
    problems.append(&mut found.problems);

    if settings.slurm_config.authoritative.is_some() && places.is_set(&["slurm_config", "files"]) {
        warnings.push(format!(
            "{}: slurm_config.files has no effect because slurm_config.authoritative ({}) names the one file to read; remove one",
            places.of(&["slurm_config", "files"]),
            places.of(&["slurm_config", "authoritative"]),
        ));
    }
}

struct Findings<'a> {
    places: &'a Places<'a>,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    fn add(&mut self, key: &[&str], message: &str) {
        let origin = self.places.of(key);
        let key: Vec<String> = key.iter().map(|segment| (*segment).to_owned()).collect();
        let message = format!("{origin}: {}: {message}", dotted(&key));
        self.problems.push(Problem { key, message });
    }

    fn service(&mut self, name: &str, service: &Service) {
        match (&service.launcher, service.command.first()) {
            (Some(_), _) if name != "node" => {
                self.add(
                    &["services", name, "launcher"],
                    "only the service \"node\" has a launcher; write a command instead",
                );
            }
            (Some(_), Some(_)) => self.add(
                &["services", name, "command"],
                "has no effect beside services.node.launcher; remove one of the two",
            ),
            (None, None) => {
                let message =
                    "has no command; write command = [\"PROGRAM\", \"ARGUMENT\"], or enabled = false";
                self.add(&["services", name], message);
            }
            (None, Some(program)) if program.is_empty() => {
                self.add(&["services", name, "command"], "the program is empty; write its path");
            }
            _ => {}
        }
        if service.restart.max_delay < service.restart.delay {
            self.add(
                &["services", name, "restart", "max_delay"],
                "is shorter than restart.delay; make it at least as long",
            );
        }
        if let Some(ready) = &service.ready {
            self.readiness(name, ready);
        }
    }

    fn readiness(&mut self, name: &str, ready: &Readiness) {
        let ways: Vec<&str> = [
            ("tcp", ready.tcp.is_some()),
            ("path", ready.path.is_some()),
            ("exec", ready.exec.is_some()),
            ("notify", ready.notify),
        ]
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(way, _)| way)
        .collect();
        match ways[..] {
            [_] => {}
            [] => self.add(
                &["services", name, "ready"],
                "says no way to know that the service is ready; add one of tcp, path, exec or notify = true",
            ),
            _ => {
                let message = format!(
                    "says {} ways ({}) of which only one can count; keep one",
                    ways.len(),
                    ways.join(", ")
                );
                self.add(&["services", name, "ready"], &message);
            }
        }
        if ready.exec.as_ref().is_some_and(|command| command.first().is_none_or(String::is_empty)) {
            self.add(&["services", name, "ready", "exec"], "is empty; write [\"PROGRAM\", \"ARGUMENT\"]");
        }
        if ready.interval > ready.deadline {
            self.add(
                &["services", name, "ready", "interval"],
                "is longer than ready.deadline, so that only one probe is made; shorten it",
            );
        }
    }

    fn dependencies(&mut self, name: &str, service: &Service, settings: &Settings) {
        for wanted in &service.depends_on {
            let message = match settings.services.get(wanted) {
                Some(other) if other.enabled => continue,
                Some(_) => format!(
                    "\"{name}\" depends on \"{wanted}\", which is disabled; enable it or drop the dependency"
                ),
                None => {
                    let others = settings.services.keys().map(String::as_str).filter(|other| *other != name);
                    let hint = nearest(wanted, others)
                        .map_or(String::new(), |other| format!("; did you mean \"{other}\"?"));
                    format!("\"{name}\" depends on \"{wanted}\", which is no service{hint}")
                }
            };
            self.add(&["services", name, "depends_on"], &message);
        }
    }

    /// Takes away services whose dependencies are all taken away; what stays is in a cycle or behind one.
    fn cycle(&mut self, enabled: &BTreeMap<&str, &Service>) {
        let mut open: BTreeMap<&str, Vec<&str>> = enabled
            .iter()
            .map(|(name, service)| {
                let wanted = service
                    .depends_on
                    .iter()
                    .map(String::as_str)
                    .filter(|wanted| enabled.contains_key(wanted));
                (*name, wanted.collect())
            })
            .collect();
        loop {
            let free: Vec<&str> =
                open.iter().filter(|(_, wanted)| wanted.is_empty()).map(|(name, _)| *name).collect();
            if free.is_empty() {
                break;
            }
            open.retain(|name, _| !free.contains(name));
            for wanted in open.values_mut() {
                wanted.retain(|name| !free.contains(name));
            }
        }
        let Some(first) = open.keys().next() else { return };
        let mut round = vec![*first];
        loop {
            let next = open[round[round.len() - 1]][0];
            if let Some(start) = round.iter().position(|name| *name == next) {
                round.drain(..start);
                round.push(next);
                break;
            }
            round.push(next);
        }
        let path: Vec<String> = round.iter().map(|name| format!("\"{name}\"")).collect();
        let message = if round.len() == 2 {
            format!("{} depends on itself; drop that", path[0])
        } else {
            format!("services wait for each other: {}; drop one of these dependencies", path.join(" → "))
        };
        self.add(&["services", round[0], "depends_on"], &message);
    }

    fn main(&mut self, enabled: &BTreeMap<&str, &Service>) {
        let mains: Vec<&str> =
            enabled.iter().filter(|(_, service)| service.main).map(|(name, _)| *name).collect();
        if mains.len() > 1 {
            // The site's own line is where the remedy is, not the shipped default it collides with.
            let written = mains.iter().rev().find(|name| self.places.is_set(&["services", name, "main"]));
            let last = written.copied().unwrap_or(mains[0]);
            let names: Vec<String> = mains.iter().map(|name| format!("\"{name}\"")).collect();
            let message = format!(
                "only one service can be the main one, but {} are; write main = false for the others",
                names.join(" and ")
            );
            self.add(&["services", last, "main"], &message);
        }
    }

    fn worker(&mut self, settings: &Settings) {
        if settings.worker_mode() == WorkerMode::Internal && settings.worker.bind.is_some() {
            let why = match settings.worker.mode {
                WorkerMode::Internal => "worker.mode = \"internal\"",
                _ => "an internal worker, which worker.mode = \"auto\" is without CONFIG_omero_master_port,",
            };
            let message = format!(
                "has no effect: {why} listens on the address it announces; write worker.mode = \"external\", or remove worker.bind"
            );
            self.add(&["worker", "bind"], &message);
        }
    }

    fn paths(&mut self, settings: &Settings) {
        let slurm = &settings.slurm_config;
        // The one file that is read may be it: `init` names it to what it starts.
        if slurm.authoritative.is_none() && slurm.files.contains(&slurm.rendered) {
            let message = format!(
                "{} is also one of the files it is merged from; name another file",
                slurm.rendered.display()
            );
            self.add(&["slurm_config", "rendered"], &message);
        }
        if settings.ssh.source == settings.ssh.target {
            self.add(&["ssh", "target"], "is the same folder as ssh.source; name another one");
        }
        for (key, path) in [
            (["ssh", "target"], &settings.ssh.target),
            (["temporary", "directory"], &settings.temporary.directory),
            (["temporary", "user_directory"], &settings.temporary.user_directory),
            (["state", "directory"], &settings.state.directory),
        ] {
            if path.components().count() < 2
                || path.components().any(|part| part == std::path::Component::ParentDir)
            {
                let message = format!(
                    "{} is not a folder that init may own; name one of its own, without \"..\"",
                    path.display()
                );
                self.add(&key, &message);
            }
        }
        if settings.state.socket.as_os_str().len() >= LONGEST_SOCKET_PATH {
            self.add(
                &["state", "socket"],
                "is longer than the 107 bytes a socket's path may have; shorten it",
            );
        }
    }
}
