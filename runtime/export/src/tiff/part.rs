//! One of several files that are an image together: each holds a run of its planes, and tells where the others are.
//!
//! The files are written by processes that know nothing of each other, as the tasks of a job array are. So everything that one
//! file says of another follows from what all of them know: the name of the set, how many there are, and what the image is.

use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::writer::{self, Options, Written};
use crate::metadata::Metadata;
use crate::ome;
use crate::pipeline;
use crate::sample::SampleType;
use crate::shape::{Plane, Region, Shape};
use crate::source::{Level, ReadError, Source, check};
use crate::write_error::WriteError;

/// Which of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: usize,
    of: usize,
}

impl Part {
    /// No image is written as more files: each of them names all.
    pub const MOST: usize = 4096;

    /// The part of this number, from 1 on; `None` where there is none.
    #[must_use]
    pub const fn new(number: usize, of: usize) -> Option<Self> {
        if number >= 1 && number <= of && of <= Self::MOST { Some(Self { number, of }) } else { None }
    }

    /// Its planes by their number: parts differ by one plane at most.
    const fn planes(self, planes: usize) -> Range<usize> {
        (self.number - 1) * planes / self.of..self.number * planes / self.of
    }

    /// What its file is called: `image.ome.tif` becomes `image_2-of-4.ome.tif`, with as many digits as the last has.
    #[must_use]
    pub fn path(self, set: &Path) -> PathBuf {
        let name = set.file_name().unwrap_or_default().to_string_lossy();
        let lower = name.to_ascii_lowercase();
        let ending =
            [".ome.tiff", ".ome.tif", ".tiff", ".tif"].into_iter().find(|ending| lower.ends_with(ending));
        let (stem, ending) = name.split_at(name.len() - ending.map_or(0, str::len));
        let digits = self.of.to_string().len();
        set.with_file_name(format!("{stem}_{:0digits$}-of-{}{ending}", self.number, self.of))
    }
}

/// Writes a part of an image. `set` is what the whole would be called; returns where the part is.
///
/// # Errors
/// As for [`super::write`]; there are more parts than planes.
pub fn write_part(
    source: &dyn Source,
    set: &Path,
    part: Part,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<(PathBuf, Written), WriteError> {
    let (shape, planes) = (source.shape(), source.shape().planes());
    if part.of > planes {
        return Err(WriteError::Unsupported {
            what: format!("an image of {planes} planes has no {} parts", part.of),
            remedy: "ask for as many as it has planes, or fewer",
        });
    }
    let parts = (1..=part.of).map(|number| Part { number, of: part.of });
    let files: Vec<ome::File> = parts
        .map(|part| {
            let planes = part.planes(planes);
            let path = part.path(set);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let identity = identity(&name, source);
            ome::File { name, identity, first: plane(shape, planes.start, options), count: planes.len() }
        })
        .collect();
    let place =
        ome::Planes::Files { channels_first: options.channels_first, files: &files, own: part.number - 1 };
    // Its planes may be in several files: channels stay channels.
    let describe = |_| ome::write(&[ome::Described::of(source)], place);
    let portion = Portion::new(source, part.planes(planes), options);
    let options = &Options { rgb: false, ..*options };
    let target = part.path(set);
    let written = writer::write_described(&portion, &target, options, describe, work)?;
    Ok((target, written))
}

/// The plane of a number, as the pages of the whole image would be ordered.
const fn plane(shape: Shape, number: usize, options: &Options) -> Plane {
    match options.channels_first {
        true => Plane { t: number / shape.c / shape.z, c: number % shape.c, z: number / shape.c % shape.z },
        false => shape.plane(number),
    }
}

/// A UUID (version 8, RFC 9562) that every process finds for a file of the set.
pub(super) fn identity(name: &str, source: &dyn Source) -> String {
    let image = source.metadata().name.as_deref().unwrap_or_default();
    let text = format!("{name}\0{image}\0{}\0{}", source.shape(), source.sample_type());
    let mut bytes: Vec<u8> = Sha256::digest(text.as_bytes()).iter().take(16).copied().collect();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (a, b, c, d, e) = (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// The planes of a part, as an image that is a stack of them.
struct Portion<'a> {
    source: &'a dyn Source,
    first: usize,
    options: Options,
    levels: [Level; 1],
    metadata: Metadata,
}

impl<'a> Portion<'a> {
    fn new(source: &'a dyn Source, planes: Range<usize>, options: &Options) -> Self {
        let whole = source.levels().first().map_or([1024, 1024], |level| level.tile);
        let shape = Shape { t: 1, c: 1, z: planes.len(), ..source.shape() };
        Self {
            source,
            first: planes.start,
            options: *options,
            levels: [Level { shape, tile: whole }],
            metadata: Metadata::default(),
        }
    }
}

impl Source for Portion<'_> {
    fn sample_type(&self) -> SampleType {
        self.source.sample_type()
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn storage(&self) -> &str {
        self.source.storage()
    }

    fn memory(&self) -> usize {
        self.source.memory()
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        check(self, level, region, into)?;
        let plane = plane(self.source.shape(), self.first + region.plane.z, &self.options);
        self.source.read(0, &Region { plane, ..*region }, into)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::compare::compare;
    use crate::source::{Limits, Pattern, Synthetic};
    use crate::tiff::{Compress, Layout, open};

    #[test]
    fn parts_cover_every_plane_once_and_differ_by_one_at_most() {
        for (planes, of) in [(1, 1), (7, 3), (48, 7), (4096, 4096), (5, 5)] {
            let parts: Vec<_> =
                (1..=of).map(|number| Part::new(number, of).expect("a part").planes(planes)).collect();
            let all: Vec<usize> = parts.iter().cloned().flatten().collect();
            assert_eq!(all, (0..planes).collect::<Vec<_>>());
            let sizes = parts.iter().map(ExactSizeIterator::len);
            assert!(sizes.clone().max().zip(sizes.min()).is_some_and(|(most, least)| most - least <= 1));
        }
        for (number, of) in [(0, 1), (2, 1), (1, 0), (1, Part::MOST + 1), (usize::MAX, usize::MAX)] {
            assert_eq!(Part::new(number, of), None, "{number}/{of}");
        }
    }

    #[test]
    fn a_part_is_called_as_the_set_with_its_number() {
        let part = Part::new(2, 12).expect("a part");
        for (set, name) in [
            ("d/image.ome.tif", "d/image_02-of-12.ome.tif"),
            ("image.OME.TIFF", "image_02-of-12.OME.TIFF"),
            ("image", "image_02-of-12"),
        ] {
            assert_eq!(part.path(Path::new(set)), Path::new(name));
        }
    }

    #[test]
    fn what_parts_hold_together_is_the_image_to_the_last_bit() {
        let never = AtomicBool::new(false);
        let work =
            pipeline::Options { threads: 2, memory: 64 << 20, cancelled: &never, progress: &|_, _| () };
        let shape = Shape::new([2, 3, 4, 33, 21]).expect("it is small");
        let image = Synthetic::new(shape, SampleType::Uint16, Pattern::Every, Metadata::default());
        for channels_first in [false, true] {
            for layout in [Layout::Strip, Layout::Tiles { tile: 16, pyramid: true }] {
                let compress = if layout == Layout::Strip { Compress::None } else { Compress::Lzw };
                let options = Options { layout, compress, channels_first, digest: false, rgb: false };
                let folder = tempfile::tempdir().expect("a folder");
                let set = folder.path().join("set.ome.tif");
                for number in [4, 1, 5, 2, 3] {
                    let part = Part::new(number, 5).expect("a part");
                    let (path, _) = write_part(&image, &set, part, &options, &work).expect("it is written");
                    assert!(path.exists());
                }
                for number in 1..=5 {
                    let path = Part::new(number, 5).expect("a part").path(&set);
                    let images = open(&path, Limits::default()).expect("it is read");
                    let [read] = images.as_slice() else { panic!("there is one image") };
                    assert_eq!(read.complaints(), &[] as &[String]);
                    compare(&image, read, &work).expect("they are the same");
                }
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            layout: Layout::Strip,
            compress: Compress::None,
            channels_first: false,
            digest: false,
            rgb: false,
        };
        let part = Part::new(1, 25).expect("a part");
        let refused = write_part(&image, &folder.path().join("set.ome.tif"), part, &options, &work);
        assert!(matches!(refused, Err(WriteError::Unsupported { .. })), "{refused:?}");
    }
}
