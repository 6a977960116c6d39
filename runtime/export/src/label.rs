//! Label images: samples are the numbers of objects. Those that an image has, and those that are drawn from regions of interest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::metadata::Metadata;
use crate::pyramid::Reduction;
use crate::roi::{Figure, Roi};
use crate::sample::SampleType;
use crate::shape::{Region, Shape};
use crate::source::{Level, ReadError, Source, check};

/// A label image of an image.
pub struct Label {
    /// What it is called, which is a name of a folder.
    pub name: String,
    /// Its samples.
    pub image: Box<dyn Source>,
    /// What is said of its numbers, as OME-NGFF has it in `image-label`: colours, properties, the image it belongs to.
    pub description: Map<String, Value>,
}

impl std::fmt::Debug for Label {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Label").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a label image can have this name: it is one of a folder, and leads nowhere else.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_plain = |letter: char| letter != '/' && !letter.is_control();
    // A name that begins with a dot is hidden, or a document of zarr.
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name != "zarr.json"
        && name.chars().all(is_plain)
}

/// What becomes of a sample that lies in two regions of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Nothing: it is an error that names both.
    Refuse,
    /// It belongs to that with the lower id.
    First,
    /// It belongs to that with the higher id.
    Last,
    /// It has the largest number of its type, as omero-cli-zarr's `dtype_max`.
    Largest,
}

/// A label image that is drawn as it is read: each region of interest has the place of its id among those of all as its number,
/// from 1.
#[derive(Debug)]
pub(crate) struct Drawn<'a> {
    levels: [Level; 1],
    sample_type: SampleType,
    metadata: Metadata,
    overlap: Overlap,
    /// By their numbers.
    rois: Vec<&'a Roi>,
    /// Columns and rows, and the number of the region.
    figures: Vec<([i64; 4], usize, &'a Figure)>,
}

impl<'a> Drawn<'a> {
    /// Of the regions of an image; `None` where there are none, or more than there are numbers. It has axes of times and depths
    /// only where a figure is of one of them, and never channels.
    pub(crate) fn new(source: &'a dyn Source, name: &str, overlap: Overlap) -> Option<Self> {
        let mut rois: Vec<&Roi> =
            source.rois().iter().map(Arc::as_ref).filter(|roi| !roi.figures.is_empty()).collect();
        rois.sort_by_key(|roi| roi.id);
        let figures = rois.iter().enumerate().flat_map(|(number, roi)| {
            roi.figures.iter().map(move |figure| (figure.outline.bounds(), number + 1, figure))
        });
        let figures: Vec<_> = figures.collect();
        let whole = source.shape();
        let is_of_one =
            |of: fn(&Figure) -> Option<usize>| figures.iter().any(|(_, _, figure)| of(figure).is_some());
        let shape = Shape {
            t: if is_of_one(|figure| figure.t) { whole.t } else { 1 },
            z: if is_of_one(|figure| figure.z) { whole.z } else { 1 },
            c: 1,
            ..whole
        };
        // The largest number means something else then.
        let count = rois.len() + usize::from(overlap == Overlap::Largest);
        let sample_type = [SampleType::Int8, SampleType::Int16, SampleType::Int32]
            .into_iter()
            .find(|kind| count as f64 <= kind.range().1)?;
        let Metadata { t, z, y, x, .. } = source.metadata();
        let metadata =
            Metadata { name: Some(name.to_owned()), t: *t, z: *z, y: *y, x: *x, ..Metadata::default() };
        let levels = [Level { shape, tile: [1024, 1024] }];
        (!rois.is_empty()).then_some(Self { levels, sample_type, metadata, overlap, rois, figures })
    }

    /// What is said of its numbers.
    pub(crate) fn description(&self) -> Map<String, Value> {
        let mut colours = BTreeMap::new();
        let mut properties = Vec::new();
        for (number, roi) in (1..).zip(&self.rois) {
            let Some(last) = roi.figures.last() else { continue };
            let mut told = json!({ "label-value": number, "omero:shapeId": last.id, "omero:roiId": roi.id });
            if let Some(text) = roi.figures.iter().rev().find_map(|figure| figure.text.as_ref()) {
                told["omero:text"] = text.as_str().into();
            }
            properties.push(told);
            if let Some(fill) = roi.figures.iter().rev().find_map(|figure| figure.fill) {
                colours.insert(number, fill);
            }
        }
        // Validators want a colour for each number that is described, or for none: those that have none are white then.
        if !colours.is_empty() {
            (1..=self.rois.len()).for_each(|number| {
                colours.entry(number).or_insert([255; 4]);
            });
        }
        let colours = colours.iter().map(|(number, rgba)| json!({ "label-value": number, "rgba": rgba }));
        let mut description = Map::new();
        description.insert("colors".into(), colours.collect());
        description.insert("properties".into(), properties.into());
        description.insert("source".into(), json!({ "image": "../.." }));
        description
    }

    /// Draws a row of a figure.
    fn row(
        &self,
        region: &Region,
        y: usize,
        number: usize,
        figure: &Figure,
        row: &mut [u32],
    ) -> Result<(), ReadError> {
        let left = region.x as i64;
        let mut failed = None;
        figure.outline.row(y as i64, |from, to| {
            let place = |column: i64| usize::try_from(column - left).unwrap_or_default().min(row.len());
            let (from, to) = (place(from), place(to));
            for (column, sample) in row.iter_mut().enumerate().take(to).skip(from) {
                let other = *sample as usize;
                *sample = match self.overlap {
                    _ if other == 0 || other == number => number as u32,
                    Overlap::First => other as u32,
                    Overlap::Last => number as u32,
                    Overlap::Largest => self.sample_type.range().1 as u32,
                    Overlap::Refuse => {
                        failed.get_or_insert((other, column));
                        other as u32
                    }
                };
            }
        });
        match failed {
            None => Ok(()),
            Some((other, column)) => Err(ReadError::Overlap {
                first: self.rois.get(other - 1).map_or(0, |roi| roi.id),
                second: self.rois.get(number - 1).map_or(0, |roi| roi.id),
                row: y,
                column: region.x + column,
            }),
        }
    }
}

impl Source for Drawn<'_> {
    fn sample_type(&self) -> SampleType {
        self.sample_type
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn storage(&self) -> &str {
        "drawn"
    }

    fn reduction(&self) -> Reduction {
        Reduction::Nearest
    }

    fn memory(&self) -> usize {
        // Numbers of 32 bits of a chunk; chunks are cut as the source says.
        4 * 1024 * 1024
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        check(self, level, region, into)?;
        let Region { plane, x, y, width, height } = *region;
        let (right, bottom) = ((x + width) as i64, (y + height) as i64);
        let meets = |(bounds, _, figure): &&([i64; 4], usize, &Figure)| {
            let [left, top, end, below] = *bounds;
            let is_here = left < right && end > x as i64 && top < bottom && below > y as i64;
            is_here && figure.t.is_none_or(|t| t == plane.t) && figure.z.is_none_or(|z| z == plane.z)
        };
        let figures: Vec<_> = self.figures.iter().filter(meets).collect();
        let mut row = vec![0_u32; width];
        let bytes = self.sample_type.bytes();
        for (number, samples) in into.chunks_exact_mut(width.max(1) * bytes).enumerate() {
            row.fill(0);
            for (_, value, figure) in &figures {
                self.row(region, y + number, *value, figure, &mut row)?;
            }
            for (number, sample) in row.iter().zip(samples.chunks_exact_mut(bytes)) {
                sample.copy_from_slice(&number.to_le_bytes()[..bytes]);
            }
        }
        Ok(())
    }
}

/// Names of label images that are there twice.
pub(crate) fn twice<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name)).map(str::to_owned)
}
