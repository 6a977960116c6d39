//! An image as OME-TIFF: tiles in the order of the pipeline, directories at the end.
//!
//! Where a tile goes is decided when all before it are compressed, by adding to the end of the file (`queue`). Everything that
//! names an offset comes last; only then is it known whether 32 bits hold all of them, and the header is written as that of a
//! classic TIFF or a BigTIFF. The bytes of a file follow from the image and the options alone: there is no date and no random
//! id in it, and the number of threads makes no difference.

mod ifd;
mod queue;
mod resolution;
mod tile;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ifd::{Ifd, Value};
use queue::{Queue, Stored};
use tile::{Pixel, Scratch};

use super::predictor::Predictor;
use super::tag;
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
    /// Whether its three channels are taken for red, green and blue of one picture although it does not say so.
    pub rgb: bool,
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
    let describe = |colour| ome::write(&[ome::Described { colour, ..ome::Described::of(source) }], planes);
    write_described(source, target, options, describe, work)
}

/// Writes an image that is described by this OME-XML, which is made once it is known that the image can be written, and whether
/// as a picture in colour.
pub(super) fn write_described(
    source: &dyn Source,
    target: &Path,
    options: &Options,
    describe: impl FnOnce(bool) -> String,
    work: &pipeline::Options<'_>,
) -> Result<Written, WriteError> {
    let unsupported = |what: &str, remedy| Err(WriteError::Unsupported { what: what.to_owned(), remedy });
    let shape = source.shape();
    let colour = is_colour(source, options)?;
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
    let samples = if colour { 3 } else { 1 };
    let pages = Shape { c: shape.c / samples, ..shape };
    if let Layout::Tiles { .. } = options.layout {
        // Offset and length of each tile: a quarter of what there is, so that the tiles have the rest.
        let tiles = (0..grid.sizes.len()).map(|level| tiles(&grid, level).into_iter().product::<usize>());
        let needed = tiles.sum::<usize>().saturating_mul(pages.planes()).saturating_mul(16);
        let allowed = work.memory / 4;
        if needed > allowed {
            return Err(WriteError::Memory { needed, allowed });
        }
    }
    let single = Single::new(target)?;
    let sample_type = source.sample_type();
    let pixel = Pixel { bytes: sample_type.bytes(), samples };
    let page = shape.y as u64 * shape.x as u64 * pixel.size() as u64;
    let (tables, end) = match options.layout {
        // Where each page is, is known.
        Layout::Strip => (Vec::new(), HEADER + page.next_multiple_of(2) * pages.planes() as u64),
        Layout::Tiles { .. } => {
            let tables = (0..grid.sizes.len()).map(|level| {
                Mutex::new(vec![(0, 0); pages.planes() * tiles(&grid, level).into_iter().product::<usize>()])
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
        pages,
        pixel,
        sample_type,
        resolution: resolution::of(source.metadata()),
        grid: &grid,
        options,
        predictor,
        queue: Queue::new(end),
        tables,
    };
    let work = match options.layout {
        Layout::Strip => *work,
        Layout::Tiles { .. } => pipeline::Options { memory: work.memory - work.memory / 4, ..*work },
    };
    pipeline::run(source, &grid, &writer, &work)?;
    let (big, bytes) = writer.write_directories(describe(colour).into_bytes())?;
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

/// Whether three channels become the samples of one pixel. Those of a type that colours do not have stay channels.
fn is_colour(source: &dyn Source, options: &Options) -> Result<bool, WriteError> {
    let (shape, kind) = (source.shape(), source.sample_type());
    let can_be = shape.c == 3 && matches!(kind, SampleType::Uint8 | SampleType::Uint16);
    if options.rgb && !can_be {
        return Err(WriteError::Unsupported {
            what: format!("an image of {} channels of {kind} is no picture in red, green and blue", shape.c),
            remedy: "write its channels as they are, or give it three of uint8 or uint16",
        });
    }
    Ok(can_be && (options.rgb || source.metadata().is_rgb))
}

/// Rows and columns of tiles.
fn tiles(grid: &Grid, level: usize) -> [usize; 2] {
    grid.sizes[level].map(|side| side.div_ceil(grid.tile))
}

struct Writer<'a> {
    file: &'a File,
    target: &'a Path,
    /// The image as if a page had one channel.
    pages: Shape,
    pixel: Pixel,
    sample_type: SampleType,
    /// Pixels in a centimetre, as fractions.
    resolution: Option<[[u32; 2]; 2]>,
    grid: &'a Grid,
    options: &'a Options,
    predictor: Predictor,
    queue: Queue,
    /// Offset and length of each tile of each page, by level.
    tables: Vec<Mutex<Vec<(u64, u64)>>>,
}

impl Sink for Writer<'_> {
    type Scratch = Scratch;

    const EXTREMES: bool = false;

    const APART: bool = false;

    fn memory(&self) -> usize {
        let tile = self.grid.tile * self.grid.tile * self.pixel.size();
        match self.options.layout {
            Layout::Strip if self.pixel.samples == 1 => 0,
            Layout::Strip => tile,
            // The tile, what LZW may make of noise, and the tables of the compressor.
            Layout::Tiles { .. } => tile * 3 + (4 << 20),
        }
    }

    fn kept(&self, bytes: usize) -> usize {
        match self.options.layout {
            Layout::Strip => 0,
            // Again what LZW may make of noise.
            Layout::Tiles { .. } => bytes + bytes / 2,
        }
    }

    fn together(&self) -> usize {
        self.pixel.samples
    }

    fn store(&self, chunk: &Chunk<'_>, scratch: &mut Scratch) -> Result<(), WriteError> {
        let page = self.page(chunk.plane);
        match self.options.layout {
            Layout::Strip => self.store_rows(chunk, page, scratch),
            Layout::Tiles { .. } => self.store_tile(chunk, page, scratch),
        }
    }
}

impl Writer<'_> {
    /// The number of the page of a plane.
    const fn page(&self, plane: Plane) -> usize {
        let plane = Plane { c: plane.c / self.pixel.samples, ..plane };
        match self.options.channels_first {
            true => (plane.t * self.pages.z + plane.z) * self.pages.c + plane.c,
            false => self.pages.number(plane),
        }
    }

    /// Bytes of a page that is one strip, and where it begins.
    fn strip(&self, page: usize) -> (u64, u64) {
        let bytes = self.pages.y as u64 * self.pages.x as u64 * self.pixel.size() as u64;
        (bytes, HEADER + page as u64 * bytes.next_multiple_of(2))
    }

    fn store_rows(&self, chunk: &Chunk<'_>, page: usize, scratch: &mut Scratch) -> Result<(), WriteError> {
        let bytes = self.pixel.size();
        let [height, width] = chunk.samples.size;
        let [row, column] = chunk.place.map(|index| index * self.grid.tile);
        let (_, start) = self.strip(page);
        let at = |row: usize| start + ((row * self.pages.x + column) * bytes) as u64;
        let pixels = if self.pixel.samples == 1 {
            chunk.samples.samples
        } else {
            self.pixel.interleave(chunk.samples, width, height, &mut scratch.tile);
            &scratch.tile
        };
        // Rows that follow each other are written at once.
        let together = if width == self.pages.x { pixels.len() } else { width * bytes };
        for (number, rows) in pixels.chunks(together.max(1)).enumerate() {
            self.put(rows, at(row + number))?;
        }
        Ok(())
    }

    fn store_tile(&self, chunk: &Chunk<'_>, page: usize, scratch: &mut Scratch) -> Result<(), WriteError> {
        scratch.make(chunk.samples, self.grid.tile, self.pixel, self.predictor, self.options.compress)?;
        let [rows, columns] = tiles(self.grid, chunk.level);
        let tile = (chunk.level, (page * rows + chunk.place[0]) * columns + chunk.place[1]);
        let bytes = std::mem::take(&mut scratch.stored);
        scratch.stored = self.queue.push(chunk.number, Stored { tile, bytes });
        while let Some((at, Stored { tile: (level, number), bytes })) = self.queue.pop() {
            self.put(&bytes, at)?;
            let mut table = self.tables[level].lock().unwrap_or_else(PoisonError::into_inner);
            table[number] = (at, bytes.len() as u64);
            drop(table);
            self.queue.give_back(bytes);
        }
        Ok(())
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<(), WriteError> {
        self.file.write_all_at(bytes, at).map_err(WriteError::io("write", self.target))
    }

    /// Writes the directories and the header. Returns whether it is a BigTIFF, and how long it is.
    fn write_directories(&self, description: Vec<u8>) -> Result<(bool, u64), WriteError> {
        let start = self.queue.end();
        let pages = self.pages.planes();
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
                let each = |value: u16| Value::Shorts(vec![value; self.pixel.samples]);
                ifd.set(tag::BITS_PER_SAMPLE, each(8 * self.pixel.bytes as u16));
                ifd.set(tag::COMPRESSION, Value::Short(self.options.compress.number()));
                // Red, green and blue; or dark is 0.
                ifd.set(tag::PHOTOMETRIC, Value::Short(if self.pixel.samples == 3 { 2 } else { 1 }));
                ifd.set(tag::SAMPLES_PER_PIXEL, Value::Short(self.pixel.samples as u16));
                ifd.set(tag::PLANAR_CONFIGURATION, Value::Short(1));
                ifd.set(
                    tag::SAMPLE_FORMAT,
                    each(match self.sample_type {
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
                if let (0, Some([x, y])) = (level, self.resolution) {
                    ifd.set(tag::X_RESOLUTION, Value::Fraction(x));
                    ifd.set(tag::Y_RESOLUTION, Value::Fraction(y));
                    // Centimetres.
                    ifd.set(tag::RESOLUTION_UNIT, Value::Short(3));
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

#[cfg(test)]
mod tests;
