//! The images of a folder: the one that it is, the series of bioformats2raw's layout, or the fields of a plate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::group::{Group, within};
use super::plate;
use super::reader::{Shared, ZarrImage};
use crate::metadata::Field;
use crate::source::{Limits, ReadError};

/// No folder has more images: a plate of 1536 wells with 25 fields each has half as many.
pub(crate) const IMAGES: usize = 80_000;

/// Opens the images of a folder. The fields of a plate are in the order of its rows, its columns, and the fields of a well.
///
/// # Errors
/// It is no OME-Zarr, or damaged.
pub fn open(path: &Path, limits: Limits) -> Result<Vec<ZarrImage>, ReadError> {
    let no_image = |what: &str| {
        ReadError::unsupported(
            path,
            what.to_owned(),
            "give the path of an image, whose attributes have multiscales",
        )
    };
    let group = Group::read(path)?.ok_or_else(|| no_image("it is no group of zarr"))?;
    let shared = Arc::new(Shared::new(limits));
    if let Some(image) = ZarrImage::read(&group, limits, &shared, 0)? {
        return Ok(vec![image]);
    }
    let images = if !group.attributes["bioformats2raw.layout"].is_null() {
        series(path)?.into_iter().map(|image| (image, None)).collect()
    } else if !group.attributes["plate"].is_null() {
        plate::fields(path, &group.attributes["plate"])?
    } else {
        return Err(no_image("it is no image of OME-Zarr"));
    };
    if images.is_empty() {
        return Err(ReadError::damaged(path, "it has no image"));
    }
    let read = |(number, (image, field)): (usize, (PathBuf, Option<Field>))| {
        let image = image.as_path();
        let group = Group::read(image)?;
        let image_of = |group: &Group| ZarrImage::read(group, limits, &shared, number);
        let found = group.as_ref().map(image_of).transpose()?.flatten();
        let mut found = found.ok_or_else(|| ReadError::damaged(image, "there should be an image"))?;
        // What fields are called in their own metadata, if at all, is the same for many.
        if let Ok(place) = image.strip_prefix(path) {
            found.place(place);
        }
        found.on_plate(field);
        Ok(found)
    };
    images.into_iter().enumerate().map(read).collect()
}

/// The folders of the images of bioformats2raw's layout: as `OME` lists them, or 0, 1, 2 and on.
fn series(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let listed = Group::read(&path.join("OME"))?.map(|group| group.attributes);
    if let Some(series) = listed.as_ref().and_then(|attributes| attributes["series"].as_array()) {
        let names = series.iter().take(IMAGES).map(|name| name.as_str().unwrap_or_default());
        return names.map(|name| within(path, name)).collect();
    }
    let mut found = Vec::new();
    for number in 0..IMAGES {
        let series = path.join(number.to_string());
        if Group::read(&series)?.is_none() {
            break;
        }
        found.push(series);
    }
    Ok(found)
}
