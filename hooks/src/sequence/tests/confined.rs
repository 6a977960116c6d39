//! What a component asked for is checked, and then applied: what changes in between leads nowhere else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::apply::{Applier, ApplyError};
use crate::confine::Confinement;
use crate::grants::{Grants, PathGrant, Protected};

/// `/opt/site/` is granted, and any program; `/etc/biomero/init.toml` is `init`'s own.
struct Confined {
    root: tempfile::TempDir,
    machine: Plain,
}

impl Confined {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["opt/site/inner", "etc/biomero", "outside"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("etc/biomero/init.toml"), "mine").unwrap();
        Self { root, machine: Plain::default() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// A program that runs between the check and what follows it.
    fn meanwhile(&self, script: &str) -> Effect {
        command(&["sh", "-c", &format!("cd {} && {script}", self.root.path().display())])
    }

    /// Checks all effects, then applies them.
    fn apply(&mut self, effects: &[Effect]) -> Result<(), StepError> {
        let protected =
            Protected { own: vec!["/etc/biomero/init.toml".into()], rendered: Default::default() };
        let overlay = Overlay::over(Disk::below(self.root.path()));
        let _confined = overlay.disk().confine(Confinement::of(&grants("/opt/site")));
        super::super::check(effects, &grants("/opt/site"), &protected, overlay.disk())?;
        apply_all(&overlay, &mut self.machine, effects)?;
        Ok(())
    }
}

fn grants(folder: impl Into<PathBuf>) -> Grants {
    Grants {
        write: vec![PathGrant::Below(folder.into())],
        run: vec![vec!["sh".to_owned()]],
        run_as_init: vec![vec!["sh".to_owned()]],
        ..Grants::default()
    }
}

fn apply_all(overlay: &Overlay, machine: &mut Plain, effects: &[Effect]) -> Result<(), ApplyError> {
    let identity = Identity::of_this_process();
    let mut environment = Environment::of_this_process();
    for effect in effects {
        let mut applier = Applier {
            overlay,
            identity: &identity,
            environment: &mut environment,
            machine,
            run_programs: true,
            until: Instant::now() + Duration::from_secs(60),
        };
        applier.apply(effect)?;
    }
    Ok(())
}

#[test]
fn a_directory_that_becomes_a_symlink_after_the_check_is_not_written_through() {
    for effect in [
        file("/opt/site/inner/planted", "x"),
        Effect::Directory { path: "/opt/site/inner/planted".into(), mode: 0o777, owner: Owner::ServiceUser },
    ] {
        let mut stage = Confined::new();
        let swap = stage.meanwhile("rmdir opt/site/inner && ln -s ../../outside opt/site/inner");
        let error = stage.apply(&[swap, effect]).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!(fs::read_dir(stage.at("/outside")).unwrap().count(), 0);
    }
}

#[test]
fn a_granted_directory_that_comes_to_lead_to_inits_own_after_the_check_is_not_written_through() {
    let own = "/opt/site/init.toml";
    for effect in [
        file(own, "theirs"),
        Effect::Remove { path: own.into() },
        Effect::MoveAside { path: own.into(), to: "/opt/site/old".into(), reason: String::new() },
        Effect::File(file_effect(own, Content::Public("mine".into()), 0o666)),
        Effect::File(FileEffect {
            lock: Some(Lock { path: own.into(), based_on: None }),
            ..file_effect("/opt/site/new", Content::Public("x".into()), 0o644)
        }),
    ] {
        let mut stage = Confined::new();
        let mode = fs::metadata(stage.at("/etc/biomero/init.toml")).unwrap().mode();
        let swap = stage.meanwhile("mv opt/site opt/before && ln -s ../etc/biomero opt/site");
        let error = stage.apply(&[swap, effect]).unwrap_err();
        assert!(error.to_string().contains("belongs to init"), "{error}");
        assert_eq!(fs::read_to_string(stage.at("/etc/biomero/init.toml")).unwrap(), "mine");
        assert_eq!(fs::metadata(stage.at("/etc/biomero/init.toml")).unwrap().mode(), mode);
        assert_eq!(fs::read_dir(stage.at("/etc/biomero")).unwrap().count(), 1);
    }
}

#[test]
fn what_already_leads_to_inits_own_is_refused_before_anything_runs() {
    let mut stage = Confined::new();
    fs::hard_link(stage.at("/etc/biomero/init.toml"), stage.at("/opt/site/link")).unwrap();
    let error = stage.apply(&[stage.meanwhile("touch ran"), file("/opt/site/link", "x")]).unwrap_err();
    assert!(matches!(error, StepError::Plan(HookError::Refused(_))), "{error}");
    assert!(!stage.at("/ran").exists());
}

/// A directory and a symlink to the outside change places all the time, while effects below it are examined and
/// applied. How many were applied, and how much of that is outside.
fn race(confined: bool) -> (usize, usize) {
    let stage = Confined::new();
    let (victim, link, spare) = (stage.at("/opt/site/inner"), stage.at("/link"), stage.at("/spare"));
    symlink(stage.at("/outside"), &link).unwrap();
    let stop = AtomicBool::new(false);
    let mut applied = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::rename(&victim, &spare).and_then(|()| fs::rename(&link, &victim));
                let _ = fs::rename(&victim, &link).and_then(|()| fs::rename(&spare, &victim));
            }
        });
        let overlay = Overlay::over(Disk::below("/"));
        let _confined =
            confined.then(|| overlay.disk().confine(Confinement::of(&grants(stage.at("/opt/site")))));
        let until = Instant::now() + Duration::from_millis(700);
        let mut turn = 0;
        while Instant::now() < until {
            turn += 1;
            let mode = if turn % 2 == 0 { 0o600 } else { 0o644 };
            let content = Content::Public(format!("{}", turn / 4).into());
            let planted = stage.at("/opt/site/inner/planted");
            let effects = [Effect::File(file_effect(planted.to_str().unwrap(), content, mode))];
            applied += usize::from(apply_all(&overlay, &mut Plain::default(), &effects).is_ok());
        }
        stop.store(true, Ordering::Relaxed);
    });
    (applied, fs::read_dir(stage.at("/outside")).unwrap().count())
}

#[test]
fn who_swaps_a_directory_while_effects_are_applied_wins_nothing() {
    let lost = (0..40).any(|_| race(false).1 > 0);
    assert!(lost, "without confinement the race is lost, or this test shows nothing");
    let (applied, outside) = race(true);
    assert!(applied > 0, "nothing was ever applied: this test shows nothing");
    assert_eq!(outside, 0, "something was written outside of what was granted");
}

#[test]
fn a_path_is_waited_for_within_what_is_granted() {
    let wait = |path: &str| Effect::WaitPath { path: path.into(), deadline: Duration::from_millis(300) };
    let mut stage = Confined::new();
    fs::write(stage.at("/outside/secret"), "x").unwrap();
    symlink("../../outside", stage.at("/opt/site/out")).unwrap();
    symlink("inner", stage.at("/opt/site/in")).unwrap();
    fs::write(stage.at("/opt/site/inner/there"), "x").unwrap();
    stage.apply(&[wait("/opt/site/inner/there"), wait("/opt/site/in/there"), wait("/opt/site")]).unwrap();
    for path in ["/opt/site/out/secret", "/opt/site/out/none"] {
        let error = stage.apply(&[wait(path)]).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!(error.class(), FailureClass::Unavailable);
    }
    let error = stage.apply(&[wait("/opt/site/none")]).unwrap_err();
    assert!(error.to_string().ends_with("/opt/site/none: it is not there"), "{error}");
    assert!(!stage.machine.pauses.is_empty());
}
