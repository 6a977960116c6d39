//! An image as OME-Zarr: chunks as they come out of the pipeline, metadata at the end, digests of all.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::array::{Array, Keys, Shard};
use super::attributes::{Described, NAMES, written_axes};
use super::documents::{Documents, create};
use super::labels::{self, Rois};
use super::shard::Shards;
use crate::codec::{self, BloscCodec, Compression, Workspace};
use crate::manifest::{self, Manifest};
use crate::pipeline::{self, Chunk, Extremes, Part, Sink};
use crate::publish::Folder;
use crate::pyramid::{Grid, sizes};
use crate::resume::{self, Journal, Key, Request};
use crate::sample::SampleType;
use crate::shape::{Plane, Shape};
use crate::source::{ReadError, Source, file};
use crate::write_error::WriteError;

/// Which OME-Zarr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// OME-NGFF 0.4 on zarr v2.
    V04,
    /// OME-NGFF 0.5 on zarr v3.
    V05,
}

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    None,
    /// Blosc with shuffled bytes.
    Blosc {
        /// By which compressor.
        inner: BloscCodec,
        /// Blosc's level, from 1 to 9.
        level: u8,
    },
    /// zstd alone.
    Zstd {
        /// Its level, 0 for its default.
        level: i32,
    },
}

impl Encoding {
    fn codecs(self, sample_type: SampleType) -> Vec<Compression> {
        let width = sample_type.bytes() as u8;
        match self {
            Self::None => Vec::new(),
            Self::Blosc { inner, level } => vec![Compression::Blosc { inner, level, width }],
            Self::Zstd { level } => vec![Compression::Zstd { level }],
        }
    }
}

/// How an image is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which OME-Zarr.
    pub version: Version,
    /// How chunks are compressed.
    pub encoding: Encoding,
    /// Rows and columns of a chunk; even. omero-cli-zarr has 1024.
    pub tile: usize,
    /// Rows and columns of chunks that share a file; `None` for a file each. Only of 0.5.
    pub shard: Option<usize>,
    /// Whether regions of interest become a label image.
    pub rois: Option<Rois>,
    /// What it is known by when it is interrupted, or asked for again.
    pub request: Option<Request>,
}

impl Options {
    /// As omero-cli-zarr lays it out, but with the first level of zstd: a quarter of the time for a fiftieth more of space.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        let encoding = Encoding::Blosc { inner: BloscCodec::Zstd, level: 1 };
        Self { version, encoding, tile: 1024, shard: None, rois: None, request: None }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its folder within that of all; empty where it is that.
    pub folder: PathBuf,
    /// Height and width of each level.
    pub sizes: Vec<[usize; 2]>,
    /// The names of its label images.
    pub labels: Vec<String>,
}

/// Writes an image. `target` is a folder that is not there yet.
///
/// # Errors
/// The source cannot be read, the folder not written, the memory does not suffice, or it was stopped.
pub fn write(
    source: &dyn Source,
    target: &Path,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Written, WriteError> {
    into_folder(target, options, |place, manifest| {
        write_image(source, written_axes(&source.shape()), place, manifest, options, work)
    })
}

/// Makes a folder, fills it, and gives it its name.
pub(super) fn into_folder<T>(
    target: &Path,
    options: &Options,
    fill: impl FnOnce(Place<'_>, &Manifest) -> Result<T, WriteError>,
) -> Result<T, WriteError> {
    check(options)?;
    // Whether a shard is whole is known when all trees are.
    let goes_on = options.shard.is_none();
    let mut folder = Folder::new(target, options.request.as_ref(), goes_on)?;
    let root = folder.path();
    let manifest = Manifest::new(root.join(manifest::NAME));
    let journal = folder.verified(&manifest)?.filter(|_| goes_on);
    let written = match fill(Place { root: &root, prefix: Path::new(""), journal }, &manifest) {
        Err(WriteError::Cancelled)
            if goes_on && options.request.as_ref().is_some_and(|request| request.keep) =>
        {
            return Err(WriteError::Paused { path: root.parent().unwrap_or(&root).to_owned() });
        }
        other => other?,
    };
    manifest.finish()?;
    folder.publish()?;
    Ok(written)
}

pub(super) fn check(options: &Options) -> Result<(), WriteError> {
    let unsupported = |what: &str, remedy| Err(WriteError::Unsupported { what: what.to_owned(), remedy });
    if options.tile < 2 || options.tile % 2 == 1 {
        return unsupported("the rows and columns of a chunk are an even number", "choose another");
    }
    if options.version == Version::V04 && options.shard.is_some() {
        return unsupported("OME-Zarr 0.4 has no shards", "write 0.5");
    }
    Ok(())
}

/// The folder of all that is written, and that of an image within it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) root: &'a Path,
    pub(super) prefix: &'a Path,
    /// What was done before, and what is done now.
    pub(super) journal: Option<&'a Journal>,
}

pub(super) fn write_image(
    source: &dyn Source,
    axes: Vec<usize>,
    place: Place<'_>,
    manifest: &Manifest,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Written, WriteError> {
    let Levels { sizes, extremes } = write_levels(source, &axes, place, manifest, options, work)?;
    let labels = labels::write(source, &axes, place, manifest, options, work)?;
    let described = Described {
        version: options.version,
        shape: source.shape(),
        axes: &axes,
        sample_type: source.sample_type(),
        metadata: source.metadata(),
        sizes: &sizes,
        extremes: &extremes,
    };
    Documents::new(place, manifest, options).group(place.prefix, described.attributes())?;
    Ok(Written { folder: place.prefix.to_owned(), sizes, labels })
}

/// The arrays of an image.
pub(super) struct Levels {
    /// Height and width of each.
    pub(super) sizes: Vec<[usize; 2]>,
    /// Of each channel of level 0.
    pub(super) extremes: Vec<Extremes>,
}

/// Writes the arrays of an image.
pub(super) fn write_levels(
    source: &dyn Source,
    axes: &[usize],
    place: Place<'_>,
    manifest: &Manifest,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Levels, WriteError> {
    let shape = source.shape();
    let grid = Grid { tile: options.tile, sizes: sizes(shape.y, shape.x, 96) };
    let arrays = (0..grid.sizes.len()).map(|level| array(axes, &grid, level, source, options)).collect();
    let mut writer = Writer {
        place,
        axes,
        arrays,
        shape,
        grid: &grid,
        manifest,
        shards: Shards::default(),
        whole: HashMap::new(),
    };
    if let Some(journal) = place.journal.filter(|journal| !journal.is_empty()) {
        let done = |(plane, level, place): Key| journal.find(&writer.name(level, shape.plane(plane), place));
        writer.whole = resume::whole(&grid, shape.planes(), done);
    }
    let extremes = pipeline::run(source, &grid, &writer, work)?;
    writer.write_metadata(options.version)?;
    Ok(Levels { sizes: grid.sizes, extremes })
}

/// The memory that one thread needs for an image.
pub(super) fn needed(source: &dyn Source, axes: &[usize], options: &Options) -> usize {
    let shape = source.shape();
    let grid = Grid { tile: options.tile, sizes: sizes(shape.y, shape.x, 96) };
    pipeline::needed(source, &grid, memory(&array(axes, &grid, 0, source, options)))
}

/// What storing a chunk takes: padded, compressed, and the tables of the compressor, of which zstd has 2 MiB for its fast
/// levels, 12 for its slow ones.
fn memory(array: &Array) -> usize {
    let chunk = array.chunk_bytes().unwrap_or(usize::MAX / 4);
    2 * chunk + chunk / 64 + (4 << 20)
}

/// The array of a level. Chunks of level 0 have their whole size also where the image is smaller, as omero-cli-zarr's have;
/// those of other levels end where the level does.
fn array(axes: &[usize], grid: &Grid, level: usize, source: &dyn Source, options: &Options) -> Array {
    let ([height, width], shape) = (grid.sizes[level], source.shape());
    let side = |axis: usize, y: usize, x: usize, other: usize| match axis {
        3 => y,
        4 => x,
        _ => other,
    };
    let tile = if level == 0 { [grid.tile; 2] } else { grid.largest(level) };
    let sides = |[y, x]: [usize; 2]| axes.iter().map(|axis| side(*axis, y, x, 1)).collect::<Vec<_>>();
    let shard = options.shard.filter(|_| options.version == Version::V05).map(|chunks| Shard {
        chunks: sides(grid.sizes[level].map(|side| side.div_ceil(grid.tile).min(chunks.max(1)))),
        checked: true,
        at_end: true,
    });
    Array {
        shape: axes.iter().map(|axis| side(*axis, height, width, shape.sides()[*axis])).collect(),
        chunk: sides(tile),
        shard,
        sample_type: source.sample_type(),
        wide: false,
        big_endian: false,
        fill: [0; 8],
        codecs: options.encoding.codecs(source.sample_type()),
        keys: Keys { prefixed: options.version == Version::V05, separator: '/' },
    }
}

struct Writer<'a> {
    place: Place<'a>,
    /// The axes that are written, by their number.
    axes: &'a [usize],
    shape: Shape,
    grid: &'a Grid,
    arrays: Vec<Array>,
    manifest: &'a Manifest,
    shards: Shards,
    /// The highest chunks that an earlier run has left whole.
    whole: HashMap<Key, Extremes>,
}

/// What a thread uses again from chunk to chunk.
#[derive(Debug, Default)]
struct Scratch {
    padded: Vec<u8>,
    stored: Vec<u8>,
    workspace: Workspace,
}

impl Sink for Writer<'_> {
    type Scratch = Scratch;

    const EXTREMES: bool = true;

    const APART: bool = true;

    fn memory(&self) -> usize {
        self.arrays.first().map_or(0, memory)
    }

    fn whole(&self, plane: Plane, place: [usize; 2]) -> Option<(usize, Extremes)> {
        if self.whole.is_empty() {
            return None;
        }
        let plane = self.shape.number(plane);
        let above = |level: usize| (plane, level, place.map(|index| index >> level));
        (0..self.grid.sizes.len()).find_map(|level| Some((level, *self.whole.get(&above(level))?)))
    }

    fn load(
        &self,
        level: usize,
        plane: Plane,
        place: [usize; 2],
        Part { size: [height, width], samples }: Part<'_>,
    ) -> Result<(), WriteError> {
        let array = &self.arrays[level];
        let path = self.place.root.join(self.name(level, plane, place));
        let bytes = array.chunk_bytes().unwrap_or_default();
        match file::read(&path, bytes + bytes / 16 + (64 << 10), "a chunk")? {
            // It is not stored, because it is 0.
            None => samples.fill(0),
            Some(stored) => {
                let whole = codec::decompress(&array.codecs, &stored, bytes)
                    .map_err(|error| ReadError::damaged(&path, error.to_string()))?;
                let row = width * array.sample_type.bytes();
                let stride = array.chunk.last().map_or(row, |side| side * array.sample_type.bytes());
                let rows = whole.chunks_exact(stride.max(1)).take(height);
                for (from, into) in rows.zip(samples.chunks_exact_mut(row.max(1))) {
                    into.copy_from_slice(&from[..row]);
                }
            }
        }
        Ok(())
    }

    fn store(&self, chunk: &Chunk<'_>, scratch: &mut Scratch) -> Result<(), WriteError> {
        let array = &self.arrays[chunk.level];
        let index = self.index(chunk.plane, chunk.place);
        let name = self.name(chunk.level, chunk.plane, chunk.place);
        // It is done, but not all that is made from it.
        if self.place.journal.is_some_and(|journal| journal.find(&name).is_some()) {
            return Ok(());
        }
        // What is not stored is 0.
        let stored = match is_empty(chunk.samples.samples) {
            true => None,
            false => {
                let tile = [array.chunk.len() - 2, array.chunk.len() - 1].map(|side| array.chunk[side]);
                let samples = padded(chunk, tile, array.sample_type.bytes(), &mut scratch.padded);
                codec::compress(&array.codecs, samples, &mut scratch.stored, &mut scratch.workspace)?;
                Some(scratch.stored.as_slice())
            }
        };
        match (&array.shard, stored) {
            (None, stored) => {
                let digest = stored.map(|stored| manifest::hexadecimal(&Sha256::digest(stored)));
                if let (Some(stored), Some(digest)) = (stored, &digest) {
                    let path = self.place.root.join(&name);
                    create(&path)?.write_all(stored).map_err(WriteError::io("write", &path))?;
                    self.manifest.line(&name, digest)?;
                }
                match self.place.journal {
                    Some(journal) => journal.note(&name, &chunk.extremes, digest.as_deref()),
                    None => Ok(()),
                }
            }
            (Some(shard), stored) => {
                let of: Vec<usize> =
                    index.iter().zip(&shard.chunks).map(|(index, chunks)| index / chunks).collect();
                let level = self.place.prefix.join(chunk.level.to_string());
                let name = level.join(array.keys.path(&of));
                let path = self.place.root.join(&name);
                let expected = self.chunks_of_shard(chunk.level, shard, &of);
                if self.shards.put(&path, shard, &index, stored, expected, create)? {
                    let digest = manifest::digest_of(&path).map_err(WriteError::io("read", &path))?;
                    self.manifest.line(&name, &digest)?;
                }
                Ok(())
            }
        }
    }
}

impl Writer<'_> {
    /// The file of a chunk that is not in a shard.
    fn name(&self, level: usize, plane: Plane, place: [usize; 2]) -> PathBuf {
        let path = self.arrays[level].keys.path(&self.index(plane, place));
        self.place.prefix.join(level.to_string()).join(path)
    }

    /// The index of a chunk in its array.
    fn index(&self, plane: Plane, [row, column]: [usize; 2]) -> Vec<usize> {
        let place = [plane.t, plane.c, plane.z, row, column];
        self.axes.iter().map(|axis| place[*axis]).collect()
    }

    /// How many chunks of a shard lie in the image.
    fn chunks_of_shard(&self, level: usize, shard: &Shard, of: &[usize]) -> usize {
        let last = of.len() - 2;
        let along = |axis: usize| {
            let chunks = self.grid.sizes[level][axis].div_ceil(self.grid.tile);
            let (first, size) = (of[last + axis] * shard.chunks[last + axis], shard.chunks[last + axis]);
            chunks.saturating_sub(first).min(size)
        };
        along(0) * along(1)
    }

    fn write_metadata(&self, version: Version) -> Result<(), WriteError> {
        let documents = Documents { root: self.place.root, manifest: self.manifest, version, request: None };
        let names: Vec<&str> = self.axes.iter().map(|axis| NAMES[*axis]).collect();
        for (level, array) in self.arrays.iter().enumerate() {
            let folder = self.place.prefix.join(level.to_string());
            match version {
                Version::V04 => documents.json(&folder.join(".zarray"), &array.to_v2())?,
                Version::V05 => documents.json(&folder.join("zarr.json"), &array.to_v3(&names))?,
            }
        }
        Ok(())
    }
}

/// Whether every bit is 0.
fn is_empty(samples: &[u8]) -> bool {
    let (words, rest) = samples.as_chunks();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// The samples of a chunk in its whole size, with 0 where the image has ended.
fn padded<'a>(chunk: &Chunk<'a>, tile: [usize; 2], bytes: usize, into: &'a mut Vec<u8>) -> &'a [u8] {
    let [height, width] = chunk.samples.size;
    if [height, width] == tile {
        return chunk.samples.samples;
    }
    into.clear();
    into.resize(tile[0] * tile[1] * bytes, 0);
    let rows = chunk.samples.samples.chunks_exact(width * bytes);
    for (row, target) in rows.zip(into.chunks_exact_mut(tile[1] * bytes)) {
        target[..row.len()].copy_from_slice(row);
    }
    into
}
