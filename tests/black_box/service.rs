//! The worker as it is shipped: `init` keeps the node, and beside it the service that carries workflows.

mod away;
mod stage;

use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::INIT;
use biomero_tests::{Result, Trouble, queue, wait};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use stage::Stage;

#[test]
fn with_nothing_configured_a_workflow_goes_from_its_image_to_its_results() -> Result<()> {
    let mut stage = Stage::start(|_| ())?;
    stage.is_ready()?;
    stage.open_gate()?;
    stage.is_done(&stage.submit()?)?;
    for name in ["events.sqlite", "jobs", "images/copy", "data"] {
        let path = stage.namespace.path("/var/lib/biomero").join(name);
        assert!(path.exists(), "{} is in the worker's state folder", path.display());
    }
    let history = stage.processor(&["events", "list", "--json"])?.exits(0)?.output;
    assert!(history.contains("copy"), "the history tells of it: {history}");
    assert_eq!(stage.worker.stop(wait::PATIENCE)?, 0, "{}", stage.said());
    assert_eq!(stage.registry.nodes()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn killed_while_a_workflow_runs_it_is_started_again_and_the_workflow_ends_once() -> Result<()> {
    let stage = Stage::start(|_| ())?;
    let first = stage.is_ready()?;
    let id = stage.submit()?;
    wait::until("its job", wait::PATIENCE * 2, &stage.logs(), || (stage.runs() == 1).then_some(()))?;
    kill(stage.outside(first)?, Signal::SIGKILL)
        .map_err(|error| Trouble::new(format!("cannot kill it: {error}")))?;
    stage.waits("another process", |service| service["restarts"] == 1 && service["state"] == "ready")?;
    stage.open_gate()?;
    stage.is_done(&id)?;
    let node = stage.service("node")?;
    assert_eq!((&node["restarts"], &node["state"]), (&json!(0), &json!("ready")), "the node has not noticed");
    Ok(())
}

#[test]
fn a_site_can_leave_it_out() -> Result<()> {
    let stage = Stage::start(|deployment| {
        let off = ("BIOMERO_INIT_SERVICES__WORKFLOWS__ENABLED".to_owned(), "false".to_owned());
        deployment.variables.push(off);
    })?;
    let status = stage.worker.exec(&stage.namespace, &[INIT, "status"])?.exits(0)?.output;
    assert!(status.contains("node") && !status.contains("workflows"), "{status}");
    Ok(())
}

#[test]
fn a_dry_run_tells_which_services_would_start_and_how() -> Result<()> {
    let (_turn, scratch) = (queue::turn()?, Scratch::new()?);
    let namespace = stage::laid_out(&scratch, 4061, |_| ())?;
    let plan =
        |arguments: &[&str]| Ok::<_, Trouble>(namespace.run(arguments, wait::PATIENCE)?.exits(2)?.output);
    let text = plan(&["--dry-run"])?;
    for line in [
        "service node (main) would start: services.node.launcher = icegridnode",
        "service workflows would start: services.workflows.command = [\"/opt/biomero/bin/processor\", \"serve\"]",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    assert!(!text.contains("service processor"), "what is disabled would not:\n{text}");
    let json = plan(&["--dry-run", "--json"])?;
    let json: Value =
        serde_json::from_str(&json).map_err(|error| Trouble::new(format!("{error}: {json}")))?;
    let services = json["services"].as_array().into_iter().flatten();
    let names: Vec<&str> = services.filter_map(|service| service["name"].as_str()).collect();
    assert_eq!(names, ["node", "workflows"]);
    Ok(())
}
