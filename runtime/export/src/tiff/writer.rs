//! An image as OME-TIFF: tiles in the order in which they are done, directories at the end.
//!
//! Where a tile goes is decided when it is compressed, by adding to the end of the file, so that threads never wait for each
//! other. Everything that names an offset comes last; only then is it known whether 32 bits hold all of them, and the header
//! is written as that of a classic TIFF or a BigTIFF.

mod ifd;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ifd::{Ifd, Value};

use super::predictor::{self, Predictor};
use super::tag;
use crate::codec::{CodecError, Workspace};
use crate::manifest;
use crate::ome;
use crate::pipeline::{self, Chunk, Sink};
use crate::publish::Single;
use crate::pyramid::{Grid, sizes};
use crate::sample::SampleType;
use crate::shape::{Plane, Shape};
use crate::source::Source;
use crate::write_error::WriteError;

/// How tiles are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    /// Not at all.
    None,
    /// LZW, which every reader knows.
    Lzw,
    /// Deflate, which nearly every reader knows.
    Deflate {
        /// From 1 to 9.
        level: u8,
    },
    /// zstd, which tifffile and Bio-Formats know.
    Zstd {
        /// From 1 to 22.
        level: i32,
    },
}

/// How a page is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One strip that is not compressed: what any program can read, and what programs on clusters expect.
    Strip,
    /// Tiles.
    Tiles {
        /// Rows and columns at most; a multiple of 16, as TIFF wants it. Smaller where the image is.
        tile: usize,
        /// Whether smaller copies are in SubIFDs.
        pyramid: bool,
    },
}

/// How an image is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How pages are laid out.
    pub layout: Layout,
    /// How tiles are compressed.
    pub compress: Compress,
    /// Whether the pages of the channels of a plane follow each other, as in BIOMERO's converter; or else those of a stack.
    pub channels_first: bool,
    /// Whether its digest is written beside it.
    pub digest: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Height and width of each level.
    pub sizes: Vec<[usize; 2]>,
    /// Whether it is a BigTIFF.
    pub big: bool,
    /// Its length.
    pub bytes: u64,
}

/// A pyramid ends with the first level whose longer side is no longer.
const SMALLEST: usize = 256;

/// What a header takes at most: a BigTIFF's.
const HEADER: u64 = 16;

/// Writes an image. `target` is a file that is not there yet.
///
/// # Errors
/// The source cannot be read, the file not written, the memory does not suffice, or it was stopped.
pub fn write(
    source: &dyn Source,
    target: &Path,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Written, WriteError> {
    let planes = ome::Planes::Pages { channels_first: options.channels_first };
    write_described(source, target, options, || ome::write(&[ome::Described::of(source)], planes), work)
}

/// Writes an image that is described by this OME-XML, which is made once it is known that the image can be written.
pub(super) fn write_described(
    source: &dyn Source,
    target: &Path,
    options: &Options,
    describe: impl FnOnce() -> String,
    work: &pipeline::Options<'_>,
) -> Result<Written, WriteError> {
    let unsupported = |what: &str, remedy| Err(WriteError::Unsupported { what: what.to_owned(), remedy });
    let shape = source.shape();
    let fitting = |tile: usize| tile.min(shape.y.max(shape.x).next_multiple_of(16));
    let grid = match options.layout {
        Layout::Tiles { tile, .. } if tile < 16 || tile % 16 != 0 => {
            return unsupported("the rows and columns of a tile are a multiple of 16", "choose another");
        }
        Layout::Strip if options.compress != Compress::None => {
            return unsupported("one strip a page is not compressed", "choose tiles, or no compression");
        }
        Layout::Tiles { tile, pyramid: true } => {
            Grid { tile: fitting(tile), sizes: sizes(shape.y, shape.x, SMALLEST) }
        }
        Layout::Tiles { tile, pyramid: false } => {
            Grid { tile: fitting(tile), sizes: vec![[shape.y, shape.x]] }
        }
        // Four times the chunk that is usual: half as many rows to be written one by one, where they are parts of longer ones.
        Layout::Strip => {
            let tile = if source.sample_type().bytes() > 2 { 1024 } else { 2048 };
            Grid { tile, sizes: vec![[shape.y, shape.x]] }
        }
    };
    if let Layout::Tiles { .. } = options.layout {
        // Offset and length of each tile: a quarter of what there is, so that the tiles have the rest.
        let tiles = (0..grid.sizes.len()).map(|level| tiles(&grid, level).into_iter().product::<usize>());
        let needed = tiles.sum::<usize>().saturating_mul(shape.planes()).saturating_mul(16);
        let allowed = work.memory / 4;
        if needed > allowed {
            return Err(WriteError::Memory { needed, allowed });
        }
    }
    let single = Single::new(target)?;
    let sample_type = source.sample_type();
    let page = shape.y as u64 * shape.x as u64 * sample_type.bytes() as u64;
    let (tables, end) = match options.layout {
        // Where each page is, is known.
        Layout::Strip => (Vec::new(), HEADER + page.next_multiple_of(2) * shape.planes() as u64),
        Layout::Tiles { .. } => {
            let tables = (0..grid.sizes.len()).map(|level| {
                Mutex::new(vec![(0, 0); shape.planes() * tiles(&grid, level).into_iter().product::<usize>()])
            });
            (tables.collect(), HEADER)
        }
    };
    let predictor = match options.compress {
        Compress::None => Predictor::None,
        // Bio-Formats knows no other, and differences of floating-point bits compress no better.
        _ if sample_type.is_float() => Predictor::None,
        _ => Predictor::Horizontal,
    };
    let writer = Writer {
        file: single.file(),
        target,
        shape,
        sample_type,
        grid: &grid,
        options,
        predictor,
        end: AtomicU64::new(end),
        tables,
    };
    let work = match options.layout {
        Layout::Strip => *work,
        Layout::Tiles { .. } => pipeline::Options { memory: work.memory - work.memory / 4, ..*work },
    };
    pipeline::run(source, &grid, &writer, &work)?;
    let (big, bytes) = writer.write_directories(describe().into_bytes())?;
    let digest = match options.digest {
        true => Some(manifest::digest_of(single.path()).map_err(WriteError::io("read", target))?),
        false => None,
    };
    single.publish()?;
    if let Some(digest) = digest {
        let name = target.file_name().unwrap_or_default();
        let list = manifest::Manifest::new(manifest::of(target));
        list.line(Path::new(name), &digest)?;
        list.finish()?;
    }
    Ok(Written { sizes: grid.sizes, big, bytes })
}

/// Rows and columns of tiles.
fn tiles(grid: &Grid, level: usize) -> [usize; 2] {
    grid.sizes[level].map(|side| side.div_ceil(grid.tile))
}

struct Writer<'a> {
    file: &'a File,
    target: &'a Path,
    shape: Shape,
    sample_type: SampleType,
    grid: &'a Grid,
    options: &'a Options,
    predictor: Predictor,
    end: AtomicU64,
    /// Offset and length of each tile of each page, by level.
    tables: Vec<Mutex<Vec<(u64, u64)>>>,
}

/// What a thread uses again from tile to tile.
#[derive(Debug, Default)]
struct Scratch {
    tile: Vec<u8>,
    stored: Vec<u8>,
    workspace: Workspace,
}

impl Sink for Writer<'_> {
    type Scratch = Scratch;

    const EXTREMES: bool = false;

    fn memory(&self) -> usize {
        match self.options.layout {
            Layout::Strip => 0,
            // The tile, what LZW may make of noise, and the tables of the compressor.
            Layout::Tiles { .. } => {
                self.grid.tile * self.grid.tile * self.sample_type.bytes() * 3 + (4 << 20)
            }
        }
    }

    fn store(&self, chunk: &Chunk<'_>, scratch: &mut Scratch) -> Result<(), WriteError> {
        let page = self.page(chunk.plane);
        match self.options.layout {
            Layout::Strip => self.store_rows(chunk, page),
            Layout::Tiles { .. } => self.store_tile(chunk, page, scratch),
        }
    }
}

impl Writer<'_> {
    /// The number of the page of a plane.
    const fn page(&self, plane: Plane) -> usize {
        match self.options.channels_first {
            true => (plane.t * self.shape.z + plane.z) * self.shape.c + plane.c,
            false => self.shape.number(plane),
        }
    }

    /// Bytes of a page that is one strip, and where it begins.
    fn strip(&self, page: usize) -> (u64, u64) {
        let bytes = self.shape.y as u64 * self.shape.x as u64 * self.sample_type.bytes() as u64;
        (bytes, HEADER + page as u64 * bytes.next_multiple_of(2))
    }

    fn store_rows(&self, chunk: &Chunk<'_>, page: usize) -> Result<(), WriteError> {
        let bytes = self.sample_type.bytes();
        let [_, width] = chunk.samples.size;
        let [row, column] = chunk.place.map(|index| index * self.grid.tile);
        let (_, start) = self.strip(page);
        let at = |row: usize| start + ((row * self.shape.x + column) * bytes) as u64;
        // Rows that follow each other are written at once.
        let together = if width == self.shape.x { chunk.samples.samples.len() } else { width * bytes };
        for (number, rows) in chunk.samples.samples.chunks(together.max(1)).enumerate() {
            self.put(rows, at(row + number))?;
        }
        Ok(())
    }

    fn store_tile(&self, chunk: &Chunk<'_>, page: usize, scratch: &mut Scratch) -> Result<(), WriteError> {
        let tile = self.grid.tile;
        let bytes = self.sample_type.bytes();
        let [_, width] = chunk.samples.size;
        scratch.tile.clear();
        scratch.tile.resize(tile * tile * bytes, 0);
        let rows = chunk.samples.samples.chunks_exact(width * bytes);
        for (row, target) in rows.zip(scratch.tile.chunks_exact_mut(tile * bytes)) {
            target[..row.len()].copy_from_slice(row);
        }
        predictor::apply(self.predictor, &mut scratch.tile, tile, bytes);
        compress(self.options.compress, scratch)?;
        let stored = match self.options.compress {
            Compress::None => &scratch.tile,
            _ => &scratch.stored,
        };
        let length = stored.len() as u64;
        let at = self.end.fetch_add(length.next_multiple_of(2), Ordering::Relaxed);
        self.put(stored, at)?;
        let [rows, columns] = tiles(self.grid, chunk.level);
        let number = (page * rows + chunk.place[0]) * columns + chunk.place[1];
        let mut table = self.tables[chunk.level].lock().unwrap_or_else(PoisonError::into_inner);
        table[number] = (at, length);
        Ok(())
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<(), WriteError> {
        self.file.write_all_at(bytes, at).map_err(WriteError::io("write", self.target))
    }

    /// Writes the directories and the header. Returns whether it is a BigTIFF, and how long it is.
    fn write_directories(&self, description: Vec<u8>) -> Result<(bool, u64), WriteError> {
        let start = self.end.load(Ordering::Relaxed);
        let pages = self.shape.planes();
        // How long everything is does not depend on what the offsets are.
        let mut lengths = [0, 0];
        for (length, big) in lengths.iter_mut().zip([false, true]) {
            let of = |page: usize| {
                let ifds = self.ifds(page, &description);
                ifds.iter().map(|ifd| ifd.length(big)).sum::<u64>()
            };
            let others = if pages > 1 { of(1).saturating_mul(pages as u64 - 1) } else { 0 };
            *length = of(0).saturating_add(others);
        }
        let big = start.saturating_add(lengths[0]) > u64::from(u32::MAX);
        let mut at = start;
        let mut output = Vec::new();
        for page in 0..pages {
            let mut ifds = self.ifds(page, &description);
            let lengths: Vec<u64> = ifds.iter().map(|ifd| ifd.length(big)).collect();
            let next = at + lengths.iter().sum::<u64>();
            let mut place = at;
            let smaller: Vec<u64> = lengths
                .iter()
                .map(|length| {
                    place += length;
                    place
                })
                .take(lengths.len() - 1)
                .collect();
            ifds[0].set(tag::SUB_IFDS, Value::Offsets(smaller));
            output.clear();
            for (number, ifd) in ifds.iter().enumerate() {
                let following = if number == 0 && page + 1 < pages { next } else { 0 };
                ifd.write(big, at + output.len() as u64, following, &mut output);
            }
            self.put(&output, at)?;
            at = next;
        }
        self.put(&ifd::header(big, start), 0)?;
        Ok((big, at))
    }

    /// The directory of a page and those of its smaller copies.
    fn ifds(&self, page: usize, description: &[u8]) -> Vec<Ifd> {
        (0..self.grid.sizes.len())
            .map(|level| {
                let [height, width] = self.grid.sizes[level];
                let mut ifd = Ifd::default();
                ifd.set(tag::NEW_SUBFILE_TYPE, Value::Long(u32::from(level > 0)));
                ifd.set(tag::IMAGE_WIDTH, Value::Long(width as u32));
                ifd.set(tag::IMAGE_LENGTH, Value::Long(height as u32));
                ifd.set(tag::BITS_PER_SAMPLE, Value::Short(8 * self.sample_type.bytes() as u16));
                ifd.set(tag::COMPRESSION, Value::Short(self.options.compress.number()));
                // Dark is 0.
                ifd.set(tag::PHOTOMETRIC, Value::Short(1));
                ifd.set(tag::SAMPLES_PER_PIXEL, Value::Short(1));
                ifd.set(tag::PLANAR_CONFIGURATION, Value::Short(1));
                ifd.set(
                    tag::SAMPLE_FORMAT,
                    Value::Short(match self.sample_type {
                        SampleType::Uint8 | SampleType::Uint16 | SampleType::Uint32 => 1,
                        SampleType::Int8 | SampleType::Int16 | SampleType::Int32 => 2,
                        SampleType::Float | SampleType::Double => 3,
                    }),
                );
                if self.predictor == Predictor::Horizontal {
                    ifd.set(tag::PREDICTOR, Value::Short(2));
                }
                match self.options.layout {
                    Layout::Strip => {
                        let (bytes, at) = self.strip(page);
                        ifd.set(tag::ROWS_PER_STRIP, Value::Long(height as u32));
                        ifd.set(tag::STRIP_OFFSETS, Value::Offsets(vec![at]));
                        ifd.set(tag::STRIP_BYTE_COUNTS, Value::Offsets(vec![bytes]));
                    }
                    Layout::Tiles { .. } => {
                        let tile = self.grid.tile;
                        let count: usize = tiles(self.grid, level).into_iter().product();
                        let table = self.tables[level].lock().unwrap_or_else(PoisonError::into_inner);
                        let of_page = &table[page * count..(page + 1) * count];
                        ifd.set(tag::TILE_WIDTH, Value::Long(tile as u32));
                        ifd.set(tag::TILE_LENGTH, Value::Long(tile as u32));
                        let offsets = of_page.iter().map(|(at, _)| *at).collect();
                        ifd.set(tag::TILE_OFFSETS, Value::Offsets(offsets));
                        let lengths = of_page.iter().map(|(_, length)| *length).collect();
                        ifd.set(tag::TILE_BYTE_COUNTS, Value::Offsets(lengths));
                    }
                }
                if level == 0 && self.grid.sizes.len() > 1 {
                    // Their number is known, and with it how much room they take.
                    ifd.set(tag::SUB_IFDS, Value::Offsets(vec![0; self.grid.sizes.len() - 1]));
                }
                if level == 0 && page == 0 {
                    ifd.set(tag::IMAGE_DESCRIPTION, Value::Text(description.to_vec()));
                    ifd.set(tag::SOFTWARE, Value::Text(b"biomero-worker".to_vec()));
                }
                ifd
            })
            .collect()
    }
}

impl Compress {
    const fn number(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Lzw => 5,
            Self::Deflate { .. } => 8,
            Self::Zstd { .. } => 50_000,
        }
    }
}

/// Compresses the tile of a scratch.
fn compress(how: Compress, scratch: &mut Scratch) -> Result<(), WriteError> {
    let Scratch { tile, stored, workspace } = scratch;
    stored.clear();
    match how {
        Compress::None => {}
        Compress::Lzw => {
            let mut encoder =
                weezl::encode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8).build();
            let result = encoder.into_vec(stored).encode_all(tile);
            result.status.map_err(|error| CodecError::new(format!("LZW: {error}")))?;
        }
        Compress::Deflate { level } => {
            let level = flate2::Compression::new(level.into());
            let mut encoder = flate2::read::ZlibEncoder::new(tile.as_slice(), level);
            std::io::Read::read_to_end(&mut encoder, stored)
                .map_err(|error| CodecError::new(format!("Deflate: {error}")))?;
        }
        Compress::Zstd { level } => workspace.zstd(level, tile, stored)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
