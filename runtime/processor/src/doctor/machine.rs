//! The machine: what runs on it, how much room there is, whether its clock is right, what its settings warn of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use biomero_config::{JobEngine, Settings};
use biomero_slurm::Command;
use biomero_slurm::setup::finding::Finding;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use tokio::time::timeout;

use crate::configuration::Configuration;
use crate::slurm::Context;

/// Less room than this stops work: an image is staged before it is sent.
const LEAST: u64 = 1 << 30;
/// Less than this soon will.
const LITTLE: u64 = 5 << 30;
/// By how much clocks may differ: `munged(8)` lets credentials live for five minutes, and logs are read side by side.
const CLOCK: Duration = Duration::from_secs(30);
/// How long the clock of a cluster may take to be read.
const PATIENCE: Duration = Duration::from_secs(20);

/// What runs here.
pub(super) async fn versions() -> Vec<Finding> {
    let system = nix::sys::utsname::uname().map_or_else(
        |_| "an unknown kernel".to_owned(),
        |name| format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
    );
    let distribution = std::fs::read_to_string("/etc/os-release").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    let mut findings = vec![
        Finding::ok("processor", env!("CARGO_PKG_VERSION")),
        Finding::ok("system", format!("{}, {system}", distribution.as_deref().unwrap_or("unknown"))),
    ];
    findings.push(match timeout(PATIENCE, ssh()).await.ok().flatten() {
        Some(version) => Finding::ok("ssh", version),
        None => {
            Finding::warning("ssh", "it does not start", "install openssh-client, where slurm.engine is ssh")
        }
    });
    findings
}

/// The version of OpenSSH, which it tells on standard error.
async fn ssh() -> Option<String> {
    let ran = tokio::task::spawn_blocking(|| std::process::Command::new("ssh").arg("-V").output());
    let said = String::from_utf8_lossy(&ran.await.ok()?.ok()?.stderr).trim().to_owned();
    (!said.is_empty()).then_some(said)
}

/// What was read, and what of it an administrator should look at.
pub(super) fn settings(configuration: &Configuration<'_>) -> Vec<Finding> {
    let files = configuration.files().unwrap_or_default();
    let told = match files {
        [] => "no file; the defaults and variables alone".to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    let mut findings = vec![Finding::ok("files", told)];
    for warning in configuration.warnings().unwrap_or_default() {
        findings.push(Finding::warning("settings", warning, "`processor doctor --json` tells who set each"));
    }
    findings
}

/// Room where the worker writes; `runs`: who runs jobs, where that is known.
pub(super) fn disk(
    configuration: &Configuration<'_>,
    settings: &Settings,
    runs: Option<JobEngine>,
) -> Vec<Finding> {
    let mut folders: BTreeSet<PathBuf> = BTreeSet::from([std::env::temp_dir()]);
    let staged = settings.workflow.folder.clone();
    folders.extend(staged.or_else(|| configuration.state("workflows").ok()));
    folders.extend(settings.processor.runs.clone());
    if runs == Some(JobEngine::Embedded) {
        let state = settings.slurm.embedded.state.clone();
        folders.extend(state.or_else(|| configuration.state("jobs").ok()));
    }
    folders.iter().map(|folder| room(folder)).collect()
}

fn room(folder: &Path) -> Finding {
    let name = folder.display().to_string();
    // A folder that is made when it is needed is made in the first one above it that is there.
    let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) else {
        return Finding::failed(name, "no folder above it is there", "mount a volume there");
    };
    if let Err(error) = access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        let told = format!("{} cannot be written to: {error}", there.display());
        return Finding::failed(
            name,
            told,
            "give it to the user that this runs as, or run this as that user",
        );
    }
    match statvfs(there) {
        Ok(disk) => {
            let free = disk.blocks_available().saturating_mul(disk.fragment_size());
            let told = format!("{:.1} GiB are free", free as f64 / (1_u64 << 30) as f64);
            let remedy = "make room: `processor slurm clean`, or a larger volume";
            match free {
                _ if free < LEAST => Finding::failed(name, told, remedy),
                _ if free < LITTLE => Finding::warning(name, told, remedy),
                _ => Finding::ok(name, told),
            }
        }
        Err(error) => Finding::warning(name, format!("its room is not known: {error}"), "look with `df`"),
    }
}

/// By how much the clocks of the cluster and of this machine differ.
pub(super) async fn clock(context: &Context<'_>) -> Vec<Finding> {
    let step = "cluster";
    if context.runs != JobEngine::Ssh {
        return vec![Finding::ok(step, "it is this machine's")];
    }
    let begun = Instant::now();
    let command = Command::shell("date +%s").deadline(PATIENCE).repeatable();
    let Ok(told) = context.cluster.ask(&command).await else {
        return vec![Finding::not_tried(step, "the cluster does not answer")];
    };
    let took = begun.elapsed();
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let there = String::from_utf8_lossy(&told).trim().parse().map(Duration::from_secs);
    let Ok(there) = there else {
        return vec![Finding::not_tried(step, "the cluster does not tell its time")];
    };
    vec![difference(step, here, there, took)]
}

fn difference(step: &str, here: Duration, there: Duration, took: Duration) -> Finding {
    // It was told in whole seconds, at any moment while it was asked.
    let differs = here.abs_diff(there).saturating_sub(took + Duration::from_secs(1));
    if differs < CLOCK {
        return Finding::ok(step, "its clock and this one's are the same, within what asking takes");
    }
    let (told, by) = (if there < here { "behind" } else { "before" }, differs.as_secs());
    Finding::warning(
        step,
        format!("its clock is {by} s {told} this one's"),
        "let both keep time by NTP: `chronyc tracking`, `timedatectl`",
    )
}

#[cfg(test)]
mod tests {
    use biomero_slurm::setup::finding::Outcome;

    use super::*;

    #[test]
    fn clocks_that_differ_are_told_by_how_much_and_which_is_behind() {
        let seconds = Duration::from_secs;
        assert_eq!(difference("c", seconds(1_000), seconds(1_000), seconds(0)).outcome, Outcome::Ok);
        assert_eq!(difference("c", seconds(1_020), seconds(1_000), seconds(0)).outcome, Outcome::Ok);
        let behind = difference("c", seconds(1_100), seconds(1_000), seconds(2));
        assert_eq!(behind.outcome, Outcome::Warning);
        assert_eq!(behind.told, "its clock is 97 s behind this one's");
        assert_eq!(
            difference("c", seconds(1_000), seconds(1_100), seconds(0)).told,
            "its clock is 99 s before this one's"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_the_one_above_it() {
        let scratch = tempfile::tempdir().expect("a folder");
        let finding = room(&scratch.path().join("made/later"));
        assert!(finding.told.ends_with("GiB are free"), "{finding:?}");
    }
}
