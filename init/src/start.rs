//! The start-up: settings, hooks, then services or one command. Each step may end it with one message and one code.

use std::path::Path;
use std::time::{Duration, Instant};

use biomero_config::{Environment, Loaded, Settings, Sources};
use biomero_hooks::component::{Level, Line};
use biomero_hooks::{
    Applied, Change, Disk, Effect, FailureClass, HookFailure, Identity, Observer, Overlay, Scheduled, Site,
    StepError,
};

use crate::command_line::{Common, Start};
use crate::signals::Signals;
use crate::{exit_code, identity, log, machine, output, passthrough, spawn, supervise};

/// An end of the start-up, already told to whoever reads the log.
pub(crate) type Ended = u8;

/// Runs hooks and then the command or the services.
pub(crate) fn start(common: &Common, options: &Start, environment: &Environment) -> Ended {
    match try_start(common, options, environment) {
        Ok(code) | Err(code) => code,
    }
}

/// Runs the hooks and ends.
pub(crate) fn apply_only(common: &Common, environment: &Environment) -> Ended {
    let run = || -> Result<(), Ended> {
        let signals = install_signals()?;
        let loaded = load(common, environment)?;
        log::install(&loaded.settings.log);
        let (_signals, outcome) = run_hooks(common, &loaded, environment, &[], signals)?;
        if outcome.applied.warnings.is_empty() { Ok(()) } else { Err(exit_code::FAILURE) }
    };
    run().err().unwrap_or(exit_code::SUCCESS)
}

fn try_start(common: &Common, options: &Start, environment: &Environment) -> Result<Ended, Ended> {
    let began = Instant::now();
    let signals = install_signals()?;
    let options = passthrough_options(options)?;
    // `init --no-hooks -- COMMAND` asks for nothing that a setting could change: it starts as fast as tini.
    if let (true, Some(command)) = (options.no_hooks, &options.command) {
        return Ok(passthrough::run(command, &options.passthrough, environment, None, signals));
    }
    let loaded = load(common, environment)?;
    log::install(&loaded.settings.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let arguments: Vec<String> =
        options.command.iter().flatten().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let (signals, outcome) = if options.no_hooks {
        (signals, Outcome::without_hooks(&loaded.settings, environment, &common.root)?)
    } else {
        run_hooks(common, &loaded, environment, &arguments, signals)?
    };
    let environment = service_environment(outcome.applied.environment, &outcome.identity);
    match &options.command {
        Some(command) => Ok(passthrough::run(
            command,
            &options.passthrough,
            &environment,
            Some(&outcome.identity),
            signals,
        )),
        None => {
            let services =
                supervise::ServiceDefinition::resolve_all(&loaded.settings, &outcome.identity, &environment)
                    .map_err(|error| fail(exit_code::CONFIGURATION, error))?;
            Ok(supervise::run(
                supervise::SuperviseOptions {
                    services,
                    socket: loaded.settings.state.socket.clone(),
                    output: loaded.settings.log.services,
                    start_up: began.elapsed(),
                    hook_warnings: outcome.applied.warnings,
                },
                signals,
            ))
        }
    }
}

/// Command and passthrough options as they were typed, checked.
struct Checked {
    no_hooks: bool,
    command: Option<Vec<std::ffi::OsString>>,
    passthrough: passthrough::Options,
}

fn passthrough_options(options: &Start) -> Result<Checked, Ended> {
    let usage = |message: String| fail(exit_code::USAGE, message);
    let mut passthrough = passthrough::Options {
        wait_descendants: options.wait_descendants,
        subreaper: options.subreaper,
        ..passthrough::Options::default()
    };
    for rewrite in &options.rewrite {
        passthrough.rewrite(rewrite).map_err(|error| usage(format!("--rewrite {rewrite}: {error}")))?;
    }
    if let Some(delay) = &options.term_delay {
        passthrough.term_delay = biomero_config::duration::parse(delay)
            .map_err(|error| usage(format!("--term-delay: {error}")))?;
    }
    let command = (!options.command.is_empty()).then(|| options.command.clone());
    Ok(Checked { no_hooks: options.no_hooks, command, passthrough })
}

fn install_signals() -> Result<Signals, Ended> {
    Signals::install().map_err(|error| fail(exit_code::SYSTEM, error))
}

/// Loads all settings; what is wrong is told, all of it.
pub(crate) fn load(common: &Common, environment: &Environment) -> Result<Loaded, Ended> {
    let sources = Sources {
        root: common.root.clone(),
        environment: environment.clone(),
        command_line: common.set.clone(),
    };
    biomero_config::load(&sources).map_err(|error| fail(exit_code::CONFIGURATION, error))
}

pub(crate) fn identify(
    settings: &Settings,
    environment: &Environment,
    root: &Path,
) -> Result<Identity, Ended> {
    identity::identify(settings, environment, root).map_err(|error| fail(exit_code::CONFIGURATION, error))
}

/// All hooks of this worker, in order.
pub(crate) fn schedule(
    loaded: &Loaded,
    disk: &Disk,
    identity: &Identity,
    arguments: &[String],
) -> Result<Vec<Scheduled>, Ended> {
    let site = Site { settings: &loaded.settings, values: &loaded.values, disk, identity, arguments };
    biomero_hooks::schedule(biomero_hooks::builtin::all(), &site)
        .map_err(|error| fail(exit_code::CONFIGURATION, error))
}

struct Outcome {
    identity: Identity,
    applied: Applied,
}

impl Outcome {
    fn without_hooks(settings: &Settings, environment: &Environment, root: &Path) -> Result<Self, Ended> {
        let applied = Applied {
            environment: environment.clone(),
            manifest: biomero_hooks::Manifest::default(),
            warnings: Vec::new(),
        };
        Ok(Self { identity: identify(settings, environment, root)?, applied })
    }
}

fn run_hooks(
    common: &Common,
    loaded: &Loaded,
    environment: &Environment,
    arguments: &[String],
    signals: Signals,
) -> Result<(Signals, Outcome), Ended> {
    let settings = &loaded.settings;
    let identity = identify(settings, environment, &common.root)?;
    let disk = Disk::below(&common.root);
    let hooks = schedule(loaded, &disk, &identity, arguments)?;
    spawn::system::keep_large_blocks_apart();
    let began = Instant::now();
    let start = biomero_hooks::Start {
        settings,
        identity: &identity,
        environment,
        // Below a root there is a container's tree and not its machine: its programs are not for here.
        run_programs: common.root == Path::new("/"),
    };
    let overlay = Overlay::over(disk);
    let mut machine = machine::PidOne::new(signals);
    let applied = biomero_hooks::apply(&start, &hooks, &overlay, &mut machine, &mut LogObserver);
    // Of a start-up that was aborted too: `init hooks` tells which hook failed.
    let manifest = match &applied {
        Ok(applied) => &applied.manifest,
        Err(aborted) => &aborted.manifest,
    };
    if let Err(error) = manifest.store(&manifest_path(settings, overlay.disk())) {
        tracing::warn!("{error}");
    }
    let applied = applied.map_err(|aborted| tell(&aborted.failure))?;
    drop(hooks);
    spawn::system::release_memory();
    let files = applied.manifest.len();
    tracing::info!(files, took_ms = milliseconds(began.elapsed()), "hooks done");
    Ok((machine.into_signals(), Outcome { identity, applied }))
}

pub(crate) fn manifest_path(settings: &Settings, disk: &Disk) -> std::path::PathBuf {
    let path = settings.state.directory.join("manifest.json");
    disk.locate(&path, true).unwrap_or(path)
}

/// When `init` is root its services are not, and their environment says so.
fn service_environment(mut environment: Environment, identity: &Identity) -> Environment {
    if identity.uid == 0 && identity.service_uid != 0 {
        environment.set("HOME", identity.service_home.as_os_str());
        environment.set("USER", &identity.service_name);
        environment.set("LOGNAME", &identity.service_name);
    }
    environment
}

/// Says what went wrong before there was a log.
fn fail(code: u8, message: impl std::fmt::Display) -> Ended {
    output::error(message);
    code
}

/// Says which hook ended the start-up.
fn tell(failure: &HookFailure) -> Ended {
    let class = failure.source.class();
    match class {
        FailureClass::Interrupted(ref signal) => {
            tracing::warn!(hook = failure.hook, "start-up interrupted by SIG{signal}");
        }
        _ => tracing::error!("start-up ended: {failure}"),
    }
    exit_code::of_failure(&class)
}

/// Tells the log what the hooks do.
struct LogObserver;

impl Observer for LogObserver {
    fn starts(&mut self, hook: &Scheduled) {
        match &hook.skipped {
            Some(reason) => tracing::info!(hook = hook.name, "skipped: {reason}"),
            None => tracing::debug!(hook = hook.name, origin = %hook.origin, "starts"),
        }
    }

    fn effect(&mut self, hook: &Scheduled, effect: &Effect, change: &Change) {
        if let Effect::Notice(notice) = effect {
            tracing::warn!(hook = hook.name, "{notice}");
        } else if change.changes_the_machine() {
            tracing::debug!(hook = hook.name, "{}", biomero_hooks::sentence(effect, change));
        }
    }

    fn retries(&mut self, hook: &Scheduled, error: &StepError, pause: Duration) {
        tracing::warn!(hook = hook.name, "{error}; next try in {}", biomero_config::duration::display(pause));
    }

    fn warns(&mut self, failure: &HookFailure) {
        tracing::warn!("{failure}; going on, for hooks.{}.on_failure is \"warn\"", failure.hook);
    }

    fn says(&mut self, hook: &Scheduled, line: &Line) {
        match line.level {
            Level::Debug => tracing::debug!(hook = hook.name, "says: {}", line.text),
            Level::Info => tracing::info!(hook = hook.name, "says: {}", line.text),
            Level::Warn => tracing::warn!(hook = hook.name, "says: {}", line.text),
        }
    }

    fn falls_back(&mut self, hook: &Scheduled, error: &StepError) {
        tracing::warn!(hook = hook.name, "{error}; the component that last ran well takes its place");
    }

    fn ends(&mut self, hook: &Scheduled, changed: usize, took: Duration) {
        tracing::info!(hook = hook.name, changed, took_ms = milliseconds(took), "done");
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
