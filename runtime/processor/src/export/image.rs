//! `processor export`: an image becomes an OME-Zarr.

use std::path::Path;
use std::time::Instant;

use biomero_convert::Error;
use biomero_convert::open::{Images, Opening, stem};
use biomero_convert::work::{Interruption, limits};
use biomero_events::json::Value;
use biomero_export::Request;
use biomero_export::codec::BloscCodec;
use biomero_export::label::Overlap;
use biomero_export::zarr::{self, Encoding, Options, Rois, Version, Written};

use crate::command_line::export::{Codec, Export, LabelOverlap, Layout, Version as Asked};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{self, Answer, inert};
use crate::progress::Bytes;

use super::work;
use crate::omero;

pub(super) fn run(asked: &Export, answer: &mut Answer) -> Result<u8, Ended> {
    let interruption = Interruption::new()?;
    let (of_omero, images);
    let sources = match omero::named(&asked.source) {
        Some(id) => {
            of_omero = [omero::open(id?, asked.server.as_deref(), asked.session.as_deref())?];
            of_omero.as_slice()
        }
        None => {
            images = read(asked, &interruption)?;
            images.all()
        }
    };
    let whole = match (asked.layout, asked.series.number, sources.len()) {
        (Layout::Bioformats2raw, ..) => Whole::Series,
        // Fields of a plate, even if there is one.
        (_, None, _) if sources.iter().all(|source| source.metadata().field.is_some()) => Whole::Plate,
        (_, _, 1) => Whole::Image,
        (_, _, count) => return Err(Error::Series { path: asked.source.clone(), count }.into()),
    };
    let target = asked.output.join(format!("{}.ome.zarr", name(asked)));
    let mut options = Options {
        version: match asked.format {
            Asked::V04 => Version::V04,
            Asked::V05 => Version::V05,
        },
        encoding: match asked.codec {
            Codec::Zstd => Encoding::Blosc { inner: BloscCodec::Zstd, level: asked.level },
            Codec::Lz4 => Encoding::Blosc { inner: BloscCodec::Lz4, level: asked.level },
            Codec::None => Encoding::None,
        },
        shard: asked.shard.map(usize::from),
        rois: asked.labels.as_ref().map(|name| Rois {
            name: name.clone(),
            overlap: match asked.label_overlap {
                LabelOverlap::Error => Overlap::Refuse,
                LabelOverlap::First => Overlap::First,
                LabelOverlap::Last => Overlap::Last,
                LabelOverlap::DtypeMax => Overlap::Largest,
            },
        }),
        ..Options::new(Version::V04)
    };
    // What is written does not depend on threads and memory.
    let text = format!("{options:?} {:?} {:?}", asked.layout, asked.series.number);
    // An image in OMERO has no file whose time says whether it is the same.
    if omero::named(&asked.source).is_none() {
        let mut request = Request::new(&asked.source, sources, &text)?;
        if !asked.overwrite && zarr::is_written(&target, &request) {
            return unchanged(&target, answer);
        }
        (request.overwrite, request.keep) = (asked.overwrite, asked.keep_partial);
        options.request = Some(request);
    }
    let described: Vec<_> = sources.iter().map(|source| (source.shape(), source.sample_type())).collect();
    let has_rois = sources.iter().any(|source| !source.rois().is_empty());
    let (began, path) = (Instant::now(), target.clone());
    let written = work::run(asked.effort, &interruption, "exporting", |work| match (whole, sources) {
        (Whole::Image, [source]) => Ok(vec![zarr::write(&**source, &target, &options, work)?]),
        (Whole::Plate, sources) => zarr::write_plate(sources, &target, &options, work),
        (_, sources) => zarr::write_series(sources, &target, &options, work),
    })?;
    let seconds = began.elapsed().as_secs_f64();
    if asked.labels.is_some() && !has_rois {
        output::note("it has no region of interest that can be drawn: there is no label image of them");
    }
    let path = path.to_string_lossy();
    if answer.is_json() {
        let images = described.iter().zip(&written).map(|((shape, kind), written)| {
            let side = |side: usize| Value::from(side as i64);
            let levels = written.sizes.iter().map(|size| size.map(side).to_vec().into()).collect();
            let labels = written.labels.iter().map(|name| Value::from(name.as_str())).collect();
            Value::from([
                ("folder", written.folder.to_string_lossy().into_owned().into()),
                ("shape", shape.sides().map(side).to_vec().into()),
                ("type", kind.ome_name().into()),
                ("levels", Value::Array(levels)),
                ("labels", Value::Array(labels)),
            ])
        });
        let images = Value::Array(images.collect());
        let path = path.into_owned().into();
        let object =
            [("path", path), ("images", images), ("seconds", seconds.into()), ("unchanged", false.into())];
        answer.object(object.into())?;
    } else {
        for ((shape, kind), Written { folder, sizes, labels }) in described.iter().zip(&written) {
            let place = Path::new(path.as_ref()).join(folder);
            // Joined with nothing it would end in a slash.
            let place = if whole == Whole::Image { path.clone() } else { place.to_string_lossy() };
            let labels = labels.iter().map(|name| format!(", labels {name:?}")).collect::<String>();
            answer.line(format!(
                "{}: {shape} {kind}, {} levels{}",
                inert(&place),
                sizes.len(),
                inert(&labels)
            ))?;
        }
        answer.line(format!("{seconds:.1} s"))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// The images that are exported.
fn read(asked: &Export, interruption: &Interruption) -> Result<Images, Ended> {
    let bar = Bytes::new("reading");
    let opening = Opening {
        reading: &asked.reading,
        series: asked.series,
        limits: limits(asked.effort),
        folder: &asked.output,
        interruption,
        progress: &|what, done, of| bar.doing(what, done, of),
    };
    let images = Images::open(&asked.source, &opening);
    bar.clear();
    match asked.series.number {
        None => Ok(images?),
        Some(_) => Ok(images?.choose(&asked.source, asked.series)?.alone()),
    }
}

/// It was exported before.
fn unchanged(target: &Path, answer: &mut Answer) -> Result<u8, Ended> {
    let path = target.to_string_lossy();
    if answer.is_json() {
        let images = Value::Array(Vec::new());
        let path = path.into_owned().into();
        let object =
            [("path", path), ("images", images), ("seconds", 0.0.into()), ("unchanged", true.into())];
        answer.object(object.into())?;
    } else {
        answer.line(format!("{} is there already, of the same source and options", inert(&path)))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// An image.
    Image,
    /// Images as bioformats2raw lays them out.
    Series,
    /// The fields of a plate.
    Plate,
}

/// What it is called, without what tells its format.
fn name(asked: &Export) -> String {
    if let Some(name) = &asked.name {
        return name.clone();
    }
    if let Some(Ok(id)) = omero::named(&asked.source) {
        return id.to_string();
    }
    let stem = stem(&asked.source);
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    match asked.series.number {
        Some(number) => format!("{name}_{number}"),
        None => name.into_owned(),
    }
}
