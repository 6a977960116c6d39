//! What is written is read back; what was damaged is told.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::codec::BloscCodec;
use crate::metadata::{Channel, Colour, Metadata, Quantity, Unit};
use crate::pyramid::sizes;
use crate::sample::SampleType;
use crate::shape::{Plane, Region, Shape};
use crate::source::{Limits, Pattern, ReadError, Source, Synthetic};
use crate::testing::{whole, work};
use crate::write_error::WriteError;
use crate::{manifest, pipeline};

fn options() -> impl Strategy<Value = Options> {
    let encodings = vec![
        Encoding::None,
        Encoding::Blosc { inner: BloscCodec::Lz4, level: 5 },
        Encoding::Blosc { inner: BloscCodec::Zstd, level: 1 },
        Encoding::Zstd { level: 1 },
    ];
    let shards = prop::sample::select(vec![None, Some(1), Some(2), Some(3)]);
    (prop::sample::select(encodings), shards, any::<bool>(), prop::sample::select(vec![16_usize, 64]))
        .prop_map(|(encoding, shard, new, tile)| match new {
            true => Options { version: Version::V05, encoding, tile, shard },
            false => Options { version: Version::V04, encoding, tile, shard: None },
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read_back(
        (height, width) in (1_usize..200, 1_usize..200),
        (t, c, z) in (1_usize..3, 1_usize..4, 1_usize..3),
        options in options(),
        kind in prop::sample::select(SampleType::ALL.to_vec()),
        pattern in prop::sample::select(vec![Pattern::Every, Pattern::Waves, Pattern::Empty]),
    ) {
        let shape = Shape::new([t, c, z, height, width]).expect("it is small");
        let source = Synthetic::new(shape, kind, pattern, Metadata::default());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.ome.zarr");
        let written = write(&source, &path, &options, &work(2)).expect("nothing fails");
        prop_assert_eq!(&written.sizes, &sizes(height, width, 96));
        prop_assert!(manifest::verify(&path).expect("it has digests").is_whole());
        let images = open(&path, Limits::default()).expect("it is whole");
        prop_assert_eq!(images.len(), 1);
        let image = &images[0];
        prop_assert_eq!((image.shape(), image.sample_type()), (shape, kind));
        prop_assert!(image.complaints().is_empty(), "{:?}", image.complaints());
        let found: Vec<[usize; 2]> =
            image.levels().iter().map(|level| [level.shape.y, level.shape.x]).collect();
        prop_assert_eq!(&found, &written.sizes);
        for number in 0..shape.planes() {
            let plane = shape.plane(number);
            prop_assert!(whole(image, 0, plane) == whole(&source, 0, plane), "{:?}", plane);
            let region = Region { plane, y: height / 3, x: width / 2, height: height / 2, width: width / 3 };
            let mut parts = [vec![1; region.samples() * kind.bytes()], vec![2; region.samples() * kind.bytes()]];
            image.read(0, &region, &mut parts[0]).expect("it is there");
            source.read(0, &region, &mut parts[1]).expect("it is there");
            prop_assert_eq!(&parts[0], &parts[1]);
        }
        whole(image, written.sizes.len() - 1, Plane::default());
        // Nothing but metadata is stored of what is empty.
        if pattern == Pattern::Empty {
            prop_assert!(!path.join("0/0").exists() && !path.join("0/c").exists());
        }
    }

    #[test]
    fn damage_is_told_and_nothing_worse(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        options in options(),
    ) {
        let shape = Shape::new([1, 2, 1, 130, 70]).expect("it is small");
        let source = Synthetic::new(shape, SampleType::Uint16, Pattern::Waves, Metadata::default());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.ome.zarr");
        write(&source, &path, &options, &work(1)).expect("nothing fails");
        let files = files(&path);
        let file = &files[file.index(files.len())];
        let mut bytes = fs::read(file).expect("it is there");
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(file, &bytes).expect("it is written");
        for image in open(&path, Limits::of(8 << 20)).into_iter().flatten() {
            for level in 0..image.levels().len() {
                let Shape { y, x, .. } = image.levels()[level].shape;
                let region = Region { plane: Plane::default(), y: 0, x: 0, height: y.min(100), width: x.min(100) };
                let mut samples = vec![0; region.samples() * image.sample_type().bytes()];
                let _ = image.read(level, &region, &mut samples);
            }
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found.sort();
    found
}

/// A small image, and where it is.
fn small(version: Version) -> (tempfile::TempDir, PathBuf) {
    let shape = Shape::new([1, 1, 2, 40, 30]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.ome.zarr");
    write(&source, &path, &Options { tile: 16, ..Options::new(version) }, &work(1)).expect("nothing fails");
    (folder, path)
}

fn change(path: &std::path::Path, change: impl FnOnce(&mut serde_json::Value)) {
    let text = fs::read(path).expect("it is there");
    let mut document = serde_json::from_slice(&text).expect("it is JSON");
    change(&mut document);
    fs::write(path, document.to_string()).expect("it is written");
}

#[test]
fn what_an_image_says_of_itself_is_kept() {
    let length = |value| Quantity::new(value, Unit::length("µm"));
    let metadata = Metadata {
        name: Some("Zellen µ".to_owned()),
        x: length(0.25),
        y: length(0.5),
        z: length(2.0),
        t: Quantity::new(30.0, Unit::time("s")),
        channels: ["DAPI", "GFP"]
            .map(|name| Channel {
                name: Some(name.to_owned()),
                colour: Some(Colour([1, 2, 3])),
                window: Some(crate::metadata::Window { start: 1.5, end: 200.0 }),
            })
            .to_vec(),
        ..Metadata::default()
    };
    let shape = Shape::new([2, 2, 2, 10, 10]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, metadata.clone());
    for version in [Version::V04, Version::V05] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image");
        write(&source, &path, &Options::new(version), &work(1)).expect("nothing fails");
        let images = open(&path, Limits::default()).expect("it is whole");
        assert_eq!(images[0].metadata(), &metadata);
    }
}

#[test]
fn a_chunk_that_is_missing_is_0_and_one_that_is_damaged_is_named() {
    let (_folder, path) = small(Version::V04);
    let read = || {
        let images = open(&path, Limits::default()).expect("it is whole");
        let mut samples = vec![7; 40 * 30];
        let plane = Plane { t: 0, c: 0, z: 1 };
        let region = Region { plane, y: 0, x: 0, height: 40, width: 30 };
        images[0].read(0, &region, &mut samples).map(|()| samples)
    };
    let chunk = path.join("0/1/2/1");
    fs::remove_file(&chunk).expect("it is there");
    assert!(read().expect("it is whole")[32 * 30 + 16..33 * 30].iter().all(|sample| *sample == 0));
    fs::write(&chunk, "no chunk").expect("it is written");
    let error = read().expect_err("it is damaged");
    assert!(error.to_string().contains("0/1/2/1 is damaged: Blosc"), "{error}");
}

#[test]
fn a_level_or_series_outside_of_the_image_is_refused() {
    let (folder, path) = small(Version::V04);
    change(&path.join(".zattrs"), |document| {
        document["multiscales"][0]["datasets"][0]["path"] = "../x".into()
    });
    let error = open(&path, Limits::default()).expect_err("it leads elsewhere");
    assert!(error.to_string().contains("outside"), "{error}");
    let layout = folder.path().join("layout");
    fs::create_dir_all(layout.join("OME")).expect("a folder");
    fs::write(layout.join(".zgroup"), r#"{"zarr_format":2}"#).expect("it is written");
    fs::write(layout.join(".zattrs"), r#"{"bioformats2raw.layout":3}"#).expect("it is written");
    fs::write(layout.join("OME/.zattrs"), r#"{"series":["../image.ome.zarr"]}"#).expect("it is written");
    let error = open(&layout, Limits::default()).expect_err("it leads elsewhere");
    assert!(error.to_string().contains("outside"), "{error}");
}

#[test]
fn series_are_found_as_listed_or_by_their_numbers() {
    let (folder, path) = small(Version::V04);
    let layout = folder.path().join("layout");
    fs::create_dir_all(layout.join("OME")).expect("a folder");
    fs::write(layout.join(".zattrs"), r#"{"bioformats2raw.layout":3}"#).expect("it is written");
    fs::rename(&path, layout.join("0")).expect("it is there");
    assert_eq!(open(&layout, Limits::default()).expect("it is whole").len(), 1);
    fs::write(layout.join("OME/.zattrs"), r#"{"series":["0","0"]}"#).expect("it is written");
    assert_eq!(open(&layout, Limits::default()).expect("it is whole").len(), 2);
    fs::write(layout.join("OME/.zattrs"), r#"{"series":["0","1"]}"#).expect("it is written");
    assert!(matches!(open(&layout, Limits::default()), Err(ReadError::Damaged { .. })));
}

#[test]
fn several_images_are_written_as_bioformats2raw_lays_them_out() {
    for version in [Version::V04, Version::V05] {
        let image = |sides, kind, name: &str| -> Box<dyn Source> {
            let metadata = Metadata { name: Some(name.to_owned()), ..Metadata::default() };
            let shape = Shape::new(sides).expect("it is small");
            Box::new(Synthetic::new(shape, kind, Pattern::Every, metadata))
        };
        let sources = [
            image([1, 1, 1, 20, 30], SampleType::Uint8, "first"),
            image([1, 2, 1, 120, 30], SampleType::Int16, "second"),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("layout.zarr");
        write_series(&sources, &path, &Options::new(version), &work(2)).expect("nothing fails");
        assert!(manifest::verify(&path).expect("it has digests").is_whole());
        let images = open(&path, Limits::default()).expect("it is whole");
        assert_eq!(images.len(), 2);
        for (image, source) in images.iter().zip(&sources) {
            assert_eq!(
                (image.shape(), image.metadata().name.as_ref()),
                (source.shape(), source.metadata().name.as_ref())
            );
            assert!(whole(image, 0, Plane::default()) == whole(&**source, 0, Plane::default()));
        }
        let described = fs::read_to_string(path.join("OME/METADATA.ome.xml")).expect("it is there");
        assert_eq!(described.matches("<MetadataOnly/>").count(), 2);
        assert!(described.contains(r#"Name="second""#), "{described}");
    }
}

#[test]
fn the_fields_of_a_plate_are_in_the_order_of_rows_columns_and_fields() {
    let folder = tempfile::tempdir().expect("a folder");
    let plate = folder.path().join("plate.zarr");
    let write_json = |path: PathBuf, document: serde_json::Value| {
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder");
        fs::write(path, document.to_string()).expect("it is written");
    };
    let well =
        |path: &str, row: u32, column: u32| json!({ "path": path, "rowIndex": row, "columnIndex": column });
    let wells = [well("B/1", 1, 0), well("A/10", 0, 9), well("A/2", 0, 1), well("C/3", 2, 2)];
    write_json(plate.join(".zattrs"), json!({ "plate": { "wells": wells } }));
    for (path, fields) in [("B/1", vec!["0"]), ("A/10", vec!["0", "1"]), ("A/2", vec!["0"])] {
        let images: Vec<_> = fields.iter().map(|field| json!({ "path": field })).collect();
        write_json(plate.join(path).join(".zattrs"), json!({ "well": { "images": images } }));
        for field in fields {
            let shape = Shape::new([1, 1, 1, 10, 10]).expect("it is small");
            let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default());
            let target = plate.join(path).join(field);
            write(&source, &target, &Options::new(Version::V04), &work(1)).expect("nothing fails");
        }
    }
    let images = open(&plate, Limits::default()).expect("it is whole");
    let names: Vec<_> = images.iter().filter_map(|image| image.metadata().name.as_deref()).collect();
    assert_eq!(names, ["A/2/0", "A/10/0", "A/10/1", "B/1/0"]);
    write_json(plate.join(".zattrs"), json!({ "plate": { "wells": [well("../x", 0, 0)] } }));
    assert!(open(&plate, Limits::default()).expect_err("it leads elsewhere").to_string().contains("outside"));
}

#[test]
fn a_folder_of_something_else_is_told_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |attributes: serde_json::Value| {
        fs::write(folder.path().join(".zattrs"), attributes.to_string()).expect("it is written");
        open(folder.path(), Limits::default()).expect_err("it is no image").to_string()
    };
    assert!(told(json!({ "plate": { "wells": [] } })).contains("it has no image"));
    assert!(told(json!({ "else": 1 })).contains("multiscales"));
    assert!(told(json!([1])).contains("no JSON object"));
}

#[test]
fn sizes_that_would_take_more_memory_than_there_may_be_are_refused_before_it_is_taken() {
    for version in [Version::V04, Version::V05] {
        let (_folder, path) = small(version);
        let (document, chunk) = match version {
            Version::V04 => (path.join("0/.zarray"), "/chunks"),
            Version::V05 => (path.join("0/zarr.json"), "/chunk_grid/configuration/chunk_shape"),
        };
        change(&document, |document| {
            if let Some(chunk) = document.pointer_mut(chunk) {
                *chunk = json!([1, 2_000_000_000_u32, 2_000_000_000_u32]);
            }
        });
        let error = open(&path, Limits::default()).expect_err("it is too large");
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn an_array_that_claims_millions_of_channels_takes_no_memory_for_them() {
    let (folder, path) = small(Version::V04);
    change(&path.join(".zattrs"), |document| {
        document["multiscales"][0]["axes"] = json!(["c", "y", "x"]);
        document["omero"]["channels"] = json!([{ "label": "one" }]);
    });
    for level in ["0", "1"] {
        let document = path.join(level).join(".zarray");
        if document.exists() {
            change(&document, |document| document["shape"][0] = 2_000_000_000.into());
        }
    }
    let images = open(&path, Limits::default()).expect("it opens");
    assert_eq!(images[0].metadata().channels.len(), 1);
    let error = write(&images[0], &folder.path().join("out"), &Options::new(Version::V04), &work(2));
    assert!(matches!(error, Err(WriteError::Unsupported { .. })), "{error:?}");
    let tiff = crate::tiff::Options {
        layout: crate::tiff::Layout::Tiles { tile: 16, pyramid: false },
        compress: crate::tiff::Compress::None,
        channels_first: false,
        digest: false,
        rgb: false,
    };
    let error = crate::tiff::write(&images[0], &folder.path().join("out"), &tiff, &work(2));
    assert!(matches!(error, Err(WriteError::Memory { .. })), "{error:?}");
    assert!(!folder.path().join("out").exists());
}

#[test]
fn what_is_there_stays_and_what_failed_leaves_nothing() {
    let shape = Shape::new([1, 1, 1, 10, 10]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image");
    let options = Options::new(Version::V04);
    let stopped = AtomicBool::new(true);
    let error = write(&source, &path, &options, &pipeline::Options { cancelled: &stopped, ..work(1) });
    assert!(matches!(error, Err(WriteError::Cancelled)));
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
    write(&source, &path, &options, &work(1)).expect("nothing is in the way");
    let error = write(&source, &path, &options, &work(1));
    assert!(matches!(error, Err(WriteError::Occupied { .. })));
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
}
