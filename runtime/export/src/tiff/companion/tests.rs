//! Plates that were written are read back, and documents that lie are told apart.

use std::sync::Arc;

use super::*;
use crate::compare::compare;
use crate::metadata::{Acquisition, Field, Metadata, Plate};
use crate::sample::SampleType;
use crate::shape::Shape;
use crate::source::{self, Pattern, Synthetic};
use crate::testing::work;
use crate::tiff::{Compress, Layout};

const STRIPS: Options = Options {
    layout: Layout::Strip,
    compress: Compress::None,
    channels_first: false,
    digest: true,
    rgb: false,
};

/// Fields in no order, of a well without its first field too, and of different sizes; the last is a picture in colour.
fn plate() -> Vec<Box<dyn Source>> {
    let plate = Arc::new(Plate {
        name: Some("a <b> & \"c\"".to_owned()),
        rows: ["A", "B", "C"].map(str::to_owned).to_vec(),
        columns: (1..=12).map(|column| column.to_string()).collect(),
        acquisitions: vec![Acquisition {
            id: 7,
            name: Some("after \"wash\" & <stain>".to_owned()),
            ..Acquisition::default()
        }],
    });
    let fields =
        [(2, 11, 3, Some(5)), (0, 1, 2, Some(7)), (0, 1, 0, Some(5)), (1, 0, 0, None), (0, 1, 1, None)];
    let image = |(place, (row, column, number, acquisition))| -> Box<dyn Source> {
        let field = Field { plate: Arc::clone(&plate), row, column, number, acquisition };
        let is_rgb = place == 4;
        let shape = Shape::new([2, 3, 2, 30 + row, 40 + number]).expect("it is small");
        let name = Some(format!("field {place}"));
        let metadata = Metadata { name, field: Some(field), is_rgb, ..Metadata::default() };
        Box::new(Synthetic::new(shape, SampleType::Uint16, Pattern::Every, metadata))
    };
    fields.into_iter().enumerate().map(image).collect()
}

fn place(source: &dyn Source) -> [usize; 3] {
    let field = source.metadata().field.as_ref().expect("it is of a plate");
    [field.row, field.column, field.number]
}

#[test]
fn a_plate_is_read_back_to_the_last_bit_whichever_file_is_opened() {
    let mut sources = plate();
    let folder = tempfile::tempdir().expect("a folder");
    let mut documents = Vec::new();
    for (number, (options, threads)) in [
        (STRIPS, 1),
        (Options { channels_first: true, ..STRIPS }, 2),
        (Options { layout: Layout::Tiles { tile: 16, pyramid: true }, compress: Compress::Lzw, ..STRIPS }, 2),
        (STRIPS, 4),
    ]
    .into_iter()
    .enumerate()
    {
        let target = folder.path().join(number.to_string()).join("plate.companion");
        let written = write_plate(&sources, &target, &options, &work(threads)).expect("nothing fails");
        assert_eq!(written.companion, target.join("plate.companion.ome"));
        assert_eq!(written.fields.len(), sources.len());
        let verified = manifest::verify(&target).expect("it has digests");
        assert_eq!((verified.same, verified.is_whole()), (sources.len() + 1, true));
        sources.sort_by_key(|source| place(&**source));
        for name in ["plate.companion.ome", "A2_f0.ome.tif", "C12_f3.ome.tif"] {
            let images = source::open(&target.join(name), Limits::default()).expect("it is whole");
            assert_eq!(images.len(), sources.len());
            for (image, source) in images.iter().zip(&sources) {
                assert_eq!(image.metadata().field, source.metadata().field);
                assert_eq!(image.metadata().name, source.metadata().name);
                assert_eq!(image.complaints(), &[] as &[String]);
                assert_eq!(image.files().len(), 2, "its own file and the document");
                compare(&**source, &**image, &work(2)).expect("they are the same");
            }
        }
        documents.push(fs::read_to_string(target.join(manifest::NAME)).expect("it is there"));
    }
    // However many threads there are.
    assert_eq!(documents[0], documents[3]);
}

#[test]
fn a_plate_whose_rows_are_counted_keeps_their_names() {
    let plate = Arc::new(Plate {
        name: None,
        rows: ["1", "2"].map(str::to_owned).to_vec(),
        columns: ["A", "B", "C"].map(str::to_owned).to_vec(),
        ..Plate::default()
    });
    let field = Field { plate, row: 1, column: 2, number: 0, acquisition: None };
    let shape = Shape::new([1, 1, 1, 4, 5]).expect("it is small");
    let metadata = Metadata { field: Some(field.clone()), ..Metadata::default() };
    let image: Box<dyn Source> = Box::new(Synthetic::new(shape, SampleType::Uint8, Pattern::Every, metadata));
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("counted");
    let written = write_plate(&[image], &target, &STRIPS, &work(1)).expect("nothing fails");
    assert_eq!(written.companion, target.join("counted.companion.ome"));
    let images = source::open(&written.companion, Limits::default()).expect("it is whole");
    assert_eq!(images[0].metadata().field, Some(field));
}

#[test]
fn what_fails_or_is_there_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("plate");
    let mut twice = plate();
    twice.extend(plate());
    let refused = write_plate(&twice, &target, &STRIPS, &work(1));
    assert!(matches!(refused, Err(WriteError::Unsupported { .. })), "{refused:?}");
    let rgb = Options { rgb: true, layout: Layout::Tiles { tile: 17, pyramid: false }, ..STRIPS };
    assert!(write_plate(&plate(), &target, &rgb, &work(1)).is_err());
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
    fs::create_dir(&target).expect("a folder");
    let refused = write_plate(&plate(), &target, &STRIPS, &work(1));
    assert!(matches!(refused, Err(WriteError::Occupied { .. })), "{refused:?}");
}

/// A document with one image, whose planes are in a file of this name.
fn document(file: &str) -> String {
    format!(
        r#"<OME><Image ID="Image:0"><Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="40" SizeY="30" SizeZ="2" SizeC="3"
        SizeT="2"><TiffData IFD="0" PlaneCount="12">{file}</TiffData></Pixels></Image></OME>"#
    )
}

#[test]
fn a_document_that_lies_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("plate");
    write_plate(&plate(), &target, &STRIPS, &work(1)).expect("nothing fails");
    fs::copy(target.join("B1_f0.ome.tif"), folder.path().join("outside.ome.tif")).expect("it is copied");
    let path = target.join("other.companion.ome");
    let opened = |text: &str| {
        fs::write(&path, text).expect("it is written");
        source::open(&path, Limits::default())
    };
    let named = |name: &str| document(&format!(r#"<UUID FileName="{name}">urn:uuid:1</UUID>"#));
    for (text, problem) in [
        (named("../outside.ome.tif"), "not in the same folder"),
        (named("./B1_f0.ome.tif/../../outside.ome.tif"), "not in the same folder"),
        (named(&folder.path().join("outside.ome.tif").to_string_lossy()), "not in the same folder"),
        (named("nothing.ome.tif"), "\"nothing.ome.tif\""),
        (document(""), "no file"),
        // Itself, and a file that leads back to it.
        (named("other.companion.ome"), "does not begin as a TIFF"),
        (
            r#"<OME><BinaryOnly MetadataFile="other.companion.ome" UUID="urn:uuid:1"/></OME>"#.to_owned(),
            "no image",
        ),
        ("<OME/>".to_owned(), "no image"),
        ("<OME><Image></OME>".to_owned(), "not well-formed"),
        (named("A2_f0.ome.tif").replace("SizeX=\"40\"", "SizeX=\"41\""), "its pages are"),
        (named("A2_f0.ome.tif").replace("PlaneCount=\"12\"", "PlaneCount=\"13\""), "page 12"),
    ] {
        let error = opened(&text).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(problem), "{text}: {error}");
    }
    assert_eq!(opened(&named("A2_f0.ome.tif")).expect("it is in order").len(), 1);
    fs::write(&path, b"\xff\xfe").expect("it is written");
    assert!(source::open(&path, Limits::default()).is_err());
    // Without its document a field is still a stack of pages.
    fs::remove_file(target.join("plate.companion.ome")).expect("it is there");
    let images = source::open(&target.join("A2_f0.ome.tif"), Limits::default()).expect("it is whole");
    assert_eq!(images[0].shape().sides(), [12, 1, 1, 30, 40]);
}

#[test]
fn a_plate_that_makes_no_sense_is_none() {
    let plates = |plate: &str| {
        let text = document("").replace("<OME>", &format!("<OME>{plate}"));
        ome::read(&text).map(|images| images[0].metadata.field.clone())
    };
    let well = |plate: &str, place: &str| {
        plates(&format!(
            r#"<Plate {plate}><Well {place}><WellSample ID="WellSample:0:0:4"><ImageRef ID="Image:0"/></WellSample></Well></Plate>"#
        ))
    };
    for (plate, place) in [
        (r#"Rows="8" Columns="12""#, r#"Row="8" Column="0""#),
        (r#"Rows="8" Columns="12""#, r#"Row="-1" Column="0""#),
        ("", r#"Row="18446744073709551615" Column="0""#),
        (r#"Rows="18446744073709551615" Columns="1""#, r#"Row="1000" Column="0""#),
        ("", ""),
    ] {
        assert_eq!(well(plate, place), Ok(None), "{plate} {place}");
    }
    let field = well("", r#"Row="1" Column="0""#).expect("it is well-formed").expect("it is of a plate");
    assert_eq!((field.row, field.column, field.number), (1, 0, 4));
    assert_eq!(
        (field.plate.rows.as_slice(), field.plate.columns.len()),
        (&["A".to_owned(), "B".to_owned()][..], 1)
    );
    assert!(plates(&"<Plate><WellSample/></Plate>".repeat(1001)).is_err());
}
