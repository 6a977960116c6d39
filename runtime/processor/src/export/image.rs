//! `processor export`: an image, a plate or all images of a dataset become OME-Zarr.

use std::path::{Path, PathBuf};

use biomero_config::Secret;
use biomero_convert::Error;
use biomero_convert::command_line::Reader;
use biomero_convert::open::{Images, Opening, stem};
use biomero_convert::work::{Interruption, limits};
use biomero_export::Request;
use biomero_export::codec::BloscCodec;
use biomero_export::label::Overlap;
use biomero_export::source::Source;
use biomero_export::zarr::{Encoding, Options, Rois, Version};
use biomero_omero::Credentials;

use super::write::{Target, Whole};
use crate::command_line::export::{Codec, Export, LabelOverlap, Layout, Version as Asked};
use crate::ended::Ended;
use crate::exit_code;
use crate::omero::{self, Access, Object, Opened, Unread};
use crate::output::Answer;
use crate::progress::Bytes;

pub(super) fn run(asked: &Export, answer: &mut Answer) -> Result<u8, Ended> {
    let interruption = Interruption::new()?;
    let options = options(asked);
    // What is written does not depend on threads and memory.
    let text = format!("{options:?} {:?} {:?}", asked.layout, asked.series.number);
    let (opened, images);
    let (of_omero, sources) = match Object::of(&asked.source) {
        Some(object) => {
            let object = object?;
            let access = access(asked, object)?;
            opened = read_of_omero(asked, object, &access)?;
            let place = format!("{object} {}:{}", access.address.host, access.address.port);
            (Some((object, opened.ids.as_slice(), place)), opened.sources.as_slice())
        }
        None => {
            images = read(asked, &interruption)?;
            (None, images.all())
        }
    };
    let named = of_omero.as_ref().map(|(object, ids, _)| (*object, *ids));
    for target in targets(asked, named, sources)? {
        let mut request = match &of_omero {
            Some((_, _, place)) => Request::elsewhere(place, target.sources, &text),
            None => Request::new(&asked.source, target.sources, &text)?,
        };
        (request.overwrite, request.keep) = (asked.overwrite, asked.keep_partial);
        let options = Options { request: Some(request), ..options.clone() };
        let outcome = target.write(&options, asked.effort, &interruption)?;
        target.tell(&outcome, answer)?;
        // Whoever waits for one of several has it now.
        answer.flush()?;
    }
    Ok(exit_code::SUCCESS)
}

/// How it is written.
fn options(asked: &Export) -> Options {
    let version = match asked.format {
        Asked::V04 => Version::V04,
        Asked::V05 => Version::V05,
    };
    let rois = asked.labels.as_ref().map(|name| Rois {
        name: name.clone(),
        overlap: match asked.label_overlap {
            LabelOverlap::Error => Overlap::Refuse,
            LabelOverlap::First => Overlap::First,
            LabelOverlap::Last => Overlap::Last,
            LabelOverlap::DtypeMax => Overlap::Largest,
        },
    });
    Options {
        encoding: match asked.codec {
            Codec::Zstd => Encoding::Blosc { inner: BloscCodec::Zstd, level: asked.level },
            Codec::Lz4 => Encoding::Blosc { inner: BloscCodec::Lz4, level: asked.level },
            Codec::None => Encoding::None,
        },
        shard: asked.shard.map(usize::from),
        rois,
        ..Options::new(version)
    }
}

/// How OMERO is reached.
fn access(asked: &Export, object: Object) -> Result<Access, Unread> {
    let (Some(server), Some(session)) = (&asked.server, &asked.session) else {
        return Err(Unread::Session(object));
    };
    let address = omero::address(server, None)?;
    let credentials = Credentials::Session(Secret::new(session.clone()));
    Ok(Access { address, credentials, trust: asked.trust.clone() })
}

/// The images of something of OMERO, or the one that is meant.
fn read_of_omero(asked: &Export, object: Object, access: &Access) -> Result<Opened, Ended> {
    if asked.reading.reader != Reader::Auto {
        return Err(Unread::Reader(object).into());
    }
    if asked.name.is_some() && matches!(object, Object::Dataset(_)) {
        return Err(Unread::Names(object).into());
    }
    let Opened { mut sources, mut ids } = omero::open(object, access, asked.labels.is_some())?;
    match asked.series.number {
        None => Ok(Opened { sources, ids }),
        Some(number) if number < sources.len() => {
            Ok(Opened { sources: vec![sources.swap_remove(number)], ids: vec![ids.swap_remove(number)] })
        }
        Some(_) => Err(Error::Series { path: asked.source.clone(), count: sources.len() }.into()),
    }
}

/// The images of a path that are exported.
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

/// What becomes of them, and where.
fn targets<'a>(
    asked: &Export,
    of_omero: Option<(Object, &[i64])>,
    sources: &'a [Box<dyn Source>],
) -> Result<Vec<Target<'a>>, Ended> {
    let whole = match (asked.layout, asked.series.number, sources.len(), of_omero) {
        (Layout::Bioformats2raw, ..) => Whole::Series,
        // Each on its own, under its number.
        (_, None, _, Some((Object::Dataset(_), ids))) => {
            let one = |(source, id): (&'a [_], &i64)| Target {
                path: place(&asked.output, &id.to_string()),
                whole: Whole::Image,
                sources: source,
            };
            return Ok(sources.chunks(1).zip(ids).map(one).collect());
        }
        // Fields of a plate, even if there is one.
        (_, None, ..) if sources.iter().all(|source| source.metadata().field.is_some()) => Whole::Plate,
        (_, _, 1, _) => Whole::Image,
        (_, _, count, _) => return Err(Error::Series { path: asked.source.clone(), count }.into()),
    };
    let name = name(asked, of_omero.map(|(object, _)| object));
    Ok(vec![Target { path: place(&asked.output, &name), whole, sources }])
}

fn place(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.ome.zarr"))
}

/// What it is called, without what tells its format.
fn name(asked: &Export, object: Option<Object>) -> String {
    if let Some(name) = &asked.name {
        return name.clone();
    }
    let name = match object {
        Some(object) => object.id().to_string(),
        None => stem(&asked.source).file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    match asked.series.number {
        Some(number) => format!("{name}_{number}"),
        None => name,
    }
}
