//! What `convert` does.

use std::path::{Path, PathBuf};
use std::time::Instant;

use biomero_export::source::Source;
use biomero_export::tiff::{self, Layout, Options, Written};
use biomero_export::{CompareError, SampleType, Shape, WriteError, compare};
use serde::Serialize;

use crate::command_line::{Compat, Compress, Convert, Series};
use crate::error::Error;
use crate::list;
use crate::open::{Images, Opening, folder, open, stem};
use crate::plate;
use crate::work::{self, Interruption};

/// Rows and columns of a tile: the chunk of what is exported, which is then read once and not kept.
const TILE: usize = 1024;

/// Who looks on: what is being done, bytes that are done, and of how many.
pub type Progress<'a> = &'a (dyn Fn(&'static str, u64, u64) + Sync);

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// The file, or the folder of a plate.
    pub path: PathBuf,
    /// How many fields it has, where it is a plate; what else is told is of the first, but for bytes, which are of all.
    pub fields: Option<usize>,
    /// The size of the image.
    pub shape: Shape,
    /// The type of its samples.
    pub kind: SampleType,
    /// What is in the file; nothing was written where it was there already, the same.
    pub written: Option<Written>,
    /// How long it took.
    pub seconds: f64,
}

/// Converts an image.
///
/// # Errors
/// It cannot be read or not be written, or it was interrupted.
pub fn run(asked: &Convert, interruption: &Interruption, progress: Progress<'_>) -> Result<Converted, Error> {
    let path = match (&asked.list, asked.task, &asked.source) {
        (Some(list), Some(task), _) => list::image(list, task)?,
        (_, _, Some(source)) => source.clone(),
        // The command line has one of the two.
        _ => PathBuf::new(),
    };
    if asked.remove_source && !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        let problem = "only the folder of an OME-Zarr is removed; nothing was done".to_owned();
        return Err(Error::Kept { path, problem });
    }
    let target = target(asked, &path);
    let opening = Opening {
        reading: &asked.reading,
        series: asked.series,
        limits: work::limits(asked.effort),
        folder: folder(&target),
        interruption,
        progress,
    };
    let images = Images::open(&path, &opening)?;
    if plate::is_asked(asked, &images) {
        return plate::run(asked, &path, images.all(), interruption, progress);
    }
    let source = images.choose(&path, asked.series)?;
    let (shape, kind) = (source.shape(), source.sample_type());
    let began = Instant::now();
    let shown = |done, of| progress("converting", done, of);
    let work = work::options(asked.effort, interruption.flag(), &shown);
    let outcome = match asked.part {
        Some(part) => tiff::write_part(&*source, &target, part, &options(asked), &work),
        None => {
            tiff::write(&*source, &target, &options(asked), &work).map(|written| (target.clone(), written))
        }
    };
    let (target, written) = match outcome {
        Ok((target, written)) => (target, Some(written)),
        // What ended after it was written and before the source was gone is taken up again.
        Err(WriteError::Occupied { path }) if asked.remove_source && path == target => (target, None),
        Err(error) => return Err(error.into()),
    };
    if asked.remove_source {
        remove(asked, interruption, progress, &*source, (&path, &target), written.is_some())?;
    }
    Ok(Converted { path: target, fields: None, shape, kind, written, seconds: began.elapsed().as_secs_f64() })
}

/// Where it goes.
fn target(asked: &Convert, source: &Path) -> PathBuf {
    if let Some(output) = &asked.output {
        return output.clone();
    }
    let mut name = match asked.compat {
        // All of the name but `.zarr`.
        Some(Compat::Biomero) if source.extension().is_some_and(|ending| ending == "zarr") => {
            source.with_extension("").into_os_string()
        }
        _ => stem(source).into_os_string(),
    };
    name.push(match (asked.compat, asked.series.number) {
        (Some(Compat::Biomero), number) => format!(".{}.tif", number.unwrap_or(0)),
        (None, Some(number)) => format!("_{number}.ome.tif"),
        (None, None) => ".ome.tif".to_owned(),
    });
    name.into()
}

pub(crate) fn options(asked: &Convert) -> Options {
    Options {
        layout: match (asked.compress, asked.pyramid) {
            (Compress::None, false) => Layout::Strip,
            (_, pyramid) => Layout::Tiles { tile: TILE, pyramid },
        },
        compress: match asked.compress {
            Compress::None => tiff::Compress::None,
            Compress::Lzw => tiff::Compress::Lzw,
            Compress::Deflate => tiff::Compress::Deflate { level: 6 },
            Compress::Zstd => tiff::Compress::Zstd { level: 1 },
        },
        channels_first: asked.compat.is_some(),
        // Nothing else is expected where BIOMERO's converter was.
        digest: asked.compat.is_none(),
        rgb: asked.rgb,
    }
}

/// Removes what was converted, once every sample of it was found in what was written.
fn remove(
    asked: &Convert,
    interruption: &Interruption,
    progress: Progress<'_>,
    source: &dyn Source,
    (path, target): (&Path, &Path),
    is_new: bool,
) -> Result<(), Error> {
    let occupied = || Error::Write(WriteError::Occupied { path: target.to_owned() });
    let image = match open(target, Series { number: None }, work::limits(asked.effort)) {
        // Of somebody else.
        Err(Error::Read(_) | Error::Series { .. }) if !is_new => return Err(occupied()),
        image => image?,
    };
    let shown = |done, of| progress("comparing", done, of);
    let work = work::options(asked.effort, interruption.flag(), &shown);
    let kept = |problem: String| Error::Kept { path: path.to_owned(), problem };
    match compare(source, &*image, &work) {
        Ok(()) => std::fs::remove_dir_all(path).map_err(|error| kept(error.to_string())),
        Err(CompareError::Work(error)) => Err(error.into()),
        Err(_) if !is_new => Err(occupied()),
        Err(error) => Err(kept(format!("{} is not the same: {error}", target.display()))),
    }
}

/// The object of `--json`: its keys are promised in `docs/export.md`.
#[derive(Serialize)]
struct Told<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<usize>,
    shape: [usize; 5],
    #[serde(rename = "type")]
    kind: &'a str,
    levels: &'a [[usize; 2]],
    bigtiff: Option<bool>,
    bytes: Option<u64>,
    seconds: f64,
}

impl Converted {
    /// For people. The path is given, in the form in which it harms no terminal.
    #[must_use]
    pub fn line(&self, path: &str) -> String {
        let Self { shape, kind, seconds, .. } = self;
        let shape = match self.fields {
            Some(fields) => format!("{fields} fields, the first {shape}"),
            None => shape.to_string(),
        };
        match &self.written {
            Some(written) => format!("{path}: {shape} {kind}, {} bytes, {seconds:.1} s", written.bytes),
            None => format!("{path}: {shape} {kind}, was there already and is the same, {seconds:.1} s"),
        }
    }

    /// For programs.
    ///
    /// # Errors
    /// None that is known.
    pub fn object(&self) -> serde_json::Result<String> {
        let written = self.written.as_ref();
        serde_json::to_string(&Told {
            path: &self.path.to_string_lossy(),
            fields: self.fields,
            shape: self.shape.sides(),
            kind: self.kind.ome_name(),
            levels: written.map(|written| written.sizes.as_slice()).unwrap_or_default(),
            bigtiff: written.map(|written| written.big),
            bytes: written.map(|written| written.bytes),
            seconds: self.seconds,
        })
    }
}
