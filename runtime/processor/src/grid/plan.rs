//! What a processor is to do, of what the settings say. Pure: nothing is read, nobody is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use biomero_config::{Environment, Settings};
use biomero_grid::environment::{Pattern, Place, Policy, Variables};
use biomero_grid::processor::Activation;
use biomero_grid::script::Limits;
use biomero_ice::{Address, Endpoint, NetworkEndpoint, Reference};
use thiserror::Error;

/// How long a script's session is left to those who want its results. They ask at once: they are called back.
pub(super) const LINGER: Duration = Duration::from_secs(60);
/// How often it is seen whether a script's session is still there, as OMERO's own processor does it.
pub(super) const LOOK: Duration = Duration::from_secs(60);
/// The property by which a node says where its server is to listen.
const ENDPOINTS: &str = "ProcessorAdapter.Endpoints";

/// Why the settings make no processor.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// Who the master is was not said.
    #[error("no OMERO server is named: set master.host, or CONFIG_omero_master_host")]
    NoMaster,
    /// A port with its prefix is none.
    #[error("omero.ports: {prefix}{port} is no port; correct omero.ports.prefix or omero.ports.{name}")]
    Port {
        /// What stands before it.
        prefix: String,
        /// What it is without.
        port: u16,
        /// Whose.
        name: &'static str,
    },
    /// OMERO's own processor can only be started by a node.
    #[error(
        "processor.mode is \"python\", and OMERO's own processor is started by IceGrid's node: enable services.node, or set processor.mode = \"native\""
    )]
    NeedsNode,
}

/// What a processor is to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) locator: Reference,
    pub(super) activation: Option<Activation>,
    pub(super) router: biomero_omero::Address,
    pub(super) endpoint: NetworkEndpoint,
    /// The host that others are told, where the settings say one.
    pub(super) published: Option<String>,
    pub(super) launcher: PathBuf,
    pub(super) launchers: BTreeMap<String, PathBuf>,
    pub(super) runs: PathBuf,
    pub(super) at_once: usize,
    pub(super) waiting: usize,
    pub(super) limits: Limits,
    pub(super) end_scripts: Option<Duration>,
    pub(super) policy: Policy,
    pub(super) variables: Variables,
    /// Where scripts are; the archives are found when it is carried out.
    pub(super) place: Place,
    /// How long a name may take to resolve.
    pub(super) resolve: Duration,
}

/// The plan of these settings, for a processor that a node has started or none.
pub(super) fn plan(
    settings: &Settings,
    environment: &Environment,
    activation: Option<Activation>,
) -> Result<Plan, PlanError> {
    let processor = &settings.processor;
    let (locator, router) = match &activation {
        Some(activation) => {
            let master = settings.master.host.clone().or_else(|| host(&activation.locator));
            (activation.locator.clone(), router(settings, master.ok_or(PlanError::NoMaster)?)?)
        }
        None => master(settings)?.ok_or(PlanError::NoMaster)?,
    };
    let wanted = activation.as_ref().and_then(|activation| endpoint(activation.property(ENDPOINTS)?));
    let mut endpoint = wanted.unwrap_or_else(|| NetworkEndpoint::tcp("", 0));
    if let Some(port) = processor.port {
        endpoint.port = port;
    }
    let published = processor.address.clone().or_else(|| settings.worker.address.clone());
    Ok(Plan {
        locator,
        activation,
        router,
        endpoint,
        published,
        launcher: launcher(settings),
        launchers: processor.launchers.clone(),
        runs: processor.runs.clone().unwrap_or_else(|| settings.temporary.directory.join("scripts")),
        at_once: size(processor.at_once),
        waiting: size(processor.waiting),
        limits: limits(settings),
        end_scripts: processor.end_scripts,
        policy: policy(settings),
        variables: environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        place: place(settings),
        resolve: settings.wait.resolve,
    })
}

/// The registry of the master's grid, and OMERO's router; none where no master is named.
pub(super) fn master(settings: &Settings) -> Result<Option<(Reference, biomero_omero::Address)>, PlanError> {
    let Some(master) = settings.master.host.clone() else { return Ok(None) };
    let ports = &settings.omero.ports;
    let port = port(&ports.prefix, ports.registry, "registry")?;
    let locator = Reference::new(
        biomero_ice::Identity::new("IceGrid", "Locator"),
        Address::Direct(vec![NetworkEndpoint::tcp(master.as_str(), port).into()]),
    );
    Ok(Some((locator, router(settings, master)?)))
}

fn router(settings: &Settings, host: String) -> Result<biomero_omero::Address, PlanError> {
    let ports = &settings.omero.ports;
    Ok(biomero_omero::Address { host, port: port(&ports.prefix, ports.tcp, "tcp")?, secure: false })
}

/// What runs a script.
pub(super) fn launcher(settings: &Settings) -> PathBuf {
    settings.processor.launcher.clone().unwrap_or_else(|| real_python(settings))
}

/// The Python that the `python` of the node stands for.
pub(super) fn real_python(settings: &Settings) -> PathBuf {
    settings.omero.virtual_environment.join("bin/python")
}

/// Which variables scripts get.
pub(super) fn policy(settings: &Settings) -> Policy {
    let variables = &settings.processor.variables;
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
    let mut policy = Policy::default();
    policy.forward.extend(patterns(&variables.forward));
    policy.withhold = patterns(&variables.withhold);
    policy.set = variables.set.iter().map(|(name, value)| (name.clone(), value.reveal().clone())).collect();
    policy
}

/// Where scripts are, without the archives.
pub(super) fn place(settings: &Settings) -> Place {
    Place {
        home: settings.omero.directory.clone(),
        archives: Vec::new(),
        shim: Some(settings.processor.shim.clone()),
    }
}

fn limits(settings: &Settings) -> Limits {
    let limits = &settings.processor.limits;
    let mebibytes = |count: u64| count.saturating_mul(1 << 20);
    Limits {
        time: limits.time,
        memory: limits.memory.map(mebibytes),
        address_space: limits.address_space.map(mebibytes),
        open_files: limits.open_files,
        output: mebibytes(limits.output),
        grace: limits.grace,
        ..Limits::default()
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn port(prefix: &str, port: u16, name: &'static str) -> Result<u16, PlanError> {
    let wrong = || PlanError::Port { prefix: prefix.to_owned(), port, name };
    format!("{prefix}{port}").parse().map_err(|_| wrong())
}

/// The host of the first endpoint.
fn host(reference: &Reference) -> Option<String> {
    network(reference).map(|endpoint| endpoint.host.clone())
}

/// The first endpoint.
pub(super) fn network(reference: &Reference) -> Option<&NetworkEndpoint> {
    let Address::Direct(endpoints) = &reference.address else { return None };
    endpoints.iter().find_map(|endpoint| match endpoint {
        Endpoint::Network(endpoint) => Some(endpoint),
        _ => None,
    })
}

/// The first of a list of endpoints, as properties have them.
fn endpoint(text: &str) -> Option<NetworkEndpoint> {
    let reference: Reference = format!("processor:{text}").parse().ok()?;
    network(&reference).cloned()
}

impl Plan {
    /// In words, for people. No value of a variable is among them.
    pub(super) fn told(&self) -> Vec<String> {
        let or = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
        let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
        let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
        let place = Place { archives: Vec::new(), ..self.place.clone() };
        let given = self.policy.variables(&self.variables, &place, std::path::Path::new("RUN"));
        let names: Vec<String> = given.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        let port = self.endpoint.port;
        vec![
            format!("registry: {}", self.locator),
            format!("router: {}, port {}", self.router.host, self.router.port),
            format!(
                "reached at: {}, {}",
                or(self.published.clone(), "the address of this machine by which the master is reached"),
                if port == 0 { "any port".to_owned() } else { format!("port {port}") },
            ),
            format!("launcher: {}", self.launcher.display()),
            format!("runs: {}", self.runs.display()),
            format!("at once: {}, and {} more that wait", self.at_once, self.waiting),
            format!(
                "limits: time {}, memory {}, addresses {}, open files {}, each output {}, {} between TERM and KILL",
                or(self.limits.time.map(seconds), "none"),
                or(self.limits.memory.map(mebibytes), "none"),
                or(self.limits.address_space.map(mebibytes), "none"),
                or(self.limits.open_files.map(|files| files.to_string()), "the worker's"),
                mebibytes(self.limits.output),
                seconds(self.limits.grace),
            ),
            format!(
                "when it ends: {}",
                match self.end_scripts {
                    Some(time) => format!("scripts are cancelled, and have {}", seconds(time)),
                    None => "scripts go on".to_owned(),
                }
            ),
            format!("variables of a script: {}", names.join(" ")),
        ]
    }
}

#[cfg(test)]
mod tests;
