//! `processor convert`: an image becomes an OME-TIFF.

use std::path::Path;
use std::time::Instant;

use biomero_events::json::Value;
use biomero_export::source::Source;
use biomero_export::tiff::{self, Compress, Layout, Options};
use biomero_export::{CompareError, compare};

use crate::command_line::export::{Compat, Compress as Asked, Convert, Series};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};

use super::{open, stem, work};

/// Rows and columns of a tile: the chunk of what is exported, which is then read once and not kept.
const TILE: usize = 1024;

pub(super) fn run(asked: &Convert, answer: &mut Answer) -> Result<u8, Ended> {
    let is_folder = || asked.source.symlink_metadata().is_ok_and(|found| found.is_dir());
    if asked.remove_source && !is_folder() {
        let problem = "only the folder of an OME-Zarr is removed; nothing was done".to_owned();
        return Err(Ended::Kept { path: asked.source.clone(), problem });
    }
    let source = open(&asked.source, asked.series, work::limits(asked.effort))?;
    let target = asked.output.clone().unwrap_or_else(|| {
        let mut name = match asked.compat {
            // All of the name but `.zarr`.
            Some(Compat::Biomero) if asked.source.extension().is_some_and(|ending| ending == "zarr") => {
                asked.source.with_extension("").into_os_string()
            }
            _ => stem(&asked.source).into_os_string(),
        };
        let series = asked.series.number.unwrap_or(0);
        name.push(match (asked.compat, asked.series.number) {
            (Some(Compat::Biomero), _) => format!(".{series}.tif"),
            (None, Some(number)) => format!("_{number}.ome.tif"),
            (None, None) => ".ome.tif".to_owned(),
        });
        name.into()
    });
    let options = Options {
        layout: match (asked.compress, asked.pyramid) {
            (Asked::None, false) => Layout::Strip,
            (_, pyramid) => Layout::Tiles { tile: TILE, pyramid },
        },
        compress: match asked.compress {
            Asked::None => Compress::None,
            Asked::Lzw => Compress::Lzw,
            Asked::Deflate => Compress::Deflate { level: 6 },
            Asked::Zstd => Compress::Zstd { level: 1 },
        },
        channels_first: asked.compat.is_some(),
        // Nothing else is expected where BIOMERO's converter was.
        digest: asked.compat.is_none(),
        rgb: asked.rgb,
    };
    let (shape, kind) = (source.shape(), source.sample_type());
    let (began, path) = (Instant::now(), target.clone());
    let written = work::run(asked.effort, "converting", move |work| {
        let written = tiff::write(&*source, &target, &options, work)?;
        Ok((source, written))
    })?;
    let (source, written) = written;
    if asked.remove_source {
        remove(asked, source, &path)?;
    }
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
                ("bigtiff", written.big.into()),
                ("bytes", written.bytes.cast_signed().into()),
                ("seconds", seconds.into()),
            ]
            .into(),
        )?;
    } else {
        let bytes = written.bytes;
        answer.line(format!("{}: {shape} {kind}, {bytes} bytes, {seconds:.1} s", inert(&path)))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// Removes what was converted, once every sample of it was found in what was written.
fn remove(asked: &Convert, source: Box<dyn Source>, written: &Path) -> Result<(), Ended> {
    let single = Series { number: None };
    let image = open(written, single, work::limits(asked.effort))?;
    let differs = work::run(asked.effort, "comparing", move |work| match compare(&*source, &*image, work) {
        Ok(()) => Ok(None),
        Err(CompareError::Work(error)) => Err(error),
        Err(error) => Ok(Some(error)),
    })?;
    let kept = |problem: String| Ended::Kept { path: asked.source.clone(), problem };
    if let Some(error) = differs {
        return Err(kept(format!("{} is not the same: {error}", written.display())));
    }
    std::fs::remove_dir_all(&asked.source).map_err(|error| kept(error.to_string()))
}
