//! The settings of `init`, typed. What each means, its default and its variable are told once, in
//! [`crate::reference`], from which the reference page is generated.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Secret;

/// All settings of a worker after the layers were merged and validated.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// This worker in the grid.
    pub worker: Worker,
    /// The OMERO server that owns the grid.
    pub master: Master,
    /// Where OMERO is installed.
    pub omero: Omero,
    /// The user that services run as.
    pub user: User,
    /// SSH keys for the Slurm cluster.
    pub ssh: Ssh,
    /// BIOMERO's `slurm-config.ini`.
    pub slurm_config: SlurmConfig,
    /// How jobs are run, and where.
    pub slurm: SlurmAccess,
    /// The workflow history.
    pub events: Events,
    /// Who runs OMERO's scripts, and how.
    pub processor: Processor,
    /// Workflows that the worker carries.
    pub workflow: WorkflowLimits,
    /// How `processor serve` is asked.
    pub api: ApiAccess,
    /// Where workflows are told of as traces.
    pub traces: TraceExport,
    /// Temporary and session directories of the service user.
    pub temporary: Temporary,
    /// Waiting for names and addresses.
    pub wait: Wait,
    /// The `/startup` directory of the image.
    pub startup: Startup,
    /// Hook directories and per-hook settings.
    pub hooks: Hooks,
    /// Services to supervise, by name.
    pub services: BTreeMap<String, Service>,
    /// What is said, and how.
    pub log: Log,
    /// Where `init` keeps its manifest and its socket.
    pub state: State,
    /// OMERO properties: those of the configuration files, then every `CONFIG_*` variable by the naming rule.
    /// Any may be a password; shown only where the property's name is not that of a secret.
    pub properties: BTreeMap<String, Secret<String>>,
}

/// This worker in the grid.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Name of the node, as in the master's `omero.server.nodedescriptors`.
    pub name: String,
    /// Where the worker stands relative to the master.
    pub mode: WorkerMode,
    /// The address or name the node announces; resolved from `name` when absent.
    pub address: Option<String>,
    /// The address the node listens on when it differs from the announced one (NAT).
    pub bind: Option<String>,
    /// The node's port; 4062 for an external worker, chosen by the system for an internal one when absent.
    pub port: Option<u16>,
}

/// Where the worker stands relative to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerMode {
    /// External when `CONFIG_omero_master_port` is set, as only external deployments do; internal otherwise.
    Auto,
    /// In the master's container network: any port.
    Internal,
    /// Outside of it: one published port.
    External,
}

/// The OMERO server that owns the grid.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Master {
    /// Name or address of the master. Hooks that need it say so when it is absent.
    pub host: Option<String>,
    /// The client port that an external deployment names (`CONFIG_omero_master_port`).
    pub port: Option<u16>,
}

/// Where OMERO is installed, and the ports its templates name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Omero {
    /// `OMERODIR`: the folder with `etc`, `lib` and `var`.
    pub directory: PathBuf,
    /// Python environment with the `omero` command; activated for services.
    pub virtual_environment: PathBuf,
    /// Folder whose `*.omero` files are loaded with `omero load`.
    pub config_directory: PathBuf,
    /// `omero.ports.*` as `omero admin rewrite` substitutes them.
    pub ports: Ports,
}

/// `omero.ports.*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// Digits put before every port.
    pub prefix: String,
    /// Glacier2 over TLS.
    pub ssl: u16,
    /// Glacier2 over TCP.
    pub tcp: u16,
    /// Glacier2 over secure WebSockets.
    pub wss: u16,
    /// Glacier2 over WebSockets.
    pub ws: u16,
    /// The IceGrid registry.
    pub registry: u16,
}

/// The user that services run as.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name or numeric id; `init` drops to it when started as root, and otherwise stays who it is.
    pub name: String,
}

/// SSH keys for the Slurm cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// Where the deployment mounts keys.
    pub source: PathBuf,
    /// Where they are copied to, with the permissions `ssh` demands.
    pub target: PathBuf,
}

/// BIOMERO's `slurm-config.ini`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlurmConfig {
    /// Files in reading order; later files win key by key, missing files are fine.
    pub files: Vec<PathBuf>,
    /// The one file to read instead (`BIOMERO_SLURM_CONFIG_FILE`).
    pub authoritative: Option<PathBuf>,
    /// Where the merged file is written for the Python side.
    pub rendered: PathBuf,
    /// When the Python side is pointed at the merged file.
    pub use_rendered: UseRendered,
}

/// When `BIOMERO_SLURM_CONFIG_FILE` is set to the merged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UseRendered {
    /// When the sources hold something Python's reader cannot express: a deletion or a literal `%`.
    Auto,
    /// Always: edits of the sources count from the next start on.
    Always,
    /// Never.
    Never,
}

/// The workflow history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// The file that it is kept in where no database is named.
    pub file: Option<PathBuf>,
}

/// Workflows that the worker carries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowLimits {
    /// How many are carried at a time.
    pub at_once: u32,
    /// How many of one user.
    pub per_user: u32,
    /// How many may be unfinished, those that wait too; more are refused.
    pub queue: u32,
    /// Where images are staged on their way to the cluster.
    pub folder: Option<PathBuf>,
    /// The folders that paths of requests have to be in; any where there are none.
    pub paths: Vec<PathBuf>,
}

/// How `processor serve` is asked: over a Unix socket always, over TCP where it is told to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiAccess {
    /// The Unix socket.
    pub socket: Option<PathBuf>,
    /// Where it listens over TCP too (`host:port`); nowhere when absent.
    pub listen: Option<String>,
    /// The file of tokens that requests over TCP need one of.
    pub tokens: Option<PathBuf>,
    /// The certificate for TCP and those that signed it, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
    /// How many requests a second each client may send.
    pub rate: u32,
}

/// Where workflows are told of as traces: a collector of OpenTelemetry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceExport {
    /// Its address; no traces when absent.
    pub endpoint: Option<String>,
    /// What it asks for.
    pub bearer_token: Option<Secret<String>>,
}

/// How jobs are run, and where: what `slurm-config.ini` does not say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlurmAccess {
    /// Who runs jobs.
    pub engine: JobEngine,
    /// The SSH configuration that `[SSH] host` is looked up in; `ssh`'s own choice when absent.
    pub ssh_config: Option<PathBuf>,
    /// What is done about a host key that is not known.
    pub host_keys: HostKeys,
    /// How long connecting may take.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub connect: Duration,
    /// How often a silent cluster is asked whether it is there.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub keep_alive: Duration,
    /// How many commands and transfers share the connection at a time.
    pub sessions: u16,
    /// The longest time between two questions about the state of jobs.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub poll: Duration,
    /// Folder with descriptors of workflows, which are looked for there before they are fetched.
    pub descriptors: Option<PathBuf>,
    /// Where fetched descriptors are kept.
    pub cache: Option<PathBuf>,
    /// The container runtime of the cluster.
    pub container: ContainerRuntime,
    /// Environment modules that a job loads before it starts the container.
    pub modules: Vec<String>,
    /// A template of the site's own for job scripts.
    pub template: Option<PathBuf>,
    /// The static program that converts images on the cluster, in place of a converter's container image.
    pub converter: Option<PathBuf>,
    /// The embedded executor.
    pub embedded: EmbeddedExecutor,
}

/// Who runs jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobEngine {
    /// Slurm over SSH where somebody has said how it is reached, Slurm of this machine where it has one, none otherwise.
    Auto,
    /// Slurm of another machine, over SSH.
    Ssh,
    /// Slurm of this machine.
    Local,
    /// No Slurm: processes of this machine.
    Embedded,
}

/// What is done about a host key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeys {
    /// It is refused.
    Strict,
    /// It is taken and remembered.
    AcceptNew,
}

/// The container runtime of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerRuntime {
    /// Whichever is there, Apptainer before Singularity.
    Auto,
    /// Apptainer.
    Apptainer,
    /// Singularity.
    Singularity,
}

/// The embedded executor: jobs as processes of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedExecutor {
    /// Where its jobs are recorded.
    pub state: Option<PathBuf>,
    /// How many processors jobs have at a time; all of the machine when absent.
    pub processors: Option<u32>,
}

/// Who runs OMERO's scripts, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processor {
    /// Whose code does.
    pub mode: ProcessorMode,
    /// The program that IceGrid's node is given in place of `python`.
    pub program: PathBuf,
    /// The folder of that `python`.
    pub shim: PathBuf,
    /// What runs a script; Python of the virtual environment when absent.
    pub launcher: Option<PathBuf>,
    /// What else OMERO may ask for, by name.
    #[serde(default)]
    pub launchers: BTreeMap<String, PathBuf>,
    /// Where scripts run.
    pub runs: Option<PathBuf>,
    /// How many at once.
    pub at_once: u32,
    /// How many wait for that.
    pub waiting: u32,
    /// How long scripts have when the processor is stopped; they go on when absent.
    #[serde(default, deserialize_with = "crate::duration::deserialize_optional")]
    pub end_scripts: Option<Duration>,
    /// The address that others are told.
    pub address: Option<String>,
    /// The port; any when absent.
    pub port: Option<u16>,
    /// What a script may take.
    pub limits: ScriptLimits,
    /// Which variables scripts get.
    pub variables: ScriptVariables,
}

/// Whose code is the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessorMode {
    /// Ours.
    Native,
    /// OMERO's `processor.py`.
    Python,
}

/// What a script may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptLimits {
    /// How long it may run.
    #[serde(default, deserialize_with = "crate::duration::deserialize_optional")]
    pub time: Option<Duration>,
    /// MiB of memory, with all that it starts.
    pub memory: Option<u64>,
    /// MiB of addresses of each of its processes.
    pub address_space: Option<u64>,
    /// Open files of each of its processes.
    pub open_files: Option<u64>,
    /// MiB that are kept of each of its outputs.
    pub output: u64,
    /// Between TERM and KILL.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub grace: Duration,
}

/// Which variables scripts get, besides those that are usual.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptVariables {
    /// Patterns of what they get of the worker's.
    pub forward: Vec<String>,
    /// Patterns of what they do not get.
    pub withhold: Vec<String>,
    /// What they get besides, or instead.
    #[serde(default)]
    pub set: BTreeMap<String, Secret<String>>,
}

/// Temporary and session directories of the service user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temporary {
    /// `OMERO_TMPDIR` of the services.
    pub directory: PathBuf,
    /// `OMERO_SESSIONDIR`'s parent (`OMERO_USERDIR`) of the services.
    pub user_directory: PathBuf,
}

/// Waiting for names and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// How long a name may take to resolve, tries and back-off included.
    #[serde(with = "crate::duration")]
    pub resolve: Duration,
    /// Which address is taken when a name has several.
    pub family: AddressFamily,
    /// Addresses (`host:port`) that must accept a connection before services start.
    pub tcp: Vec<String>,
    /// Paths that must exist before services start.
    pub paths: Vec<PathBuf>,
    /// How long each of `tcp` and `paths` may take.
    #[serde(with = "crate::duration")]
    pub deadline: Duration,
}

/// Which address is taken when a name has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressFamily {
    /// The first one the resolver gives, as `getent hosts | cut` does.
    Any,
    /// The first IPv4 address.
    Ipv4,
    /// The first IPv6 address.
    Ipv6,
}

/// The `/startup` directory of the image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Startup {
    /// Executables in it become hooks, ordered by their number.
    pub directory: PathBuf,
    /// File names that a built-in replaces: never run, listed as skipped.
    pub replaced: BTreeMap<String, String>,
}

/// Hook directories and per-hook settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Hooks {
    /// Folder of site hooks, `NN-name.{toml,sh,wasm}`.
    pub directory: PathBuf,
    /// The program that compiles site hooks.
    pub compiler: PathBuf,
    /// Folder of compiled site hooks, which only root or `init`'s own user can write.
    pub cache: PathBuf,
    /// What holds for a hook that says nothing else.
    pub default: HookPolicy,
    /// `[hooks.NAME]`: what holds for one hook. That a hook of this name exists is checked by who knows all hooks.
    #[serde(flatten)]
    pub per_hook: BTreeMap<String, HookOverride>,
}

/// What holds for one hook; the rest is as in [`Hooks::default`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookOverride {
    /// Time for one try.
    #[serde(deserialize_with = "crate::duration::deserialize_optional")]
    pub deadline: Option<Duration>,
    /// Tries after the first.
    pub retries: Option<u32>,
    /// What a failure means for the start-up.
    pub on_failure: Option<OnFailure>,
    /// Whether the hook runs at all.
    pub enabled: Option<bool>,
}

impl HookOverride {
    /// Puts what it says in place of what held.
    pub fn apply_to(&self, policy: &mut HookPolicy) {
        policy.deadline = self.deadline.unwrap_or(policy.deadline);
        policy.retries = self.retries.unwrap_or(policy.retries);
        policy.on_failure = self.on_failure.unwrap_or(policy.on_failure);
    }
}

impl Settings {
    /// Where the worker stands, with `auto` decided: `Internal` or `External`.
    #[must_use]
    pub fn worker_mode(&self) -> WorkerMode {
        match self.worker.mode {
            WorkerMode::Auto if self.master.port.is_some() => WorkerMode::External,
            WorkerMode::Auto => WorkerMode::Internal,
            decided => decided,
        }
    }
}

/// How long a hook may take, how often it is tried, and what its failure means.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookPolicy {
    /// Time for one try.
    #[serde(with = "crate::duration")]
    pub deadline: Duration,
    /// Tries after the first.
    pub retries: u32,
    /// What a failure means for the start-up.
    pub on_failure: OnFailure,
}

/// What a hook's failure means for the start-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// `init` ends with the error's exit code.
    Abort,
    /// `init` says it and goes on.
    Warn,
}

/// One supervised service.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// `false` leaves the service out.
    pub enabled: bool,
    /// Program and arguments.
    pub command: Vec<String>,
    /// A built-in way to make the command, for the service `node` only.
    pub launcher: Option<Launcher>,
    /// Variables added to the services' environment.
    pub environment: BTreeMap<String, Secret<String>>,
    /// User to run as; the service user when absent.
    pub user: Option<String>,
    /// Working directory; `omero.directory` when absent.
    pub directory: Option<PathBuf>,
    /// Services that must be ready first.
    pub depends_on: Vec<String>,
    /// How it is known to be ready; at once when absent.
    pub ready: Option<Readiness>,
    /// When its end ends the worker: `init` stops the rest and exits with its code.
    pub main: bool,
    /// When and how it is started again.
    pub restart: Restart,
    /// How it is stopped.
    pub stop: Stop,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            enabled: true,
            command: Vec::new(),
            launcher: None,
            environment: BTreeMap::new(),
            user: None,
            directory: None,
            depends_on: Vec::new(),
            ready: None,
            main: false,
            restart: Restart::default(),
            stop: Stop::default(),
        }
    }
}

/// A built-in way to start the IceGrid node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Launcher {
    /// `icegridnode` itself, with the arguments that `omero node NAME start` ends in.
    Icegridnode,
    /// `omero node NAME start --foreground`.
    OmeroNode,
}

/// How a service is known to be ready. Exactly one of the four ways.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Readiness {
    /// A TCP address (`host:port`) accepts a connection.
    pub tcp: Option<String>,
    /// A path exists.
    pub path: Option<PathBuf>,
    /// A command exits 0.
    pub exec: Option<Vec<String>>,
    /// The service sends `READY=1` to `NOTIFY_SOCKET` (sd_notify).
    pub notify: bool,
    /// Time until it must be ready.
    #[serde(with = "crate::duration")]
    pub deadline: Duration,
    /// Time between two probes.
    #[serde(with = "crate::duration")]
    pub interval: Duration,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            tcp: None,
            path: None,
            exec: None,
            notify: false,
            deadline: Duration::from_secs(60),
            interval: Duration::from_millis(200),
        }
    }
}

/// When and how a service is started again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    /// After which ends.
    pub policy: RestartPolicy,
    /// Pause before the first restart; doubled for each further one.
    #[serde(with = "crate::duration")]
    pub delay: Duration,
    /// The longest pause.
    #[serde(with = "crate::duration")]
    pub max_delay: Duration,
    /// Give up after this many ends within `window`; 0 never gives up.
    pub give_up_after: u32,
    /// A run longer than this counts as a success and resets the back-off.
    #[serde(with = "crate::duration")]
    pub window: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            give_up_after: 5,
            window: Duration::from_secs(60),
        }
    }
}

/// After which ends a service is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// After none.
    Never,
    /// After a non-zero exit code or a signal.
    OnFailure,
    /// After every end.
    Always,
}

/// How a service is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// Signal sent to its process group.
    pub signal: String,
    /// Time until `KILL` goes to the whole group.
    #[serde(with = "crate::duration")]
    pub deadline: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: "TERM".to_owned(), deadline: Duration::from_secs(10) }
    }
}

/// What is said, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: LogLevel,
    /// Shape of `init`'s own lines.
    pub format: LogFormat,
    /// What happens to a service's output.
    pub services: ServiceOutput,
}

/// How much `init` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what to look at.
    Warn,
    /// And each step.
    Info,
    /// And each effect.
    Debug,
    /// And each event.
    Trace,
}

/// Shape of `init`'s own lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For a reader.
    Human,
    /// One JSON object a line.
    Json,
}

/// What happens to a service's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceOutput {
    /// It inherits `init`'s, untouched.
    Passthrough,
    /// Each line with the service's name before it.
    Prefixed,
}

/// Where `init` keeps its manifest and its socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Folder for `manifest.json`; created with mode 0700 when missing.
    pub directory: PathBuf,
    /// The control socket (mode 0600) of `init status|restart|stop`.
    pub socket: PathBuf,
}
