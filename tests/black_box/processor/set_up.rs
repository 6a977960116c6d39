//! `init`.

use biomero_tests::Result;

use super::stage::Stage;

#[test]
fn an_empty_database_is_set_up_and_then_there_is_nothing_to_do() -> Result<()> {
    let stage = Stage::empty("processor_init")?;
    let first = stage.succeed(&["init"])?;
    assert!(
        first.contains("created workflowtracker_events\n") && first.contains("created 19 tables in "),
        "{first}"
    );
    let second = stage.succeed(&["init"])?;
    assert!(second.starts_with("nothing to do: postgresql://biomero:********@"), "{second}");
    let object = stage.object(&["init"])?;
    assert_eq!(object["created"], serde_json::json!([]));
    assert_eq!(object["projected"], 0);
    Ok(())
}

#[test]
fn what_python_has_written_is_projected() -> Result<()> {
    let stage = Stage::with_history("processor_init_projects")?;
    assert_eq!(stage.psql("SELECT count(*) FROM biomero_task_execution")?, "5");
    stage.psql("UPDATE biomero_worker_position SET notification_id = 40")?;
    let told = stage.succeed(&["init"])?;
    assert!(told.starts_with("projected 2 events: the views of "), "{told}");
    Ok(())
}

#[test]
fn tables_that_differ_are_told_and_left_alone() -> Result<()> {
    let stage = Stage::empty("processor_init_differs")?;
    stage.succeed(&["init"])?;
    stage.psql("ALTER TABLE biomero_job_view ALTER task_id TYPE text; DROP INDEX workflowtracker_events_aggregate_idx")?;
    let told = stage.ends_with(76, &["init"])?;
    for difference in [
        "biomero_job_view.task_id is of type text instead of uuid",
        "workflowtracker_events has no unique index (originator_id, originator_version)",
    ] {
        assert!(told.contains(difference), "{told}");
    }
    let kind = "SELECT data_type FROM information_schema.columns WHERE table_name = 'biomero_job_view' AND column_name = 'task_id'";
    assert_eq!(stage.psql(kind)?, "text");
    Ok(())
}

#[test]
fn init_with_rebuild_is_what_python_does_with_true() -> Result<()> {
    let stage = Stage::with_history("processor_init_rebuild")?;
    stage.psql("DELETE FROM biomero_job_view; UPDATE biomero_task_execution SET status = 'x'")?;
    let told = stage.succeed(&["init", "--rebuild"])?;
    assert!(told.contains("rebuilt the views of "), "{told}");
    assert_eq!(stage.psql("SELECT count(*) FROM biomero_job_view")?, "3");
    assert_eq!(stage.psql("SELECT count(*) FROM biomero_task_execution WHERE status = 'x'")?, "0");
    Ok(())
}

#[test]
fn whoever_asks_before_is_told_how_to_begin() -> Result<()> {
    let stage = Stage::empty("processor_before_init")?;
    for verb in [&["select"][..], &["show", super::stage::WORKFLOW], &["stats"], &["export"], &["rebuild"]] {
        let told = stage.ends_with(66, verb)?;
        assert!(told.contains("processor events init"), "{verb:?}: {told}");
    }
    let told = stage.ends_with(2, &["doctor"])?;
    assert!(told.contains("to do: `processor events init`"), "{told}");
    Ok(())
}
