//! `processor export`: an image becomes an OME-Zarr.

use std::time::Instant;

use biomero_events::json::Value;
use biomero_export::codec::BloscCodec;
use biomero_export::source::{self, Source};
use biomero_export::zarr::{self, Encoding, Options, Version};

use crate::command_line::export::{Codec, Export, Layout, Version as Asked};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};

use super::{open, stem, work};
use crate::omero;

pub(super) fn run(asked: &Export, answer: &mut Answer) -> Result<u8, Ended> {
    let limits = work::limits(asked.effort);
    let sources = match (asked.layout, asked.series.number) {
        _ if omero::named(&asked.source).is_some() => vec![of_omero(asked)?],
        (Layout::Bioformats2raw, None) => source::open(&asked.source, limits)?,
        _ => vec![open(&asked.source, asked.series, limits)?],
    };
    let target = asked.output.join(format!("{}.ome.zarr", name(asked)));
    let options = Options {
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
        ..Options::new(Version::V04)
    };
    let described: Vec<_> = sources.iter().map(|source| (source.shape(), source.sample_type())).collect();
    let (began, path, layout) = (Instant::now(), target.clone(), asked.layout);
    let written = work::run(asked.effort, "exporting", move |work| match (layout, sources.as_slice()) {
        (Layout::Omero, [source]) => Ok(vec![zarr::write(&**source, &target, &options, work)?]),
        _ => zarr::write_series(&sources, &target, &options, work),
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let path = path.to_string_lossy();
    if answer.is_json() {
        let images = described.iter().zip(&written).map(|((shape, kind), written)| {
            let side = |side: usize| Value::from(side as i64);
            let levels = written.sizes.iter().map(|size| size.map(side).to_vec().into()).collect();
            Value::from([
                ("shape", shape.sides().map(side).to_vec().into()),
                ("type", kind.ome_name().into()),
                ("levels", Value::Array(levels)),
            ])
        });
        let images = Value::Array(images.collect());
        let path = path.into_owned().into();
        answer.object([("path", path), ("images", images), ("seconds", seconds.into())].into())?;
    } else {
        for (number, ((shape, kind), written)) in described.iter().zip(&written).enumerate() {
            let image = if layout == Layout::Omero { String::new() } else { format!("/{number}") };
            let levels = written.sizes.len();
            answer.line(format!("{}{image}: {shape} {kind}, {levels} levels", inert(&path)))?;
        }
        answer.line(format!("{seconds:.1} s"))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// An image of OMERO, over the session that was named.
fn of_omero(asked: &Export) -> Result<Box<dyn Source>, Ended> {
    let id = omero::named(&asked.source).unwrap_or_else(|| Err(omero::Unread::Name(String::new())))?;
    Ok(omero::open(id, asked.server.as_deref(), asked.session.as_deref())?)
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
