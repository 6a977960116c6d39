//! Conversions that come to nothing.

use biomero_tests::cluster::worker::Worker;
use biomero_tests::cluster::{Access, Workspace, shared};
use biomero_tests::{Result, Trouble, process};

use super::interrupted::killed;
use super::worker;

/// A worker with three images, whose cluster has this script for conversions: one that somebody has written is used as it is.
fn converting(cluster: &Access, workspace: &Workspace, script: &str) -> Result<(Worker, String)> {
    let worker = worker(cluster, workspace)?;
    workspace.write("scripts/convert_job_array.sh", format!("#!/bin/bash\n#SBATCH --time=5\n{script}\n"))?;
    for name in ["a", "b", "c"] {
        worker.write(&format!("images/{name}.zarr/.zattrs"), "{}")?;
    }
    let images = worker.folder().join("images").display().to_string();
    Ok((worker, images))
}

#[test]
fn an_image_that_cannot_be_converted_ends_the_others_and_the_run() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let script = "if [ \"$SLURM_ARRAY_TASK_ID\" = 1 ]; then echo broken; exit 7; fi; sleep 600";
    let (worker, images) = converting(&cluster, &workspace, script)?;
    let output = worker.slurm(&["run", "threshold", "--input", &images])?;
    let said = process::both(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("_1 of convert did not succeed") && said.contains("7"), "{said}");
    assert!(!said.contains("workflow "), "the workflow was begun: {said}");
    let job = said.split("job ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let left = cluster.run(&format!("squeue -h -t pending,running -j {job} 2>&1 | grep -v Invalid || :"))?;
    assert_eq!(left, "", "{said}");
    Ok(())
}

#[test]
fn an_image_that_nobody_tells_of_is_missed_also_by_a_run_that_is_taken_up_again() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let (worker, images) = converting(&cluster, &workspace, "true")?;
    worker.configure("sbatch_begin = now+20", "")?;
    let (run, jobs) = killed(&worker, &["threshold", "--input", &images], "convert")?;
    let job = jobs.first().ok_or_else(|| Trouble::new("no job was told"))?;
    // Of one that is cancelled while it waits with others, Slurm 22.05 keeps no record.
    cluster.run(&format!("scancel {job}_2"))?;
    let output = worker.slurm(&["run", "--resume", &run])?;
    let said = process::both(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("job {job}_2 of convert")), "{said}");
    assert!(!said.contains("workflow "), "the workflow was begun: {said}");
    Ok(())
}

#[test]
fn an_image_whose_name_cannot_stand_in_the_list_is_told_by_its_name() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let (worker, images) = converting(&cluster, &workspace, "true")?;
    worker.write("images/two\nlines.zarr/.zattrs", "{}")?;
    let output = worker.slurm(&["run", "threshold", "--input", &images])?;
    let said = process::both(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("its name has a line break; rename the image"), "{said}");
    Ok(())
}
