//! The static `convert` as what it is for: tasks of an array on a cluster that has nothing else.

use std::process::Command;

use biomero_tests::cluster::{Access, PATIENCE, Workspace, shared};
use biomero_tests::{Result, Trouble, binary, imaging, process};

/// A folder of the user's with the program and these images.
fn prepared(cluster: &Access, images: &[&str]) -> Result<Workspace> {
    let workspace = cluster.workspace()?;
    let program = std::fs::read(binary::convert()?).map_err(Trouble::doing("read convert"))?;
    workspace.write("convert", program)?;
    let folder = workspace.path();
    let mut arguments = vec![folder];
    arguments.extend(images.iter().map(std::path::Path::new));
    imaging::run("images.py", &arguments)?;
    let mut own = Command::new("chown");
    own.args(["--recursive", cluster.user()]).arg(folder);
    process::succeed(&mut own, PATIENCE)?;
    cluster.run(&format!("chmod +x {}/convert", workspace.name()))?;
    Ok(workspace)
}

/// Submits a script that is an array, and waits for all of its tasks.
fn run(cluster: &Access, workspace: &Workspace, script: &str) -> Result<()> {
    workspace.write("job.sh", format!("#!/bin/sh\n{script}\n"))?;
    let told = cluster.output(&format!(
        "cd {} && sbatch --wait --output=job.log --open-mode=append job.sh",
        workspace.name()
    ))?;
    if told.status.success() {
        return Ok(());
    }
    let log = workspace.read("job.log").unwrap_or_default();
    Err(Trouble::new(format!("{}\n{log}", process::both(&told))))
}

/// Puts an image where the readers look for what became of it.
fn made(workspace: &Workspace, image: &str, files: &[String]) -> Result<()> {
    let made = workspace.path().join("made").join(image);
    let moved = |from: &str, to: &std::path::Path| {
        std::fs::rename(workspace.path().join(from), to).map_err(Trouble::doing(format!("move {from}")))
    };
    std::fs::create_dir_all(&made).map_err(Trouble::doing("make a folder"))?;
    moved(&format!("{image}.npy"), &workspace.path().join(format!("made/{image}.npy")))?;
    files.iter().try_for_each(|file| moved(file, &made.join(file)))
}

#[test]
fn each_task_of_an_array_converts_the_image_of_its_line() -> Result<()> {
    let cluster = shared()?;
    let images = ["lz4.zarr", "v3_blosc.zarr", "plain_zlib.zarr", "order.zarr"];
    let workspace = prepared(&cluster, &images)?;
    let list: String = (1..)
        .zip(images)
        .map(|(task, image)| format!("{task} {}/{image}\n", workspace.path().display()))
        .collect();
    workspace.write("list.txt", list)?;
    let script = "#SBATCH --array=1-4\nexec ./convert --list list.txt --task \"$SLURM_ARRAY_TASK_ID\" --compress zstd --remove-source";
    run(&cluster, &workspace, script)?;
    for image in images {
        assert!(!workspace.path().join(image).exists(), "{image} was compared, and is gone");
        made(&workspace, image, &[image.replace(".zarr", ".ome.tif")])?;
    }
    let told = imaging::run("readers.py", &[&workspace.path().join("made")])?;
    assert_eq!(told.trim(), "4 images read");
    // A task too many is told, and nothing else happens.
    let refused = run(&cluster, &workspace, &script.replace("1-4", "5")).expect_err("it has no line");
    assert!(refused.to_string().contains("has no line for task 5"), "{refused}");
    Ok(())
}

#[test]
fn tasks_of_an_array_write_one_image_together() -> Result<()> {
    let cluster = shared()?;
    let workspace = prepared(&cluster, &["tiles.ome.tif"])?;
    let script = "#SBATCH --array=1-3\nexec ./convert tiles.ome.tif --output set.ome.tif --part \"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT\"";
    run(&cluster, &workspace, script)?;
    let parts: Vec<String> = (1..=3).map(|part| format!("set_{part}-of-3.ome.tif")).collect();
    made(&workspace, "tiles.ome.tif", &parts)?;
    let made = workspace.path().join("made");
    imaging::bio_formats(
        "ImageConverter",
        &[&made.join("tiles.ome.tif").join(&parts[1]), &made.join("tiles.ome.tif/theirs.ome.tif")],
    )?;
    assert_eq!(imaging::run("readers.py", &[&made])?.trim(), "4 images read");
    Ok(())
}
