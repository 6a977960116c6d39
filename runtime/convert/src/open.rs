//! Which image of a path is meant.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use biomero_export::bioformats2raw::{self, Raw};
use biomero_export::source::{self, Limits, Source};

use crate::command_line::{Reader, Reading, Series};
use crate::error::Error;
use crate::verb::Progress;
use crate::work::Interruption;

/// How a path is opened.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// Who reads it.
    pub reading: &'a Reading,
    /// Which image.
    pub series: Series,
    /// What a source may use.
    pub limits: Limits,
    /// Where there is room for what bioformats2raw makes.
    pub folder: &'a Path,
    /// What stops it.
    pub interruption: &'a Interruption,
    /// Who looks on.
    pub progress: Progress<'a>,
}

/// The images of a path.
pub struct Images {
    // Before the folder that they are read from.
    sources: Vec<Box<dyn Source>>,
    _raw: Option<Raw>,
    /// Whether the one that is meant is the only one.
    is_chosen: bool,
}

/// Only one of them.
pub struct Image(Images);

impl Deref for Image {
    type Target = dyn Source;

    fn deref(&self) -> &Self::Target {
        // It was taken from what is not empty.
        &*self.0.sources[0]
    }
}

impl Images {
    /// Opens a path.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path, opening: &Opening<'_>) -> Result<Self, Error> {
        let Opening { reading, series, limits, folder, interruption, progress } = *opening;
        if reading.reader == Reader::Auto && source::is_known(path)? {
            return Ok(Self { sources: source::open(path, limits)?, _raw: None, is_chosen: false });
        }
        let options = bioformats2raw::Options {
            program: &reading.bioformats2raw,
            series: series.number,
            folder,
            cancelled: interruption.flag(),
            progress: &|percent| progress("reading by bioformats2raw", percent, 100),
        };
        let (sources, raw) = bioformats2raw::open(path, limits, &options)?;
        Ok(Self { sources, _raw: Some(raw), is_chosen: series.number.is_some() })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Box<dyn Source>] {
        &self.sources
    }

    /// The number of the first.
    #[must_use]
    pub fn first(&self, series: Series) -> usize {
        series.number.filter(|_| self.is_chosen).unwrap_or(0)
    }

    /// The one that is meant.
    ///
    /// # Errors
    /// There is none of that number, or there are several and none was chosen.
    pub fn choose(self, path: &Path, series: Series) -> Result<Image, Error> {
        let series = if self.is_chosen { Series { number: None } } else { series };
        let source = choose(self.sources, path, series)?;
        Ok(Image(Self { sources: vec![source], ..self }))
    }
}

impl Image {
    /// As a list, which has it alone.
    #[must_use]
    pub fn alone(self) -> Images {
        self.0
    }
}

/// Opens an image of a kind that is read here.
///
/// # Errors
/// It cannot be read, or there are several and none was chosen.
pub fn open(path: &Path, series: Series, limits: Limits) -> Result<Box<dyn Source>, Error> {
    choose(source::open(path, limits)?, path, series)
}

fn choose(mut images: Vec<Box<dyn Source>>, path: &Path, series: Series) -> Result<Box<dyn Source>, Error> {
    let number = match (series.number, images.len()) {
        (Some(number), count) if number < count => number,
        (None, 1) => 0,
        (_, count) => return Err(Error::Series { path: path.to_owned(), count }),
    };
    Ok(images.swap_remove(number))
}

/// The folder that something of this path is in.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The name of an image without what tells its format.
#[must_use]
pub fn stem(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let endings = [
        ".companion.ome",
        ".ome.zarr",
        ".zarr",
        ".ome.tiff",
        ".ome.tif",
        ".ome.tf8",
        ".ome.btf",
        ".tiff",
        ".tif",
    ];
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
            ("plate.companion.ome", "plate"),
            ("image", "image"),
            (".zarr", ".zarr"),
        ] {
            assert_eq!(stem(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
