//! TIFF and OME-TIFF as a source.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::directory::{Directory, TiffFile};
use super::page::{Chunks, Page, Wanted};
use super::planes::{self, ImageJ, Pages};
use super::tag;
use crate::metadata::{Channel, Colour, Metadata};
use crate::ome::{self, Pixels};
use crate::sample::SampleType;
use crate::shape::{Plane, Region, Shape};
use crate::source::{Level, Limits, ReadError, Source, check};

/// An image of a TIFF file.
#[derive(Debug)]
pub struct TiffImage {
    shared: Arc<Shared>,
    planes: Pages,
    /// Samples of a pixel.
    samples: usize,
    levels: Vec<Level>,
    metadata: Metadata,
    storage: String,
    complaints: Vec<String>,
}

/// What the images of a file share.
#[derive(Debug)]
struct Shared {
    file: TiffFile,
    pages: Vec<Levels>,
    chunks: Chunks,
}

/// A page and the smaller ones that it has in SubIFDs.
#[derive(Debug)]
struct Levels {
    page: Page,
    smaller: Vec<Page>,
}

/// No file has more pages.
const PAGES: usize = 1 << 20;
/// Halved so often, nothing is left of any image.
const SMALLER: u64 = 32;

/// Opens the images of a file.
///
/// # Errors
/// It is no TIFF, damaged, or of a kind that is not read.
pub fn open(path: &Path, limits: Limits) -> Result<Vec<TiffImage>, ReadError> {
    let file = TiffFile::open(path)?;
    let mut pages: Vec<Levels> = Vec::new();
    let mut description = None;
    let mut resolution = [None, None];
    let mut seen = HashSet::new();
    let mut next = file.first();
    while next != 0 {
        if !seen.insert(next) {
            return Err(file.damaged("its directories form a circle"));
        }
        if pages.len() >= PAGES {
            return Err(file.damaged(format!("it has more than {PAGES} pages")));
        }
        let directory = file.directory(next)?;
        next = directory.next;
        if seen.len() == 1 {
            let text = directory.entries.get(&tag::IMAGE_DESCRIPTION).map(|entry| file.text(entry));
            description = text.transpose()?;
            resolution = [tag::X_RESOLUTION, tag::Y_RESOLUTION]
                .map(|tag| directory.entries.get(&tag).and_then(|entry| file.fraction(entry)));
        }
        // Bit 0: a smaller copy of another page.
        let kind = directory.entries.get(&tag::NEW_SUBFILE_TYPE).map(|entry| file.number(entry, 0));
        if kind.transpose()?.is_some_and(|kind| kind & 1 == 1) {
            continue;
        }
        let like = pages.last().map(|levels| &levels.page);
        let page = Page::read(&file, &directory, like, limits)?;
        let smaller = smaller(&file, &directory, pages.last(), limits, &mut seen)?;
        pages.push(Levels { page, smaller });
    }
    if pages.is_empty() {
        return Err(file.damaged("it has no page"));
    }
    let shared = Arc::new(Shared { file, pages, chunks: Chunks::new(limits.cache) });
    let description = description.unwrap_or_default();
    if description.contains("<OME") && description.trim_start_matches('\u{feff}').starts_with('<') {
        return ome_images(&shared, &description);
    }
    if let Some(found) = ImageJ::read(&description) {
        return imagej_image(&shared, &found, resolution).map(|image| vec![image]);
    }
    plain_images(&shared)
}

/// The pages in the SubIFDs of a directory.
fn smaller(
    file: &TiffFile,
    directory: &Directory,
    before: Option<&Levels>,
    limits: Limits,
    seen: &mut HashSet<u64>,
) -> Result<Vec<Page>, ReadError> {
    let Some(entry) = directory.entries.get(&tag::SUB_IFDS) else { return Ok(Vec::new()) };
    if entry.count > SMALLER {
        return Err(file.damaged(format!("a page has {} smaller copies", entry.count)));
    }
    let mut smaller: Vec<Page> = Vec::new();
    for index in 0..entry.count {
        let at = file.number(entry, index)?;
        if !seen.insert(at) {
            return Err(file.damaged("its directories form a circle"));
        }
        let like = before.and_then(|levels| levels.smaller.get(smaller.len()));
        smaller.push(Page::read(file, &file.directory(at)?, like, limits)?);
    }
    Ok(smaller)
}

/// The images that OME-XML describes.
fn ome_images(shared: &Arc<Shared>, description: &str) -> Result<Vec<TiffImage>, ReadError> {
    let file = &shared.file;
    let images = ome::read(description).map_err(|problem| file.damaged(problem))?;
    let own = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut found = Vec::new();
    for pixels in images {
        let elsewhere = pixels.blocks.iter().filter_map(|block| block.file.as_ref());
        // A file that was renamed names itself by its old name: then it is the only one that is named.
        let names: HashSet<&String> = elsewhere.collect();
        let is_alone = names.len() <= 1;
        if !is_alone || names.iter().any(|name| Some(*name) != own.as_ref() && is_beside(file, name)) {
            return Err(ReadError::unsupported(
                &file.path,
                "its planes are in several files",
                "put them into one file with bioformats2raw or bfconvert first",
            ));
        }
        found.push(ome_image(shared, pixels)?);
    }
    match found.is_empty() {
        true => plain_images(shared),
        false => Ok(found),
    }
}

fn is_beside(file: &TiffFile, name: &str) -> bool {
    file.path.with_file_name(name).exists()
}

fn ome_image(shared: &Arc<Shared>, pixels: Pixels) -> Result<TiffImage, ReadError> {
    let file = &shared.file;
    let damaged = |problem: String| file.damaged(problem);
    let first = pixels.blocks.iter().filter_map(|block| block.ifd).min().unwrap_or(0);
    let first =
        shared.pages.get(first).ok_or_else(|| damaged("its OME-XML names a page it has not".into()))?;
    let layout = &first.page.layout;
    let planes = planes::of_ome(&pixels, shared.pages.len(), layout.samples).map_err(damaged)?;
    let shape =
        Shape::new(pixels.sides).ok_or_else(|| damaged("its OME-XML has a size of nothing".into()))?;
    if [shape.y, shape.x] != [layout.height, layout.width] {
        return Err(damaged(format!(
            "its OME-XML says {} × {}, its pages are {} × {}",
            shape.y, shape.x, layout.height, layout.width
        )));
    }
    let mut complaints = Vec::new();
    let missing = shape.planes() / layout.samples - planes.len();
    if missing > 0 {
        complaints.push(format!("{missing} of its planes are not in the file and are read as 0"));
    }
    TiffImage::new(shared, "OME-TIFF", shape, planes, pixels.metadata, complaints)
}

fn imagej_image(
    shared: &Arc<Shared>,
    found: &ImageJ,
    resolution: [Option<f64>; 2],
) -> Result<TiffImage, ReadError> {
    let layout = &shared.pages[0].page.layout;
    let pages = found.pages().unwrap_or(usize::MAX);
    if pages > shared.pages.len() {
        return Err(ReadError::unsupported(
            &shared.file.path,
            format!("ImageJ says that it has {pages} images, and it has {} pages", shared.pages.len()),
            "save it as OME-TIFF",
        ));
    }
    let [t, c, z] = found.sides(layout.samples);
    let shape = Shape::new([t, c, z, layout.height, layout.width])
        .ok_or_else(|| shared.file.damaged("it has more planes than OMERO can count"))?;
    // Pixels in a unit, which makes the size of one its inverse.
    let [x, y] = resolution.map(|pixels| pixels.map(|pixels| 1.0 / pixels));
    TiffImage::new(shared, "ImageJ TIFF", shape, found.planes(), found.metadata(x, y), Vec::new())
}

/// Pages of one size and type are points in time, as Bio-Formats has it; where these change another image begins.
fn plain_images(shared: &Arc<Shared>) -> Result<Vec<TiffImage>, ReadError> {
    let mut images = Vec::new();
    let mut first = 0;
    for like in shared.pages.chunk_by(|a, b| a.page.layout == b.page.layout) {
        let layout = &like[0].page.layout;
        let shape = Shape::new([like.len(), layout.samples, 1, layout.height, layout.width])
            .ok_or_else(|| shared.file.damaged("it has more planes than OMERO can count"))?;
        let planes = (0..like.len()).map(|t| (Plane { t, c: 0, z: 0 }, first + t)).collect();
        first += like.len();
        images.push(TiffImage::new(shared, "TIFF", shape, planes, Metadata::default(), Vec::new())?);
    }
    Ok(images)
}

impl TiffImage {
    fn new(
        shared: &Arc<Shared>,
        format: &str,
        shape: Shape,
        planes: Pages,
        mut metadata: Metadata,
        mut complaints: Vec<String>,
    ) -> Result<Self, ReadError> {
        let Shared { file, pages, .. } = &**shared;
        let first = planes.values().min().and_then(|page| pages.get(*page));
        let Levels { page, smaller } = first.ok_or_else(|| file.damaged("none of its planes is there"))?;
        let layout = &page.layout;
        for (plane, page) in &planes {
            if pages.get(*page).is_none_or(|found| found.page.layout != *layout) {
                return Err(
                    file.damaged(format!("the page of {plane:?} differs from others in size or type"))
                );
            }
        }
        let mut levels = vec![Level { shape, tile: layout.tile }];
        for page in smaller {
            let Level { shape: before, .. } = levels[levels.len() - 1];
            let fits = page.layout.sample_type == layout.sample_type
                && page.layout.samples == layout.samples
                && page.layout.height <= before.y
                && page.layout.width <= before.x;
            if !fits {
                complaints.push(
                    "its smaller copies are no pyramid and are left out from the first that does not fit"
                        .into(),
                );
                break;
            }
            let shape = Shape { y: page.layout.height, x: page.layout.width, ..shape };
            levels.push(Level { shape, tile: page.layout.tile });
        }
        match layout.photometric {
            0 => complaints.push("its numbers count from white to black, and are read as they are".into()),
            3 => complaints.push("its numbers are indices of a palette, and are read as they are".into()),
            2 if metadata.channels.iter().all(|channel| channel.colour.is_none()) && shape.c == 3 => {
                metadata.channels.resize(3, Channel::default());
                for (number, channel) in metadata.channels.iter_mut().enumerate() {
                    channel.colour = Some(Colour::by_default(number, 3));
                }
            }
            _ => {}
        }
        if !metadata.channels.is_empty() {
            metadata.channels.resize(shape.c, Channel::default());
        }
        if metadata.name.is_none() {
            metadata.name = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        let storage = format!(
            "{}{format}, {} of {} × {}, {}",
            if file.is_big() { "Big" } else { "" },
            if layout.tiled { "tiles" } else { "strips" },
            layout.tile[0],
            layout.tile[1],
            layout.method.name()
        );
        let samples = layout.samples;
        Ok(Self { shared: Arc::clone(shared), planes, samples, levels, metadata, storage, complaints })
    }

    fn first(&self) -> Option<&Page> {
        self.planes.values().next().and_then(|page| self.shared.pages.get(*page)).map(|levels| &levels.page)
    }
}

impl Source for TiffImage {
    fn sample_type(&self) -> SampleType {
        self.first().map_or(SampleType::Uint8, |page| page.layout.sample_type)
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

    fn memory(&self) -> usize {
        self.first().map_or(0, |page| page.layout.memory())
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        let Level { shape, .. } = check(self, level, region, into)?;
        let Region { plane, y, x, height, width } = *region;
        let Shared { file, pages, chunks } = &*self.shared;
        let holder = Plane { c: plane.c / self.samples, ..plane };
        let Some(levels) = self.planes.get(&holder).and_then(|page| pages.get(*page)) else {
            // A plane that was never written.
            into.fill(0);
            return Ok(());
        };
        let page = match level.checked_sub(1) {
            None => Some(&levels.page),
            Some(smaller) => levels.smaller.get(smaller),
        };
        let page = page.filter(|page| {
            let Some(first) = self.first() else { return false };
            [page.layout.height, page.layout.width] == [shape.y, shape.x]
                && page.layout.samples == self.samples
                && page.layout.sample_type == first.layout.sample_type
        });
        let page = page.ok_or_else(|| {
            file.damaged(format!("level {level} of {plane:?} is missing or of another size"))
        })?;
        page.samples(file, chunks, &Wanted { y, x, height, width, sample: plane.c % self.samples }, into)
    }
}
