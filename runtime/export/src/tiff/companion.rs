//! A plate as OME-TIFF: one file a field, and beside them a document, `NAME.companion.ome`, that tells of all.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use super::image::{self, TiffImage};
use super::part::identity;
use super::writer::{self, Options, Written};
use crate::manifest::{self, Manifest};
use crate::metadata::letters;
use crate::ome::{self, Described};
use crate::pipeline;
use crate::publish::Folder;
use crate::shape::Plane;
use crate::source::{Limits, ReadError, Source, file};
use crate::write_error::WriteError;
use crate::zarr::PlateLayout;

/// What the names of such documents end with.
const ENDING: &str = ".companion.ome";

/// No document is longer, in bytes: about a kilobyte for each field of the largest plates.
const LENGTH: usize = 128 << 20;

/// Whether a file is such a document, by its name.
#[must_use]
pub fn is_companion(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_ascii_lowercase().ends_with(ENDING))
}

/// Opens the images that a document tells of, in its order.
pub(super) fn open(path: &Path, limits: Limits) -> Result<Vec<TiffImage>, ReadError> {
    let damaged = |problem: &str| ReadError::damaged(path, problem);
    let bytes = file::read(path, LENGTH, "a companion file")?;
    let bytes = bytes.ok_or_else(|| {
        ReadError::io(path)(std::io::Error::new(std::io::ErrorKind::NotFound, "no such file"))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| damaged("it is no text in UTF-8"))?;
    let images = ome::read(&text).map_err(|problem| damaged(&problem))?;
    image::beside(path, images, limits)
}

/// A plate that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPlate {
    /// The document of all.
    pub companion: PathBuf,
    /// What was written of each field, in the order of rows, columns and fields.
    pub fields: Vec<Written>,
}

/// Where the document of a plate in this folder is.
#[must_use]
pub fn companion_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".companion").filter(|stem| !stem.is_empty()).unwrap_or(&name);
    folder.join(format!("{stem}{ENDING}"))
}

/// Writes images as the fields of a plate, each into a file of its own. `target` is a folder that is not there yet. All of them
/// have to be of the same plate.
///
/// # Errors
/// As for [`super::write`]; an image is of no plate or of another, or two are in the same place.
pub fn write_plate(
    sources: &[Box<dyn Source>],
    target: &Path,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<WrittenPlate, WriteError> {
    let layout = PlateLayout::of(sources)?;
    let companion = companion_of(target);
    let companion_name = companion.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = Folder::new(target, None, false)?;
    let root = folder.path();
    let manifest = Manifest::new(root.join(manifest::NAME));
    // The digest of each is in the list of all.
    let options = &Options { digest: false, ..*options };
    let mut members = Vec::with_capacity(sources.len());
    let mut names = String::new();
    for (place, number, acquisition) in layout.fields() {
        let source = &*sources[number];
        let [row, column, field] = place;
        let name = format!("{}{}_f{field}.ome.tif", letters(row), column + 1);
        let identity = identity(&format!("{companion_name}\0{name}"), source);
        names.push_str(&identity);
        let file = ome::File { name, identity, first: Plane::default(), count: source.shape().planes() };
        members.push((number, ome::Member { described: Described::of(source), file, place, acquisition }));
    }
    let own = members
        .first()
        .map(|(number, _)| identity(&format!("{companion_name}\0{names}"), &*sources[*number]));
    let own = own.unwrap_or_default();
    let size =
        |source: &dyn Source| source.shape().samples().saturating_mul(source.sample_type().bytes() as u64);
    let total = sources.iter().map(|source| size(&**source)).fold(0, u64::saturating_add);
    let mut before = 0;
    let mut fields = Vec::with_capacity(members.len());
    for (number, member) in &mut members {
        let source = &*sources[*number];
        let told = |done: u64, _: u64| (work.progress)(before + done, total);
        let work = pipeline::Options { progress: &told, ..*work };
        let is_colour = Cell::new(false);
        let describe = |colour| {
            is_colour.set(colour);
            ome::write_binary_only(&member.file.identity, &companion_name, &own)
        };
        let path = root.join(&member.file.name);
        fields.push(writer::write_described(source, &path, options, describe, &work)?);
        let digest = manifest::digest_of(&path).map_err(WriteError::io("read", &path))?;
        manifest.line(Path::new(&member.file.name), &digest)?;
        if is_colour.get() {
            member.described.colour = true;
            // The samples of a pixel are its channels.
            member.file.count /= source.shape().c;
        }
        before = before.saturating_add(size(source));
    }
    let members: Vec<ome::Member<'_>> = members.into_iter().map(|(_, member)| member).collect();
    let text = ome::write_companion(&own, &layout.plate(), &members, options.channels_first);
    let path = root.join(&companion_name);
    fs::write(&path, &text).map_err(WriteError::io("write", &path))?;
    manifest.note(Path::new(&companion_name), text.as_bytes())?;
    manifest.finish()?;
    folder.publish()?;
    Ok(WrittenPlate { companion, fields })
}

#[cfg(test)]
mod tests;
