//! A slurmctld that was killed before it had written down what it took last: it forgets a job, and gives its number to another.

use biomero_tests::cluster::{Cluster, Options};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, postgres, wait};

use super::stage::{Desk, request};

#[test]
fn nobody_follows_another_job_under_the_number_of_one_that_slurm_has_forgotten() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut cluster = Cluster::start(scratch.path(), &Options::default())?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let desk = Desk::on(&cluster, &workspace, &server.create_database("forgotten")?)?;
    let serve = desk.serve()?;
    let begun = |id: &str| -> Result<String> {
        wait::until("the job", wait::PATIENCE, &[serve.log()], || desk.jobs(id).first().cloned())
    };
    cluster.slurm.keep_state()?;
    desk.images("forgotten", &[("sleep", "20")])?;
    let forgotten = desk.submit(&request(&desk, "forgotten"))?;
    let first = begun(&forgotten)?;
    cluster.slurm.lose_since()?;
    desk.images("other", &[("sleep", "20")])?;
    let other = desk.submit(&request(&desk, "other"))?;
    assert_eq!(begun(&other)?, first, "they have the same number");
    for (name, id, jobs) in [("other", &other, 1), ("forgotten", &forgotten, 2)] {
        let shown = desk.ended(id, &[&serve])?;
        assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
        desk.has_results(name)?;
        assert_eq!(desk.jobs(id).len(), jobs, "{name}: {:?}\n{}", desk.jobs(id), serve.output());
        desk.left_nothing(id)?;
        desk.is_recorded_once(id)?;
    }
    Ok(())
}
