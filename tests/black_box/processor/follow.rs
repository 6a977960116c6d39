//! `follow`.

use std::time::{Duration, Instant};

use biomero_tests::process::Running;
use biomero_tests::{Result, wait};
use nix::sys::signal::Signal;

use super::stage::Stage;

/// What Python does when it records an event.
const RECORD: &str = "BEGIN;
    INSERT INTO workflowtracker_events (originator_id, originator_version, topic, state)
    SELECT originator_id, max(originator_version) + 1, 'biomero.eventsourcing:Task.StatusUpdated',
           '{\"timestamp\":{\"_type_\":\"datetime_iso\",\"_data_\":\"2026-11-22T20:00:00+00:00\"},\"status\":\"LATE\"}'
    FROM workflowtracker_events WHERE originator_id = '749cc9bd-2e23-4676-b120-651389b8d968' GROUP BY 1;
    NOTIFY workflowtracker_events; COMMIT";

fn start(stage: &Stage, name: &str, arguments: &[&str]) -> Result<Running> {
    Running::start("follow", stage.command(arguments), &stage.scratch.path().join(name))
}

fn shows(running: &mut Running, text: &str) -> Result<()> {
    let log = running.log().to_path_buf();
    wait::until(&format!("a line with {text}"), wait::PATIENCE, &[&log], || {
        running.output().contains(text).then_some(())
    })
}

#[test]
fn it_goes_on_with_what_python_records_and_leaves_out_nothing() -> Result<()> {
    let stage = Stage::with_history("processor_follow")?;
    let mut all = start(&stage, "all", &["follow", "--from", "1", "--json"])?;
    let mut last = start(&stage, "last", &["follow"])?;
    shows(&mut all, "\"id\":42,")?;
    shows(&mut last, "WorkflowFailed")?;
    for _ in 0..3 {
        stage.psql(RECORD)?;
    }
    shows(&mut all, "\"id\":45,")?;
    let ids: Vec<i64> =
        super::stage::objects(&all.output())?.iter().filter_map(|event| event["id"].as_i64()).collect();
    assert_eq!(ids, (1..=45).collect::<Vec<_>>());
    shows(&mut last, "    45  2026-11-22 20:00:00")?;
    let first = last.output().lines().nth(1).unwrap_or_default().to_owned();
    assert!(first.starts_with("    33 "), "the last ten ids come first: {first}");
    for running in [&mut all, &mut last] {
        let begun = Instant::now();
        running.signal(Signal::SIGINT)?;
        assert_eq!(running.ended_within(wait::PATIENCE)?.code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    Ok(())
}

#[test]
fn only_what_is_new_and_wanted_is_shown_when_that_is_asked_for() -> Result<()> {
    let stage = Stage::with_history("processor_follow_new")?;
    let mut new = start(&stage, "new", &["follow", "--new", "--topic", "StatusUpdated"])?;
    shows(&mut new, "TIME (UTC)")?;
    stage.psql("INSERT INTO workflowtracker_events (originator_id, originator_version, topic, state) VALUES (gen_random_uuid(), 0, 'other:Topic', '{}')")?;
    stage.psql(RECORD)?;
    shows(&mut new, "status=LATE")?;
    assert_eq!(new.output().lines().count(), 2, "{}", new.output());
    assert_eq!(new.stop(wait::PATIENCE)?.code(), Some(0));
    Ok(())
}

#[test]
fn whoever_follows_can_keep_the_views_up_to_date_with_what_python_records() -> Result<()> {
    let stage = Stage::with_history("processor_follow_project")?;
    let status =
        "SELECT status FROM biomero_task_execution WHERE task_id = '749cc9bd-2e23-4676-b120-651389b8d968'";
    let mut following = start(&stage, "project", &["follow", "--new", "--project"])?;
    shows(&mut following, "TIME (UTC)")?;
    assert_eq!(stage.psql(status)?.trim(), "FAILED");
    stage.psql(RECORD)?;
    let log = following.log().to_path_buf();
    wait::until("the view's row", wait::PATIENCE, &[&log], || {
        (stage.psql(status).ok()?.trim() == "LATE").then_some(())
    })?;
    assert_eq!(following.stop(wait::PATIENCE)?.code(), Some(0));
    Ok(())
}
