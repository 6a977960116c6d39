//! `processor export`, `convert` and `inspect`: images. Each verb is a module, which opens an image and writes the answer.

mod convert;
mod image;
mod inspect;
mod work;

use std::path::{Path, PathBuf};

use biomero_config::Environment;
use biomero_export::source::{self, Limits, Source};

use crate::command_line::export::{Convert, Export, Inspect, Series};
use crate::ended::Ended;
use crate::output::Answer;

/// Runs `export`; returns the exit code.
pub(crate) fn export(asked: &Export, environment: &Environment) -> Result<u8, Ended> {
    image::run(asked, &mut Answer::new(asked.shape.json, environment))
}

/// Runs `convert`; returns the exit code.
pub(crate) fn convert(asked: &Convert, environment: &Environment) -> Result<u8, Ended> {
    convert::run(asked, &mut Answer::new(asked.shape.json, environment))
}

/// Runs `inspect`; returns the exit code.
pub(crate) fn inspect(asked: &Inspect, environment: &Environment) -> Result<u8, Ended> {
    inspect::run(asked, &mut Answer::new(asked.shape.json, environment))
}

/// Opens the image that is meant.
fn open(path: &Path, series: Series, limits: Limits) -> Result<Box<dyn Source>, Ended> {
    let mut images = source::open(path, limits)?;
    let number = match (series.number, images.len()) {
        (Some(number), count) if number < count => number,
        (None, 1) => 0,
        (_, count) => return Err(Ended::Series { path: path.to_owned(), count }),
    };
    Ok(images.swap_remove(number))
}

/// The name of an image without what tells its format.
fn stem(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let endings = [".ome.zarr", ".zarr", ".ome.tiff", ".ome.tif", ".ome.tf8", ".ome.btf", ".tiff", ".tif"];
    let lower = name.to_ascii_lowercase();
    let length = endings.iter().find(|ending| lower.ends_with(**ending)).map_or(0, |ending| ending.len());
    match name.len() - length {
        0 => path.with_file_name(name),
        kept => path.with_file_name(&name[..kept]),
    }
}

#[cfg(test)]
mod tests {
    use super::stem;
    use std::path::Path;

    #[test]
    fn a_name_loses_what_tells_its_format() {
        for (path, expected) in [
            ("a/image.ome.zarr", "a/image"),
            ("a/image.zarr/", "a/image"),
            ("image.OME.TIFF", "image"),
            ("image.v2.tif", "image.v2"),
            ("image", "image"),
            (".zarr", ".zarr"),
        ] {
            assert_eq!(stem(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
