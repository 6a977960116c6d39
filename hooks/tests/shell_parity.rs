//! The built-in hooks leave the files that today's shell scripts leave, compared one by one, for the internal and the
//! external worker; and a second start leaves them as they are.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use biomero_config::{Environment, Settings, Sources, Values};
use biomero_hooks::component::Line;
use biomero_hooks::{
    Change, Disk, Effect, Exit, HookFailure, Identity, Machine, MachineError, Observer, Overlay, Process,
    Scheduled, Site, Start, StepError, apply, builtin, plan, schedule,
};

const NODE: &str = "biomeroworker";
const WORKER: &str = "172.18.0.5";
const MASTER: &str = "172.18.0.2";

/// A network in which the two names resolve, and in which no program may be needed.
struct Network;

impl Machine for Network {
    fn run(&mut self, process: &Process<'_>, _: Duration) -> Result<Exit, MachineError> {
        panic!("no program is needed to render a worker's configuration, and {:?} was started", process.argv)
    }
    fn resolve(&mut self, host: &str, after: Duration) -> Result<Vec<IpAddr>, MachineError> {
        match host {
            NODE => Ok(vec![WORKER.parse().unwrap()]),
            "omeroserver" => Ok(vec![MASTER.parse().unwrap()]),
            _ => Err(MachineError::Timeout { after, last: format!("{host} is not known") }),
        }
    }
    fn wait_tcp(&mut self, _: &str, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }
    fn wait_path(&mut self, _: &Path, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }
    fn pause(&mut self, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }
    fn wait_readable(&mut self, _: BorrowedFd<'_>, _: Duration) -> Result<bool, MachineError> {
        Ok(true)
    }
    fn interrupted(&mut self) -> Option<String> {
        None
    }
}

/// Which effects changed something.
#[derive(Default)]
struct Changes(Vec<String>);

impl Observer for Changes {
    fn starts(&mut self, _: &Scheduled) {}
    fn effect(&mut self, hook: &Scheduled, effect: &Effect, change: &Change) {
        if change.changes_the_machine() {
            self.0.push(format!("{}: {effect:?}", hook.name));
        }
    }
    fn retries(&mut self, _: &Scheduled, error: &StepError, _: Duration) {
        panic!("nothing here gets better by another try: {error}")
    }
    fn warns(&mut self, failure: &HookFailure) {
        panic!("{failure}")
    }
    fn says(&mut self, _: &Scheduled, _: &Line) {}
    fn falls_back(&mut self, _: &Scheduled, _: &StepError) {}
    fn ends(&mut self, _: &Scheduled, _: usize, _: Duration) {}
}

/// The parts of a BIOMERO image, and the mounted keys of a deployment, that the scripts read.
fn image() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let etc = "opt/omero/server/OMERO.server/etc";
    put(
        &format!("{etc}/templates/worker.cfg"),
        "IceGrid.Node.Endpoints=tcp -h @omero.worker.host@\nIceGrid.Node.Name=@worker.name@\nIceGrid.Node.Data=var/@worker.name@\n\
         IceGrid.Node.Output=var/log\n\nIce.StdOut=var/log/@worker.name@.out\nIce.StdErr=var/log/@worker.name@.err\n",
    );
    put(
        &format!("{etc}/templates/ice.config"),
        "Ice.Default.Router=OMERO.Glacier2/router:tcp -p 4063 -h @omero.master.host@\n",
    );
    put(
        &format!("{etc}/templates/internal.cfg"),
        "Ice.Default.Locator=IceGrid/Locator:tcp -h @omero.master.host@ -p @omero.ports.prefix@@omero.ports.registry@\n",
    );
    put("tmp/.ssh/config", "Host localslurm\n  HostName slurm\n  User slurm\n");
    put("tmp/.ssh/known_hosts", "slurm ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx\n");
    let key = root.path().join("tmp/.ssh/id_ed25519");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "worker", "-f"])
        .arg(key)
        .status();
    assert!(made.expect("ssh-keygen is installed").success());
    root
}

/// Path, permission bits and content of everything below a directory.
fn files(directory: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            let mode = metadata.permissions().mode() & 0o7777;
            if metadata.is_dir() {
                found.insert(format!("{name}/"), (mode, String::new()));
                open.push(path);
            } else {
                found.insert(name, (mode, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

fn settings(root: &Path, variables: &[(&str, &str)]) -> (Settings, Environment) {
    let environment: Environment = variables.iter().copied().collect();
    let sources =
        Sources { root: root.to_owned(), environment: environment.clone(), command_line: Vec::new() };
    (biomero_config::load(&sources).unwrap().settings, environment)
}

/// Starts once and tells what was changed.
fn start(root: &Path, variables: &[(&str, &str)]) -> Vec<String> {
    let (settings, environment) = settings(root, variables);
    let identity = Identity::of_this_process();
    let (disk, values) = (Disk::below(root), Values::default());
    let site =
        Site { settings: &settings, values: &values, disk: &disk, identity: &identity, arguments: &[] };
    let hooks = schedule(builtin::all(), &site).unwrap();
    let start =
        Start { settings: &settings, identity: &identity, environment: &environment, run_programs: false };

    let before = files(root);
    let planned = plan(&start, &hooks, Overlay::over(Disk::below(root)), &mut Network);
    assert_eq!(planned.failures(), Vec::<String>::new());
    assert_eq!(files(root), before, "a dry run changes nothing");

    let mut changes = Changes::default();
    apply(&start, &hooks, &Overlay::over(Disk::below(root)), &mut Network, &mut changes).unwrap();
    assert_eq!(planned.changes(), changes.0.len(), "the dry run told as many changes as were made");
    changes.0
}

const INTERNAL: &[(&str, &str)] = &[
    ("CONFIG_omero_logging_level", "10"),
    ("CONFIG_omero_master_host", "omeroserver"),
    ("CONFIG_omero_scripts_timeout", "604800000"),
    ("OMERO_WORKER_NAME", NODE),
];

fn variables(mode: &str) -> Vec<(&'static str, &'static str)> {
    let mut variables = INTERNAL.to_vec();
    if mode == "external" {
        variables.push(("CONFIG_omero_master_port", "4064"));
    }
    variables
}

#[test]
fn the_same_files_as_the_scripts_leave() {
    for mode in ["internal", "external"] {
        let (ours, theirs) = (image(), image());
        for key in ["id_ed25519", "id_ed25519.pub"] {
            let key = format!("tmp/.ssh/{key}");
            fs::copy(ours.path().join(&key), theirs.path().join(&key)).unwrap();
        }
        start(ours.path(), &variables(mode));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/as_the_scripts_do.sh");
        let ran = Command::new("bash")
            .args([script, mode, NODE, WORKER, MASTER])
            .current_dir(theirs.path())
            .status();
        assert!(ran.unwrap().success());

        let etc = "opt/omero/server/OMERO.server/etc";
        let mut our_etc = files(&ours.path().join(etc));
        for ours_alone in ["internal.cfg", "grid/", "grid/config.xml"] {
            assert!(our_etc.remove(ours_alone).is_some(), "{ours_alone}, which OMERO's Python makes today");
        }
        let contents = |files: BTreeMap<String, (u32, String)>| -> BTreeMap<String, String> {
            files.into_iter().map(|(name, (_, content))| (name, content)).collect()
        };
        assert_eq!(contents(our_etc), contents(files(&theirs.path().join(etc))), "{mode}");

        let ssh = "opt/omero/server/.ssh";
        assert_eq!(files(&ours.path().join(ssh)), files(&theirs.path().join(ssh)), "{mode}");
        for root in [&ours, &theirs] {
            let mode = fs::metadata(root.path().join(ssh)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700);
        }
    }
}

#[test]
fn a_second_start_changes_nothing_and_nests_nothing() {
    for mode in ["internal", "external"] {
        let root = image();
        assert!(!start(root.path(), &variables(mode)).is_empty());
        let once = files(root.path());
        let again = start(root.path(), &variables(mode));
        let environment_only = again.iter().all(|change| change.contains(": Variable {"));
        assert!(environment_only, "{again:#?}");
        assert_eq!(files(root.path()), once, "{mode}");
        assert!(!root.path().join("opt/omero/server/.ssh/.ssh").exists());
    }
}

#[test]
fn an_existing_configuration_of_omeros_is_added_to() {
    let root = image();
    let grid = root.path().join("opt/omero/server/OMERO.server/etc/grid");
    fs::create_dir_all(&grid).unwrap();
    fs::write(
        grid.join("config.xml"),
        r#"<icegrid><properties id="default"><property name="omero.ports.registry" value="5061" /></properties></icegrid>"#,
    )
    .unwrap();
    start(root.path(), &variables("internal"));
    let config = fs::read_to_string(grid.join("config.xml")).unwrap();
    assert!(config.contains(r#"<property name="omero.scripts.timeout" value="604800000" />"#), "{config}");
    assert!(!grid.join("config.xml.lock").exists());
    let internal = fs::read_to_string(grid.parent().unwrap().join("internal.cfg")).unwrap();
    assert_eq!(internal, "Ice.Default.Locator=IceGrid/Locator:tcp -h omeroserver -p 5061\n");
}
