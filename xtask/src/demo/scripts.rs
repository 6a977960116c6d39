//! A script of OMERO's: the master's Blitz, for which a program stands, has a job; the node's Processor-0, which is ours, runs it.

use biomero_tests::jobs::Jobs;
use biomero_tests::namespace::{Namespace, Worker};
use biomero_tests::wait;
use biomero_tests::worker_root::{OMERO, PROCESSOR};
use serde_json::json;

use super::heading;
use crate::failure::Failure;

/// What users have run, in a sentence.
const SCRIPT: &str = "\
import os, sys
print('hello from a script of OMERO, in', os.getcwd())
print('run by', sys.executable, 'with', len(os.environ), 'variables')
print('its configuration names', open(os.environ['ICE_CONFIG']).read().split()[0])
";

/// Has it run, and shows what came of it.
pub(super) fn show(jobs: &mut Jobs, worker: &Worker, namespace: &Namespace) -> Result<(), Failure> {
    heading(
        "A script of OMERO's: its server has a job, and Processor-0, which the node has started, runs it",
    );
    let log = |name: &str| namespace.path(&format!("{OMERO}/var/log/{name}.err"));
    let (node, processor) = (log("biomeroworker"), log("Processor-0"));
    let logs = [namespace.log(), node.as_path(), processor.as_path()];
    jobs.processor_is("active", &logs)?;
    let known = jobs.knows_the_processor(&logs)?;
    println!("the node says Processor-0 is active; OMERO knows it as {known}");
    jobs.script(SCRIPT)?;
    let job = json!({ "job": 77 });
    println!("job 77 is taken: {}", jobs.ask("process", job.clone())?);
    println!("its script ended with {}", jobs.ask("wait", job)?);
    let state = jobs.ask("state", json!({}))?;
    println!("OMERO was told that it is {}, and given its output:", state["status"]["77"]);
    print!("{}", jobs.output(77, "stdout")?);

    heading("`processor events select --own`: what scripts did");
    // It is recorded behind the job's status.
    let recorded = wait::until("the script in the history", wait::PATIENCE, &logs, || {
        let told = worker.exec(namespace, &[PROCESSOR, "events", "select", "--own"]).ok()?;
        told.output.contains("script.ran").then_some(told.output)
    })?;
    print!("{recorded}");
    Ok(())
}
