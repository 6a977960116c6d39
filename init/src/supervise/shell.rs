//! Doing what the pure core says: processes, probes, deadlines, requests. Everything that happens arrives through one
//! bounded channel and is handled in one place.

mod answering;
mod probing;
mod telling;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use biomero_config::ServiceOutput;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::definition::Probe;
use super::fleet::{Fleet, Index, Outlook};
use super::lifecycle::{Action, Event, Policy};
use super::notify::{NotifySocket, Said};
use super::output::{Printed, Printer, Stream};
use super::{SYSTEM_FAILURE, ServiceDefinition, SuperviseOptions, leftovers};
use crate::control::server::{Asked, ControlError, ControlSocket};
use crate::reaper::{self, Pid};
use crate::signals::{Inherited, Signal, Signals};
use crate::spawn::{Command, system};

/// Events that wait to be handled; senders wait when it is full.
const MOST_WAITING: usize = 64;

/// A probing command that takes longer has failed.
const PROBE_COMMAND: Duration = Duration::from_secs(30);

/// Between two looks at whether a process group has gone: nothing tells us of the end of processes that are not ours.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long what services wrote may take to be read by whoever reads us.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Something that has happened.
#[derive(Debug)]
enum Happening {
    Signal(Signal),
    /// A probe of this service succeeded. The process id tells generations apart.
    Probed(Index, Pid),
    /// It is time to run a probing command.
    ProbeCommand(Index, Pid),
    /// A probing command takes too long.
    ProbeCommandLate(Pid),
    Said(Index, Said),
    Asked(Asked),
}

/// A service's running parts.
#[derive(Debug, Default)]
struct Parts {
    probing: Option<JoinHandle<()>>,
    /// `NOTIFY_SOCKET`.
    notify: Option<String>,
    says: Option<String>,
    /// The user it runs as.
    uid: u32,
}

/// A probing command that runs.
#[derive(Debug)]
struct ProbeProcess {
    service: Index,
    /// The service's process it was started for.
    generation: Pid,
    late: JoinHandle<()>,
}

struct Shell {
    definitions: Vec<ServiceDefinition>,
    parts: Vec<Parts>,
    probes: BTreeMap<Pid, ProbeProcess>,
    fleet: Fleet,
    inherited: Inherited,
    events: mpsc::Sender<Happening>,
    printer: Option<Printer>,
    began: Instant,
    start_up: Duration,
    hook_warnings: Vec<String>,
    stop_signals: u32,
    /// Whether all were ready when last looked at; `None` until they were for the first time.
    all_ready: Option<bool>,
}

/// Supervises until everything has ended.
pub(super) async fn supervise(options: SuperviseOptions, signals: Signals) -> u8 {
    if let Err(error) = reaper::become_subreaper() {
        tracing::warn!("orphans will not be collected: {error}");
    }
    let (events, mut happenings) = mpsc::channel(MOST_WAITING);
    let socket = match ControlSocket::open(&options.socket) {
        Ok(socket) => Some(socket),
        Err(error @ ControlError::AnotherInit { .. }) => {
            tracing::error!("{error}");
            return SYSTEM_FAILURE;
        }
        // Services matter more than asking after them: a read-only root is told of, not died of.
        Err(error) => {
            tracing::warn!("{error}");
            None
        }
    };
    let inherited = signals.inherited();
    if let Err(error) = listen(signals, events.clone()) {
        tracing::error!("cannot wait for signals: {error}");
        return SYSTEM_FAILURE;
    }
    let control = socket.map(|socket| tokio::spawn(socket.serve(events.clone())));
    let (mut shell, printed) = Shell::new(options, inherited, events);
    shell.start();
    let code = shell.run(&mut happenings).await;
    if let Some(control) = control {
        control.abort();
        // Aborted: it ends in an error by design; its socket file is gone with it.
        let _ = control.await;
    }
    shell.end_leftovers(&mut happenings).await;
    drop(shell);
    if let Some(printed) = printed {
        printed.wait(LAST_WORDS).await;
    }
    code
}

/// Turns the signal descriptor into events.
fn listen(signals: Signals, events: mpsc::Sender<Happening>) -> std::io::Result<()> {
    let mut signals = system::watch(signals)?;
    tokio::spawn(async move {
        loop {
            // Nothing can be done without signals but to go on with what runs.
            let Ok(mut ready) = signals.readable_mut().await else { return };
            match ready.get_inner_mut().try_next() {
                Ok(Some(received)) => {
                    if events.send(Happening::Signal(received.signal)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => ready.clear_ready(),
                Err(_) => return,
            }
        }
    });
    Ok(())
}

impl From<Asked> for Happening {
    fn from(asked: Asked) -> Self {
        Self::Asked(asked)
    }
}

impl Shell {
    fn new(
        options: SuperviseOptions,
        inherited: Inherited,
        events: mpsc::Sender<Happening>,
    ) -> (Self, Option<Printed>) {
        let definitions = options.services;
        let place = |name: &String| definitions.iter().position(|definition| definition.name == *name);
        let fleet = Fleet::new(
            definitions
                .iter()
                .map(|definition| {
                    let policy = Policy {
                        restart: definition.restart.clone(),
                        stop_deadline: definition.stop_deadline,
                        ready_within: definition.readiness.as_ref().map(|probing| probing.deadline),
                    };
                    let depends_on = definition.depends_on.iter().filter_map(place).collect();
                    (definition.name.clone(), definition.main, depends_on, policy)
                })
                .collect(),
        );
        let (printer, printed) = match options.output {
            ServiceOutput::Passthrough => (None, None),
            ServiceOutput::Prefixed => match Printer::start() {
                Ok((printer, printed)) => (Some(printer), Some(printed)),
                Err(error) => {
                    tracing::warn!("services' output is not prefixed: no thread for it: {error}");
                    (None, None)
                }
            },
        };
        let own_uid = nix::unistd::geteuid().as_raw();
        let parts = definitions
            .iter()
            .map(|definition| Parts {
                uid: definition.user.map_or(own_uid, |(uid, _)| uid),
                ..Parts::default()
            })
            .collect();
        let shell = Self {
            definitions,
            parts,
            probes: BTreeMap::new(),
            fleet,
            inherited,
            events,
            printer,
            began: Instant::now(),
            start_up: options.start_up,
            hook_warnings: options.hook_warnings,
            stop_signals: 0,
            all_ready: None,
        };
        (shell, printed)
    }

    fn name(&self, index: Index) -> &str {
        &self.definitions[index].name
    }

    fn start(&mut self) {
        for index in 0..self.definitions.len() {
            let notifies = self.definitions[index]
                .readiness
                .as_ref()
                .is_some_and(|probing| probing.probe == Probe::Notify);
            if notifies {
                self.open_notify(index);
            }
        }
        let actions = self.fleet.settle(Instant::now());
        self.perform(actions);
    }

    /// Without the socket the service cannot say that it is ready, and its deadline will tell.
    fn open_notify(&mut self, index: Index) {
        let socket = match NotifySocket::open(self.name(index)) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(service = self.name(index), "cannot open its NOTIFY_SOCKET: {error}");
                return;
            }
        };
        self.parts[index].notify = Some(socket.address());
        let events = self.events.clone();
        tokio::spawn(async move {
            while let Ok(said) = socket.receive().await {
                if events.send(Happening::Said(index, said)).await.is_err() {
                    return;
                }
            }
        });
    }

    async fn run(&mut self, happenings: &mut mpsc::Receiver<Happening>) -> u8 {
        loop {
            if let Outlook::Over(code) = self.fleet.outlook() {
                return code;
            }
            self.tell_all_ready();
            let now = Instant::now();
            let awaits_group = self.fleet.members().iter().any(|member| member.life.awaits_group());
            let look_again = awaits_group.then(|| now + LOOK_AGAIN);
            let wait = self.fleet.deadline().into_iter().chain(look_again).min();
            let happening = match wait {
                // A deadline that passes is as if nothing had happened: the states are looked at in any case.
                Some(until) => {
                    let wait = timeout(until.saturating_duration_since(now), happenings.recv());
                    wait.await.unwrap_or_default()
                }
                None => happenings.recv().await,
            };
            if let Some(happening) = happening {
                self.handle(happening);
            }
            self.look_at_groups();
            let actions = self.fleet.tick(Instant::now());
            self.perform(actions);
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Signal(Signal::CHLD) => self.reap(),
            Happening::Signal(signal) if signal.is_stop() => self.stop(signal),
            Happening::Signal(signal) => self.forward(signal),
            Happening::Probed(index, pid) => self.probed(index, pid),
            Happening::ProbeCommand(index, pid) => self.run_probe(index, pid),
            Happening::ProbeCommandLate(pid) => {
                if self.probes.contains_key(&pid) {
                    // Its end will be collected, and counts as a failed probe.
                    let _ = system::kill(-pid, Signal::KILL.get());
                }
            }
            Happening::Said(index, said) => self.heed(index, said),
            Happening::Asked(Asked { request, answer }) => {
                // Who asked may have gone.
                let _ = answer.send(self.answer(&request));
            }
        }
    }

    fn reap(&mut self) {
        for (pid, exit) in reaper::reap_all() {
            if let Some(index) = self.fleet.by_leader(pid) {
                let actions = self.fleet.on(index, Event::Ended(exit), Instant::now());
                self.perform(actions);
            } else if let Some(probe) = self.probes.remove(&pid) {
                probe.late.abort();
                if reaper::exit_code(exit) == 0 {
                    self.probed(probe.service, probe.generation);
                } else {
                    self.probe_later(probe.service, probe.generation);
                }
            } else {
                tracing::debug!("collected orphan {pid}, {}", reaper::describe(exit));
            }
        }
    }

    fn look_at_groups(&mut self) {
        for index in 0..self.definitions.len() {
            let life = &self.fleet.members()[index].life;
            if let (true, Some(leader)) = (life.awaits_group(), life.group())
                && system::kill(-leader, 0).is_err()
            {
                let actions = self.fleet.on(index, Event::GroupGone, Instant::now());
                self.perform(actions);
            }
        }
    }

    fn stop(&mut self, signal: Signal) {
        self.stop_signals += 1;
        let now = Instant::now();
        let actions = match self.fleet.outlook() {
            Outlook::Running => {
                tracing::info!("{signal} received: stopping all services");
                let has_main = self.definitions.iter().any(|definition| definition.main);
                let code = if has_main { 128 + signal.get() } else { 0 };
                self.fleet.stop(code, now)
            }
            _ if self.stop_signals > 1 && signal != Signal::TERM => {
                tracing::warn!("{signal} received again: killing what still runs");
                self.fleet.kill(now)
            }
            _ => {
                tracing::info!("{signal} received again: still stopping");
                return;
            }
        };
        self.perform(actions);
    }

    fn forward(&self, signal: Signal) {
        tracing::debug!("{signal} received: forwarding to all services");
        for leader in self.fleet.members().iter().filter_map(|member| member.life.group()) {
            // One that ends just now needs no signal.
            let _ = system::kill(-leader, signal.get());
        }
    }

    fn perform(&mut self, actions: Vec<(Index, Action)>) {
        let mut queue = VecDeque::from(actions);
        while let Some((index, action)) = queue.pop_front() {
            match action {
                Action::Spawn => {
                    let event = self.spawn(index);
                    queue.extend(self.fleet.on(index, event, Instant::now()));
                }
                Action::StartProbing => self.start_probing(index),
                Action::StopProbing => self.stop_probing(index),
                Action::Signal => self.signal_group(index, self.definitions[index].stop_signal),
                Action::Kill => self.signal_group(index, Signal::KILL),
                tell => self.tell(index, tell),
            }
        }
    }

    fn signal_group(&self, index: Index, signal: Signal) {
        if let Some(leader) = self.fleet.members()[index].life.group() {
            // A group that has gone already is what we want. A stopped one must be woken to take its signal.
            let _ = system::kill(-leader, signal.get());
            let _ = system::kill(-leader, Signal::CONT.get());
        }
    }

    fn spawn(&mut self, index: Index) -> Event {
        match self.try_spawn(index) {
            Ok(pid) => Event::Spawned(pid),
            Err((reason, code)) => {
                tracing::error!(service = self.name(index), "{reason}");
                Event::SpawnFailed { code }
            }
        }
    }

    fn try_spawn(&mut self, index: Index) -> Result<Pid, (String, u8)> {
        let definition = &self.definitions[index];
        let mut command = Command::new(definition.argv.clone(), definition.environment.clone());
        command.directory = Some(definition.directory.clone());
        command.user = definition.user;
        match &self.parts[index].notify {
            Some(address) => command.environment.set("NOTIFY_SOCKET", address),
            // Ours, if init itself was started by systemd: not a service's to answer on.
            None => command.environment.unset("NOTIFY_SOCKET"),
        }
        self.parts[index].says = None;
        let pipe = |stream| -> Result<Option<OwnedFd>, (String, u8)> {
            let piped =
                self.printer.as_ref().map(|printer| printer.pipe(&definition.name, stream)).transpose();
            piped.map_err(|error| (format!("no pipe for its output: {error}"), 126))
        };
        let (out, error) = (pipe(Stream::Out)?, pipe(Stream::Error)?);
        command
            .spawn_with(self.inherited, [None, out.as_ref(), error.as_ref()])
            .map_err(|error| (error.to_string(), error.exit_code()))
    }

    fn heed(&mut self, index: Index, said: Said) {
        if said.uid != 0 && said.uid != self.parts[index].uid {
            tracing::warn!(
                service = self.name(index),
                "process {} of user {} speaks in its name and is not heeded",
                said.pid,
                said.uid
            );
            return;
        }
        // Also of a service that has ended since: why it did is what it said last.
        if let Some(status) = said.message.status {
            tracing::debug!(service = self.name(index), "says: {status}");
            self.parts[index].says = Some(status);
        }
        if said.message.stopping {
            tracing::info!(service = self.name(index), "says that it is stopping");
        }
        if said.message.ready
            && let Some(leader) = self.fleet.members()[index].life.group()
        {
            self.probed(index, leader);
        }
    }

    /// Ends what services left behind outside of their groups: TERM, then KILL.
    async fn end_leftovers(&mut self, happenings: &mut mpsc::Receiver<Happening>) {
        self.reap();
        if !leftovers::any() {
            return;
        }
        tracing::info!("ending processes that services left behind");
        for (signal, grace) in [(Signal::TERM, leftovers::GRACE), (Signal::KILL, leftovers::AFTER_KILL)] {
            if signal == Signal::KILL {
                tracing::warn!("processes that services left behind ignored SIGTERM: killing them");
            }
            leftovers::send(signal);
            leftovers::send(Signal::CONT);
            let until = Instant::now() + grace;
            while Instant::now() < until {
                if let Ok(Some(Happening::Signal(again))) =
                    timeout(leftovers::LOOK_AGAIN, happenings.recv()).await
                    && again.is_stop()
                    && again != Signal::TERM
                {
                    break;
                }
                self.reap();
                if !leftovers::any() {
                    return;
                }
                // Orphans of those that ended are ours now.
                if signal == Signal::KILL {
                    leftovers::send(signal);
                }
            }
        }
    }
}
