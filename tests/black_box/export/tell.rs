//! What an image is, as people and as programs are told.

use biomero_tests::{Result, Trouble, imaging};
use serde_json::Value;

use super::stage::Stage;

#[test]
fn an_image_is_described_for_people_and_for_programs() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["pyramid.ome.tif", "lz4.zarr", "tiles.ome.tif"])?;
    let told = stage.answer(&["inspect", "pyramid.ome.tif"])?;
    assert_eq!(
        told,
        "\
Image0
  t 1, c 2, z 1, y 200, x 140, uint16
  OME-TIFF, tiles of 32 × 32, Deflate
  a pixel: x 0.25 µm, y 0.5 µm
  LEVEL  HEIGHT  WIDTH  DEPTH
  0         200    140      1
  1         100     70      1
  2          50     35      1
  channel 0: without a name
  channel 1: without a name
"
    );
    let object = stage.answer(&["inspect", "lz4.zarr", "--json"])?;
    let object: Value =
        serde_json::from_str(&object).map_err(|error| Trouble::new(format!("{object}: {error}")))?;
    let image = &object["images"][0];
    assert_eq!(image["shape"], serde_json::json!([1, 2, 3, 90, 70]));
    assert_eq!(image["storage"], "OME-Zarr 0.4, zarr v2, chunks 1 × 2 × 33 × 47, blosc lz4");
    assert_eq!(image["complaints"].as_array().map(Vec::len), Some(1));
    let object = stage.answer(&["export", "tiles.ome.tif", "--output", "out", "--json"])?;
    let object: Value =
        serde_json::from_str(&object).map_err(|error| Trouble::new(format!("{object}: {error}")))?;
    assert_eq!(object["path"], "out/tiles.ome.zarr");
    assert_eq!(object["images"][0]["shape"], serde_json::json!([2, 2, 3, 90, 70]));
    assert_eq!(object["images"][0]["levels"], serde_json::json!([[90, 70]]));
    Ok(())
}

#[test]
fn a_changed_file_is_found_and_a_preview_is_a_picture() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["tiles.ome.tif"])?;
    stage.answer(&["export", "tiles.ome.tif", "--output", "out"])?;
    let image = "out/tiles.ome.zarr";
    let told = stage.answer(&["inspect", image, "--verify", "--preview", "preview.png"])?;
    assert!(told.contains("files are as they were written"), "{told}");
    let look = "import sys, PIL.Image; image = PIL.Image.open(sys.argv[1]); image.load(); print(image.size, image.mode)";
    let looked = std::process::Command::new(imaging::interpreter()?)
        .args(["-c", look])
        .arg(stage.path("preview.png"))
        .output()
        .map_err(Trouble::doing("look at the picture"))?;
    assert_eq!(String::from_utf8_lossy(&looked.stdout).trim(), "(70, 90) RGB");
    std::fs::write(stage.path(image).join("0/0/0/0/0/0"), "x").map_err(Trouble::doing("damage it"))?;
    std::fs::remove_file(stage.path(image).join("0/1/1/2/0/0")).map_err(Trouble::doing("damage it"))?;
    let told = stage.ends_with(2, &["inspect", image, "--verify"])?;
    assert!(told.contains("has another content: 0/0/0/0/0/0"), "{told}");
    assert!(told.contains("is missing: 0/1/1/2/0/0"), "{told}");
    Ok(())
}

#[test]
fn the_layout_of_biomeros_converter_has_its_name_and_nothing_beside_it() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["lz4.zarr", "lz4hc.zarr"])?;
    stage.answer(&["convert", "lz4.zarr", "--compat", "biomero"])?;
    let mine: Vec<String> = stage
        .names()?
        .into_iter()
        .filter(|name| name.starts_with("lz4") && !name.ends_with(".npy"))
        .collect();
    assert_eq!(mine, ["lz4.0.tif", "lz4.zarr", "lz4hc.zarr"]);
    let told = stage.answer(&["inspect", "lz4.0.tif"])?;
    assert!(told.contains("strips of 90 × 70, not compressed"), "{told}");
    Ok(())
}

#[test]
fn what_was_converted_is_removed_once_it_was_compared() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["lz4.zarr", "tiles.ome.tif"])?;
    stage.answer(&["convert", "lz4.zarr", "--compress", "zstd", "--remove-source"])?;
    assert!(!stage.path("lz4.zarr").exists());
    assert!(stage.answer(&["inspect", "lz4.ome.tif"])?.contains("t 1, c 2, z 3, y 90, x 70, uint16"));
    // Several images are in it: only the one that was converted is known to be elsewhere.
    stage.answer(&["export", "tiles.ome.tif", "--layout", "bioformats2raw", "--output", "out"])?;
    let told = stage.ends_with(64, &["convert", "out/tiles.ome.zarr", "--series", "0", "--remove-source"])?;
    assert!(told.contains("cannot be used with"), "{told}");
    Ok(())
}
