//! The state of a thousand jobs: tasks of an array and single jobs that have ended, as both clients have to tell them.

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
const TURNS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(900);

/// In one question Python is no slower: it sends one `sacct` with a thousand `-j` for three columns, and folds the tasks of an
/// array into the last one. Ours asks slurmctld too, for sixteen columns, and tells each task. What Python's scripts do is
/// to ask for each job by itself, every ten seconds.
pub(super) fn measure(cluster: &Access, programs: &Path) -> Result<Vec<Line>, Failure> {
    let work = cluster.workspace()?;
    let array =
        cluster.submit(&work, &format!("--array=0-{} --mem=1M --output=/dev/null --wrap true", TASKS - 1))?;
    let single = cluster.run(&format!(
        "for n in $(seq {SINGLE}); do sbatch --parsable --mem=1M --output=/dev/null --wrap true || exit; done"
    ))?;
    wait::until("the end of a thousand jobs", PATIENCE, &[], || {
        let mut squeue = cluster.slurm("squeue");
        let left = process::succeed(squeue.args(["-h", "-o", "%i", "-u", cluster.user()]), PATIENCE).ok()?;
        left.trim().is_empty().then_some(())
    })?;
    let single: Vec<u64> = single.lines().filter_map(|id| id.trim().parse().ok()).collect();
    let tasks = (0..TASKS).map(|task| format!("{array}_{task}"));
    let ids: Vec<String> = tasks.chain(single.iter().map(u64::to_string)).collect();

    let home = Scratch::new()?;
    let mut python = SlurmClient::start(home.path(), cluster, "[SSH]\nhost=slurm\n", &[])?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut ours_single, mut theirs_single) = (Vec::new(), Vec::new());
    let single: Vec<String> = single.iter().map(u64::to_string).collect();
    for _ in 0..TURNS {
        ours.extend(stopwatch(cluster, programs, &ids)?);
        theirs.extend(milliseconds(python.call_times("check_job_status", &json!([ids]), ROUNDS)?));
        ours_single.extend(stopwatch(cluster, programs, &single)?);
        // Each job has its own SlurmJob, whose wait_for_completion asks for it alone.
        let mut all = 0.0;
        for id in &single {
            all += milliseconds(python.call_times("check_job_status", &json!([[id]]), 1)?).sum::<f64>();
        }
        theirs_single.push(all);
    }
    Ok(vec![
        line(
            "how a thousand jobs stand, in one question",
            median(ours),
            median(theirs),
            "Python's check_job_status, which asks sacct alone and folds arrays",
            4.0,
            Better::Smaller,
        ),
        line(
            "how a hundred jobs stand that are followed",
            median(ours_single),
            median(theirs_single),
            "Python's check_job_status for each, as SlurmJob does",
            10.0,
            Better::Larger,
        ),
    ])
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
