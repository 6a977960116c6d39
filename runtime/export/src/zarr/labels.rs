//! Label images beside the levels of an image, in `labels`: found, and written.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::attributes::Described;
use super::collection::IMAGES;
use super::documents::Documents;
use super::group::Group;
use super::reader::{Shared, ZarrImage};
use super::writer::{Options, Place, Version, write_levels};
use crate::label::{Drawn, Label, Overlap, is_name, twice};
use crate::manifest::Manifest;
use crate::pipeline;
use crate::source::{Limits, ReadError, Source};
use crate::write_error::WriteError;

/// The folder of label images, beside the levels.
const FOLDER: &str = "labels";
/// No image has more.
const LABELS: usize = 1000;

/// How regions of interest become a label image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rois {
    /// What it is called.
    pub name: String,
    /// What becomes of a sample in two of them.
    pub overlap: Overlap,
}

/// Opens the label images of the image in a folder.
pub(crate) fn open(
    image: &Path,
    limits: Limits,
    shared: &Arc<Shared>,
    number: usize,
) -> Result<Vec<Label>, ReadError> {
    let folder = image.join(FOLDER);
    let Some(group) = Group::read(&folder)? else { return Ok(Vec::new()) };
    let names = group.attributes["labels"].as_array().map(Vec::as_slice).unwrap_or_default();
    if names.len() > LABELS {
        return Err(ReadError::damaged(&folder, format!("it has more than {LABELS} label images")));
    }
    let names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap_or_default()).collect();
    if let Some(name) = twice(names.iter().copied()) {
        return Err(ReadError::damaged(&folder, format!("it names the label image {name:?} twice")));
    }
    let open = |(place, name): (usize, &str)| {
        if !is_name(name) {
            let problem = format!("it names the label image {name:?}, which is no folder in it");
            return Err(ReadError::damaged(&folder, problem));
        }
        let path = folder.join(name);
        let missing = || ReadError::damaged(&path, "there should be a label image");
        let group = Group::read(&path)?.ok_or_else(missing)?;
        // Chunks that are kept are told apart by the number of the image.
        let number = number + (place + 1) * IMAGES;
        let found = ZarrImage::read(&group, limits, shared, number)?.ok_or_else(missing)?;
        if found.sample_type().is_float() {
            let what = "its label image has floating-point numbers";
            return Err(ReadError::unsupported(&path, what, "write it again with whole numbers"));
        }
        let description = group.attributes["image-label"].as_object().cloned().unwrap_or_default();
        Ok(Label { name: name.to_owned(), image: Box::new(found), description })
    };
    names.into_iter().enumerate().map(open).collect()
}

/// Writes the label images of an image, and that of its regions of interest where it is asked for. Returns their names.
pub(crate) fn write(
    source: &dyn Source,
    axes: &[usize],
    place: Place<'_>,
    manifest: &Manifest,
    options: &Options,
    work: &pipeline::Options<'_>,
) -> Result<Vec<String>, WriteError> {
    let labels = source.labels()?;
    let drawn = match &options.rois {
        Some(Rois { name, .. }) if !is_name(name) => {
            let what = format!("{name:?} is no name of a label image");
            return Err(WriteError::Unsupported { what, remedy: "choose another" });
        }
        Some(Rois { name, overlap }) => Drawn::new(source, name, *overlap),
        None => None,
    };
    let drawn_name = drawn.as_ref().and(options.rois.as_ref()).map(|rois| rois.name.as_str());
    let names: Vec<&str> = labels.iter().map(|label| label.name.as_str()).chain(drawn_name).collect();
    if let Some(name) = twice(names.iter().copied()) {
        let what = format!("the image already has a label image {name:?}");
        return Err(WriteError::Unsupported { what, remedy: "choose another name for that of its ROIs" });
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // Their samples are none of those that are counted.
    let work = pipeline::Options { progress: &|_, _| (), ..*work };
    let folder = place.prefix.join(FOLDER);
    let documents = Documents::new(place, manifest, options);
    let one = |name: &str, image: &dyn Source, mut description: Map<String, Value>| {
        let prefix = folder.join(name);
        let sides = image.shape().sides();
        let axes: Vec<usize> = (0..5).filter(|axis| axes.contains(axis) || sides[*axis] > 1).collect();
        let levels =
            write_levels(image, &axes, Place { prefix: &prefix, ..place }, manifest, options, &work)?;
        let described = Described {
            version: options.version,
            shape: image.shape(),
            axes: &axes,
            sample_type: image.sample_type(),
            metadata: image.metadata(),
            sizes: &levels.sizes,
            extremes: &levels.extremes,
        };
        description.retain(|key, _| ["colors", "properties", "source"].contains(&key.as_str()));
        description.entry("source").or_insert_with(|| json!({ "image": "../.." }));
        let version = if options.version == Version::V04 { "0.4" } else { "0.5" };
        description.insert("version".into(), version.into());
        let mut attributes = described.multiscales();
        attributes["image-label"] = Value::Object(description);
        documents.group(&prefix, attributes)
    };
    for label in &labels {
        one(&label.name, &*label.image, label.description.clone())?;
    }
    if let Some((drawn, name)) = drawn.as_ref().zip(drawn_name) {
        one(name, drawn, drawn.description())?;
    }
    documents.group(&folder, json!({ "labels": names }))?;
    Ok(names.into_iter().map(str::to_owned).collect())
}
