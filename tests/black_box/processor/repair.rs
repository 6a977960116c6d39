//! `doctor` and `rebuild`.

use biomero_tests::Result;
use serde_json::Value;

use super::stage::{Stage, ends_with, objects};

/// The findings of a doctor who ends with this code.
fn findings(stage: &Stage, code: i32) -> Result<Vec<Value>> {
    let report = objects(&stage.ends_with(code, &["doctor", "--json"])?)?.remove(0);
    Ok(report["findings"].as_array().cloned().unwrap_or_default())
}

/// Those of one check that are not as they should be: what is told, and the details.
fn wrong(findings: &[Value], check: &str) -> Vec<String> {
    findings
        .iter()
        .filter(|finding| finding["check"] == check && finding["verdict"] == "wrong")
        .map(|finding| format!("{} {}", finding["told"], finding["details"]))
        .collect()
}

#[test]
fn a_healthy_history_has_nothing_to_put_right() -> Result<()> {
    let stage = Stage::with_history("processor_doctor")?;
    let text = stage.succeed(&["doctor"])?;
    for line in [
        "postgresql://biomero:********@",
        ", named by the variable SQLALCHEMY_URL\n",
        "ok     tables       all 19 are as they have to be\n",
        "ok     events       all 42 that are projected can be read\n",
        "ok     view         biomero_job_view is what the log makes of it\n",
        "ok     listeners    all 4 stand where our views do\n",
        "all is well; 1 to be known\n",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    Ok(())
}

#[test]
fn a_python_worker_is_safe_where_its_configuration_leaves_the_views_to_us() -> Result<()> {
    let stage = Stage::with_history("processor_doctor_python")?;
    let file = stage.scratch.path().join("slurm-config.ini");
    let told = |analytics: &str| -> Result<String> {
        std::fs::write(&file, format!("[ANALYTICS]\n{analytics}"))
            .map_err(biomero_tests::Trouble::doing("write slurm-config.ini"))?;
        let mut command = stage.command(&["doctor"]);
        ends_with(0, command.env("BIOMERO_SLURM_CONFIG_FILE", &file))
    };
    let unsafe_one = told("enable_job_progress = False\n")?;
    assert!(
        unsafe_one.contains("(enable_job_accounting, enable_workflow_analytics on): unsafe"),
        "{unsafe_one}"
    );
    let off = "enable_job_accounting=False\nenable_job_progress=False\nenable_workflow_analytics=False\n";
    let safe = told(off)?;
    assert!(safe.ends_with("all is well\n"), "{safe}");
    Ok(())
}

#[test]
fn rows_that_are_no_events_and_missing_versions_are_named() -> Result<()> {
    let stage = Stage::with_history("processor_doctor_rows")?;
    stage.psql(
        "UPDATE workflowtracker_events SET state = '{' WHERE id = 12;
         UPDATE workflowtracker_events SET topic = 'biomero.eventsourcing:Task.Forgotten' WHERE id = 20;
         DELETE FROM workflowtracker_events WHERE id = 23",
    )?;
    let findings = findings(&stage, 2)?;
    let rows = wrong(&findings, "events").join("");
    assert!(
        rows.contains("2 rows") && rows.contains("event 12 of") && rows.contains("event 20 of"),
        "{rows}"
    );
    let versions = wrong(&findings, "versions").join("");
    assert!(versions.contains("event 24 of") && versions.contains("version 8 should be here"), "{versions}");
    Ok(())
}

#[test]
fn views_that_differ_are_found_and_a_rebuild_puts_them_right() -> Result<()> {
    let stage = Stage::with_history("processor_doctor_views")?;
    stage.psql(
        "DELETE FROM biomero_job_view WHERE slurm_job_id = 42;
         INSERT INTO biomero_job_progress_view VALUES (7, 'RUNNING', NULL);
         UPDATE biomero_workflow_progress_view SET status = 'JOB_RUNNING' WHERE status = 'DONE'",
    )?;
    let views = wrong(&findings(&stage, 2)?, "view").join("\n");
    for told in [
        "biomero_job_view: 1 rows are missing, 0 too many, 0 different",
        "biomero_job_progress_view: 0 rows are missing, 1 too many, 0 different",
        "biomero_workflow_progress_view: 0 rows are missing, 0 too many, 1 different",
    ] {
        assert!(views.contains(told), "{views}");
    }
    let rebuilt = stage.object(&["rebuild"])?;
    assert_eq!((&rebuilt["events"], &rebuilt["since"]), (&Value::from(42), &Value::Null));
    assert_eq!(rebuilt["views"][1]["deleted"], 1);
    assert_eq!(findings(&stage, 0)?.iter().filter(|finding| finding["verdict"] == "wrong").count(), 0);
    Ok(())
}

#[test]
fn a_python_worker_that_projects_beside_us_is_found() -> Result<()> {
    let stage = Stage::with_history("processor_doctor_listeners")?;
    stage.psql("UPDATE jobprogress_tracking SET notification_id = 43")?;
    let listeners = wrong(&findings(&stage, 2)?, "listeners").join("");
    assert!(listeners.contains("jobprogress_tracking is at event 43, we are at 42"), "{listeners}");
    let text = stage.ends_with(2, &["doctor"])?;
    assert!(text.contains("enable_job_progress = false"), "{text}");
    Ok(())
}

#[test]
fn events_that_were_recorded_twice_are_to_be_known() -> Result<()> {
    let stage = Stage::with_history("processor_doctor_twice")?;
    stage.psql(
        "INSERT INTO workflowtracker_events (originator_id, originator_version, topic, state)
         SELECT originator_id, originator_version + 1, topic, state FROM workflowtracker_events WHERE id = 33",
    )?;
    let text = stage.ends_with(0, &["doctor"])?;
    assert!(
        text.contains("note   repetitions  1 events were recorded again")
            && text.contains("repeats 33: WorkflowCompleted"),
        "{text}"
    );
    assert!(text.contains("note   lag          the views are behind by up to 1 events"), "{text}");
    Ok(())
}

#[test]
fn a_rebuild_begins_where_the_option_or_the_variable_says() -> Result<()> {
    let stage = Stage::with_history("processor_rebuild_since")?;
    let rows = || stage.psql("SELECT count(*) FROM biomero_task_execution");
    // The second workflow run and its task come after this moment.
    stage.succeed(&["rebuild", "--since", "2026-11-22T19:11:23.46Z"])?;
    assert_eq!(rows()?, "1");
    assert_eq!(stage.object(&["doctor"])?["verdict"], "note", "what was left out is not missing");
    stage.succeed(&["rebuild"])?;
    assert_eq!(rows()?, "5");
    let mut command = stage.command(&["rebuild"]);
    let told = ends_with(0, command.env("BIOMERO_ANALYTICS_REBUILD_START_TIME", "2036-01-01"))?;
    assert!(told.contains("BIOMERO_ANALYTICS_REBUILD_START_TIME"), "{told}");
    assert_eq!(rows()?, "0");
    let mut command = stage.command(&["rebuild", "--since", "all"]);
    ends_with(0, command.env("BIOMERO_ANALYTICS_REBUILD_START_TIME", "2036-01-01"))?;
    assert_eq!(rows()?, "5");
    Ok(())
}

#[test]
fn a_rebuild_says_which_rows_it_left_out() -> Result<()> {
    let stage = Stage::with_history("processor_rebuild_corrupt")?;
    stage.psql("UPDATE workflowtracker_events SET state = '{' WHERE id = 12")?;
    let told = stage.ends_with(65, &["rebuild"])?;
    assert!(
        told.contains("rebuilt the views of ") && told.contains("processor: error: event 12 of the log"),
        "{told}"
    );
    Ok(())
}

#[test]
fn a_rebuild_is_told_of_in_the_workers_own_stream() -> Result<()> {
    let stage = Stage::with_history("processor_own_stream")?;
    stage.psql("DELETE FROM biomero_job_view")?;
    stage.succeed(&["rebuild"])?;
    let own = stage.succeed(&["select", "--own"])?;
    assert!(own.contains("views.rebuilt") && own.contains("\"events\":42"), "{own}");
    let object = super::stage::objects(&stage.succeed(&["select", "--own", "--json"])?)?.remove(0);
    assert_eq!(
        (object["topic"].as_str(), object["state"]["deleted"].as_i64()),
        (Some("views.rebuilt"), Some(0))
    );
    assert!(object["state"]["written"].as_i64() > Some(0), "{object}");
    Ok(())
}
