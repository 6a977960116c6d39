//! What is written is read back; what was damaged is told.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::codec::BloscCodec;
use crate::label::Overlap;
use crate::metadata::{Channel, Colour, Field, Metadata, Quantity, Unit};
use crate::pyramid::sizes;
use crate::resume::Request;
use crate::roi::{Figure, Outline, Roi};
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
            true => Options { encoding, tile, shard, ..Options::new(Version::V05) },
            false => Options { encoding, tile, ..Options::new(Version::V04) },
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
                ..Channel::default()
            })
            .to_vec(),
        view: Some(crate::metadata::View { z: 1, t: 1, is_grey: true }),
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

/// The content of every file, by its name within the folder.
fn content(folder: &std::path::Path) -> Vec<(PathBuf, Vec<u8>)> {
    let content = |path: PathBuf| {
        let bytes = fs::read(&path).expect("it is there");
        (path.strip_prefix(folder).expect("it is within").to_owned(), bytes)
    };
    files(folder).into_iter().map(content).collect()
}

/// Fields of a plate of 3 × 12 wells, in no order: row, column, field and acquisition of each.
fn plate(fields: &[[usize; 4]]) -> Vec<Box<dyn Source>> {
    let plate = Arc::new(crate::metadata::Plate {
        name: Some("HeLa".to_owned()),
        rows: ["A", "B", "C"].map(str::to_owned).to_vec(),
        columns: (1..=12).map(|column| column.to_string()).collect(),
        // Of the other nothing is said.
        acquisitions: vec![crate::metadata::Acquisition {
            id: 5,
            name: Some("run".to_owned()),
            description: None,
            times: [Some(1_700_000_000_000), None],
        }],
    });
    let image = |&[row, column, number, acquisition]: &[usize; 4]| -> Box<dyn Source> {
        let field = Field { plate: Arc::clone(&plate), row, column, number, acquisition: Some(acquisition) };
        let shape = Shape::new([1, 2, 1, 30 + row, 40 + column + number]).expect("it is small");
        let metadata = Metadata { field: Some(field), ..Metadata::default() };
        Box::new(Synthetic::new(shape, SampleType::Uint16, Pattern::Waves, metadata))
    };
    fields.iter().map(image).collect()
}

#[test]
fn a_plate_is_written_in_the_order_of_its_wells_and_read_back() {
    let fields = [[2, 11, 0, 5], [0, 1, 2, 7], [0, 1, 0, 5], [1, 0, 0, 5], [0, 1, 1, 5]];
    let sources = plate(&fields);
    for version in [Version::V04, Version::V05] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plate.ome.zarr");
        let options = Options { tile: 16, ..Options::new(version) };
        let written = write_plate(&sources, &path, &options, &work(2)).expect("nothing fails");
        assert_eq!(
            written.iter().map(|one| one.sizes[0]).collect::<Vec<_>>(),
            sources.iter().map(|source| [source.shape().y, source.shape().x]).collect::<Vec<_>>()
        );
        assert!(manifest::verify(&path).expect("it has digests").is_whole());
        let attributes = if version == Version::V04 { ".zattrs" } else { "zarr.json" };
        let told = |name: &str| fs::read_to_string(path.join(name).join(attributes)).expect("it is there");
        if version == Version::V04 {
            insta::assert_snapshot!(told("") + &told("A/2"));
        }
        let images = open(&path, Limits::default()).expect("it is whole");
        let mut expected: Vec<&Box<dyn Source>> = sources.iter().collect();
        expected.sort_by_key(|source| {
            source.metadata().field.as_ref().map(|field| (field.row, field.column, field.number))
        });
        assert_eq!(images.len(), fields.len());
        for (image, source) in images.iter().zip(expected) {
            assert_eq!(image.metadata().field, source.metadata().field);
            assert!(whole(image, 0, Plane::default()) == whole(&**source, 0, Plane::default()));
        }
        // However many threads there are, and whichever of them was faster.
        for threads in [1, 4] {
            let again = folder.path().join(threads.to_string());
            write_plate(&sources, &again, &options, &work(threads)).expect("nothing fails");
            assert!(content(&again) == content(&path), "{threads} threads");
        }
    }
}

#[test]
fn what_makes_no_plate_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plate");
    let told = |sources: &[Box<dyn Source>]| {
        let error =
            write_plate(sources, &path, &Options::new(Version::V04), &work(1)).expect_err("it is no plate");
        assert!(!path.exists());
        error.to_string()
    };
    let mut sources = plate(&[[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]);
    assert!(told(&sources).contains("images 0 and 2 are both field 0 of the well in row 1 and column 1"));
    sources.truncate(1);
    sources.extend(plate(&[[0, 1_000_000_000, 0, 0]]));
    assert!(told(&sources).contains("1000000001 columns"));
    let shape = Shape::new([1, 1, 1, 10, 10]).expect("it is small");
    sources[1] = Box::new(Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default()));
    assert!(told(&sources).contains("image 1 is of no plate"));
    let other = Arc::new(crate::metadata::Plate::default());
    let field = Field { plate: other, row: 0, column: 0, number: 0, acquisition: None };
    let metadata = Metadata { field: Some(field), ..Metadata::default() };
    sources[1] = Box::new(Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, metadata));
    assert!(told(&sources).contains("image 1 is of another plate"));
    assert!(told(&[]).contains("there is no image"));
}

#[test]
fn an_image_is_the_same_files_whatever_the_number_of_threads() {
    let shape = Shape::new([1, 2, 2, 300, 290]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint16, Pattern::Waves, Metadata::default());
    for shard in [None, Some(3)] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { tile: 16, shard, ..Options::new(Version::V05) };
        let written = [1, 2, 4].map(|threads| {
            let path = folder.path().join(threads.to_string());
            write(&source, &path, &options, &work(threads)).expect("nothing fails");
            content(&path)
        });
        assert!(written[0] == written[1] && written[0] == written[2], "{shard:?}");
    }
}

/// An image on which discs and frames have been drawn: an id, a place, and whether it is only on the second plane.
fn drawn_on(rois: &[(u64, [i64; 2], bool)]) -> Synthetic {
    let roi = |&(id, [x, y], is_on_second): &(u64, [i64; 2], bool)| {
        let outline = Outline::Rectangle { x, y, width: 20, height: 10 };
        let z = is_on_second.then_some(1);
        Roi {
            id,
            figures: vec![Figure { id: 10 * id, text: None, fill: Some([1, 2, 3, 4]), t: None, z, outline }],
        }
    };
    let shape = Shape::new([1, 2, 2, 130, 110]).expect("it is small");
    Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default())
        .with(rois.iter().map(roi).collect())
}

#[test]
fn what_was_drawn_becomes_a_label_image_which_goes_with_the_image_from_then_on() {
    let source = drawn_on(&[(9, [5, 5], true), (4, [90, 60], false), (7, [100, 125], true)]);
    for version in [Version::V04, Version::V05] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image");
        let rois = Some(Rois { name: "cells".to_owned(), overlap: Overlap::Refuse });
        let options = Options { tile: 16, rois, ..Options::new(version) };
        let written = write(&source, &path, &options, &work(2)).expect("nothing fails");
        assert_eq!(written.labels, ["cells"]);
        if version == Version::V04 {
            insta::assert_snapshot!(
                fs::read_to_string(path.join("labels/cells/.zattrs")).expect("it is there")
            );
        }
        let images = open(&path, Limits::default()).expect("it is whole");
        let labels = images[0].labels().expect("they are whole");
        assert_eq!(labels.iter().map(|label| label.name.as_str()).collect::<Vec<_>>(), ["cells"]);
        let label = &*labels[0].image;
        assert_eq!(label.shape(), Shape { c: 1, ..source.shape() });
        assert_eq!((label.sample_type(), label.levels().len()), (SampleType::Int8, 2));
        let at = |z, level: usize, x, y| {
            whole(label, level, Plane { t: 0, c: 0, z })[y * label.levels()[level].shape.x + x]
        };
        // Numbers are places among the ids 4, 7 and 9.
        assert_eq!(
            [at(1, 0, 5, 5), at(0, 0, 5, 5), at(0, 0, 109, 69), at(1, 0, 109, 129), at(1, 0, 110 / 2, 60)],
            [3, 0, 1, 2, 0]
        );
        assert_eq!([at(1, 1, 2, 2), at(1, 1, 12, 7)], [3, 0]);
        // The label image of the copy is the same, and so is that of a copy in the other version.
        for (number, version) in [Version::V04, Version::V05].into_iter().enumerate() {
            let copy = folder.path().join(number.to_string());
            let options = Options { version, rois: None, ..options.clone() };
            let written = write(&images[0], &copy, &options, &work(2)).expect("nothing fails");
            assert_eq!(written.labels, ["cells"]);
            let copies =
                open(&copy, Limits::default()).expect("it is whole")[0].labels().expect("they are whole");
            let described = |label: &crate::label::Label| {
                ["colors", "properties", "source"].map(|key| label.description[key].clone())
            };
            assert_eq!(described(&copies[0]), described(&labels[0]));
            for level in 0..2 {
                let plane = Plane { t: 0, c: 0, z: 1 };
                assert!(whole(&*copies[0].image, level, plane) == whole(label, level, plane));
            }
            assert!(manifest::verify(&copy).expect("it has digests").is_whole());
        }
    }
}

#[test]
fn what_overlaps_is_an_error_or_what_one_says() {
    let source = drawn_on(&[(12, [0, 0], false), (11, [15, 5], false)]);
    let folder = tempfile::tempdir().expect("a folder");
    for (overlap, expected) in [
        (Overlap::Refuse, None),
        (Overlap::First, Some([1, 2])),
        (Overlap::Last, Some([2, 2])),
        (Overlap::Largest, Some([127, 2])),
    ] {
        let path = folder.path().join(format!("{overlap:?}"));
        let rois = Some(Rois { name: "0".to_owned(), overlap });
        let outcome = write(&source, &path, &Options { rois, ..Options::new(Version::V04) }, &work(1));
        let Some(expected) = expected else {
            let error = outcome.expect_err("they overlap").to_string();
            assert!(error.contains("ROI 11 and ROI 12 overlap in row 5 and column 15"), "{error}");
            assert!(!path.exists());
            continue;
        };
        outcome.expect("nothing fails");
        let labels =
            open(&path, Limits::default()).expect("it is whole")[0].labels().expect("they are whole");
        let samples = whole(&*labels[0].image, 0, Plane::default());
        assert_eq!([samples[5 * 110 + 15], samples[0]], expected, "{overlap:?}");
    }
    for name in ["..", ".", "", "a/b", "/etc", ".zattrs", "a\0b"] {
        let rois = Some(Rois { name: name.to_owned(), overlap: Overlap::First });
        let error = write(
            &source,
            &folder.path().join("out"),
            &Options { rois, ..Options::new(Version::V04) },
            &work(1),
        );
        assert!(matches!(error, Err(WriteError::Unsupported { .. })), "{name}: {error:?}");
    }
}

#[test]
fn label_images_outside_of_the_image_are_refused() {
    let (_folder, path) = small(Version::V04);
    for name in ["..", "../x", "/etc", "a/b", "."] {
        fs::create_dir_all(path.join("labels")).expect("a folder");
        fs::write(path.join("labels/.zattrs"), json!({ "labels": [name] }).to_string())
            .expect("it is written");
        let images = open(&path, Limits::default()).expect("the image is whole");
        let error = images[0].labels().expect_err("it leads elsewhere");
        assert!(error.to_string().contains("no folder in it"), "{error}");
    }
    fs::write(path.join("labels/.zattrs"), r#"{"labels":["a","a"]}"#).expect("it is written");
    let error =
        open(&path, Limits::default()).expect("it is whole")[0].labels().expect_err("it is there twice");
    assert!(error.to_string().contains("twice"), "{error}");
}

/// A source that can be read so often, and counts.
struct Limited {
    inner: Synthetic,
    left: AtomicUsize,
    interleaved: usize,
}

impl Source for Limited {
    fn sample_type(&self) -> SampleType {
        self.inner.sample_type()
    }

    fn levels(&self) -> &[crate::source::Level] {
        self.inner.levels()
    }

    fn metadata(&self) -> &Metadata {
        self.inner.metadata()
    }

    fn storage(&self) -> &str {
        "limited"
    }

    fn memory(&self) -> usize {
        0
    }

    fn interleaved(&self) -> usize {
        self.interleaved
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        let is_left =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if is_left.is_err() {
            return Err(ReadError::unsupported(
                std::path::Path::new("here"),
                "it was read often enough",
                "stop",
            ));
        }
        self.inner.read(level, region, into)
    }
}

#[test]
fn what_was_done_before_is_not_done_again_and_what_is_damaged_is() {
    let shape = Shape::new([1, 3, 2, 150, 130]).expect("it is small");
    // Where channels lie side by side some of a place are done, and others are not.
    for (kind, version, interleaved) in [
        (SampleType::Uint16, Version::V04, 1),
        (SampleType::Float, Version::V05, 1),
        (SampleType::Uint8, Version::V04, 3),
        (SampleType::Uint16, Version::V05, 3),
    ] {
        let limited = |kind, reads| Limited {
            inner: Synthetic::new(shape, kind, Pattern::Waves, Metadata::default()),
            left: AtomicUsize::new(reads),
            interleaved,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let mut request = Request::new(folder.path(), &[], "options").expect("it is there");
        request.keep = true;
        let options = Options { tile: 16, request: Some(request), ..Options::new(version) };
        let undisturbed = folder.path().join("undisturbed");
        let all = limited(kind, usize::MAX);
        write(&all, &undisturbed, &options, &work(1)).expect("nothing fails");
        let needed = usize::MAX - all.left.into_inner();
        let path = folder.path().join("image");
        let staged = folder.path().join(crate::publish::incoming(&path));
        for (reads, threads) in [(needed / 3, 1), (needed / 3, 2), (10, 4)] {
            let error = write(&limited(kind, reads), &path, &options, &work(threads));
            assert!(matches!(error, Err(WriteError::Read(_))), "{error:?}");
            assert!(staged.join("journal").exists() && !path.exists());
        }
        // With as many threads as at first, so that trees are the same.
        let journal = fs::read_to_string(staged.join("journal")).expect("it is there");
        let file = journal.lines().nth(2).and_then(|line| line.split_once("  ")).expect("a file was noted").1;
        fs::write(staged.join("image").join(file), "damaged").expect("it is written");
        let rest = limited(kind, usize::MAX);
        write(&rest, &path, &options, &work(1)).expect("nothing fails");
        let read = usize::MAX - rest.left.into_inner();
        assert!(read < needed - needed / 5, "{read} of {needed}");
        assert!(content(&path) == content(&undisturbed));
        assert!(!staged.exists());
        assert!(is_written(&path, options.request.as_ref().expect("it is there")));
        let other = Request::new(folder.path(), &[], "other options").expect("it is there");
        assert!(!is_written(&path, &other) && !is_written(folder.path(), &other));
    }
}

#[test]
fn a_plate_that_was_interrupted_goes_on() {
    let sources = plate(&[[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1], [2, 3, 0, 0], [2, 4, 0, 0]]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut request = Request::new(folder.path(), &sources, "").expect("it is there");
    request.keep = true;
    let options = Options { tile: 16, request: Some(request), ..Options::new(Version::V04) };
    let undisturbed = folder.path().join("undisturbed");
    write_plate(&sources, &undisturbed, &options, &work(2)).expect("nothing fails");
    let path = folder.path().join("plate");
    let stopped = AtomicBool::new(false);
    let told = |done: u64, total: u64| stopped.store(done > total / 2, Ordering::Relaxed);
    let half = pipeline::Options { cancelled: &stopped, progress: &told, ..work(2) };
    let error = write_plate(&sources, &path, &options, &half);
    assert!(matches!(error, Err(WriteError::Paused { .. })), "{error:?}");
    write_plate(&sources, &path, &options, &work(1)).expect("nothing fails");
    assert!(content(&path) == content(&undisturbed));
}

#[test]
fn what_is_staged_is_nobody_elses_and_a_journal_that_makes_no_sense_is_not_believed() {
    let (folder, _) = small(Version::V04);
    let shape = Shape::new([1, 1, 1, 40, 30]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default());
    let request = Request::new(folder.path(), &[], "").expect("it is there");
    let options = Options { tile: 16, request: Some(request.clone()), ..Options::new(Version::V04) };
    let path = folder.path().join("image");
    let staged = folder.path().join(crate::publish::incoming(&path));
    std::os::unix::fs::symlink("/tmp", &staged).expect("a link");
    let error = write(&source, &path, &options, &work(1));
    assert!(matches!(error, Err(WriteError::Foreign { .. })), "{error:?}");
    fs::remove_file(&staged).expect("it is there");
    let digest = "0".repeat(64);
    for journal in [
        "tree".to_owned(),
        format!("tree 0 0 0 0 1 2 1 \n{digest}  ../../image.ome.zarr/.zattrs\n"),
        format!("tree 0 0 0 0 1 2 99999999999 \n{digest}  0/0/0\n"),
        format!("tree 0 0 0 0 - - 1 \n{digest}  0/0/0"),
        "tree 99999999999999999999 0 0 0 - - 0 \n".to_owned(),
        "\0\u{ffff}".to_owned(),
    ] {
        fs::create_dir_all(staged.join("image/0/0")).expect("a folder");
        fs::write(staged.join("image/0/0/0"), "something").expect("it is written");
        fs::write(staged.join("journal"), format!("{}\n{journal}", request.digest())).expect("it is written");
        write(&source, &path, &options, &work(1)).expect("nothing fails");
        assert!(manifest::verify(&path).expect("it has digests").is_whole());
        let image = &open(&path, Limits::default()).expect("it is whole")[0];
        assert!(whole(image, 0, Plane::default()) == whole(&source, 0, Plane::default()), "{journal:?}");
        assert!(!staged.exists());
        fs::remove_dir_all(&path).expect("it is there");
    }
}

/// Opens an image and reads the beginning of each of its levels and labels, as far as that goes.
fn look_at(path: &std::path::Path) -> Result<(), String> {
    let images = open(path, Limits::of(8 << 20)).map_err(|error| error.to_string())?;
    let look = |image: &dyn Source| {
        for (number, level) in image.levels().iter().enumerate() {
            let Shape { y, x, .. } = level.shape;
            let region = Region { plane: Plane::default(), y: 0, x: 0, height: y.min(64), width: x.min(64) };
            let mut samples = vec![0; region.samples() * image.sample_type().bytes()];
            image.read(number, &region, &mut samples).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    images.iter().try_for_each(|image| {
        look(image)?;
        let labels = image.labels().map_err(|error| error.to_string())?;
        labels.iter().try_for_each(|label| look(&*label.image))
    })
}

#[test]
fn documents_that_make_no_sense_are_told_and_nothing_worse() {
    let mut told = Vec::new();
    let mut wrong = |version: Version, file: &str, pointer: &str, value: serde_json::Value| {
        let (_folder, path) = small(version);
        change(&path.join(file), |document| match document.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => panic!("{file} has no {pointer}"),
        });
        let error =
            look_at(&path).expect_err("it makes no sense").replace(&path.display().to_string(), "image");
        told.push(format!("{file} {pointer} = {value}: {error}"));
    };
    for (pointer, value) in [
        ("/shape", json!([2, 1e300, 30])),
        ("/shape", json!([[2], 40, 30])),
        ("/shape", json!([2, 40])),
        ("/shape", json!([2, u64::MAX, 30])),
        ("/shape", json!([])),
        ("/chunks", json!([1, 0, 16])),
        ("/chunks", json!([2_000_000_000, 2_000_000_000, 2_000_000_000])),
        ("/chunks", json!(null)),
        ("/dtype", json!("|O")),
        ("/dtype", json!("")),
        ("/dtype", json!("é1")),
        ("/fill_value", json!({ "a": 1 })),
        ("/fill_value", json!("NaN")),
        ("/order", json!(7)),
        ("/compressor", json!("blosc")),
        ("/dimension_separator", json!("/../")),
    ] {
        wrong(Version::V04, "0/.zarray", pointer, value);
    }
    for (pointer, value) in [
        ("/node_type", json!("group")),
        ("/data_type", json!({ "name": "uint8" })),
        ("/data_type", json!("complex64")),
        ("/chunk_grid/name", json!("rectilinear")),
        ("/chunk_grid/configuration/chunk_shape", json!([1, -16, 16])),
        ("/chunk_key_encoding/name", json!("other")),
        ("/chunk_key_encoding/configuration/separator", json!("..")),
        ("/codecs", json!([])),
        ("/codecs", json!([{ "name": "transpose", "configuration": { "order": [1, 0, 2] } }])),
        (
            "/codecs",
            json!([{ "name": "bytes" }, { "name": "gzip" }, { "name": "gzip" }, { "name": "gzip" }, { "name": "gzip" }, { "name": "gzip" }]),
        ),
        // A shard within a shard.
        (
            "/codecs",
            json!([{ "name": "sharding_indexed", "configuration": {
                "chunk_shape": [1, 8, 8],
                "codecs": [{ "name": "sharding_indexed", "configuration": { "chunk_shape": [1, 4, 4], "codecs": [{ "name": "bytes" }] } }],
                "index_codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }],
            }}]),
        ),
        (
            "/codecs",
            json!([{ "name": "sharding_indexed", "configuration": {
                "chunk_shape": [1, 5, 16],
                "codecs": [{ "name": "bytes" }],
                "index_codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }],
            }}]),
        ),
        ("/fill_value", json!("0xff")),
    ] {
        wrong(Version::V05, "0/zarr.json", pointer, value);
    }
    for (pointer, value) in [
        ("/multiscales", json!({})),
        ("/multiscales/0/axes", json!([{ "name": "x" }, { "name": "x" }, { "name": "y" }])),
        ("/multiscales/0/axes", json!([{ "name": "y" }, { "name": "x" }])),
        ("/multiscales/0/datasets", json!([])),
        ("/multiscales/0/datasets/0/path", json!("/etc")),
        ("/multiscales/0/datasets/0/path", json!("0/../../../x")),
        ("/multiscales/0/datasets/0/path", json!(".")),
        // The image within itself.
        ("/multiscales/0/datasets/0/path", json!("")),
        ("/multiscales/0/datasets/0/path", json!("missing")),
    ] {
        wrong(Version::V04, ".zattrs", pointer, value);
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn numbers_that_are_odd_but_true_are_read() {
    for (pointer, value) in [
        ("/fill_value", json!(-0.0)),
        ("/fill_value", json!(null)),
        ("/compressor", json!({ "id": "blosc", "cname": "other", "clevel": 1e9, "shuffle": -7 })),
    ] {
        let (_folder, path) = small(Version::V04);
        change(&path.join("0/.zarray"), |document| document[&pointer[1..]] = value.clone());
        look_at(&path).expect("it is read");
    }
    // Not one of the scales is a size.
    let (_folder, path) = small(Version::V04);
    change(&path.join(".zattrs"), |document| {
        document["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] =
            json!([-1, "a", f64::MAX]);
    });
    let images = open(&path, Limits::default()).expect("it is read");
    assert_eq!((images[0].metadata().y, images[0].metadata().z), (None, None));
}

#[test]
fn chunks_that_are_cut_changed_or_bombs_are_told_by_their_names() {
    use crate::codec::{Compression, Workspace, compress};
    let shape = Shape::new([1, 1, 1, 40, 40]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint16, Pattern::Waves, Metadata::default());
    let width = 2;
    for (id, codec) in [
        (json!({ "id": "blosc" }), Compression::Blosc { inner: BloscCodec::Lz4, level: 5, width }),
        (json!({ "id": "blosc" }), Compression::Blosc { inner: BloscCodec::Zlib, level: 5, width }),
        (json!({ "id": "blosc" }), Compression::Blosc { inner: BloscCodec::Zstd, level: 5, width }),
        (json!({ "id": "zstd" }), Compression::Zstd { level: 1 }),
        (json!({ "id": "gzip" }), Compression::Gzip { level: 6 }),
        (json!({ "id": "zlib" }), Compression::Zlib { level: 6 }),
        (json!({ "id": "lz4" }), Compression::Lz4),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image");
        write(&source, &path, &Options { tile: 64, ..Options::new(Version::V04) }, &work(1))
            .expect("nothing fails");
        change(&path.join("0/.zarray"), |document| document["compressor"] = id.clone());
        let chunk = path.join("0/0/0");
        let stored = |samples: &[u8]| {
            let mut stored = Vec::new();
            compress(&[codec], samples, &mut stored, &mut Workspace::default()).expect("it compresses");
            stored
        };
        let right = stored(&[7; 64 * 64 * 2]);
        fs::write(&chunk, &right).expect("it is written");
        look_at(&path).expect("it is whole");
        let mut wrong = vec![
            // A bomb, small as it is stored; what is a little too long or too short; what is cut; what is larger than can be.
            stored(&vec![0; 64 << 20]),
            stored(&[7; 64 * 64 * 2 + 1]),
            stored(&[7; 64 * 64 * 2 - 2]),
            right[..right.len() - 1].to_vec(),
            right[..1].to_vec(),
            Vec::new(),
            vec![0xff; 1 << 20],
        ];
        // A bomb within a bomb is not opened at all.
        wrong.push(stored(&stored(&vec![0; 64 << 20])));
        for (number, bytes) in wrong.iter().enumerate() {
            fs::write(&chunk, bytes).expect("it is written");
            let error = look_at(&path).expect_err("it is damaged");
            assert!(error.contains("0/0/0 is damaged"), "{codec} {number}: {error}");
        }
    }
}

#[test]
fn plates_and_series_that_lead_elsewhere_are_refused_and_circles_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let outer = folder.path().join("outer");
    fs::create_dir_all(outer.join("A/1")).expect("a folder");
    let write_json = |name: &str, document: serde_json::Value| {
        fs::write(outer.join(name), document.to_string()).expect("it is written");
    };
    let plate = |path: &str| json!({ "plate": { "rows": [{ "name": "A" }], "columns": [{ "name": "1" }], "wells": [{ "path": path, "rowIndex": 0, "columnIndex": 0 }] } });
    for path in ["..", "../x", "/etc", "A/../..", "", "."] {
        write_json(".zattrs", plate(path));
        assert!(look_at(&outer).expect_err("it leads elsewhere").contains("it names"), "{path}");
    }
    write_json(".zattrs", plate("A/1"));
    for field in ["..", "../../..", "/etc", ""] {
        write_json("A/1/.zattrs", json!({ "well": { "images": [{ "path": field }] } }));
        assert!(look_at(&outer).expect_err("it leads elsewhere").contains("it names"), "{field}");
    }
    // The plate is its own field, by a link: a plate is no image.
    write_json("A/1/.zattrs", json!({ "well": { "images": [{ "path": "0" }] } }));
    std::os::unix::fs::symlink(&outer, outer.join("A/1/0")).expect("a link");
    assert!(look_at(&outer).expect_err("it goes in a circle").contains("there should be an image"));
    // Label images that have themselves as label images are looked at once.
    let (_image, path) = small(Version::V04);
    fs::create_dir(path.join("labels")).expect("a folder");
    fs::write(path.join("labels/.zattrs"), r#"{"labels":["self"]}"#).expect("it is written");
    std::os::unix::fs::symlink(&path, path.join("labels/self")).expect("a link");
    look_at(&path).expect("it is an image, wherever it is");
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
