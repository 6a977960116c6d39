//! The exit codes of `docs/slurm.md`: each is what something ends with.

use std::collections::BTreeSet;
use std::process::Command;

use biomero_tests::cluster::worker::{WORKFLOW, Worker};
use biomero_tests::cluster::{PATIENCE, shared};
use biomero_tests::{Result, Trouble, process};

use super::promises::Promises;

/// `processor slurm`, with a setting of its own where it has one.
fn processor(worker: &Worker, arguments: &[&str], setting: Option<(&str, &str)>) -> Result<Command> {
    let mut command = worker.processor(&[&["slurm"], arguments].concat())?;
    command.envs(setting);
    if setting.is_some_and(|(name, _)| name.contains("EMBEDDED")) {
        command.env("BIOMERO_INIT_SLURM__ENGINE", "embedded");
    }
    Ok(command)
}

/// Ends with this code, and says this.
fn ends(command: &mut Command, code: i32, told: &str) -> Result<String> {
    let said = process::output(command, PATIENCE)?;
    let text = process::both(&said);
    assert_eq!(said.status.code(), Some(code), "{command:?}: {text}");
    assert!(text.contains(told), "{command:?} does not tell {told:?}: {text}");
    Ok(text)
}

#[test]
fn each_exit_code_of_the_page_is_ended_with() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let mut worker = Worker::new(&cluster, &workspace)?;
    worker.set("CONNECT", "5s");
    workspace.write(&format!("scripts/jobs/{WORKFLOW}.sh"), "#!/bin/bash\nexit 7\n")?;
    workspace.write("data/results/data/out/result.txt", "")?;
    worker.write("images/image.txt", "")?;
    let file = |name: &str| worker.folder().join(name).display().to_string();

    // A login node that nobody answers on, and one that is not known; histories that are none, and another's.
    let config =
        std::fs::read_to_string(cluster.ssh_config()).map_err(Trouble::doing("read an SSH configuration"))?;
    worker.write("closed", &config.replace(&format!("Port {}", cluster.port()), "Port 1"))?;
    worker.write("unknown", &config.replace(&cluster.known_hosts().display().to_string(), "/dev/null"))?;
    worker.write("damaged/next-id", "no number")?;
    let other = rusqlite::Connection::open(file("other.sqlite"))
        .and_then(|history| history.execute_batch("CREATE TABLE workflowtracker_events (id TEXT)"));
    other.map_err(|error| Trouble::new(format!("cannot make a history: {error}")))?;

    let from = format!("--input={}", file("images"));
    let run = ["run", WORKFLOW, &from, "--no-conversion"];
    let failed = ends(&mut processor(&worker, &run, None)?, 1, "exit code 7")?;
    let job = failed.split("job ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let here = format!("--output={}", worker.folder().display());
    let there = format!("--output={}", file("fetched"));
    let nowhere = "0199e7a1-0000-7000-8000-000000000000";
    let (ssh, events) = ("BIOMERO_INIT_SLURM__SSH_CONFIG", "BIOMERO_INIT_EVENTS__FILE");
    let queue = "BIOMERO_INIT_SLURM__EMBEDDED__STATE";
    let mut seen = BTreeSet::from([1]);
    for (code, arguments, setting, told) in [
        (0, &["jobs"][..], None, ""),
        (2, &["jobs", job], None, "FAILED"),
        (64, &["jobs", "soon"], None, "soon"),
        (64, &["fetch", "../data", &here], None, "../data"),
        (64, &["run", "cellpose", &from], None, "there are threshold"),
        (65, &run, Some((queue, "damaged")), "next-id is damaged"),
        (66, &["run", "--resume", nowhere], None, nowhere),
        (66, &["run", WORKFLOW, "--input=/nowhere"], None, "/nowhere"),
        (69, &["jobs", job], Some((ssh, "closed")), "refused"),
        (69, &["fetch", "results", &there], Some((ssh, "closed")), "refused"),
        (73, &["fetch", "results", &here], None, "neither an empty folder"),
        (76, &run, Some((events, "other.sqlite")), "workflowtracker_events"),
        (77, &["jobs", job], Some((ssh, "unknown")), "host key"),
        (77, &["cancel", job], Some((ssh, "unknown")), "host key"),
        (77, &["fetch", "results", &there], Some((ssh, "unknown")), "host key"),
        (77, &run, Some((ssh, "unknown")), "host key"),
        (78, &["run", WORKFLOW, &from, "--time=soon"], None, "no time limit"),
    ] {
        let setting = setting.map(|(name, value)| (name, file(value)));
        let setting = setting.as_ref().map(|(name, value)| (*name, value.as_str()));
        ends(&mut processor(&worker, arguments, setting)?, code, told)?;
        seen.insert(code);
    }
    assert_eq!(seen, Promises::new()?.exit_codes(), "docs/slurm.md and this test name other codes");
    Ok(())
}
