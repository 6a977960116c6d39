//! TIFF and OME-TIFF as a source.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::companion;
use super::directory::{Directory, TiffFile};
use super::files::Files;
use super::page::{Chunks, Page, Wanted};
use super::planes::{self, ImageJ, Pages, Place};
use super::tag;
use crate::metadata::{Channel, Colour, Metadata};
use crate::ome::{self, Pixels};
use crate::roi::Roi;
use crate::sample::SampleType;
use crate::shape::{Plane, Region, Shape};
use crate::source::{Level, Limits, ReadError, Source, by_channels, check_channels};

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
    rois: Vec<Arc<Roi>>,
}

/// What the images of a file share.
#[derive(Debug)]
struct Shared {
    /// The file that was opened, and those that its OME-XML names.
    files: Files,
    /// The pages of each of them.
    pages: Vec<Vec<Levels>>,
    chunks: Chunks,
    /// The file that tells of them, where it is none of them.
    companion: Option<PathBuf>,
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

/// No image has more files.
const FILES: usize = 100_000;

/// Opens the images of a file.
///
/// # Errors
/// It is no TIFF, damaged, or of a kind that is not read.
pub fn open(path: &Path, limits: Limits) -> Result<Vec<TiffImage>, ReadError> {
    let file = match TiffFile::open(path) {
        Err(_) if companion::is_companion(path) => return companion::open(path, limits),
        other => other?,
    };
    let (pages, first) = pages(&file, limits)?;
    let description = match first.entries.get(&tag::IMAGE_DESCRIPTION) {
        Some(entry) => file.text(entry)?,
        None => String::new(),
    };
    let resolution = [tag::X_RESOLUTION, tag::Y_RESOLUTION]
        .map(|tag| first.entries.get(&tag).and_then(|entry| file.fraction(entry)));
    let mut shared = Shared::new(file, pages, limits);
    if description.contains("<OME") && description.trim_start_matches('\u{feff}').starts_with('<') {
        let images = ome::read(&description).map_err(|problem| ReadError::damaged(path, problem))?;
        // The metadata of some sets of files are in a file of their own, and here only its name. Where it is gone, pixels are not.
        let companion = ome::companion(&description).filter(|name| is_plain(name));
        let companion = companion.map(|name| path.with_file_name(name));
        if let Some(companion) = companion.filter(|path| companion::is_companion(path) && path.is_file()) {
            return companion::open(&companion, limits);
        }
        if !images.is_empty() {
            let named = shared.open_named(path, &images, limits)?;
            let shared = Arc::new(shared);
            return images.into_iter().map(|pixels| ome_image(&shared, path, pixels, &named)).collect();
        }
    }
    let shared = Arc::new(shared);
    if let Some(found) = ImageJ::read(&description) {
        return imagej_image(&shared, path, &found, resolution).map(|image| vec![image]);
    }
    plain_images(&shared, path)
}

/// The images that a document describes which is none of their files. Those are beside it.
pub(super) fn beside(
    path: &Path,
    mut images: Vec<Pixels>,
    limits: Limits,
) -> Result<Vec<TiffImage>, ReadError> {
    for (number, image) in images.iter_mut().enumerate() {
        // Planes that are in the document itself, or nowhere.
        image.blocks.retain(|block| block.file.is_some());
        let mut names = image.blocks.iter().filter_map(|block| block.file.as_ref());
        let is_there = |name: &String| is_plain(name) && path.with_file_name(name).is_file();
        if !names.clone().any(is_there) {
            let names = names.next().map_or_else(|| "no file".to_owned(), |name| format!("{name:?}"));
            let problem = format!("image {number} should be in {names}, which is not in the same folder");
            return Err(ReadError::damaged(path, problem));
        }
    }
    let mut names = images.iter().flat_map(|image| &image.blocks).filter_map(|block| block.file.as_ref());
    let first = names.find(|name| is_plain(name) && path.with_file_name(name).is_file());
    let first = first.ok_or_else(|| ReadError::damaged(path, "it describes no image"))?;
    let first = path.with_file_name(first);
    let file = TiffFile::open(&first)?;
    let (pages, _) = pages(&file, limits)?;
    let mut shared = Shared { companion: Some(path.to_owned()), ..Shared::new(file, pages, limits) };
    let named = shared.open_named(&first, &images, limits)?;
    let shared = Arc::new(shared);
    images.into_iter().map(|pixels| ome_image(&shared, path, pixels, &named)).collect()
}

/// Whether it is the name of a file, and no path.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

/// The pages of a file, without those that are smaller copies of others, and its first directory.
fn pages(file: &TiffFile, limits: Limits) -> Result<(Vec<Levels>, Directory), ReadError> {
    let mut pages: Vec<Levels> = Vec::new();
    let mut first = None;
    let mut seen = Seen::default();
    let mut next = file.first();
    while next != 0 {
        let directory = seen.directory(file, next)?;
        next = directory.next;
        // Bit 0: a smaller copy of another page.
        let kind = directory.entries.get(&tag::NEW_SUBFILE_TYPE).map(|entry| file.number(entry, 0));
        if kind.transpose()?.is_none_or(|kind| kind & 1 == 0) {
            let like = pages.last().map(|levels| &levels.page);
            let page = Page::read(file, &directory, like, limits)?;
            let smaller = smaller(file, &directory, pages.last(), limits, &mut seen)?;
            pages.push(Levels { page, smaller });
        }
        first.get_or_insert(directory);
    }
    match first {
        Some(first) if !pages.is_empty() => Ok((pages, first)),
        _ => Err(file.damaged("it has no page")),
    }
}

/// The directories that were read: none twice, and none within others.
#[derive(Debug, Default)]
struct Seen {
    at: HashSet<u64>,
    bytes: u64,
}

impl Seen {
    fn directory(&mut self, file: &TiffFile, at: u64) -> Result<Directory, ReadError> {
        if !self.at.insert(at) {
            return Err(file.damaged("its directories form a circle"));
        }
        if self.at.len() > PAGES {
            return Err(file.damaged(format!("it has more than {PAGES} pages")));
        }
        let directory = file.directory(at)?;
        self.bytes = self.bytes.saturating_add(directory.bytes);
        if self.bytes > file.length() {
            return Err(file.damaged("its directories lie within each other"));
        }
        Ok(directory)
    }
}

/// The pages in the SubIFDs of a directory.
fn smaller(
    file: &TiffFile,
    directory: &Directory,
    before: Option<&Levels>,
    limits: Limits,
    seen: &mut Seen,
) -> Result<Vec<Page>, ReadError> {
    let Some(entry) = directory.entries.get(&tag::SUB_IFDS) else { return Ok(Vec::new()) };
    if entry.count > SMALLER {
        return Err(file.damaged(format!("a page has {} smaller copies", entry.count)));
    }
    let mut smaller: Vec<Page> = Vec::new();
    for index in 0..entry.count {
        let at = file.number(entry, index)?;
        let directory = seen.directory(file, at)?;
        let like = before.and_then(|levels| levels.smaller.get(smaller.len()));
        smaller.push(Page::read(file, &directory, like, limits)?);
    }
    Ok(smaller)
}

impl Shared {
    fn new(file: TiffFile, pages: Vec<Levels>, limits: Limits) -> Self {
        Self {
            files: Files::new(file),
            pages: vec![pages],
            chunks: Chunks::new(limits.cache),
            companion: None,
        }
    }

    /// Opens the files beside this one that OME-XML names: which of the files each name is. A name that there is not, or that
    /// leads elsewhere, is none of them.
    fn open_named(
        &mut self,
        path: &Path,
        images: &[Pixels],
        limits: Limits,
    ) -> Result<HashMap<String, usize>, ReadError> {
        let own = path.file_name().unwrap_or_default();
        let names: HashSet<&String> =
            images.iter().flat_map(|image| &image.blocks).filter_map(|block| block.file.as_ref()).collect();
        if names.len() > FILES {
            return Err(ReadError::damaged(path, format!("its OME-XML names {} files", names.len())));
        }
        let mut found = HashMap::new();
        for name in &names {
            let beside = path.with_file_name(name);
            if own == name.as_str() {
                found.insert((*name).clone(), 0);
            } else if is_plain(name) && beside.is_file() {
                let file = TiffFile::open(&beside)?;
                let (pages, _) = pages(&file, limits)?;
                found.insert((*name).clone(), self.pages.len());
                self.files.add(file);
                self.pages.push(pages);
            } else if names.len() == 1 {
                // A file that was renamed knows its old name.
                found.insert((*name).clone(), 0);
            }
        }
        Ok(found)
    }

    fn levels(&self, place: Place) -> Option<&Levels> {
        self.pages.get(place.file)?.get(place.page)
    }
}

/// An image that OME-XML describes.
fn ome_image(
    shared: &Arc<Shared>,
    path: &Path,
    pixels: Pixels,
    named: &HashMap<String, usize>,
) -> Result<TiffImage, ReadError> {
    let damaged = |problem: String| ReadError::damaged(path, problem);
    let file_of = |name: &Option<String>| match name {
        None => Some(0),
        Some(name) => named.get(name).copied(),
    };
    let pages_of = |name: &Option<String>| file_of(name).map(|file| (file, shared.pages[file].len()));
    // Before it is known where planes are, any page tells how many samples a pixel has.
    let first = pixels
        .blocks
        .iter()
        .find_map(|block| shared.levels(Place { file: file_of(&block.file)?, page: block.ifd.unwrap_or(0) }));
    let first =
        first.or_else(|| shared.levels(Place { file: 0, page: 0 }).filter(|_| pixels.blocks.is_empty()));
    let layout =
        &first.ok_or_else(|| damaged("none of the files with its planes is there".into()))?.page.layout;
    let planes = planes::of_ome(&pixels, pages_of, layout.samples).map_err(damaged)?;
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
        complaints.push(format!("{missing} of its planes are not there and are read as 0"));
    }
    let image = TiffImage::new(shared, path, "OME-TIFF", shape, planes, pixels.metadata, complaints)?;
    Ok(TiffImage { rois: pixels.rois, ..image })
}

fn imagej_image(
    shared: &Arc<Shared>,
    path: &Path,
    found: &ImageJ,
    resolution: [Option<f64>; 2],
) -> Result<TiffImage, ReadError> {
    let layout = &shared.pages[0][0].page.layout;
    let (pages, there) = (found.pages().unwrap_or(usize::MAX), shared.pages[0].len());
    if pages > there {
        return Err(ReadError::unsupported(
            path,
            format!("ImageJ says that it has {pages} images, and it has {there} pages"),
            "save it as OME-TIFF",
        ));
    }
    let [t, c, z] = found.sides(layout.samples);
    let shape = Shape::new([t, c, z, layout.height, layout.width])
        .ok_or_else(|| ReadError::damaged(path, "it has more planes than OMERO can count"))?;
    // Pixels in a unit, which makes the size of one its inverse.
    let [x, y] = resolution.map(|pixels| pixels.map(|pixels| 1.0 / pixels));
    TiffImage::new(shared, path, "ImageJ TIFF", shape, found.planes(), found.metadata(x, y), Vec::new())
}

/// Pages of one size and type are points in time, as Bio-Formats has it; where these change another image begins.
fn plain_images(shared: &Arc<Shared>, path: &Path) -> Result<Vec<TiffImage>, ReadError> {
    let mut images = Vec::new();
    let mut first = 0;
    for like in shared.pages[0].chunk_by(|a, b| a.page.layout == b.page.layout) {
        let layout = &like[0].page.layout;
        let shape = Shape::new([like.len(), layout.samples, 1, layout.height, layout.width])
            .ok_or_else(|| ReadError::damaged(path, "it has more planes than OMERO can count"))?;
        let place = |t: usize| (Plane { t, c: 0, z: 0 }, Place { file: 0, page: first + t });
        let planes = (0..like.len()).map(place).collect();
        first += like.len();
        images.push(TiffImage::new(shared, path, "TIFF", shape, planes, Metadata::default(), Vec::new())?);
    }
    Ok(images)
}

impl TiffImage {
    fn new(
        shared: &Arc<Shared>,
        path: &Path,
        format: &str,
        shape: Shape,
        planes: Pages,
        mut metadata: Metadata,
        mut complaints: Vec<String>,
    ) -> Result<Self, ReadError> {
        let first = planes.values().min().and_then(|place| shared.levels(*place));
        let Levels { page, smaller } =
            first.ok_or_else(|| ReadError::damaged(path, "none of its planes is there"))?;
        let layout = &page.layout;
        for (plane, place) in &planes {
            if shared.levels(*place).is_none_or(|found| found.page.layout != *layout) {
                let problem = format!("the page of {plane:?} differs from others in size or type");
                return Err(ReadError::damaged(path, problem));
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
        // Red, green and blue, or what becomes so. With a fourth sample, which is mostly an alpha, they stay channels: what it
        // does to the others is nobody's to decide here.
        metadata.is_rgb = shape.c == 3 && layout.samples == 3 && matches!(layout.photometric, 2 | 6);
        metadata.channels.truncate(shape.c);
        if metadata.name.is_none() {
            metadata.name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        let storage = format!(
            "{format}{}, {} of {} × {}, {}",
            if shared.files.is_big() { " (BigTIFF)" } else { "" },
            if layout.tiled { "tiles" } else { "strips" },
            layout.tile[0],
            layout.tile[1],
            layout.method.name()
        );
        let samples = layout.samples;
        let rois = Vec::new();
        Ok(Self { shared: Arc::clone(shared), planes, samples, levels, metadata, storage, complaints, rois })
    }

    /// Any page: they are alike.
    fn first(&self) -> Option<&Page> {
        self.planes.values().next().and_then(|place| self.shared.levels(*place)).map(|levels| &levels.page)
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

    fn files(&self) -> Vec<PathBuf> {
        let Shared { files, companion, .. } = &*self.shared;
        // Of a plate each field has its own.
        let numbers: BTreeSet<usize> = self.planes.values().map(|place| place.file).collect();
        let is_besides = |number: &usize| *number > 0 || companion.is_some();
        let files = numbers.into_iter().filter(is_besides).filter_map(|number| files.path(number));
        files.map(Path::to_owned).chain(companion.clone()).collect()
    }

    fn rois(&self) -> &[Arc<Roi>] {
        &self.rois
    }

    fn memory(&self) -> usize {
        self.first().map_or(0, |page| page.layout.memory())
    }

    fn interleaved(&self) -> usize {
        self.first().map_or(1, |page| page.layout.interleaved())
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        self.read_samples(level, region, 1, into)
    }

    fn read_channels(
        &self,
        level: usize,
        region: &Region,
        channels: usize,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        let all = self.interleaved();
        // Those of a pixel at once, wherever they are all wanted.
        let at_once =
            if region.plane.c.is_multiple_of(all) && channels.is_multiple_of(all) { all } else { 1 };
        by_channels(region, channels, at_once, into, |region, into| {
            self.read_samples(level, region, at_once, into)
        })
    }
}

impl TiffImage {
    /// Reads so many channels, whose samples are in the same pixels.
    fn read_samples(
        &self,
        level: usize,
        region: &Region,
        samples: usize,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        let Level { shape, .. } = check_channels(self, level, region, samples, into)?;
        let Region { plane, y, x, height, width } = *region;
        let holder = Plane { c: plane.c / self.samples, ..plane };
        let place = self.planes.get(&holder).copied();
        let Some((place, levels)) =
            place.and_then(|place| self.shared.levels(place).map(|levels| (place, levels)))
        else {
            // A plane that was never written.
            into.fill(0);
            return Ok(());
        };
        let file = self.shared.files.get(place.file)?;
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
        let first = plane.c % self.samples;
        let wanted = Wanted { file: place.file, y, x, height, width, samples: first..first + samples };
        page.samples(&file, &self.shared.chunks, &wanted, into)
    }
}
