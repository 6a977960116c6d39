//! `processor slurm run`: real cells to labels and areas, by way of the cluster; and what becomes of a run that is disturbed.

mod attached;
mod begun;
mod conversion;
mod faults;
mod interrupted;
mod program;
mod resume;
mod template;

use std::path::{Path, PathBuf};

use biomero_tests::cluster::worker::{VERSION, WORKFLOW, Worker};
use biomero_tests::cluster::{Access, Image, Workspace, sample, shared};
use biomero_tests::{Result, Trouble, process};

/// A worker, whose cluster has the images of workflow and converter already.
fn worker(access: &Access, workspace: &Workspace) -> Result<Worker> {
    let worker = Worker::new(access, workspace)?;
    access.place(Image::Threshold, workspace, &format!("images/{WORKFLOW}/{WORKFLOW}_{VERSION}.sif"))?;
    access.place(Image::ZarrToTiff, workspace, &format!("converters/convert_zarr_to_tiff_{VERSION}.sif"))?;
    Ok(worker)
}

/// Parameters of a workflow that copies images and what is attached.
const COPY: &str = r#"{"schema-version": "biomero-0.1", "name": "Copy", "description": "", "command-line": "copy",
    "container-image": {"image": "biomerotests/copy", "type": "oci"}, "inputs": [
    {"id": "weights", "type": "file", "file-attachment": true, "format": ["pt"], "optional": true},
    {"id": "extra", "type": "file", "file-attachment": true, "optional": true}]}"#;

/// A worker that has the workflow `copy` as well.
fn copying(access: &Access, workspace: &Workspace) -> Result<Worker> {
    let worker = worker(access, workspace)?;
    worker.write("descriptors/copy.json", COPY)?;
    worker.configure(
        "",
        &format!("copy = copy\ncopy_repo = https://github.com/biomerotests/copy/tree/{VERSION}\ncopy_job = jobs/copy.sh"),
    )?;
    access.place(Image::Copy, workspace, &format!("images/copy/copy_{VERSION}.sif"))?;
    Ok(worker)
}

/// A folder with an image that nobody looks into.
fn image(worker: &Worker) -> Result<PathBuf> {
    worker.write("images/one.tif", "pixels")?;
    Ok(worker.folder().join("images"))
}

/// The objects that were written.
fn objects(output: &str) -> Result<Vec<serde_json::Value>> {
    let read = |line| serde_json::from_str(line).map_err(|error| Trouble::new(format!("{error}: {line}")));
    output.lines().map(read).collect()
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Trouble::doing(format!("read {}", path.display())))
}

#[test]
fn real_cells_become_labels_and_areas() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = worker(&cluster, &workspace)?;
    let images = worker.folder().join("images");
    sample::cells(&images, &["nucleus", "a 'strange' $(touch pwned) [cell]"])?;
    let results = worker.folder().join("results");
    let (from, to) = (images.display().to_string(), results.display().to_string());
    let arguments = [
        &["run", WORKFLOW, "--input", &from, "--output", &to, "--clean", "--user", "2", "--group", "3"][..],
        &["--param", "threshold_scale=0.9", "--sbatch", "mem=2G"],
    ]
    .concat();

    let plan = worker.succeeds(&[&arguments[..], &["--dry-run"]].concat())?;
    assert!(plan.contains("--mem=2G"), "{plan}");
    assert!(plan.contains("THRESHOLD_SCALE=0.9"), "{plan}");
    assert!(!worker.folder().join("events.sqlite").exists(), "a dry run records nothing");

    let output = worker.slurm(&arguments)?;
    let said = process::both(&output);
    assert!(output.status.success(), "{said}");
    let mut names: Vec<String> = std::fs::read_dir(&results)
        .map_err(Trouble::doing("list results"))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.iter().any(|name| name.starts_with("nucleus") && name.ends_with(".csv")), "{names:?}");
    assert!(names.iter().any(|name| name.contains("a 'strange' $(touch pwned) [cell]")), "{names:?}");
    let areas = names.iter().find(|name| name.starts_with("nucleus") && name.ends_with(".csv"));
    let areas = read(&results.join(areas.cloned().unwrap_or_default()))?;
    assert!(areas.lines().count() > 1, "no object was found: {areas}");
    assert!(!workspace.path().join("pwned").exists() && !cluster.home().join("pwned").exists());

    // Nothing of it is left there, and the history has all of it.
    let left: Vec<_> =
        std::fs::read_dir(workspace.path().join("data")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let list = process::succeed(
        &mut worker.processor(&["events", "list", "--json"])?,
        biomero_tests::cluster::PATIENCE,
    )?;
    let run: serde_json::Value =
        serde_json::from_str(list.trim()).map_err(|error| Trouble::new(error.to_string()))?;
    assert_eq!((&run["status"], &run["user"]), (&"DONE".into(), &2.into()), "{list}");
    let stats =
        process::succeed(&mut worker.processor(&["events", "stats"])?, biomero_tests::cluster::PATIENCE)?;
    assert!(stats.contains("CONVERT_ZARR_TO_TIFF"), "{stats}");
    let usage = rusqlite::Connection::open(worker.folder().join("events.sqlite"))
        .and_then(|history| {
            let count = "SELECT count(DISTINCT slurm_job_id) FROM biomero_worker_job_usage";
            history.query_row(count, [], |row| row.get::<_, i64>(0))
        })
        .map_err(|error| Trouble::new(format!("cannot read the usage of jobs: {error}")))?;
    assert_eq!(usage, 3, "each task of the conversion has a row, and the workflow");
    let doctor =
        process::output(&mut worker.processor(&["events", "doctor"])?, biomero_tests::cluster::PATIENCE)?;
    assert!(doctor.status.success(), "{}", process::both(&doctor));
    Ok(())
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_sent() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = worker(&cluster, &workspace)?;
    let images = worker.folder().join("images");
    sample::cells(&images, &["one"])?;
    let from = images.display().to_string();
    for (arguments, code, told) in [
        (
            &["run", WORKFLOW, "--input", &from, "--param", "treshold_scale=1"][..],
            64,
            "did you mean threshold_scale?",
        ),
        (&["run", WORKFLOW, "--input", &from, "--param", "threshold_scale=$(id)"], 64, "threshold_scale is"),
        (&["run", "cellpose", "--input", &from], 64, "there are threshold"),
        (&["run", WORKFLOW, "--input", "/nowhere"], 66, "/nowhere"),
        (&["run", WORKFLOW, "--input", &from, "--time", "soon"], 78, "no time limit"),
        (&["run", "--resume", "0199e7a1-0000-7000-8000-000000000000"], 66, "no run 0199e7a1"),
    ] {
        let output = worker.slurm(arguments)?;
        let said = process::both(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
    assert!(!workspace.path().join("data").exists(), "nothing was sent");
    Ok(())
}
