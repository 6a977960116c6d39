//! The `biomero` of `python/`, which OMERO scripts import: their calls in their order against a real cluster and a real
//! database, the examples of the guide, and the library's own tests.

mod install;
mod recorder;
mod theirs;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use biomero_tests::biomero::Biomero;
use biomero_tests::cluster::worker::Worker;
use biomero_tests::cluster::{sample, shared};
use biomero_tests::{Result, Trouble, binary, postgres, process};
use serde_json::{Value, json};

/// A whole workflow with two jobs, on a machine with much else to do.
const DEADLINE: Duration = Duration::from_secs(540);

fn package() -> std::path::PathBuf {
    binary::workspace().join("python")
}

/// Python with our package and nothing else, in the environment of a worker.
fn python(worker: &Worker, script: &str, arguments: &[&OsStr], url: &str) -> Result<Value> {
    let environment = worker.processor(&[])?;
    let mut command = Command::new("python3");
    command.arg("-S").arg(binary::workspace().join("tests/fixtures/python").join(script)).args(arguments);
    command.env_clear().envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("BIOMERO_PROCESSOR", environment.get_program());
    command.env("PYTHONPATH", package()).env("PYTHONDONTWRITEBYTECODE", "1").env("SQLALCHEMY_URL", url);
    let told = process::succeed(&mut command, DEADLINE)?;
    let line = told.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| Trouble::new(format!("{script} said {told:?}: {error}")))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn scripts_run_a_workflow_and_the_library_reads_its_history() -> Result<()> {
    let (cluster, server) = (shared()?, postgres::shared()?);
    let work = cluster.workspace()?;
    let worker = Worker::new(&cluster, &work)?;
    let url = server.create_database("python_scripts")?;
    let (images, local) = (worker.folder().join("images"), worker.folder().join("local"));
    for folder in [&images, &local] {
        std::fs::create_dir(folder).map_err(Trouble::doing(format!("make {}", folder.display())))?;
    }
    sample::cells(&images, &["one", "two"])?;
    let told = python(&worker, "scripts.py", &[local.as_os_str(), images.as_os_str()], &url)?;
    let results = told["results"].to_string();
    assert!(results.contains("one") && results.contains(".csv"), "{results}");
    assert_eq!(told["done"]["progress"], "100%");

    let mut library = reader(worker.folder(), &url)?;
    let run = library.get(text(&told["done"]["run"]))?;
    assert_eq!((&run["name"], &run["user"]), (&json!("threshold"), &json!(2)));
    assert_eq!(run["tasks"].as_array().map(Vec::len), Some(5), "{run}");
    let task = library.get(text(&told["done"]["task"]))?;
    assert_eq!(task["job_ids"], json!([told["done"]["job"]]));
    assert_eq!((&task["status"], &task["progress"]), (&json!("COMPLETED"), &json!("100%")));
    assert_eq!(task["params"]["threshold_scale"], 1.0);
    assert!(text(&task["results"][0]["command"]).starts_with("sbatch "), "{task}");
    let refused = library.get(text(&told["refused"]["task"]))?;
    assert_eq!(refused["job_ids"], json!([]));
    assert!(text(&told["refused"]["message"]).contains("could not be submitted"), "{told}");
    let views = |sql: &str| server.psql("python_scripts", sql);
    assert_eq!(
        views(
            "SELECT name, status, progress FROM biomero_workflow_progress_view ORDER BY name COLLATE \"C\""
        )?,
        "SLURM_Run_Workflow_Batched.py|DONE|100%\nSlurm Cellpose Segmentation|DONE|100%\n\
         part 1|DONE|100%\npart 2|DONE|100%\nrefused|FAILED|0%\nthreshold|DONE|100%"
    );
    let batch = library.get(text(&told["batch"]["run"]))?;
    assert_eq!(batch["tasks"].as_array().map(Vec::len), Some(2), "{batch}");
    assert_eq!(
        views("SELECT count(*), min(user::text) IS NOT NULL FROM biomero_job_view WHERE \"user\" = 2")?,
        "3|t"
    );
    Ok(())
}

#[test]
fn the_examples_of_the_guide_work() -> Result<()> {
    let (cluster, server) = (shared()?, postgres::shared()?);
    let work = cluster.workspace()?;
    let worker = Worker::new(&cluster, &work)?;
    let url = server.create_database("python_guide")?;
    let told = python(&worker, "seed.py", &[], &url)?;
    assert_eq!(told["validated"], true);
    assert_eq!(told["ids"], json!((54..64).collect::<Vec<_>>()));
    assert_eq!(told["shown"], 10);
    assert_eq!(told["page"], json!((1..11).collect::<Vec<_>>()));
    assert_eq!(told["first"], "biomero.eventsourcing:WorkflowRun.WorkflowInitiated");
    assert_eq!(told["aggregate"], json!(["cellpose", 2, 60]));
    let mut library = reader(worker.folder(), &url)?;
    let first = library.ask("select", &json!({ "start": 54, "limit": 10 }))?;
    assert_eq!(first.as_array().map(Vec::len), Some(10));
    Ok(())
}

/// The library itself, its listeners off.
fn reader(folder: &Path, url: &str) -> Result<Biomero> {
    let mut library = Biomero::start(folder)?;
    library.open(url, &[])?;
    Ok(library)
}
