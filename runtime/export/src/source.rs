//! Where pixels come from: one trait for every kind of image, and the opening of a path.
//!
//! Invariants: a source is read by several threads at once; what it holds in memory is bounded by [`Limits`]; a path within an
//! image leads nowhere outside of it.

pub(crate) mod cache;
mod error;
pub(crate) mod file;
mod synthetic;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::ReadError;
pub use synthetic::{Pattern, Synthetic};

use crate::label::Label;
use crate::metadata::Metadata;
use crate::pyramid::Reduction;
use crate::roi::Roi;
use crate::sample::SampleType;
use crate::shape::{Plane, Region, Shape};

/// A level of the pyramid that an image already has; level 0 is the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// How large it is.
    pub shape: Shape,
    /// Rows and columns that are stored together.
    pub tile: [usize; 2],
}

/// An image that is read.
pub trait Source: Send + Sync {
    /// The type of its samples.
    fn sample_type(&self) -> SampleType;

    /// Its levels, the largest first; never empty.
    fn levels(&self) -> &[Level];

    /// What it says of itself.
    fn metadata(&self) -> &Metadata;

    /// How it is stored, for people: format, compression.
    fn storage(&self) -> &str;

    /// What is wrong with it although it can be read.
    fn complaints(&self) -> &[String] {
        &[]
    }

    /// What has been drawn on it.
    fn rois(&self) -> &[Arc<Roi>] {
        &[]
    }

    /// The label images that it has. They are looked for when somebody asks.
    ///
    /// # Errors
    /// One of them cannot be read.
    fn labels(&self) -> Result<Vec<Label>, ReadError> {
        Ok(Vec::new())
    }

    /// Files that it consists of besides the path that was opened.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// How smaller copies of it are made.
    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    /// Bytes that one thread needs while it reads, besides what it reads into.
    fn memory(&self) -> usize;

    /// Reads a region: its samples in little-endian order, row after row. `into` has exactly its size.
    ///
    /// # Errors
    /// It is not within the level, or what is stored there cannot be read.
    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError>;

    /// How many channels lie side by side, so that who reads one of them has read them all: a divisor of how many there are.
    fn interleaved(&self) -> usize {
        1
    }

    /// Reads the same region of so many channels, from its own on: the samples of one after those of the other.
    ///
    /// # Errors
    /// As for [`Source::read`].
    fn read_channels(
        &self,
        level: usize,
        region: &Region,
        channels: usize,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        by_channels(region, channels, 1, into, |region, into| self.read(level, region, into))
    }

    /// The size of level 0.
    fn shape(&self) -> Shape {
        self.levels().first().map_or(Shape { t: 1, c: 1, z: 1, y: 1, x: 1 }, |level| level.shape)
    }
}

/// What a source may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// No chunk, tile or compressed strip is larger once it is decompressed, in bytes.
    pub chunk: usize,
    /// What is kept of chunks that were read in part, in bytes.
    pub cache: usize,
}

impl Limits {
    /// A part of a budget: a chunk may take a quarter, and so may all that are kept.
    #[must_use]
    pub const fn of(memory: usize) -> Self {
        Self { chunk: memory / 4, cache: memory / 4 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(512 << 20)
    }
}

/// Whether a path is of a kind that is read here: a folder, a file that begins as a TIFF does, or one that tells of
/// several, `NAME.companion.ome`.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn is_known(path: &Path) -> Result<bool, ReadError> {
    let kind = std::fs::metadata(path).map_err(ReadError::io(path))?;
    if kind.is_dir() {
        return Ok(true);
    }
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(ReadError::io(path))?;
    let is_tiff = file.read_exact(&mut magic).is_ok() && crate::tiff::is_tiff(&magic);
    Ok(is_tiff || crate::tiff::is_companion(path))
}

/// Opens the images of a path: a folder is OME-Zarr, a file is a TIFF or tells of several.
///
/// # Errors
/// It is neither, or damaged.
pub fn open(path: &Path, limits: Limits) -> Result<Vec<Box<dyn Source>>, ReadError> {
    if path.is_dir() {
        let images = crate::zarr::open(path, limits)?;
        return Ok(images.into_iter().map(|image| Box::new(image) as Box<dyn Source>).collect());
    }
    if !is_known(path)? {
        return Err(ReadError::Unsupported {
            path: path.to_owned(),
            what: "it is neither a TIFF file nor an OME-Zarr folder".to_owned(),
            remedy: "convert it with bioformats2raw first",
        });
    }
    let images = crate::tiff::open(path, limits)?;
    Ok(images.into_iter().map(|image| Box::new(image) as Box<dyn Source>).collect())
}

/// Reads channels one after the other, `at_once` of them at a time.
pub(crate) fn by_channels(
    region: &Region,
    channels: usize,
    at_once: usize,
    into: &mut [u8],
    mut read: impl FnMut(&Region, &mut [u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let length = into.len() / channels.max(1) * at_once;
    if length == 0 {
        return read(region, into);
    }
    into.chunks_mut(length).enumerate().try_for_each(|(number, into)| {
        let plane = Plane { c: region.plane.c.saturating_add(number * at_once), ..region.plane };
        read(&Region { plane, ..*region }, into)
    })
}

/// Refuses what no level has, before anything is computed from it.
pub(crate) fn check(
    source: &dyn Source,
    level: usize,
    region: &Region,
    into: &[u8],
) -> Result<Level, ReadError> {
    check_channels(source, level, region, 1, into)
}

/// The same for so many channels, from the region's on.
pub(crate) fn check_channels(
    source: &dyn Source,
    level: usize,
    region: &Region,
    channels: usize,
    into: &[u8],
) -> Result<Level, ReadError> {
    let outside = ReadError::Outside { level, region: *region };
    let Some(found) = source.levels().get(level) else { return Err(outside) };
    let bytes = region
        .samples()
        .checked_mul(source.sample_type().bytes())
        .and_then(|bytes| bytes.checked_mul(channels));
    let fits = found.shape.contains(region)
        && region.plane.c.checked_add(channels).is_some_and(|end| end <= found.shape.c)
        && bytes == Some(into.len());
    if fits { Ok(*found) } else { Err(outside) }
}
