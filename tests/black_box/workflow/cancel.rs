//! Workflows that somebody ends.

use std::time::Duration;

use biomero_tests::{Result, process, wait};

use super::stage::{Desk, request};

#[test]
fn a_workflow_that_is_cancelled_ends_its_job_and_leaves_nothing() -> Result<()> {
    let desk = Desk::embedded()?;
    let serve = desk.serve()?;
    desk.images("one", &[("sleep", "600")])?;
    let id = desk.submit(&request(&desk, "one"))?;
    wait::until("the job", wait::PATIENCE, &[serve.log()], || (!desk.jobs(&id).is_empty()).then_some(()))?;
    desk.cancel(&id)?;
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "CANCELLED", "{shown:#}");
    let jobs = process::succeed(&mut desk.worker.processor(&["slurm", "jobs", "--json"])?, wait::PATIENCE)?;
    assert_eq!(jobs.trim(), "", "no job is left");
    assert_eq!(desk.history(&id)?["state"], "failed");
    assert!(!desk.results("one").exists());
    desk.left_nothing(&id)?;
    let again = desk.output(&["cancel", &id])?;
    assert_eq!(again.status.code(), Some(1), "{}", process::both(&again));
    desk.is_recorded_once(&id)
}

#[test]
fn a_workflow_that_waits_is_cancelled_without_having_begun() -> Result<()> {
    let desk = Desk::embedded()?;
    let id = desk.submit(&request(&desk, "one"))?;
    assert_eq!(desk.cancel(&id)?["phase"], "CANCELLING");
    let serve = desk.serve()?;
    assert_eq!(desk.ended(&id, &[&serve])?["phase"], "CANCELLED");
    assert_eq!(desk.jobs(&id), Vec::<String>::new());
    Ok(())
}

#[test]
fn told_to_end_it_ends_within_seconds_and_the_job_goes_on() -> Result<()> {
    let desk = Desk::embedded()?;
    let mut serve = desk.serve()?;
    desk.images("one", &[("sleep", "8")])?;
    let id = desk.submit(&request(&desk, "one"))?;
    wait::until("the job", wait::PATIENCE, &[serve.log()], || (!desk.jobs(&id).is_empty()).then_some(()))?;
    let status = serve.stop(Duration::from_secs(10))?;
    assert_eq!(status.code(), Some(0), "{}", serve.output());
    assert_eq!(desk.show(&id)?["phase"], "RUNNING");
    let serve = desk.serve()?;
    assert_eq!(desk.ended(&id, &[&serve])?["phase"], "DONE", "{}", serve.output());
    desk.has_results("one")?;
    desk.ran_once(&id)
}
