//! One directory as pixels: how it is laid out, and where its strips or tiles are.

use std::ops::Range;
use std::sync::Arc;

use super::compression::Method;
use super::directory::{Directory, Entry, TiffFile};
use super::interleave::Pixel;
use super::jpeg::{self, Expected};
use super::predictor::{self, Predictor};
use super::tag;
use crate::sample::{SampleType, swap};
use crate::shape::LONGEST;
use crate::source::cache::Cache;
use crate::source::{Limits, ReadError};

/// What most pages of a file have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) sample_type: SampleType,
    /// Samples of a pixel.
    pub(crate) samples: usize,
    /// Whether each sample of a pixel is in a plane of its own.
    separate: bool,
    pub(crate) method: Method,
    predictor: Predictor,
    /// Rows and columns of a strip or tile.
    pub(crate) tile: [usize; 2],
    pub(crate) tiled: bool,
    /// How numbers become light: TIFF 6.0, PhotometricInterpretation.
    pub(crate) photometric: u64,
}

/// A directory with pixels.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) layout: Arc<Layout>,
    /// Where its directory is: what tells it from others.
    pub(crate) at: u64,
    offsets: Entry,
    counts: Entry,
    /// What the streams of JPEG have in common.
    tables: Option<Entry>,
}

/// Strips and tiles that are kept: by file, directory and number.
pub(crate) type Chunks = Cache<(usize, u64, usize)>;

/// A rectangle of one sample of a page, or of all those that lie side by side.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Which of the files of the image the page is in.
    pub(crate) file: usize,
    pub(crate) y: usize,
    pub(crate) x: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Which samples of each pixel.
    pub(crate) samples: Range<usize>,
}

impl Layout {
    /// Reads what a directory says of its pixels.
    fn read(file: &TiffFile, directory: &Directory) -> Result<Self, ReadError> {
        let entry = |tag: u16| directory.entries.get(&tag);
        let number = |tag: u16| entry(tag).map(|entry| file.number(entry, 0)).transpose();
        let unsupported = |what: String, remedy| ReadError::unsupported(&file.path, what, remedy);
        let side = |tag: u16, name: &str| -> Result<usize, ReadError> {
            let side = number(tag)?.and_then(|side| usize::try_from(side).ok());
            side.filter(|side| (1..=LONGEST).contains(side))
                .ok_or_else(|| file.damaged(format!("a page has no {name} that an image can have")))
        };
        let (width, height) = (side(tag::IMAGE_WIDTH, "width")?, side(tag::IMAGE_LENGTH, "height")?);
        let samples = number(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if !(1..=4096).contains(&samples) {
            return Err(file.damaged(format!("a page has {samples} samples a pixel")));
        }
        let alike = |tag: u16, default: u64| -> Result<u64, ReadError> {
            let Some(entry) = entry(tag) else { return Ok(default) };
            let values = file.numbers(entry)?;
            match values.split_first() {
                None => Ok(default),
                Some((first, rest)) if rest.iter().all(|value| value == first) => Ok(*first),
                Some(_) => Err(unsupported(
                    "the samples of its pixels differ in size or format".to_owned(),
                    "convert it with bioformats2raw first",
                )),
            }
        };
        let (bits, format) = (alike(tag::BITS_PER_SAMPLE, 1)?, alike(tag::SAMPLE_FORMAT, 1)?);
        let sample_type = match (format, bits) {
            (1 | 4, 8) => SampleType::Uint8,
            (1 | 4, 16) => SampleType::Uint16,
            (1 | 4, 32) => SampleType::Uint32,
            (2, 8) => SampleType::Int8,
            (2, 16) => SampleType::Int16,
            (2, 32) => SampleType::Int32,
            (3, 32) => SampleType::Float,
            (3, 64) => SampleType::Double,
            (5 | 6, _) => {
                let what = "its samples are complex numbers".to_owned();
                return Err(unsupported(what, "save their real parts, or their magnitudes, as floats"));
            }
            _ => {
                let what = format!("its samples have {bits} bits in format {format}");
                return Err(unsupported(what, "convert them to 8, 16 or 32 bits, or to a float"));
            }
        };
        let method = Method::of(&file.path, number(tag::COMPRESSION)?.unwrap_or(1))?;
        let predictor = match number(tag::PREDICTOR)?.unwrap_or(1) {
            2 => Predictor::Horizontal,
            3 if sample_type.is_float() => Predictor::Float,
            1 => Predictor::None,
            other => return Err(file.damaged(format!("a page has the predictor {other}"))),
        };
        let photometric = number(tag::PHOTOMETRIC)?.unwrap_or(1);
        match (method, sample_type) {
            (Method::Jpeg, SampleType::Uint8) => {}
            (Method::Jpeg, _) => {
                let what = format!("it is compressed with JPEG of {bits} bits");
                return Err(unsupported(what, "convert it with bioformats2raw first"));
            }
            _ if photometric == 6 => {
                let what = "its colours are YCbCr, and not compressed with JPEG".to_owned();
                return Err(unsupported(what, "save it in red, green and blue"));
            }
            _ => {}
        }
        let tiled = entry(tag::TILE_OFFSETS).is_some();
        let tile = if tiled {
            [side(tag::TILE_LENGTH, "height of tiles")?, side(tag::TILE_WIDTH, "width of tiles")?]
        } else {
            let rows = number(tag::ROWS_PER_STRIP)?.and_then(|rows| usize::try_from(rows).ok());
            [rows.filter(|rows| *rows > 0).unwrap_or(height).min(height), width]
        };
        Ok(Self {
            height,
            width,
            sample_type,
            samples: samples as usize,
            separate: samples > 1 && number(tag::PLANAR_CONFIGURATION)? == Some(2),
            method,
            predictor,
            tile,
            tiled,
            photometric,
        })
    }

    /// Samples that lie side by side for a pixel.
    pub(crate) const fn interleaved(&self) -> usize {
        if self.separate { 1 } else { self.samples }
    }

    const fn pixel(&self) -> Pixel {
        Pixel { samples: self.interleaved(), bytes: self.sample_type.bytes() }
    }

    /// Bytes of a whole strip or tile; `None` beyond what 64 bits count.
    pub(crate) fn tile_bytes(&self) -> Option<usize> {
        self.tile[0].checked_mul(self.tile[1])?.checked_mul(self.pixel().size())
    }

    /// Whether a part of a row can be read from where it is.
    fn is_plain(&self) -> bool {
        !self.tiled && self.method == Method::None && self.predictor == Predictor::None
    }

    /// Bytes that a thread needs while it reads.
    pub(crate) fn memory(&self) -> usize {
        match self.is_plain() {
            true => PIECE,
            false => self.tile_bytes().map_or(usize::MAX / 4, |bytes| {
                let decoder = if self.method == Method::Jpeg { jpeg::COEFFICIENTS * bytes } else { 0 };
                2 * bytes + largest(bytes) + decoder
            }),
        }
    }
}

/// Bytes that are read at once of pixels of several samples, before these are taken apart.
const PIECE: usize = 256 << 10;

/// The most bytes that a tile of so many is stored in: LZW makes half as much again of noise.
const fn largest(bytes: usize) -> usize {
    bytes + bytes / 2 + (64 << 10)
}

impl Page {
    /// Reads a directory; `like` is the page before, whose layout is shared where it is the same.
    pub(crate) fn read(
        file: &TiffFile,
        directory: &Directory,
        like: Option<&Self>,
        limits: Limits,
    ) -> Result<Self, ReadError> {
        let layout = Layout::read(file, directory)?;
        let entry = |tags: [u16; 2]| {
            tags.iter()
                .find_map(|tag| directory.entries.get(tag))
                .copied()
                .ok_or_else(|| file.damaged("a page does not say where its strips or tiles are"))
        };
        let bytes = layout.tile_bytes().filter(|bytes| *bytes <= limits.chunk || layout.is_plain());
        if bytes.is_none() {
            return Err(ReadError::TooLarge {
                path: file.path.clone(),
                what: if layout.tiled { "one of its tiles" } else { "one of its strips" },
                bytes: layout.tile_bytes().map_or(u64::MAX, |bytes| bytes as u64),
                limit: limits.chunk as u64,
            });
        }
        let layout = match like {
            Some(page) if *page.layout == layout => Arc::clone(&page.layout),
            _ => Arc::new(layout),
        };
        Ok(Self {
            layout,
            at: directory.at,
            tables: directory.entries.get(&tag::JPEG_TABLES).copied(),
            offsets: entry([tag::TILE_OFFSETS, tag::STRIP_OFFSETS])?,
            counts: entry([tag::TILE_BYTE_COUNTS, tag::STRIP_BYTE_COUNTS])?,
        })
    }

    /// Reads a rectangle that lies within the page: the samples one after the other.
    pub(crate) fn samples(
        &self,
        file: &TiffFile,
        chunks: &Chunks,
        wanted: &Wanted,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        if wanted.height == 0 || wanted.width == 0 {
            return Ok(());
        }
        // A smaller copy may have in planes what lies side by side in the page.
        if self.layout.interleaved() == 1 && wanted.samples.len() > 1 {
            let of_sample = into.len() / wanted.samples.len();
            return wanted.samples.clone().zip(into.chunks_exact_mut(of_sample)).try_for_each(
                |(sample, into)| {
                    let wanted = Wanted { samples: sample..sample + 1, ..*wanted };
                    self.samples(file, chunks, &wanted, into)
                },
            );
        }
        if self.layout.is_plain() {
            self.rows(file, wanted, into)
        } else {
            self.tiles(file, chunks, wanted, into)
        }
    }

    /// Which strip or tile, counted through the planes of a page.
    fn number(&self, row: usize, column: usize, sample: usize) -> usize {
        let Layout { height, width, tile, separate, .. } = *self.layout;
        let (rows, columns) = (height.div_ceil(tile[0]), width.div_ceil(tile[1]));
        let plane = if separate { sample } else { 0 };
        (plane * rows + row) * columns + column
    }

    /// Straight from the strips.
    fn rows(&self, file: &TiffFile, wanted: &Wanted, into: &mut [u8]) -> Result<(), ReadError> {
        let Layout { width, tile: [rows, _], .. } = *self.layout;
        let pixel = self.layout.pixel();
        let (stride, length) = (width * pixel.size(), wanted.width * pixel.size());
        let of_sample = into.len() / wanted.samples.len();
        let mut pixels = Vec::new();
        let mut row = 0;
        while row < wanted.height {
            let y = wanted.y + row;
            let number = self.number(y / rows, 0, wanted.samples.start) as u64;
            let in_strip = (rows - y % rows).min(wanted.height - row);
            let start = (y % rows * stride + wanted.x * pixel.size()) as u64;
            let stored = file.number(&self.counts, number)?;
            let end = start + ((in_strip - 1) * stride + length) as u64;
            if end > stored {
                return Err(file
                    .damaged(format!("strip {number} of a page has {stored} bytes where {end} should be")));
            }
            let offset = file.number(&self.offsets, number)?.checked_add(start);
            let offset = offset.ok_or_else(|| file.damaged("a strip lies beyond what a file can hold"))?;
            // Rows that follow each other are read at once.
            let together = if wanted.width == width { in_strip } else { 1 };
            for line in (0..in_strip).step_by(together) {
                let first = (row + line) * wanted.width * pixel.bytes;
                let end = first + together * wanted.width * pixel.bytes;
                let mut at = offset.saturating_add((line * stride) as u64);
                if pixel.samples == 1 {
                    file.bytes(at, &mut into[first..end])?;
                    continue;
                }
                let piece = (PIECE / pixel.size()).max(1) * pixel.bytes;
                for start in (first..end).step_by(piece) {
                    let part = start..end.min(start + piece);
                    pixels.resize(part.len() * pixel.samples, 0);
                    file.bytes(at, &mut pixels)?;
                    at = at.saturating_add(pixels.len() as u64);
                    for (sample, into) in wanted.samples.clone().zip(into.chunks_exact_mut(of_sample)) {
                        pixel.take(sample, &pixels, &mut into[part.clone()]);
                    }
                }
            }
            row += in_strip;
        }
        if !file.is_little() {
            swap(into, pixel.bytes);
        }
        Ok(())
    }

    /// From strips or tiles that are decompressed.
    fn tiles(
        &self,
        file: &TiffFile,
        chunks: &Chunks,
        wanted: &Wanted,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        let Layout { height, width, tile: [rows, columns], .. } = *self.layout;
        let pixel = self.layout.pixel();
        // A page of separate planes has a tile for each sample.
        let samples = if pixel.samples == 1 { 0..1 } else { wanted.samples.clone() };
        let of_sample = into.len() / samples.len();
        let (bottom, right) = (wanted.y + wanted.height, wanted.x + wanted.width);
        for row in wanted.y / rows..=(bottom - 1) / rows {
            let (top, end) = ((row * rows).max(wanted.y), ((row + 1) * rows).min(bottom));
            for column in wanted.x / columns..=(right - 1) / columns {
                let (left, stop) = ((column * columns).max(wanted.x), ((column + 1) * columns).min(right));
                // Nothing else of it will be asked for.
                let whole = pixel.samples == samples.len()
                    && top == row * rows
                    && left == column * columns
                    && end == ((row + 1) * rows).min(height)
                    && stop == ((column + 1) * columns).min(width);
                let key = (wanted.file, self.at, self.number(row, column, wanted.samples.start));
                let tile = self.tile(file, chunks, key, row, whole)?;
                for y in top..end {
                    let from = ((y - row * rows) * columns + left - column * columns) * pixel.size();
                    let from = &tile[from..][..(stop - left) * pixel.size()];
                    let to = ((y - wanted.y) * wanted.width + left - wanted.x) * pixel.bytes;
                    for (sample, into) in samples.clone().zip(into.chunks_exact_mut(of_sample)) {
                        pixel.take(sample, from, &mut into[to..to + (stop - left) * pixel.bytes]);
                    }
                }
            }
        }
        Ok(())
    }

    /// What the streams of JPEG have in common; nothing where each has its own.
    fn tables(&self, file: &TiffFile) -> Result<Vec<u8>, ReadError> {
        let Some(tables) = &self.tables else { return Ok(Vec::new()) };
        file.raw(tables, jpeg::TABLES)
    }

    /// A strip or tile, decompressed, in little-endian order.
    fn tile(
        &self,
        file: &TiffFile,
        chunks: &Chunks,
        key @ (_, _, number): (usize, u64, usize),
        row: usize,
        whole: bool,
    ) -> Result<Arc<Vec<u8>>, ReadError> {
        if let Some(tile) = chunks.get(&key) {
            return Ok(tile);
        }
        let Layout {
            height, tile: [rows, columns], tiled, method, predictor, sample_type, photometric, ..
        } = *self.layout;
        // The last strip ends with the page, a tile goes on.
        let rows = if tiled { rows } else { rows.min(height - row * rows) };
        let bytes = rows * columns * self.layout.pixel().size();
        let (offset, count) =
            (file.number(&self.offsets, number as u64)?, file.number(&self.counts, number as u64)?);
        let damaged = |problem: String| {
            file.damaged(format!("strip or tile {number} of the page at {}: {problem}", self.at))
        };
        // What a sparse file leaves out.
        if offset == 0 && count == 0 {
            return Ok(Arc::new(vec![0; bytes]));
        }
        let count = usize::try_from(count).ok().filter(|count| *count <= largest(bytes));
        let count = count.ok_or_else(|| damaged("it is larger than it can be".to_owned()))?;
        let mut stored = vec![0; count];
        file.bytes(offset, &mut stored)?;
        let samples = if method == Method::Jpeg {
            let tables = self.tables(file)?;
            let expected = Expected {
                rows,
                most: self.layout.tile[0],
                columns,
                samples: self.layout.interleaved(),
                is_ycbcr: photometric == 6,
            };
            jpeg::decode(&tables, &stored, expected)
        } else {
            method.decompress(stored, bytes)
        };
        let mut samples = samples.map_err(|error| damaged(error.to_string()))?;
        if !file.is_little() && predictor != Predictor::Float {
            swap(&mut samples, sample_type.bytes());
        }
        predictor::undo(predictor, &mut samples, columns, self.layout.interleaved(), sample_type.bytes());
        let tile = Arc::new(samples);
        if !whole {
            chunks.keep(key, &tile);
        }
        Ok(tile)
    }
}
