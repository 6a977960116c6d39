//! Hostile hooks in a real start-up: `init` is process 1, the built-in hooks run, and a program comes after them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use biomero_tests::namespace::{As, Namespace};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, Deployment, SERVICE_USER};
use biomero_tests::{Result, Trouble, binary, process, queue, wait};
use nix::sys::signal::Signal;
use nix::unistd::Uid;

use super::guest::{Effect, Guest, file};
use super::stage::{CACHE, HOOKS, digest};

/// A worker with one hook, and what its TOML file says beyond the component.
struct Worker {
    _turn: queue::Turn,
    scratch: Scratch,
    namespace: Namespace,
}

impl Worker {
    fn new(user: As) -> Result<Self> {
        let turn = queue::turn()?;
        let scratch = Scratch::new()?;
        let mut deployment = Deployment::internal(4061);
        deployment.settings = "[hooks]\ncompiler = \"/opt/biomero/bin/init-hooks\"\n".to_owned();
        let namespace = Namespace::new(scratch.path(), deployment, user)?;
        let cache = namespace.path(CACHE);
        fs::create_dir_all(&cache).map_err(Trouble::doing("make the cache"))?;
        if user == As::ServiceUser {
            worker_root::give(&cache, SERVICE_USER)?;
        }
        Ok(Self { _turn: turn, scratch, namespace })
    }

    fn install(&self, guest: &Guest, toml: &str) -> Result<()> {
        let component = self.namespace.path(HOOKS).join("hostile.wasm");
        fs::create_dir_all(self.namespace.path(HOOKS)).map_err(Trouble::doing("make hooks.d"))?;
        fs::write(&component, guest.component(self.scratch.path())?)
            .map_err(Trouble::doing("write a component"))?;
        let text = format!("component = \"hostile.wasm\"\nsha256 = \"{}\"\n{toml}", digest(&component)?);
        worker_root::write(self.namespace.root(), &format!("{}/04-hostile.toml", &HOOKS[1..]), &text, 0o644)
            .map(drop)
    }
}

fn command(script: &str) -> Effect {
    let argv = ["/bin/sh", "-c", script].map(|word| word.as_bytes().to_vec());
    Effect::Command { argv: argv.to_vec(), as_service_user: true }
}

fn variable(name: &str) -> Effect {
    Effect::Variable { name: name.into(), value: Some(b"/tmp/evil.so".to_vec()) }
}

#[test]
fn nothing_of_a_refused_hook_reaches_a_program_or_the_machine() -> Result<()> {
    for user in [As::Root, As::ServiceUser] {
        let worker = Worker::new(user)?;
        let guest = Guest::new().plans([
            variable("SITE"),
            file("/tmp/granted", "x"),
            variable("LD_PRELOAD"),
            command("touch /tmp/ran"),
            file("/etc/shadow", "root::0:0:::::\n"),
        ]);
        let grants = "[grants]\nset = [\"*\"]\nwrite = [\"/tmp/granted\"]\n";
        worker.install(&guest, grants)?;
        let stopped = worker.namespace.run(&["--", "/usr/bin/env"], wait::PATIENCE)?.exits(70)?;
        assert_eq!(stopped.output, "", "{user:?}: the program was not started");
        for said in [
            "hook hostile",
            "set the variable LD_PRELOAD: not granted",
            "run /bin/sh",
            "write /etc/shadow: not granted",
        ] {
            assert!(stopped.errors.contains(said), "{user:?}: {said:?} is said\n{}", stopped.errors);
        }

        worker.install(&guest, &format!("on_failure = \"warn\"\n{grants}"))?;
        let went_on = worker.namespace.run(&["--", "/usr/bin/env"], wait::PATIENCE)?.exits(0)?;
        assert!(
            went_on.output.contains("OMERODIR="),
            "{user:?}: the program has its environment\n{}",
            went_on.output
        );
        assert!(went_on.errors.contains("write /etc/shadow: not granted"), "{user:?}: {}", went_on.errors);
        for name in ["LD_PRELOAD=", "SITE="] {
            assert!(!went_on.output.contains(name), "{user:?}: {name}\n{}", went_on.output);
        }
        for path in ["/tmp/granted", "/tmp/ran", "/etc/shadow"] {
            assert!(!worker.namespace.path(path).exists(), "{user:?}: {path} is not there");
        }
        assert!(worker.namespace.path("/opt/omero/server/OMERO.server/etc/ice.config").exists(), "{user:?}");
    }
    Ok(())
}

#[test]
fn a_granted_program_runs_as_the_service_user_and_no_longer_than_it_may() -> Result<()> {
    let worker = Worker::new(As::Root)?;
    let grants = "[grants]\nrun = [[\"/bin/sh\", \"-c\"]]\n";
    worker.install(
        &Guest::new().plans([command("id -u > /tmp/who; grep NoNewPrivs /proc/self/status >> /tmp/who")]),
        grants,
    )?;
    worker.namespace.run(&["--", "/bin/true"], wait::PATIENCE)?.exits(0)?;
    let who = worker.namespace.read("/tmp/who")?;
    let expected = if Uid::effective().is_root() { SERVICE_USER.to_string() } else { "0".to_owned() };
    assert_eq!(who.lines().next(), Some(expected.as_str()), "{who}");

    // Its own deadline is a second.
    let script = "(sleep 600; touch /tmp/late) & sleep 600";
    worker.install(&Guest::new().plans([command(script)]), grants)?;
    let began = Instant::now();
    let stopped = worker.namespace.run(&["--", "/bin/true"], wait::PATIENCE)?.exits(69)?;
    assert!(stopped.errors.contains("hook hostile: running /bin/sh: gave up after 1s"), "{}", stopped.errors);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    Ok(())
}

/// The folder of the state belongs to the service user: what is found there is not for root.
#[test]
fn root_runs_no_machine_code_that_the_service_user_put_there() -> Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let worker = Worker::new(As::Root)?;
    worker.install(&Guest::new(), "")?;
    let folder = worker.namespace.path("/run/biomero/hooks");
    let made = worker.scratch.path().join("made");
    let component = worker.namespace.path(HOOKS).join("hostile.wasm");
    let mut compile = Command::new(binary::compiler()?);
    process::succeed(compile.args(["compile", "--cache"]).arg(&made).arg(&component), wait::PATIENCE)?;
    fs::rename(&made, &folder).map_err(Trouble::doing("put machine code there"))?;
    worker_root::give(&folder, SERVICE_USER)?;
    let refused = worker.namespace.run(&["--", "/bin/true"], wait::PATIENCE)?.exits(70)?;
    assert!(refused.errors.contains(&format!("belongs to uid {SERVICE_USER}")), "{}", refused.errors);
    Ok(())
}

#[test]
fn a_stop_signal_ends_a_start_while_a_component_runs() -> Result<()> {
    let worker = Worker::new(As::ServiceUser)?;
    let limits = "[limits]\ntime = \"50s\"\nfuel = 9_000_000_000_000_000_000\n";
    worker.install(&Guest::new().plans_after("(loop (br 0))"), limits)?;
    let mut init = worker.namespace.start(&[])?;
    // Once its machine code is kept, nothing but the component runs.
    wait::until("machine code", wait::PATIENCE, &[worker.namespace.log()], || {
        fs::read_dir(worker.namespace.path(CACHE))
            .ok()?
            .flatten()
            .find(|entry| entry.path().extension() == Some("cwasm".as_ref()))
    })?;
    std::thread::sleep(Duration::from_millis(500));
    init.signal(Signal::SIGTERM)?;
    assert_eq!(
        init.ended_within(Duration::from_secs(10))?,
        143,
        "{}",
        wait::ends_of(&[worker.namespace.log()])
    );
    Ok(())
}
