//! The attributes of an image as they are written, laid out as omero-cli-zarr 0.8.0 does: axes of one sample left out, only
//! scales, units in lower case, what OMERO shows in the block `omero`.

use serde_json::{Map, Value, json};

use super::documents::creator;
use super::writer::Version;
use crate::metadata::{Metadata, Quantity, View, Window};
use crate::pipeline::Extremes;
use crate::sample::SampleType;
use crate::shape::Shape;

/// The axes that a shape is written with: those of more than one sample, and y and x. By their number in
/// [`Shape::sides`].
pub(crate) fn written_axes(shape: &Shape) -> Vec<usize> {
    (0..5).filter(|axis| *axis >= 3 || shape.sides()[*axis] > 1).collect()
}

/// The names of axes.
pub(crate) const NAMES: [&str; 5] = ["t", "c", "z", "y", "x"];

/// What the attributes of an image are made of.
pub(crate) struct Described<'a> {
    pub(crate) version: Version,
    pub(crate) shape: Shape,
    /// The axes that are written, by their number.
    pub(crate) axes: &'a [usize],
    pub(crate) sample_type: SampleType,
    pub(crate) metadata: &'a Metadata,
    /// Height and width of each level.
    pub(crate) sizes: &'a [[usize; 2]],
    pub(crate) extremes: &'a [Extremes],
}

impl Described<'_> {
    /// The attributes of an image: of 0.5 what is within `ome`.
    pub(crate) fn attributes(&self) -> Value {
        let mut attributes = self.multiscales();
        attributes["omero"] = self.omero();
        attributes["_creator"] = creator();
        // OME-NGFF has no word for it.
        if self.metadata.is_rgb {
            attributes["_creator"]["rgb"] = true.into();
        }
        attributes
    }

    /// Only what any pyramid has.
    pub(crate) fn multiscales(&self) -> Value {
        let mut multiscale = Map::new();
        if self.version == Version::V04 {
            multiscale.insert("version".into(), "0.4".into());
        }
        multiscale.insert("name".into(), self.metadata.name.as_deref().unwrap_or("/").into());
        multiscale.insert("axes".into(), self.axes.iter().map(|axis| self.axis(*axis)).collect());
        let datasets = (0..self.sizes.len()).map(|level| {
            let scale: Vec<f64> = self.axes.iter().map(|axis| self.scale(*axis, level)).collect();
            json!({
                "path": level.to_string(),
                "coordinateTransformations": [{ "type": "scale", "scale": scale }],
            })
        });
        multiscale.insert("datasets".into(), datasets.collect());
        json!({ "multiscales": [multiscale] })
    }

    fn size(&self, axis: usize) -> Option<Quantity> {
        let Metadata { t, z, y, x, .. } = self.metadata;
        [*t, None, *z, *y, *x][axis]
    }

    fn axis(&self, axis: usize) -> Value {
        let kind = ["time", "channel", "space", "space", "space"][axis];
        let mut value = json!({ "name": NAMES[axis], "type": kind });
        if let Some(unit) = self.size(axis).and_then(|size| size.unit) {
            value["unit"] = unit.ngff.into();
        }
        value
    }

    /// How large a sample is; a side of one pixel is not halved.
    fn scale(&self, axis: usize, level: usize) -> f64 {
        let size = self.size(axis).map_or(1.0, |size| size.value);
        let Some(side) = axis.checked_sub(3) else { return size };
        let halved = (0..level).filter(|below| self.sizes[*below][side] > 1).count();
        (0..halved).fold(size, |size, _| size * 2.0)
    }

    fn omero(&self) -> Value {
        let channels = self.shape.c;
        let described = (0..channels).map(|number| {
            let known = self.metadata.channel(number);
            let label = known.and_then(|known| known.name.clone()).unwrap_or_else(|| number.to_string());
            let found = self.extremes.get(number).and_then(Extremes::range);
            // Of a constant image the range of the type, so that no window is empty.
            let found = found.filter(|(low, high)| low < high).unwrap_or(self.sample_type.range());
            let (min, max) = if self.sample_type.is_float() { found } else { self.sample_type.range() };
            let range = known.and_then(|known| known.range).unwrap_or(Window { start: min, end: max });
            let window =
                known.and_then(|known| known.window).unwrap_or(Window { start: found.0, end: found.1 });
            let rendering = known.map(|known| known.rendering.clone()).unwrap_or_default();
            let mut channel = json!({
                "active": rendering.is_active,
                "coefficient": rendering.coefficient,
                "color": self.metadata.colour(number, channels).to_string(),
                "family": rendering.family.name(),
                "inverted": rendering.is_inverted,
                "label": label,
                "window": {
                    "min": number_of(range.start), "max": number_of(range.end),
                    "start": number_of(window.start), "end": number_of(window.end),
                },
            });
            // As OMERO.web has it: only where there is one.
            if let Some(name) = rendering.lookup_table {
                channel["lut"] = name.into();
            }
            channel
        });
        let view = self.metadata.view.unwrap_or(View { z: self.shape.z / 2, t: 0, is_grey: channels == 1 });
        let mut omero = json!({
            "channels": described.collect::<Vec<_>>(),
            "rdefs": {
                "defaultT": view.t.min(self.shape.t - 1),
                "defaultZ": view.z.min(self.shape.z - 1),
                "model": if view.is_grey { "greyscale" } else { "color" },
            },
        });
        if self.version == Version::V04 {
            omero["version"] = "0.4".into();
        }
        if let Some(name) = &self.metadata.name {
            omero["name"] = name.as_str().into();
        }
        omero
    }
}

/// Whole numbers without a fraction, as everybody writes them.
fn number_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Channel, Colour, Unit};
    use crate::pyramid::sizes;

    fn metadata() -> Metadata {
        let length = |value| Quantity::new(value, Unit::length("µm"));
        Metadata {
            name: Some("Zellen µ".to_owned()),
            x: length(0.25),
            y: length(0.25),
            z: length(2.0),
            t: Quantity::new(30.0, Unit::time("s")),
            channels: vec![
                Channel {
                    name: Some("DAPI".to_owned()),
                    colour: Some(Colour([0, 0, 255])),
                    window: Some(Window { start: 10.0, end: 300.5 }),
                    ..Channel::default()
                },
                Channel::default(),
            ],
            ..Metadata::default()
        }
    }

    fn written(version: Version, sides: [usize; 5], kind: SampleType) -> String {
        let mut seen = Extremes::default();
        seen.see(kind, &[3_u16, 900].map(u16::to_le_bytes).concat());
        let shape = Shape::new(sides).expect("it is small");
        let described = Described {
            version,
            shape,
            axes: &written_axes(&shape),
            sample_type: kind,
            metadata: &metadata(),
            sizes: &sizes(shape.y, shape.x, 96),
            extremes: &[seen, seen],
        };
        serde_json::to_string_pretty(&described.attributes()).expect("it is JSON")
    }

    #[test]
    fn attributes_of_0_4_have_axes_scales_and_what_omero_shows() {
        insta::assert_snapshot!(written(Version::V04, [3, 2, 5, 300, 1], SampleType::Uint16));
    }

    #[test]
    fn attributes_of_0_5_leave_out_axes_of_one_sample() {
        insta::assert_snapshot!(written(Version::V05, [1, 1, 1, 100, 80], SampleType::Uint16));
    }
}
