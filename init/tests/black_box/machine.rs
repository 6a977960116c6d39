//! Hooks on PID 1: what they wait for and what they run, while signals and orphans go on being served.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::stage::{Running, as_pid_one, init, runs};

/// A start that only waits and runs start-up scripts: the other built-ins are switched off.
struct StartUp {
    folder: TempDir,
}

impl StartUp {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        for name in ["startup", "hooks.d"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (number, name) in [
            (5, "virtual-environment"),
            (10, "ssh-keys"),
            (20, "omero-temp"),
            (30, "slurm-config"),
            (49, "omero-load"),
            (50, "omero-properties"),
            (60, "processor"),
            (90, "icegrid-node"),
            (91, "ice-config"),
        ] {
            let file = folder.path().join(format!("hooks.d/{number:02}-{name}.toml"));
            fs::write(file, "enabled = false\n").unwrap();
        }
        let settings = format!(
            "[user]\nname = \"root\"\n[state]\ndirectory = \"{root}/run\"\nsocket = \"{root}/run/init.sock\"\n\
             [hooks]\ndirectory = \"{root}/hooks.d\"\n[startup]\ndirectory = \"{root}/startup\"\n{}",
            settings.replace("$ROOT", &root)
        );
        fs::write(folder.path().join("init.toml"), settings).unwrap();
        Self { folder }
    }

    /// Adds an executable to `/startup`.
    fn script(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join("startup").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn run(&self, mut command: Command) -> Running {
        Running::start(command.env("BIOMERO_INIT_CONFIG", self.folder.path().join("init.toml")))
    }

    /// The hooks, and then `echo started`.
    fn start(&self) -> Running {
        let mut command = Command::new(init());
        command.args(["--", "echo", "started"]);
        self.run(command)
    }
}

#[test]
fn services_wait_for_an_address_and_a_path() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let start_up = StartUp::new(&format!(
        "[wait]\ntcp = [\"localhost:{}\"]\npaths = [\"$ROOT/there\"]\n",
        address.port()
    ));
    let mut run = start_up.start();
    std::thread::sleep(Duration::from_millis(300));
    let _listener = std::net::TcpListener::bind(address).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(run.out(), "", "started before the path was there");
    fs::write(start_up.folder.path().join("there"), "").unwrap();
    assert_eq!(run.code(), 0, "{}", run.said());
    assert_eq!(run.out(), "started\n");
}

#[test]
fn what_does_not_come_up_in_time_is_named_with_the_last_reason() {
    for (wait, told) in [
        ("tcp = [\"127.0.0.1:1\"]", "127.0.0.1:1: Connection refused"),
        ("paths = [\"$ROOT/never\"]", "never: it is not there"),
        ("tcp = [\"no-such-host.invalid:1\"]", "cannot resolve no-such-host.invalid"),
    ] {
        let began = Instant::now();
        let start_up = StartUp::new(&format!("[wait]\ndeadline = \"400ms\"\nresolve = \"400ms\"\n{wait}\n"));
        let mut run = start_up.start();
        assert_eq!(run.code(), 69, "{}", run.said());
        assert!(run.err().contains(told), "{}", run.said());
        assert!(began.elapsed() < Duration::from_secs(20), "took {:?}", began.elapsed());
    }
}

#[test]
fn a_stop_ends_the_wait_at_once() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGQUIT, 131)] {
        let start_up =
            StartUp::new("[wait]\npaths = [\"$ROOT/never\"]\ndeadline = \"10m\"\n[log]\nlevel = \"debug\"\n");
        let mut run = start_up.start();
        run.complains("wait");
        run.signal(signal);
        assert_eq!(run.code(), code, "{}", run.said());
        assert_eq!(run.out(), "");
    }
}

#[test]
fn a_script_that_is_late_is_ended_with_all_that_it_started() {
    let start_up = StartUp::new("[hooks.default]\ndeadline = \"500ms\"\n").script(
        "60-late.sh",
        "trap '' TERM\nsh -c 'trap \"\" TERM; echo inner $$; while :; do sleep 0.05; done' &\nwhile :; do sleep 0.05; done",
    );
    let mut run = start_up.start();
    assert_eq!(run.code(), 69, "{}", run.said());
    let inner = run.out().trim().strip_prefix("inner ").unwrap().parse().unwrap();
    assert!(!runs(inner), "{}", run.said());
    assert!(run.err().contains("was still running and was ended with all that it started"), "{}", run.said());
}

#[test]
fn orphans_are_collected_while_hooks_run() {
    let start_up = StartUp::new("").script(
        "60-orphans.sh",
        "i=0; while [ $i -lt 300 ]; do ( : & ); i=$((i+1)); done; sleep 0.3\n\
         for s in /proc/[0-9]*/stat; do read -r line < $s 2>/dev/null && case $line in *') Z 1 '*) echo zombie;; esac; done\nexit 0",
    );
    let Some(command) = as_pid_one(&[init(), "--", "echo", "started"]) else { return };
    let mut run = start_up.run(command);
    assert_eq!(run.code(), 0, "{}", run.said());
    assert_eq!(run.out(), "started\n");
}
