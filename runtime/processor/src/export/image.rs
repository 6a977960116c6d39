//! `processor export`: an image becomes an OME-Zarr.

use std::time::Instant;

use biomero_events::json::Value;
use biomero_export::codec::BloscCodec;
use biomero_export::zarr::{self, Encoding, Options, Version};

use crate::command_line::export::{Codec, Export, Version as Asked};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};

use super::{open, stem, work};

pub(super) fn run(asked: &Export, answer: &mut Answer) -> Result<u8, Ended> {
    let source = open(&asked.source, asked.series, work::limits(asked.effort))?;
    let name = match &asked.name {
        Some(name) => name.clone(),
        None => {
            let stem = stem(&asked.source);
            let name = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match asked.series.number {
                Some(number) => format!("{name}_{number}"),
                None => name,
            }
        }
    };
    let target = asked.output.join(format!("{name}.ome.zarr"));
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
    let (shape, kind) = (source.shape(), source.sample_type());
    let (began, path) = (Instant::now(), target.clone());
    let written =
        work::run(asked.effort, "exporting", move |work| zarr::write(&*source, &target, &options, work))?;
    let seconds = began.elapsed().as_secs_f64();
    let path = path.to_string_lossy();
    if answer.is_json() {
        let levels =
            written.sizes.iter().map(|size| size.map(|side| Value::from(side as i64)).to_vec().into());
        answer.object(
            [
                ("path", path.into_owned().into()),
                ("shape", shape.sides().map(|side| Value::from(side as i64)).to_vec().into()),
                ("type", kind.ome_name().into()),
                ("levels", Value::Array(levels.collect())),
                ("seconds", seconds.into()),
            ]
            .into(),
        )?;
    } else {
        let levels = written.sizes.len();
        answer.line(format!("{}: {shape} {kind}, {levels} levels, {seconds:.1} s", inert(&path)))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}
