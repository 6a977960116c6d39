//! Several images in one folder: the series of bioformats2raw's layout, the fields of a plate.
//!
//! Where there are many, several are written at the same time, each by one thread: a field of a plate is often a single chunk,
//! and has work for no more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::attributes::written_axes;
use super::documents::{Documents, creator};
use super::plate;
use super::writer::{Options, Place, Written, into_folder, needed, write_image};
use crate::manifest::Manifest;
use crate::ome;
use crate::pipeline;
use crate::source::Source;
use crate::write_error::WriteError;

/// Writes images as bioformats2raw lays them out: a folder for each, all with five axes, and what they are in
/// `OME/METADATA.ome.xml`.
///
/// # Errors
/// As for [`write()`](super::write()).
pub fn write_series(
    sources: &[Box<dyn Source>],
    target: &Path,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Vec<Written>, WriteError> {
    into_folder(target, options, |place, manifest| {
        let images = sources.iter().enumerate().map(|(number, source)| Image {
            number,
            source: &**source,
            axes: (0..5).collect(),
            folder: PathBuf::from(number.to_string()),
        });
        let written = write_images(&images.collect::<Vec<_>>(), place, manifest, options, work)?;
        let documents = Documents::new(place, manifest, options);
        let names: Vec<String> = (0..sources.len()).map(|number| number.to_string()).collect();
        documents.group(Path::new(""), json!({ "bioformats2raw.layout": 3, "_creator": creator() }))?;
        documents.group(Path::new("OME"), json!({ "series": names }))?;
        let described: Vec<ome::Described<'_>> =
            sources.iter().map(|source| ome::Described::of(&**source)).collect();
        let text = ome::write(&described, ome::Planes::Elsewhere);
        documents.file(Path::new("OME/METADATA.ome.xml"), text.as_bytes())?;
        Ok(written)
    })
}

/// Writes images as a plate, in the order of its rows, columns and fields. All of them have to be of the same plate.
///
/// # Errors
/// As for [`write()`](super::write()); an image is of no plate or of another, or two are in the same place.
pub fn write_plate(
    sources: &[Box<dyn Source>],
    target: &Path,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Vec<Written>, WriteError> {
    let layout = plate::Layout::of(sources)?;
    into_folder(target, options, |place, manifest| {
        let images = layout.images().map(|(number, folder)| {
            let source = &*sources[number];
            Image { number, source, axes: written_axes(&source.shape()), folder }
        });
        let written = write_images(&images.collect::<Vec<_>>(), place, manifest, options, work)?;
        let documents = Documents::new(place, manifest, options);
        for row in layout.row_folders() {
            documents.plain_group(&row)?;
        }
        for (well, attributes) in layout.wells(options.version) {
            documents.group(&well, attributes)?;
        }
        documents.group(Path::new(""), layout.attributes(options.version))?;
        Ok(written)
    })
}

/// One of several images.
struct Image<'a> {
    /// Among all that were given.
    number: usize,
    source: &'a dyn Source,
    axes: Vec<usize>,
    /// Below the folder of all.
    folder: PathBuf,
}

/// Writes all of them; returns what was written of each by its number.
fn write_images(
    images: &[Image<'_>],
    whole: Place<'_>,
    manifest: &Manifest,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Vec<Written>, WriteError> {
    let all =
        Progress { done: AtomicU64::new(0), total: images.iter().map(|image| bytes(image.source)).sum() };
    let write = |image: &Image<'_>, threads: usize, memory: usize, cancelled: &AtomicBool| {
        let before = AtomicU64::new(0);
        let told = |done: u64, _: u64| {
            // Threads come here in any order: the largest counts.
            let last = before.fetch_max(done, Ordering::Relaxed);
            let done = all.done.fetch_add(done.saturating_sub(last), Ordering::Relaxed);
            (work.progress)(done, all.total);
        };
        let work = pipeline::Options { threads, memory, cancelled, progress: &told };
        let place = Place { prefix: &image.folder, ..whole };
        write_image(image.source, image.axes.clone(), place, manifest, options, &work)
    };
    let mut written = vec![None; images.len()];
    let workers = workers(images, options, work);
    if workers == 1 {
        for image in images {
            written[image.number] = Some(write(image, work.threads, work.memory, work.cancelled)?);
        }
        return Ok(written.into_iter().flatten().collect());
    }
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new((&mut written, None));
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let one = write(image, 1, work.memory / workers, work.cancelled);
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    match one {
                        Ok(one) => outcome.0[image.number] = Some(one),
                        Err(error) => {
                            stopped.store(true, Ordering::Relaxed);
                            outcome.1.get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    match outcome.into_inner().unwrap_or_else(PoisonError::into_inner).1 {
        Some(error) => Err(error),
        None => Ok(written.into_iter().flatten().collect()),
    }
}

/// How many images are written at the same time: as many as there are threads where there are several times as many images,
/// fewer where the memory does not suffice for the largest of them, else one after the other by all threads.
fn workers(images: &[Image<'_>], options: &Options, work: &pipeline::Options<'_>) -> usize {
    if images.len() < 2 * work.threads {
        return 1;
    }
    let largest =
        images.iter().map(|image| needed(image.source, &image.axes, options)).max().unwrap_or_default();
    (work.memory / largest.max(1)).clamp(1, work.threads.max(1))
}

struct Progress {
    done: AtomicU64,
    total: u64,
}

/// Of level 0.
fn bytes(source: &dyn Source) -> u64 {
    source.shape().samples().saturating_mul(source.sample_type().bytes() as u64)
}
