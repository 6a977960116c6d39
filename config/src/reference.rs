//! Every setting, told once: the table that unknown keys are found with, that variables are mapped by, that
//! suggestions are taken from, and that `docs/settings.md` is generated from.
//!
//! Invariant: a key exists if and only if it is in [`SETTINGS`]; a default is in `defaults.toml` or in the type, never
//! repeated here. Tests hold both.

use crate::kind::{Kind, Value};
use crate::nearest::nearest;
use crate::{DEFAULTS, Service};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The dotted key; a segment in capitals stands for a name.
    pub key: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What holds when no layer sets it.
    pub default: Unset,
    /// The variables deployments already set that it is read from, the first that is set wins.
    pub variables: &'static [&'static str],
    /// One sentence, with the unit where there is one.
    pub meaning: &'static str,
}

/// What holds when no layer above the shipped defaults sets a key.
#[derive(Debug, Clone, Copy)]
pub enum Unset {
    /// The value in `defaults.toml`.
    Shipped,
    /// The value in the type, for the keys of sections that the site names.
    Typed(fn() -> String),
    /// No value: what that means.
    Absent(&'static str),
}

use Unset::{Absent, Shipped, Typed};

const PORT: Kind = Kind::Integer(1, 65535);
const COUNT: Kind = Kind::Integer(0, u32::MAX as i64);

/// Shortens the table: key, kind, default, variables, meaning.
const fn setting(
    key: &'static str,
    kind: Kind,
    default: Unset,
    variables: &'static [&'static str],
    meaning: &'static str,
) -> Setting {
    Setting { key, kind, default, variables, meaning }
}

/// All settings, in the order of the reference page.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    setting("worker.name", Kind::Name, Shipped, &["OMERO_WORKER_NAME"],
        "Name of this node in the grid, as the master's `omero.server.nodedescriptors` lists it."),
    setting("worker.mode", Kind::Choice(&["auto", "internal", "external"]), Shipped, &[],
        "Where the worker stands: in the master's container network (`internal`) or outside of it with one published port (`external`); `auto` is external when `CONFIG_omero_master_port` is set."),
    setting("worker.address", Kind::Host, Absent("resolved from `worker.name`"), &[],
        "The address that the node announces."),
    setting("worker.bind", Kind::Host, Absent("the announced address"), &[],
        "The address an external node listens on when it differs from the announced one, as behind NAT."),
    setting("worker.port", PORT, Absent("4062 when external, chosen by the system when internal"), &[],
        "The node's port."),
    setting("master.host", Kind::Host, Absent("none; what needs it says so"), &["CONFIG_omero_master_host"],
        "Name or address of the OMERO server that owns the grid."),
    setting("master.port", PORT, Absent("none"), &["CONFIG_omero_master_port"],
        "The client port of the master; setting it makes `worker.mode = \"auto\"` external."),
    setting("omero.directory", Kind::Path, Shipped, &["OMERODIR"],
        "Where OMERO is installed: the folder with `etc`, `lib` and `var`."),
    setting("omero.virtual_environment", Kind::Path, Shipped, &["VIRTUAL_ENV"],
        "The Python environment with the `omero` command; services run with it activated."),
    setting("omero.config_directory", Kind::Path, Shipped, &[],
        "Folder whose `*.omero` files are loaded with `omero load`."),
    setting("omero.ports.prefix", Kind::Digits, Shipped, &["CONFIG_omero_ports_prefix"],
        "Digits that OMERO puts before each of its ports."),
    setting("omero.ports.ssl", PORT, Shipped, &["CONFIG_omero_ports_ssl"],
        "Port of the Glacier2 router over TLS."),
    setting("omero.ports.tcp", PORT, Shipped, &["CONFIG_omero_ports_tcp"],
        "Port of the Glacier2 router over TCP."),
    setting("omero.ports.wss", PORT, Shipped, &["CONFIG_omero_ports_wss"],
        "Port of the Glacier2 router over secure WebSockets."),
    setting("omero.ports.ws", PORT, Shipped, &["CONFIG_omero_ports_ws"],
        "Port of the Glacier2 router over WebSockets."),
    setting("omero.ports.registry", PORT, Shipped, &["CONFIG_omero_ports_registry"],
        "Port of the IceGrid registry on the master."),
    setting("user.name", Kind::Word, Shipped, &[],
        "Name or number of the user that services run as; without root rights `init` stays who it is."),
    setting("ssh.source", Kind::Path, Shipped, &[],
        "Where the deployment mounts the SSH keys for the Slurm cluster."),
    setting("ssh.target", Kind::Path, Shipped, &[],
        "Where the keys are copied to, with the permissions `ssh` demands."),
    setting("slurm_config.files", Kind::List(&Kind::Path), Shipped, &[],
        "The `slurm-config.ini` files in reading order; later files win key by key, missing files are fine."),
    setting("slurm_config.authoritative", Kind::Path, Absent("all of `slurm_config.files` are read"), &["BIOMERO_SLURM_CONFIG_FILE"],
        "The one file that is read instead."),
    setting("slurm_config.rendered", Kind::Path, Shipped, &[],
        "Where the merged file is written for the Python side."),
    setting("slurm_config.use_rendered", Kind::Choice(&["auto", "always", "never"]), Shipped, &[],
        "When the Python side is pointed at the merged file; `auto`: when the sources hold what Python's reader cannot express."),
    setting("slurm.engine", Kind::Choice(&["auto", "ssh", "local", "embedded"]), Shipped, &[],
        "Who runs jobs: Slurm over SSH (`ssh`), Slurm of this machine (`local`), or no Slurm but processes of this machine (`embedded`). `auto` is the first of them that there is: `ssh` with `slurm.ssh_config`, or with a key or configuration in `ssh.target` or `~/.ssh`; `local` with `sbatch` on the `PATH` and a `slurm.conf`."),
    setting("slurm.ssh_config", Kind::Path, Absent("`~/.ssh/config`"), &[],
        "The SSH configuration that `[SSH] host` of `slurm-config.ini` is looked up in."),
    setting("slurm.host_keys", Kind::Choice(&["strict", "accept-new"]), Shipped, &[],
        "What is done about a host key that `known_hosts` does not have: refuse it, or take and remember it. One that has changed is always refused."),
    setting("slurm.connect", Kind::Duration(1), Shipped, &[],
        "How long connecting may take, all jumps included."),
    setting("slurm.keep_alive", Kind::Duration(1000), Shipped, &[],
        "How often a silent cluster is asked whether it is there; after three times without an answer the connection counts as lost."),
    setting("slurm.sessions", Kind::Integer(1, 1000), Shipped, &[],
        "How many commands and transfers share the connection at a time; `MaxSessions` of the cluster's sshd is 10 unless changed."),
    setting("slurm.poll", Kind::Duration(1000), Shipped, &[],
        "The longest time between two questions about the state of jobs; young jobs are asked about more often."),
    setting("slurm.descriptors", Kind::Path, Absent("they are fetched from the workflows' repositories"), &[],
        "Folder with descriptors of workflows (`NAME.json`, `NAME.yaml`), which are taken from there first."),
    setting("slurm.cache", Kind::Path, Absent("`biomero` in `$XDG_CACHE_HOME` (`~/.cache`)"), &[],
        "Where fetched descriptors are kept, so that work goes on when their server does not answer."),
    setting("slurm.container", Kind::Choice(&["auto", "apptainer", "singularity"]), Shipped, &[],
        "The container runtime of the cluster; `auto` is whichever is there, Apptainer before Singularity."),
    setting("slurm.modules", Kind::List(&Kind::Word), Shipped, &[],
        "Environment modules that a job loads (`module load`) before it starts the container."),
    setting("slurm.template", Kind::Path, Absent("BIOMERO's own"), &[],
        "File of this machine that job scripts of workflows are made from, with the placeholders of Python's template (`$jobname`, `$PARAMS`)."),
    setting("slurm.converter", Kind::Path, Absent("the images of `[CONVERTERS]`"), &[],
        "The static `convert` of this machine (`/usr/local/lib/biomero/convert` in the image), which is copied to the cluster and converts images there without a container."),
    setting("slurm.embedded.state", Kind::Path, Absent("`/var/lib/biomero/jobs` where `/var/lib/biomero` exists, else `biomero/jobs` in `$XDG_STATE_HOME` (`~/.local/state`)"), &[],
        "Where the embedded executor keeps its jobs."),
    setting("slurm.embedded.processors", Kind::Integer(1, 65536), Absent("all of the machine, at least 4"), &[],
        "How many processors its jobs have at a time."),
    setting("events.file", Kind::Path, Absent("`/var/lib/biomero/events.sqlite` where that folder exists, else `biomero/events.sqlite` in `$XDG_STATE_HOME` (`~/.local/state`)"), &[],
        "The SQLite file that `processor` keeps the workflow history in where neither `SQLALCHEMY_URL` nor `sqlalchemy_url` of `slurm-config.ini` names a database."),
    setting("processor.mode", Kind::Choice(&["native", "python"]), Shipped, &[],
        "Who runs OMERO's scripts as Processor-0: `processor` itself (`native`), or OMERO's own `processor.py`, whose scripts then get the same variables (`python`)."),
    setting("processor.program", Kind::Path, Shipped, &[],
        "The program that IceGrid's node is given in place of `python`."),
    setting("processor.shim", Kind::Path, Shipped, &[],
        "Folder of that `python`, first in the `PATH` of the node alone. The image has it; elsewhere `init` makes it, where programs can be run (no `noexec`)."),
    setting("processor.launcher", Kind::Path, Absent("`bin/python` of `omero.virtual_environment`"), &[],
        "What runs a script."),
    setting("processor.launchers.NAME", Kind::Path, Absent("scripts that ask for another are refused"), &[],
        "What runs a script for which OMERO asks for the launcher NAME, as `jython`."),
    setting("processor.runs", Kind::Path, Absent("`scripts` in `temporary.directory`"), &[],
        "Folder in which each script has a folder of its own while it runs. One that outlives the container keeps account of scripts that ended with it."),
    setting("processor.at_once", Kind::Integer(1, 10_000), Shipped, &[],
        "How many scripts run at once. Those of BIOMERO start others and wait for them: with few, all may wait for each other."),
    setting("processor.waiting", Kind::Integer(0, 100_000), Shipped, &[],
        "How many scripts wait for that; more are refused."),
    setting("processor.end_scripts", Kind::Duration(1), Absent("they go on, and the next processor takes them over"), &[],
        "When the processor is stopped, its scripts are cancelled and OMERO is told of each, for which there is this time. For a folder `runs` that goes with the container."),
    setting("processor.address", Kind::Host, Absent("`worker.address`, or the address of this machine by which the master is reached"), &[],
        "The address that OMERO's server calls the processor at."),
    setting("processor.port", PORT, Absent("chosen by the system"), &[],
        "The port of the processor. Without a node, clients find scripts that an earlier processor started only where it is set."),
    setting("processor.limits.time", Kind::Duration(1000), Absent("none; OMERO ends a script with its session (`omero.scripts.timeout`)"), &[],
        "How long a script may run."),
    setting("processor.limits.memory", Kind::Integer(1, 1 << 30), Absent("none"), &[],
        "MiB of memory that a script may have with all that it starts."),
    setting("processor.limits.address_space", Kind::Integer(256, 1 << 30), Absent("none"), &[],
        "MiB of addresses that each process of a script may have (`RLIMIT_AS`)."),
    setting("processor.limits.open_files", Kind::Integer(16, 1 << 30), Absent("that of the worker"), &[],
        "Files that each process of a script may have open (`RLIMIT_NOFILE`)."),
    setting("processor.limits.output", Kind::Integer(1, 1 << 20), Shipped, &[],
        "MiB that are kept of each of a script's two outputs; of more, the beginning and the end."),
    setting("processor.limits.grace", Kind::Duration(0), Shipped, &[],
        "Time between TERM and KILL."),
    setting("processor.variables.forward", Kind::List(&Kind::Word), Shipped, &[],
        "Variables of the worker that scripts get besides those that `docs/scripts.md` lists; `*` stands for anything, as in `LC_*`."),
    setting("processor.variables.withhold", Kind::List(&Kind::Word), Shipped, &[],
        "Variables that they do not get, though they are listed."),
    setting("processor.variables.set.VARIABLE", Kind::Text, Absent("none"), &[],
        "Variables that they get whatever the worker has."),
    setting("workflow.at_once", Kind::Integer(1, 10_000), Shipped, &[],
        "How many workflows `processor serve` carries at a time; the others wait, oldest first, users with few before those with many."),
    setting("workflow.per_user", Kind::Integer(1, 10_000), Shipped, &[],
        "How many of one user it carries at a time."),
    setting("workflow.queue", Kind::Integer(1, 1_000_000), Shipped, &[],
        "How many workflows may be unfinished, those that wait too; more are refused."),
    setting("workflow.folder", Kind::Path, Absent("`/var/lib/biomero/workflows` where `/var/lib/biomero` exists, else `biomero/workflows` in `$XDG_STATE_HOME` (`~/.local/state`)"), &[],
        "Folder in which images are staged on their way to the cluster. Several workers on one database share it."),
    setting("workflow.paths", Kind::List(&Kind::Path), Shipped, &[],
        "Folders that workflows may read images and attached files from and write results to; links are followed first. With none, whatever the worker's user may."),
    setting("api.socket", Kind::Path, Absent("`/run/biomero/processor.sock` where that folder may be written to, else `biomero/processor.sock` in `$XDG_RUNTIME_DIR`, else in `$XDG_STATE_HOME` (`~/.local/state`)"), &[],
        "The Unix socket (mode 0600) at which `processor serve` is asked, and the command line asks it."),
    setting("api.listen", Kind::Address, Absent("not over TCP"), &[],
        "Address at which `processor serve` is asked over TCP too. Needs `api.tokens`, and a certificate unless it is one of this machine alone."),
    setting("api.tokens", Kind::Path, Absent("no TCP"), &[],
        "File of mode 600 with a line `NAME SHA256` for each token, as `processor api token NAME` makes them."),
    setting("api.certificate", Kind::Path, Absent("no TLS"), &[],
        "Certificate for `api.listen` and those that signed it, in PEM."),
    setting("api.key", Kind::Path, Absent("no TLS"), &[],
        "Private key of `api.certificate`, in PEM."),
    setting("api.rate", Kind::Integer(1, 1_000_000), Shipped, &[],
        "How many requests a second each client may send, and twice as many at once; more are answered with 429."),
    setting("traces.endpoint", Kind::Word, Absent("no traces"), &["OTEL_EXPORTER_OTLP_ENDPOINT"],
        "Collector of OpenTelemetry that is sent a trace of each workflow when it ends, over HTTP as JSON: `http://collector:4318`."),
    setting("traces.bearer_token", Kind::Word, Absent("none is sent"), &[],
        "Token that the collector asks for."),
    setting("temporary.directory", Kind::Path, Shipped, &["OMERO_TMPDIR", "OMERO_TEMPDIR"],
        "Temporary directory of the services, theirs alone."),
    setting("temporary.user_directory", Kind::Path, Shipped, &["OMERO_USERDIR"],
        "Where OMERO keeps the service user's sessions."),
    setting("wait.resolve", Kind::Duration(1), Shipped, &[],
        "How long a host name may take to resolve, all tries included."),
    setting("wait.family", Kind::Choice(&["any", "ipv4", "ipv6"]), Shipped, &[],
        "Which address is taken when a name has several; `any` is the resolver's first."),
    setting("wait.tcp", Kind::List(&Kind::Address), Shipped, &[],
        "Addresses that must accept a connection before services start."),
    setting("wait.paths", Kind::List(&Kind::Path), Shipped, &[],
        "Paths that must exist before services start."),
    setting("wait.deadline", Kind::Duration(1), Shipped, &[],
        "How long each of `wait.tcp` and `wait.paths` may take."),
    setting("startup.directory", Kind::Path, Shipped, &[],
        "Executables in it run as hooks, ordered by their number."),
    setting("startup.replaced.FILE", Kind::Text, Shipped, &[],
        "Files of `startup.directory` that a built-in hook stands for: listed, never run. The value is the hook's name or the reason; empty text lets the file run."),
    setting("hooks.directory", Kind::Path, Shipped, &[],
        "Folder of the site's hooks, `NN-name.toml`, `.sh` or `.wasm`."),
    setting("hooks.compiler", Kind::Path, Shipped, &[],
        "The program that compiles a `.wasm` which is not in the cache."),
    setting("hooks.cache", Kind::Path, Shipped, &[],
        "Folder of compiled `.wasm` hooks. Root or the user of `init` owns it, and nobody else can write there."),
    setting("hooks.default.deadline", Kind::Duration(1), Shipped, &[],
        "Time for one try of a hook."),
    setting("hooks.default.retries", COUNT, Shipped, &[],
        "Tries after the first."),
    setting("hooks.default.on_failure", Kind::Choice(&["abort", "warn"]), Shipped, &[],
        "What a hook's failure means: `init` ends, or says it and goes on."),
    setting("hooks.NAME.deadline", Kind::Duration(1), Absent("`hooks.default.deadline`"), &[],
        "Time for one try of the hook NAME."),
    setting("hooks.NAME.retries", COUNT, Absent("`hooks.default.retries`"), &[],
        "Tries of the hook NAME after the first."),
    setting("hooks.NAME.on_failure", Kind::Choice(&["abort", "warn"]), Absent("`hooks.default.on_failure`"), &[],
        "What a failure of the hook NAME means."),
    setting("hooks.NAME.enabled", Kind::Boolean, Absent("what the hook itself says"), &[],
        "`false` leaves the hook NAME out."),
    setting("services.NAME.enabled", Kind::Boolean, Typed(|| Service::default().enabled.to_string()), &[],
        "`false` leaves the service out."),
    setting("services.NAME.command", Kind::List(&Kind::Text), Absent("none; required unless there is a launcher"), &[],
        "Program and arguments."),
    setting("services.NAME.launcher", Kind::Choice(&["icegridnode", "omero-node"]), Absent("none"), &[],
        "For the service `node` only, which ships with `icegridnode` unless it has a command: start `icegridnode` itself, or through `omero node`."),
    setting("services.NAME.environment.VARIABLE", Kind::Text, Absent("the environment of `init`"), &[],
        "Variables added to the service's environment."),
    setting("services.NAME.user", Kind::Word, Absent("`user.name`"), &[],
        "User that the service runs as."),
    setting("services.NAME.directory", Kind::Path, Absent("`omero.directory`"), &[],
        "Working directory."),
    setting("services.NAME.depends_on", Kind::List(&Kind::Name), Typed(|| list(&Service::default().depends_on)), &[],
        "Services that must be ready first; they are stopped last."),
    setting("services.NAME.ready.tcp", Kind::Address, Absent("ready at once, without `ready`"), &[],
        "The service is ready when this address accepts a connection. One of `tcp`, `path`, `exec` and `notify`."),
    setting("services.NAME.ready.path", Kind::Path, Absent("see `tcp`"), &[],
        "The service is ready when this path exists."),
    setting("services.NAME.ready.exec", Kind::List(&Kind::Text), Absent("see `tcp`"), &[],
        "The service is ready when this command exits with 0."),
    setting("services.NAME.ready.notify", Kind::Boolean, Typed(|| crate::Readiness::default().notify.to_string()), &[],
        "The service is ready when it sends `READY=1` to `NOTIFY_SOCKET` (sd_notify)."),
    setting("services.NAME.ready.deadline", Kind::Duration(1), Typed(|| time(crate::Readiness::default().deadline)), &[],
        "Time until the service must be ready."),
    setting("services.NAME.ready.interval", Kind::Duration(10), Typed(|| time(crate::Readiness::default().interval)), &[],
        "Time between two probes."),
    setting("services.NAME.main", Kind::Boolean, Typed(|| Service::default().main.to_string()), &[],
        "When this service ends for good, `init` stops the others and exits with its code; at most one service."),
    setting("services.NAME.restart.policy", Kind::Choice(&["never", "on-failure", "always"]), Typed(|| "on-failure".to_owned()), &[],
        "After which ends the service is started again."),
    setting("services.NAME.restart.delay", Kind::Duration(1), Typed(|| time(Service::default().restart.delay)), &[],
        "Pause before the first restart; it doubles with each further one."),
    setting("services.NAME.restart.max_delay", Kind::Duration(1), Typed(|| time(Service::default().restart.max_delay)), &[],
        "The longest pause."),
    setting("services.NAME.restart.give_up_after", COUNT, Typed(|| Service::default().restart.give_up_after.to_string()), &[],
        "Give up after this many ends within `window`; 0 never gives up."),
    setting("services.NAME.restart.window", Kind::Duration(1), Typed(|| time(Service::default().restart.window)), &[],
        "The time in which ends are counted; a longer run resets the pause."),
    setting("services.NAME.stop.signal", Kind::Signal, Typed(|| Service::default().stop.signal), &[],
        "Signal that asks the service to stop, sent to its process group."),
    setting("services.NAME.stop.deadline", Kind::Duration(0), Typed(|| time(Service::default().stop.deadline)), &[],
        "Time until KILL goes to the whole group."),
    setting("log.level", Kind::Choice(&["error", "warn", "info", "debug", "trace"]), Shipped, &[],
        "How much `init` says."),
    setting("log.format", Kind::Choice(&["human", "json"]), Shipped, &[],
        "Shape of `init`'s own lines."),
    setting("log.services", Kind::Choice(&["passthrough", "prefixed"]), Shipped, &[],
        "What happens to a service's output: untouched, or each line with the service's name before it."),
    setting("state.directory", Kind::Path, Shipped, &[],
        "Folder for `manifest.json`; created with mode 0700 when missing."),
    setting("state.socket", Kind::Path, Shipped, &[],
        "The control socket (mode 0600) of `init status`, `init restart` and `init stop`."),
    setting("properties.PROPERTY", Kind::Property, Absent("none"), &["CONFIG_*"],
        "OMERO properties, `\"omero.NAME\" = \"value\"`. Every variable `CONFIG_a_b__c` sets `a.b_c`."),
];

fn time(duration: std::time::Duration) -> String {
    crate::duration::display(duration)
}

fn list(words: &[String]) -> String {
    format!("{words:?}")
}

/// What a path of key segments stands for.
pub(crate) enum Lookup {
    /// A value.
    Value(&'static Setting),
    /// A section.
    Section,
    /// Nothing.
    Unknown,
}

/// Whether a segment of a key in the table stands for a name.
pub(crate) fn is_placeholder(segment: &str) -> bool {
    segment.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The table with its keys cut into segments, once: every key of every layer is looked up in it at each start.
fn segmented() -> &'static [(&'static Setting, Vec<&'static str>)] {
    static SEGMENTED: std::sync::OnceLock<Vec<(&Setting, Vec<&str>)>> = std::sync::OnceLock::new();
    SEGMENTED
        .get_or_init(|| SETTINGS.iter().map(|setting| (setting, setting.key.split('.').collect())).collect())
}

/// The settings whose first segments are `path`, each with its next segment.
fn below<'a, S: AsRef<str>>(
    path: &'a [S],
) -> impl Iterator<Item = (&'static Setting, Option<&'static str>)> + 'a {
    segmented().iter().filter_map(move |(setting, segments)| {
        if segments.len() < path.len() {
            return None;
        }
        let fits = path.iter().zip(segments).enumerate().all(|(at, (wanted, segment))| {
            *segment == wanted.as_ref()
                || is_placeholder(segment) && !is_fixed(&segments[..at], wanted.as_ref())
        });
        fits.then(|| (*setting, segments.get(path.len()).copied()))
    })
}

/// Whether `name` stands in the table beside the placeholder that follows `section`: `hooks.default` is a section of
/// its own and not the policy of a hook called "default".
fn is_fixed(section: &[&str], name: &str) -> bool {
    segmented()
        .iter()
        .any(|(_, segments)| segments.get(section.len()) == Some(&name) && segments.starts_with(section))
}

/// What is at this path.
pub(crate) fn look_up<S: AsRef<str>>(path: &[S]) -> Lookup {
    match below(path).next() {
        Some((setting, None)) => Lookup::Value(setting),
        Some(_) => Lookup::Section,
        None => Lookup::Unknown,
    }
}

/// The names that may stand below a section, and whether it takes any name.
pub(crate) fn names_below<S: AsRef<str>>(path: &[S]) -> (Vec<&'static str>, bool) {
    let mut names = Vec::new();
    let mut any = false;
    for (_, segment) in below(path) {
        match segment {
            Some(segment) if is_placeholder(segment) => any = true,
            Some(segment) if !names.contains(&segment) => names.push(segment),
            _ => {}
        }
    }
    (names, any)
}

/// A sentence that helps someone who wrote the unknown `name` below `section`.
pub(crate) fn suggestion<S: AsRef<str>>(section: &[S], name: &str) -> String {
    let (names, _) = names_below(section);
    if let Some(name) = nearest(name, names.iter().copied()) {
        return format!("did you mean \"{name}\"?");
    }
    let elsewhere: Vec<&str> = SETTINGS
        .iter()
        .map(|setting| setting.key)
        .filter(|key| key.rsplit('.').next() == Some(name))
        .take(3)
        .collect();
    if !elsewhere.is_empty() {
        return format!("did you mean {}?", elsewhere.join(" or "));
    }
    format!("valid here: {}", names.join(", "))
}

/// The page `docs/settings.md`.
///
/// # Panics
/// Never: a test generates it.
#[must_use]
pub fn reference_markdown() -> String {
    let shipped: toml_edit::DocumentMut = DEFAULTS.parse().expect("the shipped defaults are valid");
    let mut page = String::from(INTRODUCTION);
    let mut section = "";
    for setting in SETTINGS {
        let top = setting.key.split('.').next().unwrap_or(setting.key);
        if top != section {
            section = top;
            page.push_str(&format!("\n## `[{section}]`\n\n| key | value | default | variable | meaning |\n|---|---|---|---|---|\n"));
        }
        let default = match setting.default {
            Shipped => shipped_default(&shipped, setting.key),
            Typed(value) => format!("`{}`", value()),
            Absent(meaning) => meaning.to_owned(),
        };
        let variables: Vec<String> = setting.variables.iter().map(|name| format!("`{name}`")).collect();
        page.push_str(&format!(
            "| `{}` | {} | {default} | {} | {} |\n",
            setting.key,
            setting.kind.in_words(),
            variables.join(", "),
            setting.meaning
        ));
    }
    page.push_str(PASSED_THROUGH);
    for (name, meaning) in crate::passed_through::VARIABLES {
        page.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    page
}

const INTRODUCTION: &str = "# Settings of `init`

<!-- Generated from config/src/reference.rs and config/defaults.toml. Change those, then run `cargo xtask reference`. -->

Layers, later wins key by key:

1. the shipped defaults;
2. `/etc/biomero/init.toml`, or the file that `BIOMERO_INIT_CONFIG` names (which must exist then);
3. `/etc/biomero/init.d/*.toml`, in name order;
4. the environment: the variables below, then `BIOMERO_INIT_*`;
5. the command line: `--set worker.port=4063`.

`init config` shows every value and where it came from.

Every key can be set by a variable of its own: `BIOMERO_INIT_` and the key in capitals, with `__` for each dot:
`BIOMERO_INIT_WORKER__PORT=4063`, `BIOMERO_INIT_SERVICES__NODE__STOP__DEADLINE=90s`,
`BIOMERO_INIT_WAIT__TCP='[\"master:4061\"]'`. In the name of a hook or service a `_` stands for `-` unless a file already
names it otherwise: `BIOMERO_INIT_HOOKS__SSH_KEYS__RETRIES=2`. The exceptions are `properties` (use `CONFIG_*`) and
`startup.replaced` (use a file). An empty variable counts as not set, except `CONFIG_*`, which sets an empty property.

A property `omero.ports.NAME` also sets `omero.ports.NAME` below.
";

const PASSED_THROUGH: &str = "
## Variables that are passed through

`init` hands these to hooks and services as they are, and warns when they cannot work.

| variable | meaning |
|---|---|
";

fn shipped_default(shipped: &toml_edit::DocumentMut, key: &str) -> String {
    let mut item = shipped.as_item();
    for segment in key.split('.') {
        if is_placeholder(segment) {
            let names: Vec<String> = item
                .as_table_like()
                .into_iter()
                .flat_map(|table| table.iter())
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            return names.join(", ");
        }
        match item.get(segment) {
            Some(below) => item = below,
            None => return "(missing from defaults.toml)".to_owned(),
        }
    }
    match item.as_value().map(Value::from_toml) {
        Some(Value::Text(text)) => format!("`{text:?}`"),
        Some(value) => format!("`{}`", value.shown()),
        None => "(a section in defaults.toml)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_setting_has_its_default_and_every_default_its_setting() {
        assert!(!reference_markdown().contains(" in defaults.toml)"));
        assert!(!reference_markdown().contains("missing from defaults.toml"));
        // `load` checks the shipped defaults like any other layer: an unlisted key in them is a problem there.
    }

    #[test]
    fn fixed_names_come_before_placeholders() {
        let key = |path: &[&str]| match look_up(path) {
            Lookup::Value(setting) => setting.key,
            Lookup::Section => "section",
            Lookup::Unknown => "unknown",
        };
        for (path, found) in [
            (&["hooks", "default", "retries"][..], "hooks.default.retries"),
            (&["hooks", "default", "enabled"], "unknown"),
            (&["hooks", "ssh-keys", "enabled"], "hooks.NAME.enabled"),
            (&["hooks", "directory"], "hooks.directory"),
            (&["hooks", "ssh-keys"], "section"),
            (&["services", "node", "environment", "A"], "services.NAME.environment.VARIABLE"),
            (&["worker"], "section"),
            (&["worker", "prot"], "unknown"),
            (&["worker", "port", "x"], "unknown"),
        ] {
            assert_eq!(key(path), found, "{path:?}");
        }
    }

    #[test]
    fn a_suggestion_names_the_neighbour_or_the_place() {
        assert_eq!(suggestion(&["worker"], "prot"), "did you mean \"port\"?");
        assert_eq!(suggestion::<&str>(&[], "bind"), "did you mean worker.bind?");
        assert_eq!(suggestion(&["master"], "zzzzzz"), "valid here: host, port");
    }

    #[test]
    fn the_reference_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == reference_markdown(),
            "docs/settings.md differs from the table: run `cargo xtask reference`"
        );
    }
}
