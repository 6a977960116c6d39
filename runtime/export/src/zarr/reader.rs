//! OME-Zarr as a source.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::array::Array;
use super::chunk_grid::{Axes, Part, parts};
use super::group::{self, Group};
use super::labels;
use super::multiscale::Multiscale;
use super::shard::Index;
use crate::codec;
use crate::label::Label;
use crate::metadata::{Field, Metadata};
use crate::pyramid::Reduction;
use crate::sample::SampleType;
use crate::shape::{Region, Shape};
use crate::source::cache::Cache;
use crate::source::{Level, Limits, ReadError, Source, check, file};

/// An image of an OME-Zarr folder.
#[derive(Debug)]
pub struct ZarrImage {
    axes: Axes,
    levels: Vec<Level>,
    arrays: Vec<Stored>,
    metadata: Metadata,
    /// Whether its name is its own, and not that of its folder.
    named: bool,
    storage: String,
    complaints: Vec<String>,
    folder: PathBuf,
    limits: Limits,
    reduction: Reduction,
    shared: Arc<Shared>,
    /// Its number among those that share.
    number: usize,
}

/// An array and its folder.
#[derive(Debug)]
struct Stored {
    path: PathBuf,
    array: Array,
    /// Of a chunk that is decompressed.
    chunk_bytes: usize,
}

/// What the images of a folder share: what is kept of chunks, by image, level and index, and of the indices of shards.
#[derive(Debug)]
pub(crate) struct Shared {
    chunks: Cache<(usize, usize, Vec<usize>)>,
    indices: Cache<(usize, usize, Vec<usize>)>,
}

impl Shared {
    /// Nothing yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { chunks: Cache::new(limits.cache), indices: Cache::new(1 << 20) }
    }
}

impl ZarrImage {
    /// Reads the metadata of an image and all its levels; `None` where the group is no image.
    pub(crate) fn read(
        group: &Group,
        limits: Limits,
        shared: &Arc<Shared>,
        number: usize,
    ) -> Result<Option<Self>, ReadError> {
        let Some(multiscale) = Multiscale::read(&group.path, &group.attributes)? else { return Ok(None) };
        let Multiscale { version, axes, dimensions, levels: names, mut metadata, mut complaints } =
            multiscale;
        let mut levels: Vec<Level> = Vec::new();
        let mut arrays: Vec<Stored> = Vec::new();
        for name in &names {
            let path = group::within(&group.path, name)?;
            let array = group::array(&path)?;
            if array.shape.len() != dimensions {
                let problem =
                    format!("it has {} dimensions, and {dimensions} axes are named", array.shape.len());
                return Err(ReadError::damaged(&path, problem));
            }
            let side = |sides: &[usize], axis: usize| axes[axis].map_or(1, |dimension| sides[dimension]);
            let shape = Shape::new(std::array::from_fn(|axis| side(&array.shape, axis)))
                .ok_or_else(|| ReadError::damaged(&path, "it has more planes than OMERO can count"))?;
            if let (Some(first), Some(level)) = (arrays.first(), levels.first()) {
                let fits = array.sample_type == first.array.sample_type
                    && (shape.t, shape.c) == (level.shape.t, level.shape.c);
                if !fits {
                    complaints
                        .push(format!("level {name:?} has other samples, channels or times and is left out"));
                    continue;
                }
            }
            let chunk_bytes = array.chunk_bytes().filter(|bytes| *bytes <= limits.chunk);
            let Some(chunk_bytes) = chunk_bytes else {
                let bytes = array.chunk_bytes().map_or(u64::MAX, |bytes| bytes as u64);
                let limit = limits.chunk as u64;
                return Err(ReadError::TooLarge { path, what: "one of its chunks", bytes, limit });
            };
            levels.push(Level { shape, tile: [side(&array.chunk, 3), side(&array.chunk, 4)] });
            arrays.push(Stored { path, array, chunk_bytes });
        }
        let Some((first, level)) = arrays.first().zip(levels.first()) else { return Ok(None) };
        if !metadata.channels.is_empty() && metadata.channels.len() != level.shape.c {
            complaints.push(format!(
                "its omero block names {} channels and the image has {}",
                metadata.channels.len(),
                level.shape.c
            ));
            metadata.channels.truncate(level.shape.c);
        }
        let named = metadata.name.is_some();
        if !named {
            metadata.name = group.path.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        let storage = storage(version.as_deref(), &first.array);
        Ok(Some(Self {
            axes,
            metadata,
            named,
            storage,
            complaints,
            folder: group.path.clone(),
            limits,
            reduction: if group.attributes["image-label"].is_null() {
                Reduction::Mean
            } else {
                Reduction::Nearest
            },
            shared: Arc::clone(shared),
            number,
            levels,
            arrays,
        }))
    }

    /// Says where among others it is, where it has no name of its own.
    pub(crate) fn place(&mut self, place: &Path) {
        if !self.named {
            self.metadata.name = Some(place.to_string_lossy().into_owned());
        }
    }

    /// Says where on a plate it was taken.
    pub(crate) fn on_plate(&mut self, field: Option<Field>) {
        self.metadata.field = field;
    }

    /// A chunk that is decompressed; `None` where it is not stored.
    fn chunk(&self, level: usize, part: &Part) -> Result<Option<Arc<Vec<u8>>>, ReadError> {
        let key = (self.number, level, part.index.clone());
        if let Some(chunk) = self.shared.chunks.get(&key) {
            return Ok(Some(chunk));
        }
        let Stored { path, array, chunk_bytes } = &self.arrays[level];
        let stored = match &array.shard {
            Some(_) => self.of_shard(level, &part.index)?,
            None => {
                let path = path.join(array.keys.path(&part.index));
                file::read(&path, largest(*chunk_bytes), "a chunk")?.map(|bytes| (path, bytes))
            }
        };
        let Some((path, bytes)) = stored else { return Ok(None) };
        let samples = codec::decompress(&array.codecs, &bytes, *chunk_bytes)
            .and_then(|samples| array.normal(samples))
            .map_err(|error| ReadError::damaged(&path, error.to_string()))?;
        let chunk = Arc::new(samples);
        if !part.whole {
            self.shared.chunks.keep(key, &chunk);
        }
        Ok(Some(chunk))
    }

    /// The bytes of a chunk that shares its file with others.
    fn of_shard(&self, level: usize, chunk: &[usize]) -> Result<Option<(PathBuf, Vec<u8>)>, ReadError> {
        let Stored { path, array, chunk_bytes } = &self.arrays[level];
        let Some(shard) = &array.shard else { return Ok(None) };
        let of: Vec<usize> = chunk.iter().zip(&shard.chunks).map(|(chunk, chunks)| chunk / chunks).collect();
        let path = path.join(array.keys.path(&of));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ReadError::io(path)(error)),
        };
        let key = (self.number, level, of);
        let index = match self.shared.indices.get(&key) {
            Some(index) => index,
            None => {
                let index = Arc::new(Index::read(&file, &path, shard)?);
                self.shared.indices.keep(key, &index);
                index
            }
        };
        let Some((offset, length)) = Index::find(&index, shard, chunk) else { return Ok(None) };
        let length = usize::try_from(length).ok().filter(|length| *length <= largest(*chunk_bytes));
        let Some(length) = length else {
            return Err(ReadError::damaged(&path, "a chunk in it is larger than it can be"));
        };
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(Some((path, bytes))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ReadError::damaged(&path, "a chunk in it lies beyond its end"))
            }
            Err(error) => Err(ReadError::io(path)(error)),
        }
    }
}

/// The most bytes that a chunk of so many is stored in, whatever compresses it: noise grows by less.
const fn largest(chunk_bytes: usize) -> usize {
    chunk_bytes + chunk_bytes / 16 + (64 << 10)
}

/// How it is stored, for people.
fn storage(version: Option<&str>, array: &Array) -> String {
    let zarr = if array.keys.prefixed { "zarr v3" } else { "zarr v2" };
    let sides = |sides: &[usize]| sides.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    let mut text = format!("OME-Zarr {}, {zarr}, chunks {}", version.unwrap_or("?"), sides(&array.chunk));
    if let Some(shard) = &array.shard {
        text.push_str(&format!(" in shards of {}", sides(&shard.chunks)));
    }
    if array.wide {
        text.push_str(", stored as 64 bits");
    }
    for codec in &array.codecs {
        text.push_str(&format!(", {codec}"));
    }
    if array.codecs.is_empty() {
        text.push_str(", not compressed");
    }
    text
}

impl Source for ZarrImage {
    fn sample_type(&self) -> SampleType {
        self.arrays.first().map_or(SampleType::Uint8, |stored| stored.array.sample_type)
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn storage(&self) -> &str {
        &self.storage
    }

    fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn labels(&self) -> Result<Vec<Label>, ReadError> {
        labels::open(&self.folder, self.limits, &self.shared, self.number)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn memory(&self) -> usize {
        // What is stored, what comes out of it, and a block in between.
        self.arrays.first().map_or(0, |stored| largest(stored.chunk_bytes) + 2 * stored.chunk_bytes)
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        check(self, level, region, into)?;
        let array = &self.arrays[level].array;
        let bytes = array.sample_type.bytes();
        for part in parts(array, &self.axes, region) {
            let chunk = self.chunk(level, &part)?;
            let [rows, columns] = part.size;
            for row in 0..rows {
                let start = ((part.at[0] + row) * region.width + part.at[1]) * bytes;
                let target = &mut into[start..start + columns * bytes];
                let first = part.first + row * part.steps[0];
                match &chunk {
                    None => target
                        .chunks_exact_mut(bytes)
                        .for_each(|sample| sample.copy_from_slice(&array.fill[..bytes])),
                    Some(chunk) if part.steps[1] == 1 => {
                        target.copy_from_slice(&chunk[first * bytes..][..columns * bytes]);
                    }
                    Some(chunk) => {
                        for (column, sample) in target.chunks_exact_mut(bytes).enumerate() {
                            let at = (first + column * part.steps[1]) * bytes;
                            sample.copy_from_slice(&chunk[at..at + bytes]);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
