//! A run whose process is killed goes on where it was, and nothing of it is done twice.

use biomero_tests::Result;
use biomero_tests::cluster::worker::WORKFLOW;
use biomero_tests::cluster::{sample, shared};

use super::begun::Begun;
use super::{read, worker};

#[test]
fn a_run_that_is_killed_in_each_step_does_each_once() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = worker(&cluster, &workspace)?;
    let (images, results) = (worker.folder().join("images"), worker.folder().join("results"));
    sample::cells(&images, &["one", "other"])?;
    let (from, to) = (format!("--input={}", images.display()), format!("--output={}", results.display()));
    let mut run = Begun::new(&worker, &cluster, &[WORKFLOW.to_owned(), from, to, "--clean".to_owned()])?;
    let name = format!("images_{}", run.id.simple());
    let data = workspace.path().join("data");

    let arriving = data.join(&name).join("data/.in.incoming/content");
    run.kill_once("in transfer", || arriving.exists())?;
    assert!(!data.join(&name).join("data/in").exists(), "half of the images are seen");
    for step in ["convert", "workflow"] {
        run.resume()?;
        run.kill_once_submitted(step)?;
    }
    run.resume()?;
    run.kill_once("in fetch", || worker.folder().join(".results.incoming").exists())?;
    assert!(!results.exists(), "half of the results are seen");
    // Removing them takes a while.
    cluster.run(&format!(
        "cd {}/data/{name} && mkdir much && cd much && seq 30000 | xargs touch",
        workspace.name()
    ))?;
    run.resume()?;
    run.kill_once("in clean", || data.join(format!(".{name}.removing")).exists())?;
    run.resume()?;
    assert_eq!(run.exit_code()?, Some(0), "{}", run.process.output());

    for name in ["one", "other"] {
        let areas = read(&results.join(format!("{name}.csv")))?;
        assert!(areas.lines().count() > 1, "no object was found: {areas}");
    }
    let left: Vec<_> = std::fs::read_dir(&data).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    run.is_recorded_once(&["convert", "workflow"])
}
