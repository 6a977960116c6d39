//! A plate as OME-TIFF: a file a field, and the companion file, which others read.

use std::path::{Path, PathBuf};

use biomero_tests::{Result, Trouble, imaging};

use super::stage::Stage;

#[test]
fn others_see_a_plate_and_it_comes_back_as_it_was() -> Result<()> {
    let stage = Stage::new()?;
    imaging::omero_cli_zarr("omero_cli_zarr.py", &[&stage.path("")])?;
    stage.answer(&["convert", "0.4/plate.ome.zarr", "--output", "plate"])?;
    let companion = "plate/plate.companion.ome";
    let info = [Path::new("-nopix"), Path::new("-omexml"), &stage.path(companion)];
    let told = imaging::bio_formats("ImageInfo", &info)?;
    for expected in ["Series count = 4", "<Plate ", "Row=\"1\"", "Column=\"9\"", "PlateAcquisition:"] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    assert_eq!(told.matches("<WellSample ").count(), 4, "{told}");
    // Valid, and each file has what the plate has there.
    let look = "import sys, pathlib, ome_types, tifffile, zarr
folder, plate = pathlib.Path(sys.argv[1]), zarr.open_group(sys.argv[2], mode='r')
ome_types.validate_xml((folder / 'plate.companion.ome').read_text(encoding='utf-8'))
for name, place in [('A1_f1', 'A/1/1'), ('A2_f0', 'A/2/0'), ('A2_f1', 'A/2/1'), ('B10_f0', 'B/10/0')]:
    with tifffile.TiffFile(folder / f'{name}.ome.tif') as file:
        ome_types.validate_xml(file.pages[0].description)
        samples = [page.asarray() for page in file.pages]
    expected = plate[place]['0'][...]
    assert (expected.reshape(-1, *expected.shape[-2:]) == samples).all(), name
print('4 fields')";
    let mut command = std::process::Command::new(imaging::interpreter()?);
    command.args(["-c", look]).arg(stage.path("plate")).arg(stage.path("0.4/plate.ome.zarr"));
    let looked = command.output().map_err(Trouble::doing("look at the fields"))?;
    assert_eq!(
        String::from_utf8_lossy(&looked.stdout).trim(),
        "4 fields",
        "{}",
        String::from_utf8_lossy(&looked.stderr)
    );
    // And a plate again, whichever file is opened.
    let place = ["--output", "again", "--name"];
    stage.answer(&[&["export", companion], &place[..], &["companion"]].concat())?;
    stage.answer(&[&["export", "plate/A2_f0.ome.tif"], &place[..], &["field"]].concat())?;
    stage.answer(&[&["export", "0.4/plate.ome.zarr"], &place[..], &["zarr"]].concat())?;
    let trees = ["companion", "field", "zarr"].map(|name| stage.path(&format!("again/{name}.ome.zarr")));
    let trees: Vec<&Path> = trees.iter().map(PathBuf::as_path).collect();
    assert_eq!(imaging::run("validators.py", &trees)?.trim(), "3 accepted");
    let wells = |tree: &Path| -> Result<String> {
        let text = std::fs::read_to_string(tree.join(".zattrs")).map_err(Trouble::doing("read a plate"))?;
        // Who wrote it for which request differs.
        Ok(text.split("\"plate\"").nth(1).unwrap_or_default().to_owned())
    };
    assert_eq!(wells(trees[0])?, wells(trees[2])?);
    assert_eq!(wells(trees[1])?, wells(trees[2])?);
    // What another has in its place stays; the source goes when every field is proven.
    stage.ends_with(73, &["convert", "0.4/plate.ome.zarr", "--output", "plate"])?;
    stage.answer(&["convert", "0.4/plate.ome.zarr", "--output", "plate", "--remove-source"])?;
    assert!(!stage.path("0.4/plate.ome.zarr").exists());
    Ok(())
}
