//! `processor export` of what is in OMERO.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::blitz::{self, Omero};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, imaging, process};
use serde_json::{Value, json};

use super::{root, run, seen};

const DEADLINE: Duration = Duration::from_secs(120);

/// An OMERO, a session in it that outlives who has begun it, and a folder.
pub(super) struct Stage {
    pub(super) omero: Omero,
    pub(super) key: String,
    scratch: Scratch,
}

impl Stage {
    pub(super) fn new() -> Result<Self> {
        Self::with(Omero::start)
    }

    pub(super) fn with(start: impl FnOnce() -> Result<Omero>) -> Result<Self> {
        // Building it takes longer than a test may.
        binary::processor()?;
        let (omero, scratch) = (start()?, Scratch::new()?);
        let key = run(async {
            let session = root(&omero).await?;
            session.detach().await.map_err(super::trouble)?;
            let key = session.id().reveal().clone();
            session.close().await.map_err(super::trouble)?;
            Ok(key)
        })?;
        Ok(Self { omero, key, scratch })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(super) fn server(&self) -> String {
        format!("127.0.0.1:{}", self.omero.port())
    }

    /// `processor export SOURCE` into the folder `out`.
    pub(super) fn command(&self, source: &str, more: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary::processor()?);
        command.args(["export", source, "-s", &self.server(), "-k", &self.key, "--output", "out"]);
        command.args(more).current_dir(self.scratch.path());
        Ok(command)
    }

    /// What it says when all goes well.
    fn export(&self, source: &str, more: &[&str]) -> Result<String> {
        process::succeed(&mut self.command(source, more)?, DEADLINE)
    }

    /// What becomes of it when it does not.
    pub(super) fn fails(&self, source: &str, more: &[&str]) -> Result<Output> {
        process::output(&mut self.command(source, more)?, DEADLINE)
    }

    /// What Blitz has seen.
    pub(super) fn seen(&self, key: &str) -> Result<String> {
        run(async { seen(&root(&self.omero).await?, key).await })
    }

    /// What is in the folder, hidden or not.
    pub(super) fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("out")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    fn attributes(&self, path: &str) -> Result<Value> {
        let path = self.path("out").join(path).join(".zattrs");
        let text = std::fs::read(&path).map_err(Trouble::doing(format!("read {}", path.display())))?;
        serde_json::from_slice(&text).map_err(|error| Trouble::new(error.to_string()))
    }
}

#[test]
fn an_image_is_exported_to_the_last_sample_as_omero_shows_it() -> Result<()> {
    let stage = Stage::new()?;
    let told = stage.export("omero:Image:8", &["--threads", "3"])?;
    assert!(told.contains("out/8.ome.zarr: 1 × 2 × 2 × 1100 × 1300 uint16"), "{told}");
    blitz::compare(8, &stage.path("out/8.ome.zarr"), None)?;
    // In the group of the image, one store a thread, and nothing is left open in the session, which goes on.
    assert_eq!((stage.seen("pixelsGroup")?, stage.seen("open")?), ("3".to_owned(), "0".to_owned()));
    let opened: u32 = stage.seen("opened")?.parse().unwrap_or_default();
    assert!((1..=3).contains(&opened), "{opened} stores for 3 threads");
    // Eight chunks of 1024, each asked for once.
    assert_eq!(stage.seen("tiles")?, "16");

    let attributes = stage.attributes("8.ome.zarr")?;
    // As the owner has set it, where the user has set nothing.
    let channel = |label, color, more: Value| {
        let mut channel = json!({
            "active": true, "coefficient": 1.0, "color": color, "family": "linear", "inverted": false, "label": label,
            "window": { "min": 3, "max": 9000, "start": 200, "end": 4000 },
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            channel[key] = value.clone();
        }
        channel
    };
    let rendered = json!({ "active": false, "coefficient": 1.5, "family": "logarithmic" });
    let mapped = json!({ "inverted": true, "lut": "fire.lut",
        "window": { "min": 3, "max": 9001, "start": 200, "end": 4000 } });
    let omero = json!({
        "name": "cells.tiff",
        "version": "0.4",
        "rdefs": { "defaultT": 0, "defaultZ": 0, "model": "greyscale" },
        "channels": [channel("DAPI", "002000", rendered), channel("GFP", "FF2000", mapped)],
    });
    assert_eq!(attributes["omero"], omero, "{:#}", attributes["omero"]);
    let multiscale = &attributes["multiscales"][0];
    let axes = json!([
        { "name": "c", "type": "channel" },
        { "name": "z", "type": "space" },
        { "name": "y", "type": "space", "unit": "nanometer" },
        { "name": "x", "type": "space", "unit": "micrometer" },
    ]);
    assert_eq!((&multiscale["axes"], &multiscale["name"]), (&axes, &json!("cells.tiff")));
    let scale = &multiscale["datasets"][1]["coordinateTransformations"][0]["scale"];
    assert_eq!(scale, &json!([1.0, 2.0, 500.0, 1.0]));
    Ok(())
}

#[test]
fn samples_of_every_type_arrive_as_they_are() -> Result<()> {
    let stage = Stage::new()?;
    for image in 100..108 {
        stage.export(&format!("omero:Image:{image}"), &[])?;
        blitz::compare(image, &stage.path(&format!("out/{image}.ome.zarr")), None)?;
    }
    Ok(())
}

#[test]
fn a_plate_has_its_fields_where_they_are_and_the_same_bytes_each_time() -> Result<()> {
    let stage = Stage::new()?;
    stage.export("omero:Plate:3", &["--threads", "2"])?;
    for (image, place) in [(23, "A/1/1"), (21, "A/2/0"), (22, "A/2/1"), (20, "B/9/0")] {
        blitz::compare(image, &stage.path("out/3.ome.zarr").join(place), None)?;
    }
    let plate = stage.attributes("3.ome.zarr")?["plate"].take();
    let wells = json!([
        { "path": "A/1", "rowIndex": 0, "columnIndex": 0 },
        { "path": "A/2", "rowIndex": 0, "columnIndex": 1 },
        { "path": "B/9", "rowIndex": 1, "columnIndex": 8 },
    ]);
    assert_eq!((&plate["name"], &plate["wells"]), (&json!("HeLa"), &wells));
    let runs = json!([
        { "id": 1, "maximumfieldcount": 1, "name": "run 1", "starttime": 1_700_000_000_001_i64 },
        { "id": 2, "maximumfieldcount": 1, "name": "run 2", "starttime": 1_700_000_000_002_i64 },
    ]);
    assert_eq!(plate["acquisitions"], runs);
    // As far as there are wells, imaged or not.
    assert_eq!(plate["columns"].as_array().map(Vec::len), Some(12));
    assert_eq!(plate["rows"], json!([{ "name": "A" }, { "name": "B" }]));
    assert_eq!(stage.attributes("3.ome.zarr/A/2")?["well"]["images"][1]["acquisition"], 2);
    stage.export("omero:Plate:3", &["--threads", "1", "--name", "again"])?;
    let sums = |name: &str| std::fs::read_to_string(stage.path("out").join(name).join("SHA256SUMS"));
    let [once, again] = ["3.ome.zarr", "again.ome.zarr"].map(|name| sums(name).unwrap_or_default());
    assert!(once.lines().count() > 20 && once == again, "{once}\n{again}");

    stage.export("omero:Plate:4", &[])?;
    assert!(stage.path("out/4.ome.zarr/1/A/0/0").is_dir());
    let trees = ["3", "4"].map(|plate| stage.path(&format!("out/{plate}.ome.zarr")));
    let told = imaging::run("validators.py", &trees.each_ref().map(PathBuf::as_path))?;
    assert_eq!(told.trim(), "2 accepted");
    assert_eq!(stage.seen("open")?, "0");
    Ok(())
}

#[test]
fn of_a_plate_with_many_fields_few_stores_are_open_at_a_time() -> Result<()> {
    let stage = Stage::new()?;
    stage.export("omero:Plate:7", &["--threads", "3"])?;
    blitz::compare(200, &stage.path("out/7.ome.zarr/A/1/0"), None)?;
    blitz::compare(239, &stage.path("out/7.ome.zarr/D/10/0"), None)?;
    let number = |key: &str| stage.seen(key).map(|text| text.parse::<u32>().unwrap_or_default());
    assert_eq!((number("opened")?, number("open")?), (40, 0));
    // Sixteen wait for the next tile of their image, and each thread has one.
    let most = number("most")?;
    assert!((3..=20).contains(&most), "{most} stores were open at a time");
    stage.export("omero:Plate:8", &[])?;
    for field in ["A/1/0", "A/1/1"] {
        blitz::compare(200, &stage.path("out/8.ome.zarr").join(field), None)?;
    }
    Ok(())
}

#[test]
fn a_dataset_becomes_a_folder_for_each_of_its_images() -> Result<()> {
    let stage = Stage::new()?;
    let told = stage.export("omero:Dataset:5", &["--json"])?;
    let paths: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let paths: Vec<&str> = paths.iter().filter_map(|image: &Value| image["path"].as_str()).collect();
    assert_eq!(paths, ["out/8.ome.zarr", "out/10.ome.zarr", "out/30.ome.zarr"]);
    for image in [8, 10, 30] {
        blitz::compare(image, &stage.path(&format!("out/{image}.ome.zarr")), None)?;
    }
    // What OMERO says is a picture in colour is one for whoever converts it.
    assert_eq!(stage.attributes("10.ome.zarr")?["_creator"]["rgb"], true);
    assert_eq!(stage.attributes("30.ome.zarr")?["_creator"]["rgb"], Value::Null);
    assert_eq!((stage.seen("open")?, stage.left().len()), ("0".to_owned(), 3));
    // What is whole stays, what comes behind it is not there.
    let told = process::both(&stage.fails("omero:Dataset:7", &["--overwrite"])?);
    assert!(told.contains("omero:Image:60"), "{told}");
    assert_eq!(stage.left(), ["10.ome.zarr", "30.ome.zarr", "8.ome.zarr"]);
    Ok(())
}

#[test]
fn regions_of_interest_become_a_label_image() -> Result<()> {
    let stage = Stage::new()?;
    let told = stage.export("omero:Image:30", &["--labels=cells"])?;
    assert!(told.contains("labels \"cells\""), "{told}");
    blitz::compare(30, &stage.path("out/30.ome.zarr"), Some("cells"))?;
    let label = &stage.attributes("30.ome.zarr/labels/cells")?["image-label"];
    let [first, .., last] = label["properties"].as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(Trouble::new(label.to_string()));
    };
    assert_eq!(first, &json!({ "label-value": 1, "omero:roiId": 10, "omero:shapeId": 101 }));
    assert_eq!(last, &json!({ "label-value": 4, "omero:roiId": 40, "omero:shapeId": 402 }));
    assert_eq!(label["properties"][2]["omero:text"], "a & b");
    assert_eq!(label["colors"][2], json!({ "label-value": 3, "rgba": [255, 0, 0, 255] }));
    // Nobody asks for them where nobody wants them.
    assert_eq!(stage.seen("rois")?, "4");
    let told = process::both(&stage.fails("omero:Image:8", &["--labels"])?);
    assert!(told.contains("no region of interest"), "{told}");
    Ok(())
}

#[test]
fn what_is_there_already_is_not_read_again() -> Result<()> {
    let stage = Stage::new()?;
    stage.export("omero:Image:30", &[])?;
    let tiles = stage.seen("tiles")?;
    let told = stage.export("omero:Image:30", &[])?;
    assert!(told.contains("is there already"), "{told}");
    assert_eq!(stage.seen("tiles")?, tiles);
    let other = stage.fails("omero:Image:30", &["--codec", "lz4"])?;
    assert_eq!(other.status.code(), Some(73), "{}", process::both(&other));
    stage.export("omero:Image:30", &["--codec", "lz4", "--overwrite"])?;
    blitz::compare(30, &stage.path("out/30.ome.zarr"), None)
}

#[test]
fn what_cannot_be_exported_is_told_with_a_reason_and_without_the_session() -> Result<()> {
    let stage = Stage::new()?;
    let (server, key) = (stage.server(), stage.key.as_str());
    let nowhere = "127.0.0.1:1";
    let stranger = "00000000-0000-0000-0000-000000000000";
    for (source, server, key, code, reason) in [
        ("omero:Image:9", server.as_str(), key, 66, "has no Image:9"),
        ("omero:Plate:9", &server, key, 66, "has no Plate:9"),
        ("omero:Dataset:9", &server, key, 66, "has no Dataset:9"),
        ("omero:Plate:5", &server, key, 66, "Plate:5 has no image"),
        ("omero:Dataset:6", &server, key, 66, "Dataset:6 has no image"),
        ("omero:Screen:9", &server, key, 64, "write Image:ID"),
        ("omero:Image:8", &server, stranger, 77, "no such session"),
        ("omero:Image:8", nowhere, key, 69, "cannot connect"),
        ("omero:Image:8", "host:port", key, 64, "HOST:PORT"),
        ("omero:Image:8", "wss://host", key, 64, "web sockets"),
        // Sizes that no image has.
        ("omero:Image:50", &server, key, 1, "its sides (t, c, z, y, x) are [1, 1, 1, -1, 2048]"),
        (
            "omero:Image:51",
            &server,
            key,
            1,
            "its sides (t, c, z, y, x) are [2147483647, 2147483647, 2, 16, 16]",
        ),
        ("omero:Image:52", &server, key, 1, "of the type \"complex\""),
        ("omero:Image:53", &server, key, 1, "its sides"),
        ("omero:Plate:6", &server, key, 1, "has the number 2000000000"),
    ] {
        let mut command = Command::new(binary::processor()?);
        command.args(["export", source, "-s", server, "-k", key, "--output", "out"]);
        let ended = process::output(command.current_dir(stage.path("")), DEADLINE)?;
        let told = process::both(&ended);
        assert_eq!(ended.status.code(), Some(code), "{source} {server}: {told}");
        assert!(told.contains(reason), "{source} {server}: {told}");
        assert!(!told.contains(key), "{told}");
    }
    let mut command = Command::new(binary::processor()?);
    command.args(["export", "omero:Image:8", "--output", "out"]);
    let told = process::both(&process::output(command.current_dir(stage.path("")), DEADLINE)?);
    assert!(told.contains("--server") && told.contains("--session"), "{told}");
    for (source, more, reason) in [
        ("omero:Dataset:5", &["--name", "all"][..], "leave --name out"),
        ("omero:Image:8", &["--reader", "bioformats2raw"], "leave --reader out"),
        ("omero:Image:8", &["--series", "1"], "--series"),
    ] {
        let ended = stage.fails(source, more)?;
        assert_eq!(ended.status.code(), Some(64), "{}", process::both(&ended));
        assert!(process::both(&ended).contains(reason), "{}", process::both(&ended));
    }
    assert!(!Path::new(&stage.path("out")).exists());
    Ok(())
}
