//! What breaks around a script that runs.

use biomero_tests::{Result, wait};
use serde_json::{Value, json};

use super::stage::{Stage, paths};

/// Says so, waits for a file in its folder's parent, ends.
const WAITS: &str =
    "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('../go'): time.sleep(0.01)\n";

fn go(stage: &Stage) -> Result<()> {
    let path = stage.namespace.path("/opt/omero/server/tmp/scripts/go");
    std::fs::write(path, "").map_err(biomero_tests::Trouble::doing("let the script go on"))
}

#[test]
fn a_router_that_is_killed_costs_no_job_its_status_and_the_output_comes_later() -> Result<()> {
    let mut stage = Stage::with_node(|_| ())?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    stage.jobs.script(WAITS)?;
    stage.jobs.knows_the_processor(&logs)?;
    stage.jobs.ask("process", json!({ "job": 77 }))?;
    stage.says("job 77 stdout: begun")?;
    stage.jobs.router().signal(nix::sys::signal::Signal::SIGKILL)?;
    stage.jobs.router().ended_within(wait::PATIENCE)?;
    go(&stage)?;
    assert_eq!(stage.jobs.ask("wait", json!({ "job": 77 }))?, json!(0), "who waits needs no router");
    let state = stage.jobs.ask("state", json!({}))?;
    assert_eq!((&state["status"]["77"], &state["links"]), (&json!("Finished"), &json!([])));
    stage.jobs.start_router()?;
    wait::until("the output", wait::PATIENCE, &logs, || stage.jobs.output(77, "stdout").ok())?;
    Ok(())
}

#[test]
fn fifty_jobs_at_once_end_each_with_its_own_output() -> Result<()> {
    let mut stage = Stage::with_node(|_| ())?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    stage.jobs.script("print(open('config').readline(), end='')")?;
    stage.jobs.knows_the_processor(&logs)?;
    let each = || (100..150).map(|job| json!({ "job": job }));
    stage.jobs.ask_all("process", each())?;
    let codes = stage.jobs.ask_all("wait", each())?;
    assert!(codes.iter().all(|code| *code == json!(0)), "{codes:?}");
    let state: Value = stage.jobs.ask("state", json!({}))?;
    for job in 100..150 {
        assert_eq!(state["status"][job.to_string()], "Finished");
        assert_eq!(stage.jobs.output(job, "stdout")?, format!("omero.job={job}\n"));
    }
    Ok(())
}

#[test]
fn a_gigabyte_of_output_is_cut_and_told_and_a_script_that_ignores_term_is_ended() -> Result<()> {
    let limits = "[processor.limits]\noutput = 2\ngrace = '200ms'\n";
    let mut stage = Stage::with_node(|deployment| deployment.settings.push_str(limits))?;
    stage
        .jobs
        .script("import sys\nblock = b'x' * 1048576\nfor _ in range(1024): sys.stdout.buffer.write(block)")?;
    assert_eq!(stage.run(77)?, json!(0));
    let state = stage.jobs.ask("state", json!({}))?;
    let kept = state["files"].as_object().and_then(|files| files.values().next()?["size"].as_i64());
    assert!(kept.is_some_and(|kept| (2 << 20..3 << 20).contains(&kept)), "{kept:?}");

    let stubborn = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                    if os.fork() == 0: os.setsid()\nprint('begun', flush=True)\ntime.sleep(1000)\n";
    stage.jobs.script(stubborn)?;
    for (job, how) in [(78, "cancel"), (79, "kill")] {
        stage.jobs.ask("process", json!({ "job": job }))?;
        stage.says(&format!("job {job} stdout: begun"))?;
        stage.jobs.ask(how, json!({ "job": job }))?;
        assert_eq!(stage.jobs.ask("wait", json!({ "job": job }))?, json!(-9));
    }
    let state = stage.jobs.ask("state", json!({}))?;
    assert_eq!((&state["status"]["78"], &state["status"]["79"]), (&json!("Cancelled"), &json!("Error")));
    let mut processes = stage.worker.processes();
    processes.retain(|name| name.starts_with("python") || name.contains("script"));
    // The node's `python` is the processor: a file's first line leaves the name of the file.
    assert_eq!(processes, ["python"], "nothing of the scripts is left");
    Ok(())
}
