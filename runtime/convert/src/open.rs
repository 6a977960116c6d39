//! Which image of a path is meant.

use std::path::{Path, PathBuf};

use biomero_export::source::{self, Limits, Source};

use crate::command_line::Series;
use crate::error::Error;

/// Opens the image that is meant.
///
/// # Errors
/// It cannot be read, or there are several and none was chosen.
pub fn open(path: &Path, series: Series, limits: Limits) -> Result<Box<dyn Source>, Error> {
    choose(source::open(path, limits)?, path, series)
}

/// Of the images of a path the one that is meant.
///
/// # Errors
/// There is none of that number, or there are several and none was chosen.
pub fn choose(
    mut images: Vec<Box<dyn Source>>,
    path: &Path,
    series: Series,
) -> Result<Box<dyn Source>, Error> {
    let number = match (series.number, images.len()) {
        (Some(number), count) if number < count => number,
        (None, 1) => 0,
        (_, count) => return Err(Error::Series { path: path.to_owned(), count }),
    };
    Ok(images.swap_remove(number))
}

/// The name of an image without what tells its format.
#[must_use]
pub fn stem(path: &Path) -> PathBuf {
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
