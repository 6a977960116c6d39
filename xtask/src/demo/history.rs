//! The workflow history in the demo: in a database its tables are made by a hook, its views kept by a service, and a run is recorded
//! and looked at.

use std::path::Path;

use biomero_tests::binary;
use biomero_tests::namespace::{Namespace, Worker};
use biomero_tests::postgres::Postgres;
use biomero_tests::worker_root::{self, PROCESSOR};

use super::{heading, quoted};
use crate::failure::Failure;

/// The name of its database.
pub(super) const DATABASE: &str = "biomero";

/// Where it is kept without one.
pub(super) const FILE: &str = "/var/lib/biomero/events.sqlite";

/// Keeps the views up to date with what Python workers record.
pub(super) const SERVICE: &str = r#"
[services.history]
command = ["/opt/biomero/bin/processor", "events", "follow", "--new", "--project"]
restart.policy = "always"
"#;

/// Makes the tables where there are none, at each start.
const HOOK: &str = r#"summary = "the workflow history has its tables"
command = ["/opt/biomero/bin/processor", "events", "init"]
after = ["slurm-config"]
on_failure = "warn"
"#;

/// What Python workers are told where somebody else keeps the views.
pub(super) const LISTENERS_OFF: &str = "[ANALYTICS]
enable_job_accounting = False
enable_job_progress = False
enable_workflow_analytics = False
";

/// Puts the hook into the worker's root folder.
pub(super) fn install(root: &Path) -> Result<(), Failure> {
    worker_root::write(root, "etc/biomero/hooks.d/96-history.toml", HOOK, 0o644)?;
    Ok(())
}

/// Records a workflow run as a launcher would, and shows what became of it.
pub(super) fn show(worker: &Worker, namespace: &Namespace, server: &Postgres) -> Result<(), Failure> {
    heading("A workflow run, as a script records it: `processor events record`");
    let record = |arguments: &[&str]| run(worker, namespace, &[&["record"], arguments].concat());
    let workflow = record(&["initiate-workflow", "SLURM_Run_Workflow.py", "three images", "2", "3"])?;
    for (name, version, job) in
        [("_SLURM_Image_Transfer.py", "2.8.3", None), ("cellpose", "v1.2.7", Some("4711"))]
    {
        let task =
            record(&["add-task-to-workflow", &workflow, name, version, "--input-data", "[101,102,103]"])?;
        record(&["start-task", &task])?;
        if let Some(job) = job {
            record(&["add-job-id", &task, job])?;
            for (status, progress) in [("PENDING", "0%"), ("RUNNING", "43%"), ("COMPLETED", "100%")] {
                record(&["update-task-status", &task, status])?;
                record(&["update-task-progress", &task, progress])?;
            }
        }
        record(&["complete-task", &task, "done"])?;
    }
    record(&["complete-workflow", &workflow])?;

    heading("The same run in the database, as a dashboard sees it");
    let row = "SELECT status, progress, \"user\", name, main_task_name FROM biomero_workflow_progress_view";
    println!("{}", server.psql(DATABASE, row)?);

    for verb in [&["show", &workflow][..], &["stats"], &["doctor"]] {
        heading(&format!("`processor events {}`", verb.join(" ")));
        println!("{}", run(worker, namespace, verb)?);
    }
    Ok(())
}

/// What the workflow has left in it.
pub(super) fn after_workflow(worker: &Worker, namespace: &Namespace) -> Result<(), Failure> {
    for verb in [&["list"][..], &["stats"], &["doctor"]] {
        heading(&format!("`processor events {}`, after the workflow", verb.join(" ")));
        println!("{}", run(worker, namespace, verb)?);
    }
    Ok(())
}

/// What to type to look at it from outside.
pub(super) fn by_hand(server: &Postgres) -> Result<String, Failure> {
    let processor = binary::processor()?;
    Ok(format!("{} events --database '{}' list", processor.display(), server.socket_url(DATABASE)))
}

/// Runs `processor events` in the container; what it answered.
fn run(worker: &Worker, namespace: &Namespace, arguments: &[&str]) -> Result<String, Failure> {
    let finished = worker.exec(namespace, &[&[PROCESSOR, "events"], arguments].concat())?.exits(0)?;
    let answer = finished.output.trim_end().to_owned();
    if arguments.first() == Some(&"record") {
        println!("$ processor events {}\n{answer}", quoted(arguments));
    }
    Ok(answer)
}
