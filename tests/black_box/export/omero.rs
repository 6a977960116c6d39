//! The real omero-cli-zarr: what is written lies as its images, plates and labels do, and those are read.

use std::path::{Path, PathBuf};

use biomero_tests::{Result, Trouble, imaging};

use super::stage::Stage;

#[test]
fn images_plates_and_labels_lie_as_omero_cli_zarr_lays_them_out() -> Result<()> {
    let stage = Stage::new()?;
    imaging::omero_cli_zarr("omero_cli_zarr.py", &[&stage.path("")])?;
    let mut expected = 0;
    for version in ["0.4", "0.5"] {
        let format = ["--format", version, "--level", "5", "--output"];
        let ours = format!("ours/{version}");
        for image in stage.names()?.iter().filter(|name| name.ends_with(".ome.tif")) {
            stage
                .answer(&[&["export", image.as_str(), "--labels"], &format[..], &[ours.as_str()]].concat())?;
            expected += 2;
        }
        let again = format!("again/{version}");
        let theirs = stage.path(version);
        let theirs = std::fs::read_dir(&theirs).map_err(Trouble::doing("list what omero-cli-zarr wrote"))?;
        for image in theirs.flatten() {
            let image = format!("{version}/{}", image.file_name().to_string_lossy());
            stage.answer(&[&["export", image.as_str()], &format[..], &[again.as_str()]].concat())?;
        }
        // The fields of the plate.
        expected += 4;
    }
    let told = imaging::omero_cli_zarr("omero_compare.py", &[&stage.path("")])?;
    assert_eq!(told.trim(), format!("{expected} images compared"));
    // A plate and labels are described.
    let told = stage.answer(&["inspect", "again/0.4/plate.ome.zarr", "--series", "2"])?;
    assert!(told.contains("plate HeLa: well A2, field 1, acquisition 2"), "{told}");
    let told = stage.answer(&["inspect", "ours/0.5/masks.ome.zarr"])?;
    assert!(told.contains("labels \"0\": 1 × 1 × 1 × 128 × 160 int8"), "{told}");
    Ok(())
}

#[test]
fn validators_accept_plates_and_labels() -> Result<()> {
    let stage = Stage::new()?;
    imaging::omero_cli_zarr("omero_cli_zarr.py", &[&stage.path("")])?;
    for version in ["0.4", "0.5"] {
        let place = ["--output", version, "--format", version, "--name"];
        stage.answer(&[&["export", "0.4/plate.ome.zarr"], &place[..], &["checked_plate"]].concat())?;
        let labels = &["checked_image", "--labels=cells"][..];
        stage.answer(&[&["export", "polygons.ome.tif"], &place[..], labels].concat())?;
    }
    let trees = ["0.4", "0.5"].map(|version| {
        ["plate", "image"].map(|name| stage.path(&format!("{version}/checked_{name}.ome.zarr")))
    });
    let trees: Vec<&Path> = trees.iter().flatten().map(PathBuf::as_path).collect();
    let told = imaging::run("validators.py", &trees)?;
    assert_eq!(told.trim(), "4 accepted");
    Ok(())
}
