//! A worker's root folder on a laptop: `init --root` as an ordinary user, and what it says when something is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, Deployment, OMERO, SERVICE_USER};
use biomero_tests::{Result, process, tree};
use nix::unistd::Uid;

/// Generous: the machine is shared.
const DEADLINE: Duration = Duration::from_secs(60);

/// A root folder and the command line that works on it.
pub(crate) struct Laptop {
    scratch: Scratch,
    deployment: Deployment,
}

impl Laptop {
    pub(crate) fn new() -> Result<Self> {
        Self::with("")
    }

    /// `settings` go to `/etc/biomero/init.toml`.
    pub(crate) fn with(settings: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut deployment = Deployment::internal(4061);
        // Names that every machine resolves: a laptop knows nothing of the container's network.
        deployment.master = "127.0.0.1".to_owned();
        deployment.name = "localhost".to_owned();
        settings.clone_into(&mut deployment.settings);
        worker_root::lay_out(&scratch.folder("root")?, &deployment)?;
        worker_root::give(&scratch.path().join("root"), SERVICE_USER)?;
        Ok(Self { scratch, deployment })
    }

    /// Room for files outside of the root folder.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Runs `init` as an ordinary user, with the deployment's variables.
    fn init(&self, arguments: &[&str]) -> Result<Output> {
        process::output(&mut self.command(Command::new("setpriv"), arguments), DEADLINE)
    }

    /// The same to be started by `runner`, which takes the options of `setpriv` and a command line.
    pub(crate) fn command(&self, mut runner: Command, arguments: &[&str]) -> Command {
        // Whoever is ended by a time limit ends no child of its own.
        runner.args(["--pdeathsig", "KILL"]);
        if Uid::effective().is_root() {
            let id = SERVICE_USER.to_string();
            runner.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        runner.arg("--").arg(self.at(worker_root::INIT));
        runner.env_clear().envs(self.deployment.environment());
        runner.arg("--root").arg(self.root()).args(arguments);
        runner
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_dry_run_tells_with_its_exit_code_and_changes_nothing() -> Result<()> {
    let laptop = Laptop::new()?;
    let before = tree::read(&laptop.root())?;
    let fresh = laptop.init(&["--dry-run"])?;
    assert_eq!(code(&fresh), 2, "{}", process::both(&fresh));
    let json = laptop.init(&["--dry-run", "--json"])?;
    let plan: serde_json::Value = serde_json::from_slice(&json.stdout).expect("the plan is JSON");
    assert!(plan["changes"].as_u64().is_some_and(|changes| changes > 5), "{plan}");
    for question in [&["hooks"][..], &["config"], &["slurm-config", "--origin"]] {
        let answer = laptop.init(question)?;
        assert_eq!(code(&answer), 0, "init {question:?}: {}", process::both(&answer));
        assert!(
            !process::both(&answer).contains(worker_root::DATABASE_PASSWORD),
            "init {question:?} tells a password"
        );
    }
    assert!(!process::both(&fresh).contains(worker_root::DATABASE_PASSWORD));
    let config = process::both(&laptop.init(&["config"])?);
    assert!(config.contains("SQLALCHEMY_URL"), "what is handed on to services is listed\n{config}");
    assert_eq!(tree::differences(&before, &tree::read(&laptop.root())?), Vec::<String>::new());

    assert_eq!(code(&laptop.init(&["apply"])?), 0);
    // The image's own script still would run: its effects are unknown. Without it nothing is left to do.
    fs::remove_dir_all(laptop.at("/startup")).expect("the startup folder goes");
    let after = laptop.init(&["--dry-run"])?;
    assert_eq!(code(&after), 0, "{}", process::both(&after));
    Ok(())
}

#[test]
fn verify_tells_drift_and_the_next_start_heals_it() -> Result<()> {
    let laptop = Laptop::new()?;
    let none = laptop.init(&["verify"])?;
    assert_eq!(code(&none), 1, "before the first start it cannot tell: {}", process::both(&none));
    assert_eq!(code(&laptop.init(&["apply"])?), 0);
    assert_eq!(code(&laptop.init(&["verify"])?), 0);

    let ice_config = laptop.at(&format!("{OMERO}/etc/ice.config"));
    let rendered = fs::read(&ice_config).expect("ice.config is there");
    fs::write(&ice_config, "edited\n").expect("ice.config can be edited");
    let drift = laptop.init(&["verify"])?;
    assert_eq!(code(&drift), 2);
    assert!(process::both(&drift).contains("etc/ice.config has other content (hook ice-config)"));

    assert_eq!(code(&laptop.init(&["apply"])?), 0);
    assert_eq!(fs::read(&ice_config).expect("ice.config is there"), rendered);
    assert_eq!(code(&laptop.init(&["verify"])?), 0);
    Ok(())
}

/// One thing that is wrong, the exit code it ends in, and what the message must name.
type Fault = (&'static str, fn(&Laptop), i32, &'static [&'static str]);

const FAULTS: &[Fault] = &[
    (
        "an address where nobody listens",
        |laptop| {
            let text = "[wait]\ntcp = [\"127.0.0.1:1\"]\ndeadline = \"1s\"\n";
            worker_root::write(&laptop.root(), "etc/biomero/init.d/50-x.toml", text, 0o644)
                .expect("settings can be added");
        },
        69,
        &["hook wait", "127.0.0.1:1", "gave up after 1s"],
    ),
    (
        "a directory where a file belongs",
        |laptop| {
            fs::create_dir_all(laptop.at(&format!("{OMERO}/etc/ice.config/x"))).expect("a folder can be made")
        },
        73,
        &["hook ice-config", "etc/ice.config", "something else is there"],
    ),
    (
        "misspelt and mistyped settings",
        |laptop| {
            worker_root::write(
                &laptop.root(),
                "etc/biomero/init.d/50-x.toml",
                "[worker]\nnaem = \"x\"\nport = \"many\"\n",
                0o644,
            )
            .expect("settings can be added");
        },
        78,
        &["50-x.toml:2", "did you mean \"name\"", "50-x.toml:3", "port"],
    ),
    (
        "hooks that wait for each other",
        |laptop| {
            for (name, other) in [("one", "two"), ("two", "one")] {
                let text = format!("command = [\"true\"]\nafter = [\"{other}\"]\n");
                worker_root::write(
                    &laptop.root(),
                    &format!("etc/biomero/hooks.d/15-{name}.toml"),
                    &text,
                    0o644,
                )
                .expect("a hook can be added");
            }
        },
        78,
        &["one → two → one"],
    ),
];

#[test]
fn whatever_is_wrong_ends_in_one_clear_message_and_a_documented_exit_code() -> Result<()> {
    for (fault, cause, expected, named) in FAULTS {
        let laptop = Laptop::new()?;
        cause(&laptop);
        let output = laptop.init(&["apply"])?;
        let complaint = complaint(&output);
        assert_eq!(code(&output), *expected, "{fault}: {complaint}");
        for name in *named {
            assert!(complaint.contains(name), "{fault}: the message names {name:?}\n{complaint}");
        }
        assert!(!complaint.contains("panicked"), "{fault}: {complaint}");
        no_half_written_file(&laptop.root());
    }
    Ok(())
}

fn no_half_written_file(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        assert!(!path.to_string_lossy().ends_with(".init-new"), "{} was left behind", path.display());
        if path.is_dir() && !path.is_symlink() {
            no_half_written_file(&path);
        }
    }
}

#[test]
fn a_site_replaces_disables_and_adds_hooks_and_sees_it() -> Result<()> {
    let laptop = Laptop::new()?;
    for (name, text) in [
        ("10-ssh-keys.toml", "enabled = false\n"),
        (
            "90-icegrid-node.toml",
            "[[effects]]\nfile = { path = \"/opt/omero/server/OMERO.server/etc/localhost.cfg\", content = \"ours\\n\" }\n",
        ),
        ("60-site.toml", "[[effects]]\nvariable = { name = \"SITE\", value = \"here\" }\n"),
    ] {
        worker_root::write(&laptop.root(), &format!("etc/biomero/hooks.d/{name}"), text, 0o644)?;
    }
    let listed = process::both(&laptop.init(&["hooks"])?);
    for line in ["skipped: disabled by", "in place of init's", "60     site"] {
        assert!(listed.contains(line), "{line:?} is listed\n{listed}");
    }
    let applied = laptop.init(&["apply"])?;
    assert_eq!(code(&applied), 0, "{}", process::both(&applied));
    assert!(!laptop.at("/opt/omero/server/.ssh").exists(), "the disabled hook did not run");
    let node = fs::read_to_string(laptop.at(&format!("{OMERO}/etc/localhost.cfg")))
        .expect("the node's file is there");
    assert_eq!(node, "ours\n");
    Ok(())
}
