//! A plate: its fields become files of a folder.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use biomero_export::metadata::Field;
use biomero_export::source::{self, Source};
use biomero_export::tiff::{self, Written};
use biomero_export::{CompareError, WriteError, compare};

use crate::command_line::Convert;
use crate::error::Error;
use crate::open::{Images, stem};
use crate::verb::{Converted, Progress, options};
use crate::work::{self, Interruption};

/// Whether the images are fields that are converted together. BIOMERO's converter has nothing of the kind.
pub(crate) fn is_asked(asked: &Convert, images: &Images) -> bool {
    let is_whole = asked.series.number.is_none() && asked.part.is_none() && asked.compat.is_none();
    is_whole && !images.all().is_empty() && images.all().iter().all(|image| image.metadata().field.is_some())
}

/// Converts all of them.
pub(crate) fn run(
    asked: &Convert,
    path: &Path,
    sources: &[Box<dyn Source>],
    interruption: &Interruption,
    progress: Progress<'_>,
) -> Result<Converted, Error> {
    let target = target(asked, path);
    let began = Instant::now();
    let shown = |done, of| progress("converting", done, of);
    let work = work::options(asked.effort, interruption.flag(), &shown);
    let written = match tiff::write_plate(sources, &target, &options(asked), &work) {
        Ok(written) => Some(together(written.fields)),
        // What ended after it was written and before the source was gone is taken up again.
        Err(WriteError::Occupied { path }) if asked.remove_source && path == target => None,
        Err(error) => return Err(error.into()),
    };
    if asked.remove_source {
        remove(asked, (path, &target), sources, written.is_some(), interruption, progress)?;
    }
    Ok(Converted {
        path: target,
        fields: Some(sources.len()),
        shape: sources[0].shape(),
        kind: sources[0].sample_type(),
        written,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Where it goes: never where the source is, whatever that is called.
fn target(asked: &Convert, source: &Path) -> PathBuf {
    if let Some(output) = &asked.output {
        return output.clone();
    }
    let mut name = stem(source).into_os_string();
    name.push(".companion");
    name.into()
}

/// What is told of all: the levels of the first, and the bytes of each.
fn together(fields: Vec<Written>) -> Written {
    let big = fields.iter().any(|field| field.big);
    let bytes = fields.iter().map(|field| field.bytes).fold(0, u64::saturating_add);
    let sizes = fields.into_iter().next().map(|field| field.sizes).unwrap_or_default();
    Written { sizes, big, bytes }
}

/// Removes the plate that was converted, once every sample of every field was found in what was written.
fn remove(
    asked: &Convert,
    (path, target): (&Path, &Path),
    sources: &[Box<dyn Source>],
    is_new: bool,
    interruption: &Interruption,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let occupied = || Error::Write(WriteError::Occupied { path: target.to_owned() });
    let kept = |problem: String| Error::Kept { path: path.to_owned(), problem };
    let images = match source::open(&tiff::companion_of(target), work::limits(asked.effort)) {
        // Of somebody else.
        Err(_) if !is_new => return Err(occupied()),
        images => images?,
    };
    let place = |image: &dyn Source| {
        let Field { row, column, number, .. } = *image.metadata().field.as_ref()?;
        Some((row, column, number))
    };
    let fields: HashMap<_, _> = images.iter().map(|image| (place(&**image), image)).collect();
    for (number, source) in sources.iter().enumerate() {
        let shown =
            |done: u64, of: u64| progress("comparing", of * number as u64 + done, of * sources.len() as u64);
        let work = work::options(asked.effort, interruption.flag(), &shown);
        let is_same = match fields.get(&place(&**source)) {
            Some(image) if images.len() == sources.len() => match compare(&**source, &***image, &work) {
                Err(CompareError::Work(error)) => return Err(error.into()),
                other => other.map_err(|error| error.to_string()),
            },
            _ => Err("it has other fields".to_owned()),
        };
        match is_same {
            Ok(()) => {}
            Err(_) if !is_new => return Err(occupied()),
            Err(error) => {
                return Err(kept(format!("field {number} in {} is not the same: {error}", target.display())));
            }
        }
    }
    fs::remove_dir_all(path).map_err(|error| kept(error.to_string()))
}
