//! What stands between us and a job that runs, step by step, each with what to do about it.
//!
//! Invariants: a step whose ground is missing is told as not tried, with the reason, never as fine; findings come from facts by pure
//! functions (`validate/`); nothing is changed but a file that is written into each folder and removed again.

mod folders;
mod programs;
mod slurm;

use std::time::Duration;

use biomero_config::slurm_config::BiomeroSettings;

use super::Containers;
use super::facts::Facts;
use super::finding::{Finding, Outcome};
use super::login::Way;
use super::probe;
use crate::cluster::ConnectKind;
use crate::{Cluster, Command, Error};

pub(crate) use slurm::named as partitions;

/// A login that takes longer than this is told.
const SLOW: Duration = Duration::from_secs(5);

/// How far clocks may be apart, in seconds: jobs are looked for by their time of submission.
const APART: i64 = 60;

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// `slurm-config.ini`.
    pub settings: &'a BiomeroSettings,
    /// The way there; none where the cluster is this machine.
    pub way: Option<Way>,
    /// Whether jobs are Slurm's; otherwise they are run by the executor of ours, and nobody asks for Slurm.
    pub with_slurm: bool,
    /// The container runtime.
    pub containers: &'a Containers,
    /// Whether a job looks too.
    pub job: bool,
}

/// The folders that workflows need, and what they are called.
pub(crate) fn folders(settings: &BiomeroSettings) -> Vec<(&'static str, &str)> {
    let slurm = &settings.slurm;
    let mut folders = vec![
        ("data", slurm.data_path.as_str()),
        ("images", &slurm.images_path),
        ("scripts", &slurm.script_path),
        ("converters", &slurm.converters_path),
    ];
    folders.extend(slurm.apptainer_tmpdir.iter().map(|path| ("tmpdir", path.as_str())));
    folders.extend(slurm.apptainer_cachedir.iter().map(|path| ("cachedir", path.as_str())));
    folders
}

/// Looks at everything.
pub async fn validate(cluster: &Cluster, asked: &Asked<'_>) -> Vec<Finding> {
    let mut findings = match &asked.way {
        Some(way) => way.look().await,
        None => Vec::new(),
    };
    let begun = tokio::time::Instant::now();
    // The first question is the login.
    let login = cluster.run(&Command::new("true").repeatable()).await;
    let took = begun.elapsed();
    if let Err(error) = login {
        findings.push(of_trouble(&error, asked.way.as_ref()));
        let because = format!("there is no login to {}", cluster.name());
        findings.extend(not_tried(asked, &because));
        return findings;
    }
    if let Some(way) = &asked.way {
        findings.push(of_login(cluster.name(), took));
        findings.push(way.noise().await);
    }
    let programs = programs::asked(asked.settings);
    let facts = match Facts::ask(cluster, &folders(asked.settings), &programs, asked.containers).await {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = "try again; see what the login node's shell and file systems are doing";
            findings.push(Finding::failed("facts", error.to_string(), remedy));
            findings.extend(not_tried(asked, "the login node does not answer"));
            return findings;
        }
    };
    findings.extend(of_facts(asked, &facts));
    if asked.job && asked.with_slurm {
        if facts.program("sbatch").is_some() {
            findings.extend(probe::probe(cluster, asked.settings, asked.containers).await);
        } else {
            findings.push(Finding::not_tried("job", "there is no sbatch"));
        }
    }
    findings
}

/// Everything that follows from what the login node said.
#[must_use]
pub fn of_facts(asked: &Asked<'_>, facts: &Facts) -> Vec<Finding> {
    let settings = asked.settings;
    let mut findings = Vec::new();
    if let Some(what) = &facts.hangs_at {
        findings.push(Finding::failed(
            "answers",
            format!("the login node does not come to an end with {what:?}"),
            format!("see on the login node why this hangs: {}", hanging(what)),
        ));
    }
    if asked.way.is_some() {
        findings.extend(of_clock(facts));
    }
    if asked.with_slurm {
        findings.extend(slurm::findings(settings, facts));
    }
    for (kind, path) in folders(settings) {
        findings.extend(folders::findings(kind, path, facts));
    }
    findings.extend(folders::quota(facts));
    findings.extend(programs::findings(settings, facts));
    findings
}

fn hanging(what: &str) -> String {
    if what.starts_with('/') {
        format!("df {}", super::login::quoted(what.as_ref()))
    } else {
        what.to_owned()
    }
}

fn not_tried(asked: &Asked<'_>, because: &str) -> Vec<Finding> {
    let mut steps = vec!["login shell", "clock"];
    if asked.way.is_none() {
        steps.clear();
    }
    if asked.with_slurm {
        steps.extend(["Slurm", "slurmctld", "accounting", "association", "partitions"]);
    }
    let mut findings: Vec<Finding> =
        steps.into_iter().map(|step| Finding::not_tried(step, because)).collect();
    findings.extend(
        folders(asked.settings).iter().map(|(kind, _)| Finding::not_tried(format!("{kind} folder"), because)),
    );
    findings.push(Finding::not_tried("container runtime", because));
    findings.push(Finding::not_tried("programs", because));
    if asked.job {
        findings.push(Finding::not_tried("job", because));
    }
    findings
}

fn of_trouble(error: &Error, way: Option<&Way>) -> Finding {
    const STEP: &str = "login";
    let typed = way.map_or_else(String::new, |way| way.typed("ssh -v"));
    match error {
        Error::Connect { kind, reason, remedy, .. } => {
            let step = if *kind == ConnectKind::HostKey { "login (host key)" } else { STEP };
            Finding::failed(step, reason.clone(), remedy.clone())
        }
        other => Finding::failed(STEP, other.to_string(), format!("see how far this gets: {typed}")),
    }
}

fn of_login(host: &str, took: Duration) -> Finding {
    const STEP: &str = "login";
    let told = format!("{host} lets us in within {} ms", took.as_millis());
    if took > SLOW {
        return Finding::warning(
            STEP,
            told,
            "see what the login takes long with: `ssh -v`; often DNS (UseDNS), GSSAPI (GSSAPIAuthentication no) or the login shell",
        );
    }
    Finding::ok(STEP, told)
}

fn of_clock(facts: &Facts) -> Option<Finding> {
    const STEP: &str = "clock";
    let ahead = facts.ahead()?;
    if ahead.abs() <= APART + i64::try_from(facts.took.as_secs()).unwrap_or(i64::MAX - APART) {
        return Some(Finding::ok(STEP, format!("within {} s of ours", ahead.abs().max(1))));
    }
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    Some(Finding::warning(
        STEP,
        format!("the cluster's clock is {} s {way} ours: jobs and files get wrong times", ahead.abs()),
        "have both follow the same time servers: `timedatectl` here and there",
    ))
}

/// Whether something has to be put right.
#[must_use]
pub fn has_failed(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.outcome == Outcome::Failed)
}

#[cfg(test)]
mod tests;
