//! `record`.

use biomero_tests::Result;

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
