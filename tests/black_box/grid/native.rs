//! A node starts the processor in place of `python`.

use std::time::{Duration, Instant};

use biomero_tests::worker_root::{DATABASE_PASSWORD, OMERO, SHIM};
use biomero_tests::{Result, Trouble, wait};
use serde_json::{Value, json};

use super::stage::{Stage, paths};

/// What a script has, as JSON.
const SHOW: &str = r#"
import json, os, subprocess, sys
python = subprocess.run(["python", "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
print(json.dumps({"variables": dict(os.environ), "executable": sys.executable, "python": python.stdout.strip(),
                  "session": os.getsid(0), "parent": open("/proc/%d/cmdline" % os.getppid()).read().split("\0"),
                  "open": sorted(os.listdir("/proc/self/fd"))[:-1], "config": open(os.environ["ICE_CONFIG"]).read()}))
"#;

fn shown(stage: &mut Stage, job: i64) -> Result<Value> {
    let text = stage.jobs.output(job, "stdout")?;
    serde_json::from_str(&text).map_err(|error| Trouble::new(format!("{text}: {error}")))
}

#[test]
fn a_script_of_omero_is_run_by_the_processor_that_the_node_starts() -> Result<()> {
    let mut stage = Stage::with_node(|_| ())?;
    stage.jobs.script(SHOW)?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    let known = stage.jobs.knows_the_processor(&logs)?;
    assert!(known.contains("@ Processor-0.ProcessorAdapter"), "{known}");
    assert_eq!(stage.run(77)?, json!(0), "{}", stage.said());
    let state = stage.jobs.ask("state", json!({}))?;
    assert_eq!(state["status"]["77"], "Finished");

    let found = shown(&mut stage, 77)?;
    let variable = |name: &str| found["variables"][name].as_str();
    assert_eq!(variable("OMERO_HOME"), Some(OMERO));
    assert_eq!(variable("PERSISTENCE_MODULE"), Some("eventsourcing_sqlalchemy"));
    assert!(variable("SQLALCHEMY_URL").is_some_and(|url| url.contains(DATABASE_PASSWORD)), "scripts read it");
    for name in
        ["OMERO_NODE", "CONFIG_omero_scripts_timeout", "BIOMERO_INIT_PROCESSOR__SHIM", "NOTIFY_SOCKET"]
    {
        assert_eq!(variable(name), None, "{name}");
    }
    let path = variable("PATH").unwrap_or_default();
    assert!(!path.contains(SHIM), "no script finds the python that is us: {path}");
    let python = "/opt/omero/server/venv3/bin/python";
    assert_eq!((&found["executable"], &found["python"]), (&json!(python), &json!(python)));
    assert!(found["parent"].to_string().contains("grid-keeper"), "{found}");
    assert_eq!(found["open"], json!(["0", "1", "2"]), "a node believes in a server whose pipe is open");
    let config = found["config"].as_str().unwrap_or_default();
    assert!(config.contains("omero.job=77\n") && config.contains("-h omeroserver\n"), "{config}");

    // What anybody else asks of the node's python goes on to the real one.
    let shim = format!("{SHIM}/python");
    let asked = stage
        .worker
        .exec(&stage.namespace, &[&shim, "-c", "import sys; print(sys.argv, sys.executable)", "-V"])?;
    assert_eq!(asked.exits(0)?.output.trim(), format!("['-c', '-V'] {python}"));

    let said = std::fs::read_to_string(stage.namespace.path(&format!("{OMERO}/var/log/Processor-0.err")))
        .map_err(Trouble::doing("read what the processor says"))?;
    assert!(said.contains("processor: info: OMERO knows the processor"), "{said}");
    assert!(said.contains("job 77 stdout: "), "{said}");
    let session = "11111111-2222-3333-4444-555555555555";
    let own: Vec<&str> = said.lines().filter(|line| !line.contains("job 77 stdout")).collect();
    assert!(!own.iter().any(|line| line.contains(session) || line.contains(DATABASE_PASSWORD)), "{said}");
    Ok(())
}

#[test]
fn the_worker_stops_at_once_and_the_next_one_accounts_for_what_it_left() -> Result<()> {
    let mut stage = Stage::with_node(|_| ())?;
    stage.jobs.script("import time\nprint('begun', flush=True)\ntime.sleep(1000)")?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    stage.jobs.knows_the_processor(&logs)?;
    stage.jobs.ask("process", json!({ "job": 77 }))?;
    stage.says("job 77 stdout: begun")?;
    let begun = Instant::now();
    assert_eq!(stage.worker.stop(wait::PATIENCE)?, 0, "{}", stage.said());
    // Of a server without a process proxy a node takes leave after 61 s; init gives what is left of the scripts 5 s.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}{}", begun.elapsed(), stage.said());
    stage.worker = stage.namespace.start(&[])?;
    wait::until("the job's status", wait::PATIENCE, &logs, || {
        let state = stage.jobs.ask("state", json!({})).ok()?;
        (state["status"]["77"] == "Error").then_some(())
    })?;
    // What it said is sent behind its status.
    let said = || stage.jobs.output(77, "stdout").ok();
    assert_eq!(wait::until("what the job said", wait::PATIENCE, &logs, said)?, "begun\n");
    stage.jobs.script("print('again')")?;
    assert_eq!(stage.run(78)?, json!(0));
    Ok(())
}

#[test]
fn a_master_that_is_restarted_finds_the_processor_again() -> Result<()> {
    let mut stage = Stage::with_node(|_| ())?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    stage.jobs.knows_the_processor(&logs)?;
    stage.jobs.restart()?;
    stage.jobs.script("raise SystemExit(3)")?;
    stage.jobs.processor_is("active", &logs)?;
    assert_eq!(stage.run(77)?, json!(3));
    Ok(())
}

#[test]
fn a_worker_whose_folders_go_with_it_tells_omero_of_its_scripts_first() -> Result<()> {
    let variable = ("BIOMERO_INIT_PROCESSOR__END_SCRIPTS".to_owned(), "20s".to_owned());
    let mut stage = Stage::with_node(|deployment| deployment.variables.push(variable))?;
    stage.jobs.script("import time\nprint('begun', flush=True)\ntime.sleep(1000)")?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    stage.jobs.knows_the_processor(&logs)?;
    stage.jobs.ask("process", json!({ "job": 77 }))?;
    stage.says("job 77 stdout: begun")?;
    assert_eq!(stage.worker.stop(wait::PATIENCE)?, 0, "{}", stage.said());
    let state = stage.jobs.ask("state", json!({}))?;
    assert_eq!(state["status"]["77"], "Cancelled", "{}", stage.said());
    assert_eq!(stage.jobs.output(77, "stdout")?, "begun\n");
    Ok(())
}
