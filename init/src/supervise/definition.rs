//! What a service is, resolved from the settings: everything that can be wrong with it is found before any starts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_config::{Environment, Launcher, Readiness, Restart, Service, Settings};
use biomero_hooks::Identity;

use crate::signals::Signal;

/// One service, ready to be started.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServiceDefinition {
    /// As in `[services.NAME]`.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) argv: Vec<OsString>,
    /// The whole environment.
    pub(crate) environment: Environment,
    /// Working directory.
    pub(crate) directory: PathBuf,
    /// User and group to become; `None` when `init` is not root or the service runs as root.
    pub(crate) user: Option<(u32, u32)>,
    /// Names of the services that must be ready first.
    pub(crate) depends_on: Vec<String>,
    /// How it is known to be ready; at once when absent.
    pub(crate) readiness: Option<Probing>,
    /// Its end ends the worker.
    pub(crate) main: bool,
    /// When and how it is started again.
    pub(crate) restart: Restart,
    /// Sent to its process group to stop it.
    pub(crate) stop_signal: Signal,
    /// Time until KILL.
    pub(crate) stop_deadline: Duration,
}

/// How a service is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probing {
    /// The way.
    pub(crate) probe: Probe,
    /// Time until it must be ready.
    pub(crate) deadline: Duration,
    /// Time between two probes.
    pub(crate) interval: Duration,
}

/// The four ways of being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// `host:port` accepts a connection.
    Tcp(String),
    /// A path exists.
    Path(PathBuf),
    /// A command exits 0.
    Exec(Vec<OsString>),
    /// It says so itself.
    Notify,
}

/// A service that cannot be as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DefinitionError {
    /// Nothing to supervise.
    #[error("no service is enabled: enable one in [services], or name a command (`init -- COMMAND`)")]
    NoServices,
    /// Neither a command nor a launcher.
    #[error(
        "services.{service}.command is empty: write the program and its arguments, as [\"sleep\", \"60\"]"
    )]
    NoCommand {
        /// Its name.
        service: String,
    },
    /// A launcher for another service.
    #[error(
        "services.{service}.launcher: only the service `node` has a launcher; write services.{service}.command"
    )]
    NoLauncher {
        /// Its name.
        service: String,
    },
    /// A signal that does not exist.
    #[error("services.{service}.stop.signal: {reason}")]
    Signal {
        /// Its name.
        service: String,
        /// What is wrong.
        reason: String,
    },
    /// A user that does not exist.
    #[error(
        "services.{service}.user: there is no user \"{user}\" here: write a name of /etc/passwd, a number, or UID:GID"
    )]
    User {
        /// Its name.
        service: String,
        /// As it is written.
        user: String,
    },
    /// Not exactly one of the four ways.
    #[error(
        "services.{service}.ready: {given} of `tcp`, `path`, `exec` and `notify` are given: write exactly one"
    )]
    Readiness {
        /// Its name.
        service: String,
        /// How many.
        given: usize,
    },
    /// A dependency that is not there.
    #[error("services.{service}.depends_on names \"{missing}\", which is {}: the services are {known}",
        if *disabled { "disabled" } else { "no service" })]
    Missing {
        /// Its name.
        service: String,
        /// What it depends on.
        missing: String,
        /// Whether it is there and `enabled = false`.
        disabled: bool,
        /// The enabled ones.
        known: String,
    },
    /// Services that wait for each other.
    #[error("services wait for each other: {}: remove one of these from `depends_on`", circle.join(" -> "))]
    Cycle {
        /// The first is also the last.
        circle: Vec<String>,
    },
}

/// What the conversion asks of the machine.
pub(super) struct Facts<'a> {
    /// Whether a file exists.
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
    /// The account of a user's name or number.
    pub(super) account: &'a dyn Fn(&str) -> Option<Account>,
}

/// Who a service runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Name and home directory, where the system knows them.
    pub(super) known_as: Option<(String, PathBuf)>,
}

impl ServiceDefinition {
    /// All enabled services, in an order in which each comes after what it depends on.
    ///
    /// # Errors
    /// The first [`DefinitionError`], in the order of the services' names.
    pub(crate) fn resolve_all(
        settings: &Settings,
        identity: &Identity,
        environment: &Environment,
    ) -> Result<Vec<Self>, DefinitionError> {
        let facts = Facts { exists: &|path| path.exists(), account: &look_up };
        Self::resolve_with(settings, identity, environment, &facts)
    }

    pub(super) fn resolve_with(
        settings: &Settings,
        identity: &Identity,
        environment: &Environment,
        facts: &Facts<'_>,
    ) -> Result<Vec<Self>, DefinitionError> {
        let mut all = BTreeMap::new();
        for (name, service) in settings.services.iter().filter(|(_, service)| service.enabled) {
            all.insert(name.clone(), Self::resolve(settings, identity, environment, facts, name, service)?);
        }
        if all.is_empty() {
            return Err(DefinitionError::NoServices);
        }
        ordered(&all, &settings.services)
    }

    fn resolve(
        settings: &Settings,
        identity: &Identity,
        environment: &Environment,
        facts: &Facts<'_>,
        name: &str,
        service: &Service,
    ) -> Result<Self, DefinitionError> {
        let named = || name.to_owned();
        let mut environment = environment.clone();
        let argv = match (service.command.as_slice(), service.launcher) {
            ([], None) => return Err(DefinitionError::NoCommand { service: named() }),
            ([], Some(_)) if name != "node" => return Err(DefinitionError::NoLauncher { service: named() }),
            ([], Some(Launcher::Icegridnode)) => icegridnode(settings, facts, &mut environment),
            ([], Some(Launcher::OmeroNode)) => omero_node(settings),
            (command, _) => command.iter().map(OsString::from).collect(),
        };
        if name == "node" {
            prepend(&mut environment, "PATH", &settings.processor.shim);
        }
        let account = match &service.user {
            None => Account { uid: identity.service_uid, gid: identity.service_gid, known_as: None },
            Some(user) => (facts.account)(user)
                .or_else(|| numeric(user))
                .ok_or_else(|| DefinitionError::User { service: named(), user: user.clone() })?,
        };
        if let (0, Some((name, home))) = (identity.uid, &account.known_as) {
            environment.set("HOME", home);
            environment.set("USER", name);
            environment.set("LOGNAME", name);
        }
        for (name, value) in &service.environment {
            environment.set(name, value.reveal());
        }
        let stop_signal = service.stop.signal.parse().map_err(|error: crate::signals::UnknownSignal| {
            DefinitionError::Signal { service: named(), reason: error.to_string() }
        })?;
        Ok(Self {
            name: named(),
            argv,
            environment,
            directory: service.directory.clone().unwrap_or_else(|| settings.omero.directory.clone()),
            user: (identity.uid == 0 && account.uid != 0).then_some((account.uid, account.gid)),
            depends_on: service.depends_on.clone(),
            readiness: service.ready.as_ref().map(|ready| probing(name, ready)).transpose()?,
            main: service.main,
            restart: service.restart.clone(),
            stop_signal,
            stop_deadline: service.stop.deadline,
        })
    }
}

/// The argv and environment that `omero node NAME start` ends in.
fn icegridnode(settings: &Settings, facts: &Facts<'_>, environment: &mut Environment) -> Vec<OsString> {
    let omero = &settings.omero.directory;
    let name = &settings.worker.name;
    let mut files = vec![omero.join("etc/internal.cfg"), omero.join(format!("etc/{name}.cfg"))];
    files.extend(Some(omero.join("etc/Linux.cfg")).filter(|file| (facts.exists)(file)));
    let mut option = OsString::from("--Ice.Config=");
    for (at, file) in files.iter().enumerate() {
        if at > 0 {
            option.push(",");
        }
        option.push(file);
    }
    environment.set("OMERO_NODE", name);
    append(environment, "PYTHONPATH", &omero.join("var/lib"));
    append(environment, "PATH", &settings.omero.virtual_environment.join("bin"));
    vec!["icegridnode".into(), option, "--nochdir".into()]
}

fn omero_node(settings: &Settings) -> Vec<OsString> {
    let omero = settings.omero.virtual_environment.join("bin/omero");
    vec![
        omero.into(),
        "node".into(),
        settings.worker.name.clone().into(),
        "start".into(),
        "--foreground".into(),
    ]
}

/// Adds a folder at the end of a list of folders.
fn append(environment: &mut Environment, name: &str, folder: &Path) {
    let mut value = environment.get_os(name).cloned().unwrap_or_default();
    if !value.is_empty() {
        value.push(":");
    }
    value.push(folder);
    environment.set(name, value);
}

/// Adds a folder at the beginning of a list of folders, which may be as the system has it.
fn prepend(environment: &mut Environment, name: &str, folder: &Path) {
    let mut value = folder.as_os_str().to_owned();
    if let Some(others) = environment.get_os(name).filter(|others| !others.is_empty()) {
        value.push(":");
        value.push(others);
    }
    environment.set(name, value);
}

fn probing(service: &str, ready: &Readiness) -> Result<Probing, DefinitionError> {
    let mut probes = Vec::new();
    probes.extend(ready.tcp.clone().map(Probe::Tcp));
    probes.extend(ready.path.clone().map(Probe::Path));
    probes.extend(
        ready
            .exec
            .as_ref()
            .filter(|argv| !argv.is_empty())
            .map(|argv| Probe::Exec(argv.iter().map(OsString::from).collect())),
    );
    probes.extend(ready.notify.then_some(Probe::Notify));
    match <[Probe; 1]>::try_from(probes) {
        Ok([probe]) => Ok(Probing { probe, deadline: ready.deadline, interval: ready.interval }),
        Err(probes) => Err(DefinitionError::Readiness { service: service.to_owned(), given: probes.len() }),
    }
}

/// `1000` or `1000:1001`, whether the system has a name for it or not.
fn numeric(user: &str) -> Option<Account> {
    let (uid, gid) = user.split_once(':').unwrap_or((user, user));
    Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()?, known_as: None })
}

fn look_up(user: &str) -> Option<Account> {
    let by_name = nix::unistd::User::from_name(user).ok().flatten();
    let user =
        by_name.or_else(|| nix::unistd::User::from_uid(user.parse::<u32>().ok()?.into()).ok().flatten())?;
    Some(Account { uid: user.uid.as_raw(), gid: user.gid.as_raw(), known_as: Some((user.name, user.dir)) })
}

/// Each after what it depends on; by name where that leaves a choice.
fn ordered(
    all: &BTreeMap<String, ServiceDefinition>,
    written: &BTreeMap<String, Service>,
) -> Result<Vec<ServiceDefinition>, DefinitionError> {
    for definition in all.values() {
        if let Some(missing) = definition.depends_on.iter().find(|name| !all.contains_key(*name)) {
            return Err(DefinitionError::Missing {
                service: definition.name.clone(),
                missing: missing.clone(),
                disabled: written.contains_key(missing),
                known: all.keys().cloned().collect::<Vec<_>>().join(", "),
            });
        }
    }
    let mut ordered: Vec<ServiceDefinition> = Vec::with_capacity(all.len());
    let placed = |ordered: &[ServiceDefinition], name: &str| ordered.iter().any(|placed| placed.name == name);
    while ordered.len() < all.len() {
        let next = all.values().find(|definition| {
            !placed(&ordered, &definition.name)
                && definition.depends_on.iter().all(|dependency| placed(&ordered, dependency))
        });
        match next {
            Some(definition) => ordered.push(definition.clone()),
            None => return Err(DefinitionError::Cycle { circle: circle(all, &ordered) }),
        }
    }
    Ok(ordered)
}

/// One circle among the services that could not be placed: following unplaced dependencies must come round.
fn circle(all: &BTreeMap<String, ServiceDefinition>, ordered: &[ServiceDefinition]) -> Vec<String> {
    let unplaced = |name: &&String| !ordered.iter().any(|placed| placed.name == **name);
    let mut walked: Vec<String> = Vec::new();
    let mut at = all.keys().find(unplaced);
    while let Some(name) = at {
        if let Some(begin) = walked.iter().position(|walked| walked == name) {
            walked.drain(..begin);
            walked.push(name.clone());
            return walked;
        }
        walked.push(name.clone());
        at = all.get(name).and_then(|definition| definition.depends_on.iter().find(unplaced));
    }
    walked
}

#[cfg(test)]
mod tests;
