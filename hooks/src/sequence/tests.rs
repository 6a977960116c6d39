use std::fs;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_config::{Environment, Secret, Settings, Values};

use super::{Applied, Observer, Start, StepError, apply, plan};
use crate::change::Change;
use crate::component::Line;
use crate::context::{Context, FileFact, Identity, Need};
use crate::disk::Disk;
use crate::effect::{CommandEffect, Content, Effect, FileEffect, Lock, Owner, Text};
use crate::failure::FailureClass;
use crate::hook::{Hook, HookError};
use crate::machine::{Exit, Machine, MachineError, Process};
use crate::overlay::Overlay;
use crate::plan::Plan;
use crate::schedule::{Scheduled, Site, schedule};
use crate::sequence::HookFailure;

/// A host without a signal loop: real processes, no waiting.
#[derive(Default)]
struct Plain {
    stop_signal: Option<String>,
    pauses: Vec<Duration>,
}

impl Machine for Plain {
    fn run(&mut self, process: &Process<'_>, _deadline: Duration) -> Result<Exit, MachineError> {
        let status = std::process::Command::new(&process.argv[0])
            .args(&process.argv[1..])
            .env_clear()
            .envs(process.environment.iter())
            .status()
            .map_err(|error| MachineError::Start {
                program: process.argv[0].clone(),
                reason: error.to_string(),
                code: 127,
            })?;
        Ok(Exit::Code(status.code().unwrap_or(-1)))
    }

    fn resolve(&mut self, host: &str, deadline: Duration) -> Result<Vec<IpAddr>, MachineError> {
        host.parse().map(|address| vec![address]).map_err(|_| MachineError::Timeout {
            after: deadline,
            last: "Name or service not known".to_owned(),
        })
    }

    fn wait_tcp(&mut self, _address: &str, _deadline: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn wait_path(&mut self, _path: &Path, _deadline: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn pause(&mut self, duration: Duration) -> Result<(), MachineError> {
        self.pauses.push(duration);
        Ok(())
    }

    fn wait_readable(&mut self, _: BorrowedFd<'_>, _: Duration) -> Result<bool, MachineError> {
        Ok(true)
    }

    fn interrupted(&mut self) -> Option<String> {
        self.stop_signal.clone()
    }
}

#[derive(Default)]
struct Heard(Vec<String>);

impl Observer for Heard {
    fn starts(&mut self, _hook: &Scheduled) {}
    fn effect(&mut self, hook: &Scheduled, _effect: &Effect, change: &Change) {
        self.0.push(format!(
            "{} {}",
            hook.name,
            if change.changes_the_machine() { "changed" } else { "same" }
        ));
    }
    fn retries(&mut self, hook: &Scheduled, _error: &StepError, _pause: Duration) {
        self.0.push(format!("{} retries", hook.name));
    }
    fn warns(&mut self, failure: &HookFailure) {
        self.0.push(format!("warns: {failure}"));
    }
    fn says(&mut self, _hook: &Scheduled, line: &Line) {
        self.0.push(format!("says: {}", line.text));
    }
    fn falls_back(&mut self, _hook: &Scheduled, error: &StepError) {
        self.0.push(format!("falls back: {error}"));
    }
    fn ends(&mut self, _hook: &Scheduled, _changed: usize, _took: Duration) {}
}

/// A hook made of a function.
struct Made<F>(&'static str, Vec<Need>, F);

impl<F: Fn(&Context<'_>) -> Result<Vec<Effect>, HookError>> Hook for Made<F> {
    fn name(&self) -> &str {
        self.0
    }
    fn summary(&self) -> &str {
        "made for a test"
    }
    fn needs(&self, _context: &Context<'_>) -> Vec<Need> {
        self.1.clone()
    }
    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        (self.2)(context)
    }
}

struct Worker {
    root: tempfile::TempDir,
    settings: Settings,
    hooks: Vec<Scheduled>,
    machine: Plain,
    heard: Heard,
}

impl Worker {
    fn with(hooks: Vec<Box<dyn Hook>>) -> Self {
        Self::set_up(hooks, Settings::shipped())
    }

    fn set_up(hooks: Vec<Box<dyn Hook>>, mut settings: Settings) -> Self {
        // What the shipped ones say of built-ins that are not here.
        settings.hooks.per_hook.clear();
        let root = tempfile::tempdir().unwrap();
        let numbered = (1..).zip(hooks).collect();
        let identity = Identity::of_this_process();
        let (disk, values) = (Disk::below(root.path()), Values::default());
        let site =
            Site { settings: &settings, values: &values, disk: &disk, identity: &identity, arguments: &[] };
        let hooks = schedule(numbered, &site).unwrap();
        Self { root, settings, hooks, machine: Plain::default(), heard: Heard::default() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn apply(&mut self) -> Result<Applied, HookFailure> {
        let identity = Identity::of_this_process();
        let environment = Environment::of_this_process();
        let start = Start {
            settings: &self.settings,
            identity: &identity,
            environment: &environment,
            run_programs: true,
        };
        let overlay = Overlay::over(Disk::below(self.root.path()));
        apply(&start, &self.hooks, &overlay, &mut self.machine, &mut self.heard)
            .map_err(|aborted| aborted.failure)
    }

    fn plan(&mut self) -> Plan {
        let identity = Identity::of_this_process();
        let environment = Environment::of_this_process();
        let start = Start {
            settings: &self.settings,
            identity: &identity,
            environment: &environment,
            run_programs: true,
        };
        plan(&start, &self.hooks, Overlay::over(Disk::below(self.root.path())), &mut self.machine)
    }
}

fn made<F>(name: &'static str, needs: Vec<Need>, plan: F) -> Box<dyn Hook>
where
    F: Fn(&Context<'_>) -> Result<Vec<Effect>, HookError> + 'static,
{
    Box::new(Made(name, needs, plan))
}

fn always(name: &'static str, effects: Vec<Effect>) -> Box<dyn Hook> {
    made(name, Vec::new(), move |_| Ok(effects.clone()))
}

fn file(path: &str, content: &str) -> Effect {
    Effect::File(file_effect(path, Content::Public(content.into()), 0o644))
}

fn file_effect(path: &str, content: Content, mode: u32) -> FileEffect {
    FileEffect { path: path.into(), content, mode, owner: Owner::ServiceUser, lock: None }
}

fn command(argv: &[&str]) -> Effect {
    Effect::Command(CommandEffect {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        environment: Vec::new(),
        directory: None,
        as_service_user: false,
        deadline: Duration::from_secs(60),
        says: "effects unknown".to_owned(),
    })
}

#[test]
fn applying_twice_changes_nothing() {
    let mut worker = Worker::with(vec![always(
        "all",
        vec![
            Effect::Directory { path: "/a/b".into(), mode: 0o700, owner: Owner::ServiceUser },
            file("/a/b/file", "content\n"),
            Effect::Remove { path: "/gone".into() },
        ],
    )]);
    fs::write(worker.at("/gone"), "x").unwrap();
    worker.apply().unwrap();
    assert_eq!(worker.heard.0, ["all changed"; 3]);
    let inode = fs::metadata(worker.at("/a/b/file")).unwrap().ino();
    worker.heard.0.clear();
    worker.apply().unwrap();
    assert_eq!(worker.heard.0, ["all same"; 3]);
    assert_eq!(fs::metadata(worker.at("/a/b/file")).unwrap().ino(), inode);
}

#[test]
fn modes_are_those_of_the_effect_whatever_was_there() {
    let mut worker = Worker::with(vec![always(
        "modes",
        vec![
            Effect::Directory { path: "/keys".into(), mode: 0o700, owner: Owner::ServiceUser },
            Effect::File(file_effect("/keys/id", Content::secret(b"key".to_vec()), 0o600)),
        ],
    )]);
    fs::create_dir(worker.at("/keys")).unwrap();
    fs::write(worker.at("/keys/id"), "key").unwrap();
    fs::set_permissions(worker.at("/keys/id"), fs::Permissions::from_mode(0o666)).unwrap();
    worker.apply().unwrap();
    assert_eq!(fs::metadata(worker.at("/keys")).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(worker.at("/keys/id")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_symlink_in_a_files_place_is_replaced_and_its_target_left_alone() {
    let mut worker = Worker::with(vec![always("link", vec![file("/file", "new")])]);
    fs::write(worker.at("/target"), "old").unwrap();
    symlink("target", worker.at("/file")).unwrap();
    worker.apply().unwrap();
    assert_eq!(fs::read_to_string(worker.at("/target")).unwrap(), "old");
    assert!(!worker.at("/file").is_symlink());
}

#[test]
fn what_a_killed_init_left_beside_a_file_is_cleared_by_the_next() {
    let mut worker = Worker::with(vec![always("file", vec![file("/file", "whole")])]);
    for before in [None, Some("whole")] {
        fs::write(worker.at("/.file.init-new"), "hal").unwrap();
        if let Some(before) = before {
            fs::write(worker.at("/file"), before).unwrap();
        }
        worker.apply().unwrap();
        assert!(!worker.at("/.file.init-new").exists());
        assert_eq!(fs::read_to_string(worker.at("/file")).unwrap(), "whole");
    }
}

#[test]
fn the_plan_says_what_applying_does_and_changes_nothing_itself() {
    let hooks = || {
        vec![
            always("first", vec![file("/etc/one", "1\n"), file("/etc/two", "new\n")]),
            made("second", vec![Need::File("/etc/one".into())], |context| {
                let FileFact::File { content, .. } = context.facts.file(Path::new("/etc/one")) else {
                    panic!("the second hook does not see what the first planned")
                };
                Ok(vec![Effect::File(file_effect("/etc/copy", Content::Public(content.clone()), 0o600))])
            }),
            always(
                "third",
                vec![
                    Effect::Variable { name: "SEEN".into(), value: Some(Text::from("yes")) },
                    command(&["sh", "-c", "exit 0"]),
                    Effect::Notice("look here".into()),
                    Effect::File(file_effect("/etc/key", Content::secret(b"TOP SECRET".to_vec()), 0o600)),
                    Effect::Variable {
                        name: "DB".into(),
                        value: Some(Text::Secret(Secret::new("TOP SECRET".into()))),
                    },
                ],
            ),
        ]
    };
    let mut worker = Worker::with(hooks());
    fs::create_dir(worker.at("/etc")).unwrap();
    fs::write(worker.at("/etc/two"), "old\nkept\n").unwrap();
    fs::set_permissions(worker.at("/etc/two"), fs::Permissions::from_mode(0o644)).unwrap();
    let planned = worker.plan();
    let text = planned.text();
    insta::assert_snapshot!(text);
    assert!(!format!("{text}{}", planned.json()).contains("TOP SECRET"));
    assert_eq!(fs::read_dir(worker.at("/etc")).unwrap().count(), 1);

    worker.apply().unwrap();
    let changed = worker.heard.0.iter().filter(|line| line.ends_with("changed")).count();
    assert_eq!(planned.changes(), changed, "{:?}", worker.heard.0);
    assert_eq!(fs::read_to_string(worker.at("/etc/copy")).unwrap(), "1\n");
    // Only the program remains, for what it does cannot be known.
    assert_eq!(worker.plan().changes(), 1);
}

#[test]
fn a_failing_hook_ends_the_start_and_what_follows_does_not_run() {
    let mut worker = Worker::with(vec![
        always("fails", vec![command(&["false"])]),
        always("never", vec![file("/never", "")]),
    ]);
    let failure = worker.apply().unwrap_err();
    assert_eq!(failure.source.class(), FailureClass::Hook);
    insta::assert_snapshot!(failure, @"hook fails: false ended with exit code 1; its own lines above say why; run it by hand with: false");
    assert!(!worker.at("/never").exists());
}

#[test]
fn what_a_failure_says_of_a_program_shows_no_password_and_moves_no_cursor() {
    let argv = ["false", "https://me:hush@example.org/", "\x1b[2J\u{202e}"];
    let mut worker = Worker::with(vec![always("fails", vec![command(&argv)])]);
    let failure = worker.apply().unwrap_err().to_string();
    assert!(failure.ends_with("false https://me:********@example.org/ \\u{1b}[2J\\u{202e}"), "{failure}");
}

#[test]
fn a_hook_that_may_fail_is_warned_about_and_gone_on_from() {
    let mut settings = Settings::shipped();
    settings.hooks.default.on_failure = biomero_config::OnFailure::Warn;
    settings.hooks.default.retries = 2;
    let mut worker = Worker::set_up(
        vec![always("fails", vec![command(&["false"])]), always("next", vec![file("/next", "")])],
        settings,
    );
    let applied = worker.apply().unwrap();
    assert_eq!(applied.warnings.len(), 1);
    assert_eq!(worker.heard.0.iter().filter(|line| *line == "fails retries").count(), 2);
    assert_eq!(worker.machine.pauses, [Duration::from_millis(500), Duration::from_secs(1)]);
    assert!(worker.at("/next").exists());
}

#[test]
fn a_stop_signal_ends_the_start_between_two_effects() {
    let mut worker = Worker::with(vec![always("writes", vec![file("/file", "")])]);
    worker.machine.stop_signal = Some("TERM".into());
    let failure = worker.apply().unwrap_err();
    assert_eq!(failure.source.class(), FailureClass::Interrupted("TERM".into()));
    assert!(!worker.at("/file").exists());
}

#[test]
fn a_locked_file_that_another_program_changed_is_planned_again() {
    let content = |context: &Context<'_>| match context.facts.file(Path::new("/config.xml")) {
        FileFact::File { content, .. } => content.clone(),
        _ => Vec::new(),
    };
    let hook = made("locked", vec![Need::File("/config.xml".into())], move |context| {
        let before = content(context);
        let mut after = before.clone();
        after.extend_from_slice(b"ours\n");
        let lock = Lock { path: "/config.xml.lock".into(), based_on: Some(crate::sha256(&before)) };
        // Another program writes between our reading and our writing, once.
        if before == b"theirs\n" {
            let root = context.environment.get("TEST_ROOT").unwrap();
            fs::write(Path::new(root).join("config.xml"), "theirs\nagain\n").unwrap();
        }
        let file =
            FileEffect { lock: Some(lock), ..file_effect("/config.xml", Content::Public(after), 0o644) };
        Ok(vec![Effect::File(file)])
    });
    let mut worker = Worker::with(vec![hook]);
    fs::write(worker.at("/config.xml"), "theirs\n").unwrap();
    let identity = Identity::of_this_process();
    let environment: Environment = [("TEST_ROOT", worker.root.path())].into_iter().collect();
    let start = Start {
        settings: &worker.settings,
        identity: &identity,
        environment: &environment,
        run_programs: true,
    };
    let overlay = Overlay::over(Disk::below(worker.root.path()));
    apply(&start, &worker.hooks, &overlay, &mut worker.machine, &mut worker.heard).unwrap();
    assert_eq!(fs::read_to_string(worker.at("/config.xml")).unwrap(), "theirs\nagain\nours\n");
    assert!(!worker.at("/config.xml.lock").exists());
}

#[test]
fn a_name_that_does_not_resolve_ends_a_start_and_is_only_unknown_in_a_dry_run() {
    let mut worker =
        Worker::with(vec![made("resolves", vec![Need::Address("omeroserver".into())], |context| {
            let address = context.facts.address("omeroserver").text("omeroserver");
            Ok(vec![file("/etc/ice.config", &format!("-h {address}\n"))])
        })]);
    let text = worker.plan().text();
    assert!(text.contains("+-h (address of omeroserver)"), "{text}");
    let failure = worker.apply().unwrap_err();
    assert_eq!(failure.source.class(), FailureClass::Unavailable);
    assert!(
        failure.to_string().starts_with("hook resolves: cannot resolve omeroserver: gave up after"),
        "{failure}"
    );
}

#[test]
fn drift_from_what_was_rendered_is_told() {
    let mut worker = Worker::with(vec![always(
        "renders",
        vec![
            file("/same", "x"),
            file("/edited", "x"),
            file("/gone", "x"),
            file("/opened", "x"),
            Effect::File(file_effect("/secret", Content::secret(b"hush".to_vec()), 0o600)),
        ],
    )]);
    let manifest = worker.apply().unwrap().manifest;
    let path = worker.at("/run/manifest.json");
    manifest.store(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert!(!fs::read_to_string(&path).unwrap().contains(&crate::sha256(b"hush")));
    let manifest = crate::Manifest::load(&path).unwrap();
    let disk = Disk::below(worker.root.path());
    assert_eq!(manifest.drift(&disk), []);

    fs::write(worker.at("/edited"), "y").unwrap();
    fs::remove_file(worker.at("/gone")).unwrap();
    fs::set_permissions(worker.at("/opened"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(worker.at("/secret"), "other").unwrap();
    let drift: Vec<String> = manifest
        .drift(&disk)
        .into_iter()
        .map(|drift| format!("{} {}", drift.path.display(), drift.what))
        .collect();
    insta::assert_debug_snapshot!(drift);
}

#[test]
fn a_directory_in_the_way_is_an_error_with_a_remedy_and_nothing_is_lost() {
    let mut worker = Worker::with(vec![always("writes", vec![file("/etc", "x")])]);
    fs::create_dir_all(worker.at("/etc/keep")).unwrap();
    let failure = worker.apply().unwrap_err();
    assert_eq!(failure.source.class(), FailureClass::CannotCreate);
    assert!(failure.to_string().contains("something else is there"), "{failure}");
    assert!(worker.at("/etc/keep").exists());
    assert!(!worker.at("/.etc.init-new").exists());
}

mod confined;
