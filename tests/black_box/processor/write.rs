//! `record` and `project`.

use biomero_tests::process::Running;
use biomero_tests::{Result, wait};

use super::stage::Stage;

#[test]
fn a_workflow_run_is_recorded_by_the_names_that_python_has_for_it() -> Result<()> {
    let stage = Stage::empty("processor_record")?;
    stage.succeed(&["init"])?;
    let record = |arguments: &[&str]| -> Result<String> {
        Ok(stage.succeed(&[&["record"], arguments].concat())?.trim_end().to_owned())
    };
    let run = record(&["initiate-workflow", "SLURM_Run_Workflow.py", "für alle", "2", "3"])?;
    let params = r#"{"diameter":30}"#;
    let task = record(&[
        "add-task-to-workflow",
        &run,
        "cellpose",
        "v1.2.7",
        "--input-data",
        "[101]",
        "--params",
        params,
    ])?;
    record(&["start-workflow", &run])?;
    record(&["start-task", &task])?;
    record(&["add-job-id", &task, "42"])?;
    record(&["add-result", &task, "sbatch", "--stdout", "Submitted batch job 42", "--env", "A=b"])?;
    record(&["update-task-status", &task, "RUNNING"])?;
    record(&["update-task-progress", &task, "43%"])?;
    record(&["update-task-progress", &task])?;
    record(&["complete-task", &task, "done"])?;
    assert_eq!(record(&["complete-workflow", &run])?, format!("recorded: event 12, version 3 of {run}"));
    let shown = stage.object(&["show", &run])?;
    assert_eq!((&shown["state"], &shown["description"]), (&"completed".into(), &"für alle".into()));
    assert_eq!(shown["tasks"][0]["params"], serde_json::json!({ "diameter": 30 }));
    assert_eq!(shown["tasks"][0]["results"][0]["env"], serde_json::json!({ "A": "b" }));
    assert_eq!(stage.psql("SELECT * FROM biomero_job_view")?, format!("42|2|3|{task}"));
    assert_eq!(stage.object(&["doctor"])?["verdict"], "note");
    Ok(())
}

#[test]
fn a_command_is_recorded_once_and_only_on_what_it_is_for() -> Result<()> {
    let stage = Stage::with_history("processor_record_once")?;
    let id = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
    let initiate = ["record", "--command-id", id, "initiate-workflow", "a", "b", "2", "3"];
    let run = stage.succeed(&initiate)?;
    assert_eq!(stage.succeed(&initiate)?, run, "repeated, it is the same run");
    assert_eq!(stage.psql("SELECT count(*) FROM workflowtracker_events")?, "43");
    let told = stage.ends_with(64, &["record", "start-task", super::stage::WORKFLOW])?;
    assert!(told.contains("is a workflow run, not a task: nothing was recorded"), "{told}");
    stage.ends_with(66, &["record", "start-workflow", id])?;
    assert_eq!(stage.psql("SELECT count(*) FROM workflowtracker_events")?, "43");
    Ok(())
}

#[test]
fn the_views_follow_what_others_record_as_long_as_it_projects() -> Result<()> {
    let stage = Stage::with_history("processor_project")?;
    stage.psql("UPDATE biomero_worker_position SET notification_id = 41")?;
    let log = stage.scratch.path().join("project");
    let mut project = Running::start("project", stage.command(&["project"]), &log)?;
    let projected = |upto: i64| {
        let position = format!("SELECT notification_id >= {upto} FROM biomero_worker_position");
        wait::until("the projection", wait::PATIENCE, &[&log], || {
            (stage.psql(&position).ok()? == "t").then_some(())
        })
    };
    projected(42)?;
    stage.psql(super::follow::RECORD)?;
    projected(43)?;
    let status =
        "SELECT status FROM biomero_task_execution WHERE task_id = '749cc9bd-2e23-4676-b120-651389b8d968'";
    assert_eq!(stage.psql(status)?, "LATE");
    assert_eq!(project.stop(wait::PATIENCE)?.code(), Some(0));
    Ok(())
}
