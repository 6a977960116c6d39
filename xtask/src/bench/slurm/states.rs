//! The state of a thousand jobs, tasks of an array and single ones: while they wait, and once they have ended.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use biomero_tests::biomero::SlurmClient;
use biomero_tests::cluster::Access;
use biomero_tests::scratch::Scratch;
use biomero_tests::{process, wait};
use serde_json::json;

use crate::bench::{Better, Line, line, median};
use crate::failure::Failure;

const TASKS: u64 = 900;
const SINGLE: u64 = 100;
const ROUNDS: usize = 3;
const TURNS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(900);

/// Python's scripts ask for each job by itself, as `SlurmJob.wait_for_completion` does. Its client can also be given all ids at
/// once, which nothing of BIOMERO does; then it sends one `sacct` for three columns and folds the tasks of an array into the
/// last one, where ours asks both daemons for thirty and tells each task.
pub(super) fn measure(cluster: &Access, programs: &Path) -> Result<Vec<Line>, Failure> {
    let work = cluster.workspace()?;
    let options = "--hold --mem=1M --output=/dev/null --wrap true";
    let array = cluster.submit(&work, &format!("--array=0-{} {options}", TASKS - 1))?;
    let single =
        cluster.run(&format!("for n in $(seq {SINGLE}); do sbatch --parsable {options} || exit; done"))?;
    let single: Vec<String> = single.lines().map(|id| id.trim().to_owned()).collect();
    let ids: Vec<String> =
        (0..TASKS).map(|task| format!("{array}_{task}")).chain(single.iter().cloned()).collect();
    let home = Scratch::new()?;
    let mut python = SlurmClient::start(home.path(), cluster, "[SSH]\nhost=slurm\n", &[])?;

    let waiting = at_once(cluster, programs, &mut python, &ids)?;
    let release =
        single.iter().map(String::as_str).chain([array.to_string().as_str()]).collect::<Vec<_>>().join(",");
    cluster.run(&format!("scontrol release {release}"))?;
    wait::until("the end of a thousand jobs", PATIENCE, &[], || {
        let mut squeue = cluster.slurm("squeue");
        let left = process::succeed(squeue.args(["-h", "-o", "%i", "-u", cluster.user()]), PATIENCE).ok()?;
        left.trim().is_empty().then_some(())
    })?;
    let ended = at_once(cluster, programs, &mut python, &ids)?;
    let mut each = 0.0;
    for id in &ids {
        each += milliseconds(python.call_times("check_job_status", &json!([[id]]), 1)?).sum::<f64>();
    }
    let as_scripts_do = "Python's check_job_status for each, as SlurmJob does";
    let at_once = "Python's check_job_status with all ids";
    Ok(vec![
        line("how a thousand jobs stand", ended.0, each, as_scripts_do, 10.0, Better::Larger),
        line("a thousand that wait, asked at once", waiting.0, waiting.1, at_once, 1.0, Better::Smaller),
        line("a thousand that have ended, asked at once", ended.0, ended.1, at_once, 1.0, Better::Smaller),
    ])
}

/// The milliseconds that a question for all takes us and Python, in turns.
fn at_once(
    cluster: &Access,
    programs: &Path,
    python: &mut SlurmClient,
    ids: &[String],
) -> Result<(f64, f64), Failure> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.extend(stopwatch(cluster, programs, ids)?);
        theirs.extend(milliseconds(python.call_times("check_job_status", &json!([ids]), ROUNDS)?));
    }
    Ok((median(ours), median(theirs)))
}

fn milliseconds(seconds: Vec<f64>) -> impl Iterator<Item = f64> {
    seconds.into_iter().map(|seconds| seconds * 1e3)
}

/// The milliseconds that each round of ours takes.
fn stopwatch(cluster: &Access, programs: &Path, ids: &[String]) -> Result<Vec<f64>, Failure> {
    let control = Scratch::new()?;
    let mut stopwatch = Command::new(programs.join("state_stopwatch"));
    stopwatch.arg(cluster.ssh_config()).arg(control.path()).arg(ROUNDS.to_string()).args(ids);
    let told = process::succeed(&mut stopwatch, PATIENCE)?;
    if told.lines().last() != Some(ids.len().to_string().as_str()) {
        return Err(Failure::Unexpected(format!("ours does not tell each of {} jobs: {told}", ids.len())));
    }
    let rounds = told.lines().take(ROUNDS).filter_map(|line| line.parse::<f64>().ok());
    Ok(rounds.map(|nanoseconds| nanoseconds / 1e6).collect())
}
