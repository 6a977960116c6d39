//! A process that is killed in the middle leaves nothing where the image should be, and the next one goes on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, wait};
use nix::sys::signal::Signal;

use super::stage::Stage;

/// The content of every file, by its name.
fn content(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let failed = || Trouble::doing(format!("read {}", next.display()));
        for entry in std::fs::read_dir(&next).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                found.insert(name, std::fs::read(&path).map_err(failed())?);
            }
        }
    }
    Ok(found)
}

/// How far an export is: bytes of its journal.
fn noted(stage: &Stage, name: &str) -> u64 {
    std::fs::metadata(stage.path(&format!("out/.{name}.incoming/journal"))).map_or(0, |found| found.len())
}

#[test]
fn a_killed_export_goes_on_and_ends_as_one_that_nobody_disturbed() -> Result<()> {
    let stage = Stage::new()?;
    stage.made("made.ome.tif", 24)?;
    let export =
        ["export", "made.ome.tif", "--output", "out", "--name", "image", "--level", "3", "--threads"];
    stage.answer(&["export", "made.ome.tif", "--output", "whole", "--name", "image", "--level", "3"])?;
    let whole = content(&stage.path("whole/image.ome.zarr"))?;
    let incoming = stage.path("out/.image.ome.zarr.incoming");
    for kill in 1..=6_u64 {
        let mut reached = 0;
        // Each goes a little farther than the one before.
        for step in 1..=kill {
            let threads = (1 + step % 3).to_string();
            let command = stage.command(&[&export[..], &[threads.as_str()]].concat());
            let mut running = Running::start("processor", command, &stage.path("log"))?;
            let goal = reached + 100 * kill;
            let is_there = || (noted(&stage, "image.ome.zarr") > goal).then_some(());
            let outcome =
                wait::until("the journal to grow", Duration::from_secs(60), &[running.log()], is_there);
            running.signal(Signal::SIGKILL)?;
            running.ended_within(Duration::from_secs(10))?;
            outcome?;
            reached = noted(&stage, "image.ome.zarr");
            assert!(!stage.path("out/image.ome.zarr").exists());
        }
        // A file of what is staged is damaged, and one is gone.
        if kill > 3 {
            let mut staged = content(&incoming.join("image/0"))?.into_keys();
            let place = |name: PathBuf| incoming.join("image/0").join(name);
            if let Some(file) = staged.next() {
                std::fs::write(place(file), "damaged").map_err(Trouble::doing("damage a chunk"))?;
            }
            if let Some(file) = staged.next() {
                std::fs::remove_file(place(file)).map_err(Trouble::doing("remove a chunk"))?;
            }
        }
        stage.answer(&[&export[..], &["2"]].concat())?;
        assert!(content(&stage.path("out/image.ome.zarr"))? == whole, "after {kill} kills");
        assert!(!incoming.exists());
        stage.answer(&["inspect", "out/image.ome.zarr", "--verify"])?;
        std::fs::remove_dir_all(stage.path("out")).map_err(Trouble::doing("remove it"))?;
    }
    Ok(())
}

#[test]
fn a_source_that_has_changed_is_exported_anew_and_one_that_has_not_is_left_alone() -> Result<()> {
    let stage = Stage::new()?;
    stage.made("made.ome.tif", 24)?;
    let export = ["export", "made.ome.tif", "--output", "out"];
    let mut running = Running::start("processor", stage.command(&export), &stage.path("log"))?;
    let begun = || (noted(&stage, "made.ome.zarr") > 300).then_some(());
    wait::until("the journal to grow", Duration::from_secs(30), &[running.log()], begun)?;
    running.signal(Signal::SIGKILL)?;
    running.ended_within(Duration::from_secs(10))?;
    stage.made("made.ome.tif", 25)?;
    stage.answer(&export)?;
    stage.answer(&["export", "made.ome.tif", "--output", "whole"])?;
    let whole = content(&stage.path("whole/made.ome.zarr"))?;
    assert!(content(&stage.path("out/made.ome.zarr"))? == whole);
    // The same again, and something else at its place.
    let told = stage.answer(&export)?;
    assert!(told.contains("is there already, of the same source and options"), "{told}");
    let told = stage.answer(&[&export[..], &["--json"]].concat())?;
    assert!(told.contains("\"unchanged\":true"), "{told}");
    stage.made("made.ome.tif", 24)?;
    stage.ends_with(73, &export)?;
    assert!(content(&stage.path("out/made.ome.zarr"))? == whole);
    stage.answer(&[&export[..], &["--overwrite"]].concat())?;
    assert!(content(&stage.path("out/made.ome.zarr"))? != whole);
    let left = std::fs::read_dir(stage.path("out")).map_err(Trouble::doing("list it"))?.count();
    assert_eq!(left, 1);
    Ok(())
}

#[test]
fn what_is_stopped_is_kept_where_one_says_so() -> Result<()> {
    let stage = Stage::new()?;
    stage.made("made.ome.tif", 24)?;
    let export = ["export", "made.ome.tif", "--output", "out", "--keep-partial"];
    let mut running = Running::start("processor", stage.command(&export), &stage.path("log"))?;
    let begun = || (noted(&stage, "made.ome.zarr") > 300).then_some(());
    wait::until("the journal to grow", Duration::from_secs(30), &[running.log()], begun)?;
    // Two at a time would write the same files.
    let told = stage.ends_with(1, &export)?;
    assert!(told.contains("another export to the same place is under way"), "{told}");
    running.signal(Signal::SIGTERM)?;
    let status = running.ended_within(Duration::from_secs(30))?;
    assert_eq!(status.code(), Some(1), "{}", running.output());
    assert!(running.output().contains("the same command goes on there"), "{}", running.output());
    assert!(noted(&stage, "made.ome.zarr") > 300);
    stage.answer(&export)?;
    stage.answer(&["inspect", "out/made.ome.zarr", "--verify"])?;
    Ok(())
}
