//! What scripts did, in the worker's history.

use biomero_tests::worker_root::PROCESSOR;
use biomero_tests::{Result, Trouble, wait};
use serde_json::Value;

use super::stage::{Stage, paths};

#[test]
fn each_script_is_an_event_of_the_workers_own() -> Result<()> {
    let url = "sqlite:////opt/omero/server/tmp/events.sqlite";
    let mut stage = Stage::with_node(|deployment| {
        deployment.variables.push(("SQLALCHEMY_URL".to_owned(), url.to_owned()))
    })?;
    stage.jobs.script("raise SystemExit(4)")?;
    stage.run(77)?;
    stage.jobs.script("print()")?;
    stage.run(78)?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    let events = wait::until("two events", wait::PATIENCE, &logs, || {
        let asked = [PROCESSOR, "events", "select", "--own", "--json"];
        let told = stage.worker.exec(&stage.namespace, &asked).ok()?;
        (told.output.lines().count() == 2).then_some(told.output)
    })?;
    let mut states = Vec::new();
    for line in events.lines() {
        let event: Value =
            serde_json::from_str(line).map_err(|error| Trouble::new(format!("{line}: {error}")))?;
        assert_eq!(event["topic"], "script.ran");
        states.push(event["state"].clone());
    }
    for (state, job, code) in [(&states[0], 77, 4), (&states[1], 78, 0)] {
        assert_eq!(
            (&state["job"], &state["exit_code"], &state["why"]),
            (&job.into(), &code.into(), &"over".into())
        );
        assert_eq!(
            (&state["user"], &state["group"], &state["script"]),
            (&"reader".into(), &"lab".into(), &"/omero/Demo.py".into())
        );
        assert!(
            state["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0)
                && state["sha1"].as_str().is_some_and(|sha1| sha1.len() == 40),
            "{state}"
        );
    }
    assert_ne!(states[0]["sha1"], states[1]["sha1"], "another text is another version");
    Ok(())
}

#[test]
fn a_database_that_is_away_holds_no_job_up_and_is_told() -> Result<()> {
    // The deployment's database has a name that does not resolve here.
    let mut stage = Stage::with_node(|_| ())?;
    stage.jobs.script("print('done')")?;
    for job in 77..82 {
        stage.run(job)?;
    }
    assert_eq!(stage.jobs.output(81, "stdout")?, "done\n");
    stage.says("job 77: that it ran is recorded later: ")?;
    assert_eq!(stage.worker.stop(wait::PATIENCE)?, 0);
    assert!(
        stage.said().contains("5 scripts that have run are not recorded in the history"),
        "{}",
        stage.said()
    );
    Ok(())
}
