//! Where an attack happens: a worker's root folder with one hostile hook, one hook before it and one after it, and the
//! three ways of running into it.
//!
//! Invariants: `init` is started as an ordinary user and alone decides how it ends; of every run the whole tree is
//! compared, so that what an attack changed is found wherever it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use biomero_tests::tree::{self, Tree};
use biomero_tests::worker_root::{self, DATABASE_PASSWORD, SERVICE_USER};
use biomero_tests::{Result, Trouble, process, wait};

use super::guest::Guest;
use crate::laptop::{Laptop, code};

/// A hook, a compiler that was not optimised, and the patience of a shared machine. Every limit of a hook is far below.
const SOON: Duration = Duration::from_secs(60);
/// What a hook may take that is not given more time by its site.
const A_MOMENT: Duration = Duration::from_secs(15);
/// KiB that `init` may have at its peak, whatever a hook does within the default limit of 64 MiB.
pub(super) const PEAK: u64 = 160 << 10;
/// Bytes of everything that is said of one attack.
const ANSWER: usize = 16 << 10;

/// `init`'s compiled components.
pub(super) const CACHE: &str = "/var/cache/biomero/hooks";
/// Where hooks of sites are.
pub(super) const HOOKS: &str = "/etc/biomero/hooks.d";
/// What the default grant of an attack is.
pub(super) const GRANTED: &str = "/opt/site";

/// The value of a secret setting that nothing is granted of, and its key.
pub(super) const PASSWORD: &str = "hush-hush-hush";
pub(super) const PASSWORD_KEY: &str = "properties.\"omero.ldap.password\"";

/// Exit code: a hook failed while it was asked.
const HOOK: i32 = 70;
/// Exit code: an effect could not be applied.
pub(super) const CANNOT_CREATE: i32 = 73;
/// Exit code: something makes no sense, found before a hook ran or by one.
pub(super) const CONFIGURATION: i32 = 78;

/// One attack: what the hook's component is and what its site grants it.
pub(super) struct Attack {
    pub(super) laptop: Laptop,
    component: Vec<u8>,
    grants: String,
    limits: String,
    keys: String,
}

impl Attack {
    /// By a guest of our own making.
    pub(super) fn by(guest: &Guest) -> Result<Self> {
        let attack = Self::with(Vec::new())?;
        let component = guest.component(attack.scratch())?;
        Ok(attack.now(component))
    }

    /// By a file that is called a component.
    pub(super) fn with(component: Vec<u8>) -> Result<Self> {
        let laptop = Laptop::with(&settings())?;
        let attack = Self {
            laptop,
            component,
            grants: format!("write = [\"{GRANTED}/\"]"),
            limits: String::new(),
            keys: String::new(),
        };
        // Hundreds of megabytes that every comparison of the tree would read.
        let programs = attack.laptop.at("/opt/biomero");
        fs::rename(&programs, attack.scratch().join("programs"))
            .and_then(|()| symlink("../../programs", &programs))
            .map_err(Trouble::doing("move the programs out of the root folder"))?;
        for folder in [CACHE, GRANTED, "/srv/witness"] {
            fs::create_dir_all(attack.laptop.at(folder)).map_err(Trouble::doing("make a folder"))?;
        }
        attack.hook(
            "01-before.toml",
            "[[effects]]\nfile = { path = \"/opt/before\", content = \"before\\n\" }\n",
        )?;
        attack.hook(
            "99-witness.toml",
            "[[effects]]\nfile = { path = \"/srv/witness/ran\", content = \"ran\\n\" }\n",
        )?;
        worker_root::give(&attack.laptop.root(), SERVICE_USER)?;
        Ok(attack)
    }

    /// With another component in its place.
    pub(super) fn now(mut self, component: Vec<u8>) -> Self {
        self.component = component;
        self
    }

    /// With other grants, as lines of TOML.
    pub(super) fn granted(mut self, grants: &str) -> Self {
        grants.clone_into(&mut self.grants);
        self
    }

    /// With other limits, as lines of TOML.
    pub(super) fn limited(mut self, limits: &str) -> Self {
        limits.clone_into(&mut self.limits);
        self
    }

    /// With more lines of TOML for the hook.
    pub(super) fn keyed(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.keys);
        self
    }

    /// With something else in the tree beforehand; paths are those of the container.
    pub(super) fn after(self, prepare: impl FnOnce(&Laptop)) -> Self {
        prepare(&self.laptop);
        self
    }

    /// Room for files outside of the root folder.
    pub(super) fn scratch(&self) -> &Path {
        self.laptop.scratch()
    }

    /// Writes a file of `hooks.d`.
    pub(super) fn hook(&self, name: &str, text: &str) -> Result<PathBuf> {
        worker_root::write(&self.laptop.root(), &format!("{HOOKS}/{name}")[1..], text, 0o644)
    }

    /// Puts the component and its TOML file in place; `more` are further lines of it.
    pub(super) fn install(&self, more: &str) -> Result<()> {
        let component = self.laptop.at(HOOKS).join("hostile.wasm");
        fs::write(&component, &self.component).map_err(Trouble::doing("write a component"))?;
        let pinned = digest(&component)?;
        let Self { keys, grants, limits, .. } = self;
        let sha256 = if keys.contains("sha256") { String::new() } else { format!("sha256 = \"{pinned}\"\n") };
        let text = format!(
            "component = \"hostile.wasm\"\n{sha256}{more}{keys}\n[grants]\n{grants}\n[limits]\n{limits}\n"
        );
        self.hook("50-hostile.toml", &text)?;
        worker_root::give(&self.laptop.at(HOOKS), SERVICE_USER)
    }

    /// The three ways of running into a hook that is stopped: what is said names the hook and holds each of `said`.
    pub(super) fn must_be_stopped(self, attack: &str, said: &[&str]) -> Result<()> {
        self.must_end_a_start_with(HOOK, attack, said)
    }

    /// The same with another exit code of the start-up that it ends.
    pub(super) fn must_end_a_start_with(self, code: i32, attack: &str, said: &[&str]) -> Result<()> {
        let said: Vec<&str> = ["hook hostile"].into_iter().chain(said.iter().copied()).collect();
        self.install("")?;
        // Of an earlier start.
        let _ = fs::remove_file(self.laptop.at("/srv/witness/ran"));

        let before = self.tree()?;
        let dry = self.run(&["--dry-run"])?;
        dry.ends(attack, 1, &said);
        dry.changed_only(attack, &before, &self.tree()?, &[]);

        let aborted = self.run(&["apply"])?;
        aborted.ends(attack, code, &said);
        aborted.changed_only(attack, &before, &self.tree()?, &BEFORE);
        assert!(!self.laptop.at("/srv/witness/ran").exists(), "{attack}: the hook after it did not run");

        self.install("on_failure = \"warn\"\n")?;
        let before = self.tree()?;
        let warned = self.run(&["apply"])?;
        warned.ends(attack, 1, &said);
        warned.changed_only(attack, &before, &self.tree()?, &AFTER);
        assert!(
            self.laptop.at("/srv/witness/ran").exists(),
            "{attack}: the hook after it ran\n{}",
            warned.told
        );

        // What it takes where nothing has to be compiled any more.
        for peak in [warned.peak, self.run(&["--dry-run"])?.peak] {
            assert!(peak < PEAK, "{attack}: init had {} MiB at its peak", peak >> 10);
        }
        Ok(())
    }

    /// A dry run and a start with a hook that may have its way, or may not: soon over, and with little memory.
    pub(super) fn must_cost_little(self, attack: &str) -> Result<()> {
        self.install("")?;
        for arguments in ["--dry-run", "apply"] {
            let began = Instant::now();
            let Run { told, peak, .. } = self.run(&[arguments])?;
            assert!(began.elapsed() < A_MOMENT, "{attack}: {arguments} took {:?}\n{told}", began.elapsed());
            assert!(peak < PEAK, "{attack}: {arguments} had {} MiB at its peak", peak >> 10);
            assert!(!told.contains("panicked"), "{attack}: {told}");
        }
        Ok(())
    }

    /// The three ways of running into a hook that is not even begun with: no hook of the start-up runs.
    pub(super) fn must_be_refused_at_once(self, attack: &str, said: &[&str]) -> Result<()> {
        self.install("")?;
        for more in ["", "on_failure = \"warn\"\n"] {
            self.install(more)?;
            let before = self.tree()?;
            for (arguments, code) in [("--dry-run", 1), ("apply", CONFIGURATION)] {
                let run = self.run(&[arguments])?;
                run.ends(attack, code, said);
                run.changed_only(attack, &before, &self.tree()?, &[]);
                assert!(run.peak < PEAK, "{attack}: init had {} MiB at its peak", run.peak >> 10);
            }
        }
        Ok(())
    }

    /// Runs `init` on the root folder.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Run> {
        let note = self.scratch().join("peak");
        let mut runner = Command::new(env!("CARGO_BIN_EXE_peak_memory"));
        runner.arg(&note).arg("setpriv");
        let output = process::output(&mut self.laptop.command(runner, arguments), SOON)?;
        let peak = fs::read_to_string(&note).map_err(Trouble::doing("read the peak of memory"))?;
        let peak = peak.trim().parse().map_err(|error| Trouble::new(format!("{peak:?}: {error}")))?;
        Ok(Run { told: process::both(&output), output, peak })
    }

    /// All that is there.
    pub(super) fn tree(&self) -> Result<Tree> {
        tree::read(&self.laptop.root())
    }
}

/// What the hook before the hostile one leaves, and the record of what ran.
const BEFORE: [&str; 4] = ["opt", "opt/before", "run/biomero", "run/biomero/manifest.json"];
/// What a start-up leaves that went on.
const AFTER: [&str; 6] =
    ["opt", "opt/before", "run/biomero", "run/biomero/manifest.json", "srv/witness", "srv/witness/ran"];

/// One run of `init`, ended.
pub(super) struct Run {
    pub(super) told: String,
    output: Output,
    /// KiB.
    pub(super) peak: u64,
}

impl Run {
    /// Asserts how it ended, and that what was said is what a person can read and act on.
    pub(super) fn ends(&self, attack: &str, expected: i32, said: &[&str]) {
        let told = &self.told;
        let shown: String = told.chars().take(4000).collect();
        assert_eq!(code(&self.output), expected, "{attack}: {shown}");
        for part in said {
            assert!(told.contains(part), "{attack}: {part:?} is said\n{shown}");
        }
        assert!(!told.contains("panicked"), "{attack}: {shown}");
        for secret in [DATABASE_PASSWORD, PASSWORD] {
            assert!(!told.contains(secret), "{attack}: a password is told\n{shown}");
        }
        // Those that turn the direction of writing round are no control characters to Unicode.
        let bad = |c: &char| {
            c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert_eq!(
            told.chars().find(bad),
            None,
            "{attack}: no control character reaches the terminal\n{shown:?}"
        );
        assert!(told.len() < ANSWER, "{attack}: {} bytes are too much to read\n{shown}", told.len());
    }

    /// Asserts that the trees differ nowhere but there and in the cache.
    pub(super) fn changed_only(&self, attack: &str, before: &Tree, after: &Tree, allowed: &[&str]) {
        let mut found = tree::differences(before, after);
        found.retain(|difference| {
            let path = difference.split_once(' ').map_or("", |(_, path)| path);
            !allowed.contains(&path) && (allowed.is_empty() || !path.starts_with(&CACHE[1..]))
        });
        assert!(found.is_empty(), "{attack}: {found:?}\n{}", self.told);
    }
}

/// The SHA-256 of a file.
pub(super) fn digest(path: &Path) -> Result<String> {
    let printed = process::succeed(Command::new("sha256sum").arg(path), wait::PATIENCE)?;
    Ok(printed.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Settings of a worker whose start-up is made of its site's hooks alone: so that whatever else changes is seen.
fn settings() -> String {
    let built_ins = [
        "virtual-environment",
        "ssh-keys",
        "omero-temp",
        "slurm-config",
        "omero-load",
        "omero-properties",
        "wait",
        "icegrid-node",
        "ice-config",
    ]
    .map(|hook| format!("[hooks.{hook}]\nenabled = false\n"))
    .concat();
    format!("{built_ins}\n[properties]\n\"omero.ldap.password\" = \"{PASSWORD}\"\n")
}
