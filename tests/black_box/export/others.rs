//! What tifffile, zarr-python and Bio-Formats write, `processor` reads; what it writes, they read, to the last bit.

use std::path::Path;

use biomero_tests::{Result, Trouble, imaging};

use super::stage::Stage;

/// How each image is written: what it is called, and the arguments between source and output.
const WRITTEN: [(&str, &[&str]); 7] = [
    ("export", &["--name", "v04"]),
    ("export", &["--name", "v05", "--format", "0.5", "--codec", "lz4"]),
    ("export", &["--name", "shards", "--format", "0.5", "--shard", "2", "--threads", "1"]),
    ("export", &["--name", "layout", "--layout", "bioformats2raw"]),
    ("convert", &[]),
    ("convert", &["--compress", "lzw", "--pyramid"]),
    ("convert", &["--compress", "zstd"]),
];

#[test]
fn images_of_others_are_read_and_others_read_what_is_made_of_them() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&[])?;
    let mut written = 0;
    for image in stage.names()?.iter().filter(|name| !name.ends_with(".npy")) {
        let made = format!("made/{image}");
        std::fs::create_dir_all(stage.path(&made)).map_err(Trouble::doing("make a folder"))?;
        let samples = format!("{image}.npy");
        std::fs::rename(stage.path(&samples), stage.path(&format!("made/{samples}")))
            .map_err(Trouble::doing(format!("move {samples}")))?;
        for (number, (verb, arguments)) in WRITTEN.iter().enumerate() {
            let output = if *verb == "export" { made.clone() } else { format!("{made}/{number}.tif") };
            stage.answer(&[&[*verb, image.as_str(), "--output", output.as_str()], *arguments].concat())?;
            written += 1;
        }
        // And from what was exported.
        let exported = format!("{made}/v05.ome.zarr");
        let output = format!("{made}/again.tif");
        stage.answer(&["convert", &exported, "--output", &output, "--compress", "deflate", "--pyramid"])?;
        written += 1;
    }
    let told = imaging::run("readers.py", &[&stage.path("made")])?;
    assert_eq!(told.trim(), format!("{written} images read"));
    assert!(written > 200, "{written}");
    let told = imaging::ome_zarr_info(&stage.path("made"))?;
    assert_eq!(told.lines().last(), Some(format!("{} images told of", written / 2).as_str()));
    Ok(())
}

#[test]
fn bio_formats_reads_what_is_written_and_what_it_writes_is_read() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["tiles.ome.tif", "pyramid.ome.tif", "float.ome.tif", "double.ome.tif", "lzw.ome.tif"])?;
    std::fs::create_dir(stage.path("made")).map_err(Trouble::doing("make a folder"))?;
    for (image, arguments) in [
        ("tiles.ome.tif", &[][..]),
        ("pyramid.ome.tif", &["--compress", "lzw", "--pyramid"]),
        ("float.ome.tif", &["--compress", "zstd"]),
        ("double.ome.tif", &["--compress", "deflate"]),
        ("lzw.ome.tif", &["--compress", "zstd"]),
    ] {
        stage.answer(&[&["convert", image, "--output", "ours.tif"], arguments].concat())?;
        imaging::bio_formats("ImageConverter", &[&stage.path("ours.tif"), &stage.path("theirs.ome.tif")])?;
        let made = format!("made/{image}");
        stage.answer(&["convert", "theirs.ome.tif", "--output", &format!("{made}/again.tif")])?;
        std::fs::rename(stage.path("theirs.ome.tif"), stage.path(&format!("{made}/theirs.tif")))
            .and_then(|()| std::fs::remove_file(stage.path("ours.tif")))
            .and_then(|()| std::fs::remove_file(stage.path("ours.tif.sha256")))
            .and_then(|()| {
                std::fs::rename(stage.path(&format!("{image}.npy")), stage.path(&format!("{made}.npy")))
            })
            .map_err(Trouble::doing(format!("move what became of {image}")))?;
    }
    let told = imaging::run("readers.py", &[&stage.path("made")])?;
    assert_eq!(told.trim(), "10 images read");
    // What the pixels mean came along.
    let described = imaging::bio_formats(
        "ImageInfo",
        &[Path::new("-nopix"), Path::new("-omexml-only"), &stage.path("made/tiles.ome.tif/again.tif")],
    )?;
    assert!(described.contains("PhysicalSizeX=\"0.25\" PhysicalSizeXUnit=\"µm\""), "{described}");
    Ok(())
}

#[test]
fn jpeg_in_a_tiff_is_read_as_others_read_it() -> Result<()> {
    let stage = Stage::new()?;
    let images = ["jpeg_ycbcr.tif", "jpeg_full.tif", "jpeg_grey.tif", "jpeg_tables.tif"];
    stage.images(&images)?;
    for image in images {
        std::fs::create_dir_all(stage.path(&format!("made/{image}")))
            .map_err(Trouble::doing("make a folder"))?;
        stage.answer(&["convert", image, "--output", &format!("made/{image}/ours.tif")])?;
        stage.answer(&[
            "convert",
            image,
            "--output",
            &format!("made/{image}/lzw.tif"),
            "--compress",
            "lzw",
        ])?;
        std::fs::rename(stage.path(&format!("{image}.npy")), stage.path(&format!("made/{image}.npy")))
            .map_err(Trouble::doing("move samples"))?;
    }
    let told = imaging::run("readers.py", &[&stage.path("made")])?;
    assert_eq!(told.trim(), "8 images read");
    Ok(())
}

#[test]
fn bio_formats_sees_a_picture_in_colour_and_its_resolution() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["rgb.ome.tif"])?;
    stage.answer(&[
        "convert",
        "rgb.ome.tif",
        "--output",
        "ours.ome.tif",
        "--compress",
        "lzw",
        "--pyramid",
    ])?;
    let described = imaging::bio_formats("ImageInfo", &[Path::new("-nopix"), &stage.path("ours.ome.tif")])?;
    for expected in ["RGB = true (3)", "Width = 30", "SizeC = 3"] {
        assert!(described.contains(expected), "{expected} is not in\n{described}");
    }
    let tags = "import sys, tifffile; page = tifffile.TiffFile(sys.argv[1]).pages[0]; print(page.get_resolution('micrometer'))";
    let looked = std::process::Command::new(imaging::interpreter()?)
        .args(["-c", tags])
        .arg(stage.path("ours.ome.tif"))
        .output()
        .map_err(Trouble::doing("look at the tags"))?;
    assert_eq!(String::from_utf8_lossy(&looked.stdout).trim(), "(4.0, 2.0)");
    Ok(())
}

#[test]
fn however_many_threads_write_it_a_tiff_has_the_same_bytes() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["pyramid.ome.tif"])?;
    let mut found = Vec::new();
    for (number, threads) in ["1", "2", "4", "4"].iter().enumerate() {
        let output = format!("{number}.ome.tif");
        stage.answer(&[
            "convert",
            "pyramid.ome.tif",
            "--output",
            &output,
            "--compress",
            "zstd",
            "--pyramid",
            "--threads",
            threads,
        ])?;
        found.push(std::fs::read(stage.path(&output)).map_err(Trouble::doing("read an image"))?);
    }
    assert!(found.iter().all(|bytes| *bytes == found[0]));
    Ok(())
}
