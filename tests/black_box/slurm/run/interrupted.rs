//! Runs that are taken up again.

use std::path::Path;
use std::process::Command;

use biomero_tests::cluster::worker::Worker;
use biomero_tests::cluster::{PATIENCE, sample, shared};
use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, process, wait};
use nix::sys::signal::Signal;

use super::super::data::Mounted;
use super::{copying, image, read};

/// Begins a run, and kills it once it has submitted the job of a step: the run, and the jobs that it has submitted.
pub(super) fn killed(worker: &Worker, arguments: &[&str], step: &str) -> Result<(String, Vec<String>)> {
    let log = worker.folder().join("run.log");
    let mut run =
        Running::start("processor", worker.processor(&[&["slurm", "run"], arguments].concat())?, &log)?;
    let jobs = |text: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.strip_suffix(" submitted")?.split_once(" job "));
        lines.map(|(step, job)| (step.trim().to_owned(), job.to_owned())).collect()
    };
    wait::until(&format!("the job of {step}"), PATIENCE, &[&log], || {
        let text = std::fs::read_to_string(&log).ok()?;
        jobs(&text).iter().any(|(of, _)| of == step).then_some(())
    })?;
    run.signal(Signal::SIGKILL)?;
    run.ended_within(PATIENCE)?;
    let text = read(&log)?;
    let id = text.lines().find_map(|line| line.strip_prefix("run "));
    let id = id.ok_or_else(|| Trouble::new(format!("no run was told: {text}")))?;
    Ok((id.to_owned(), jobs(&text).into_iter().map(|(_, job)| job).collect()))
}

/// The logs of jobs and of the tasks of arrays that are in a folder.
fn logs(folder: &Path, jobs: &[String]) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_of = |name: &String| {
        let id = name.strip_prefix("omero-").and_then(|rest| rest.split(['_', '.']).next());
        id.is_some_and(|id| jobs.iter().any(|job| job == id))
    };
    names.filter(is_of).collect()
}

#[test]
fn what_was_attached_is_needed_once_and_no_log_of_any_step_is_left() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = copying(&cluster, &workspace)?;
    let images = worker.folder().join("images");
    sample::cells(&images, &["one", "two"])?;
    let weights = worker.write("models/weights.pt", "heavy")?;
    let results = worker.folder().join("results");
    let (from, to) = (images.display().to_string(), results.display().to_string());
    let parameter = format!("weights={}", weights.display());
    let arguments = ["copy", "--input", &from, "--output", &to, "--param", &parameter, "--clean"];
    let arguments = [&arguments[..], &["--sbatch", "begin=now+5"]].concat();
    let (run, jobs) = killed(&worker, &arguments, "workflow")?;
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    assert_eq!(logs(cluster.home(), &jobs).len(), 2, "each image has left a log");
    std::fs::remove_file(&weights).map_err(Trouble::doing("remove what was attached"))?;

    worker.succeeds(&["run", "--resume", &run])?;
    assert_eq!(read(&results.join("weights.pt"))?, "heavy");
    assert_eq!(logs(cluster.home(), &jobs), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_full_disk_of_the_cluster_is_told_as_such_and_the_run_goes_on_when_there_is_room() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = copying(&cluster, &workspace)?;
    let images = image(&worker)?;
    worker.write("images/two.tif", &"pixels".repeat(500_000))?;
    let mount = workspace.path().join("data");
    std::fs::create_dir(&mount).map_err(Trouble::doing("make a folder"))?;
    let mut small = Command::new("mount");
    small.args(["-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs"]).arg(&mount);
    process::succeed(&mut small, PATIENCE)?;
    let _mounted = Mounted(mount.clone());
    let results = worker.folder().join("results");
    let (from, to) = (images.display().to_string(), results.display().to_string());
    let output = worker.slurm(&["run", "copy", "--input", &from, "--output", &to])?;
    let said = process::both(&output);
    assert_eq!(output.status.code(), Some(73), "{said}");
    let run = said.split("--resume ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let run = run.ok_or_else(|| Trouble::new(format!("how it is taken up again is not said: {said}")))?;

    let mut larger = Command::new("mount");
    larger.args(["-o", "remount,size=100m"]).arg(&mount);
    process::succeed(&mut larger, PATIENCE)?;
    worker.succeeds(&["run", "--resume", run])?;
    assert_eq!(read(&results.join("two.tif"))?.len(), 3_000_000);
    Ok(())
}
