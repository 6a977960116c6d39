//! A slurmctld that was killed before it had written down what it took last: it forgets a job, and gives its number to another.

use biomero_tests::cluster::{Cluster, Daemon, Options};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, postgres, process, wait};

use super::stage::{Desk, request};

#[test]
fn nobody_follows_another_job_under_the_number_of_one_that_slurm_has_forgotten() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut cluster = Cluster::start(scratch.path(), &Options::default())?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let desk = Desk::on(&cluster, &workspace, &server.create_database("forgotten")?)?;
    let serve = desk.serve()?;
    // The job waits for its node: of one that runs there under that number Slurm would make more trouble than this is about.
    cluster.slurm.stop(Daemon::Slurmd)?;
    cluster.slurm.keep_state()?;
    desk.images("forgotten", &[])?;
    let forgotten = desk.submit(&request(&desk, "forgotten"))?;
    let first = number(&cluster, &serve, &forgotten)?;
    cluster.slurm.lose_since()?;
    desk.images("other", &[("sleep", "5")])?;
    let other = desk.submit(&request(&desk, "other"))?;
    assert_eq!(number(&cluster, &serve, &other)?, first, "they have the same number");
    cluster.slurm.run(Daemon::Slurmd)?;
    for (name, id) in [("other", &other), ("forgotten", &forgotten)] {
        let shown = desk.ended(id, &[&serve])?;
        assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
        desk.has_results(name)?;
        desk.ran_once(id)?;
        desk.left_nothing(id)?;
        desk.is_recorded_once(id)?;
    }
    Ok(())
}

/// The number that slurmctld has for the job of a workflow.
fn number(cluster: &Cluster, serve: &process::Running, id: &str) -> Result<String> {
    let comment = format!("biomero-{id}-workflow");
    wait::until("the job in the queue", wait::PATIENCE, &[serve.log()], || {
        let mut squeue = cluster.slurm("squeue");
        let queue = process::succeed(squeue.args(["-h", "-o", "%A %k"]), wait::PATIENCE).ok()?;
        let ours = queue.lines().find(|line| line.ends_with(&comment))?;
        ours.split(' ').next().map(str::to_owned)
    })
}
