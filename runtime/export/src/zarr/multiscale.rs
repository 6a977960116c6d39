//! The attributes of an image as others wrote them: which arrays are its levels, what their axes are, how large a pixel is.

use std::path::Path;

use serde_json::Value;

use super::chunk_grid::Axes;
use super::documents::is_ours;
use crate::metadata::{Channel, Colour, Family, Metadata, Quantity, Rendering, Unit, View, Window};
use crate::source::ReadError;

/// An image: its first multiscale.
#[derive(Debug)]
pub(crate) struct Multiscale {
    /// The version of OME-NGFF, where it is told.
    pub(crate) version: Option<String>,
    pub(crate) axes: Axes,
    pub(crate) dimensions: usize,
    /// The paths of the levels, the largest first.
    pub(crate) levels: Vec<String>,
    pub(crate) metadata: Metadata,
    pub(crate) complaints: Vec<String>,
}

/// The most levels that are read: halved so often, nothing is left of any image.
const LEVELS: usize = 32;
/// Names are no longer, in characters.
const NAME: usize = 1000;

impl Multiscale {
    /// Reads the attributes of a group; `None` where it has no multiscales.
    pub(crate) fn read(path: &Path, attributes: &Value) -> Result<Option<Self>, ReadError> {
        let Some(multiscales) = attributes["multiscales"].as_array() else { return Ok(None) };
        let damaged = |problem: String| ReadError::damaged(path, problem);
        let first =
            multiscales.first().ok_or_else(|| damaged("its list of multiscales is empty".to_owned()))?;
        let mut complaints = Vec::new();
        if multiscales.len() > 1 {
            complaints.push(format!("it has {} multiscales: the first is read", multiscales.len()));
        }
        let (axes, names) = match &first["axes"] {
            Value::Null => ([Some(0), Some(1), Some(2), Some(3), Some(4)], Vec::new()),
            axes => {
                let axes = axes.as_array().ok_or_else(|| damaged("its axes are no list".to_owned()))?;
                (order(axes).map_err(damaged)?, axes.clone())
            }
        };
        let datasets = first["datasets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let levels: Vec<String> = datasets
            .iter()
            .take(LEVELS)
            .filter_map(|dataset| dataset["path"].as_str().map(str::to_owned))
            .collect();
        if levels.is_empty() {
            return Err(damaged("its multiscale names no array".to_owned()));
        }
        let scale = scale(first, datasets);
        let size = |axis: usize, unit: fn(&str) -> Option<&'static Unit>| {
            let dimension = axes[axis]?;
            let unit = names.get(dimension).and_then(|axis| axis["unit"].as_str()).and_then(unit);
            let size = Quantity::new(*scale.get(dimension)?, unit)?;
            // Written where nothing was known.
            (size.unit.is_some() || size.value != 1.0).then_some(size)
        };
        let omero = &attributes["omero"];
        let mut metadata = Metadata {
            // What others call "/" is no name.
            name: text(&first["name"]).filter(|name| name != "/"),
            t: size(0, Unit::time),
            z: size(2, Unit::length),
            y: size(3, Unit::length),
            x: size(4, Unit::length),
            channels: omero["channels"].as_array().into_iter().flatten().map(channel).collect(),
            is_rgb: is_ours(attributes) && attributes["_creator"]["rgb"] == true,
            view: view(&omero["rdefs"]),
            ..Metadata::default()
        };
        if omero.is_null() {
            complaints.push("it has no omero block: channels have neither names nor colours".to_owned());
        } else if metadata.name.is_none() {
            metadata.name = text(&omero["name"]);
        }
        let version = [&first["version"], &attributes["version"]].into_iter().find_map(text);
        let dimensions = if names.is_empty() { 5 } else { names.len() };
        Ok(Some(Self { version, axes, dimensions, levels, metadata, complaints }))
    }
}

/// Which dimension each axis is; of OME-NGFF 0.3 axes are names, later objects.
fn order(axes: &[Value]) -> Result<Axes, String> {
    let mut order = [None; 5];
    for (dimension, axis) in axes.iter().enumerate() {
        let name = axis["name"].as_str().or_else(|| axis.as_str()).unwrap_or_default();
        let known = ["t", "c", "z", "y", "x"].iter().position(|known| *known == name.to_ascii_lowercase());
        match known.and_then(|axis| order.get_mut(axis)) {
            Some(place @ None) => *place = Some(dimension),
            Some(Some(_)) => return Err(format!("it has the axis {name:?} twice")),
            None => return Err(format!("its axis {name:?} is none of t, c, z, y, x")),
        }
    }
    match order {
        [.., Some(_), Some(_)] => Ok(order),
        _ => Err("its axes y and x are not both there".to_owned()),
    }
}

/// The scale of level 0, of the array and of all arrays together.
fn scale(multiscale: &Value, datasets: &[Value]) -> Vec<f64> {
    let of = |holder: &Value| -> Option<Vec<f64>> {
        let transformations = holder["coordinateTransformations"].as_array()?;
        let scale = transformations.iter().find(|known| known["type"] == "scale")?["scale"].as_array()?;
        scale.iter().map(Value::as_f64).collect()
    };
    let mut scale = datasets.first().and_then(of).unwrap_or_default();
    if let Some(common) = of(multiscale) {
        scale.iter_mut().zip(common).for_each(|(scale, common)| *scale *= common);
    }
    scale
}

/// What is shown first; the model is told where the place is.
fn view(value: &Value) -> Option<View> {
    let place = |key: &str| value[key].as_u64().and_then(|place| usize::try_from(place).ok());
    let is_grey = match value["model"].as_str()? {
        "greyscale" => true,
        "color" => false,
        _ => return None,
    };
    Some(View { z: place("defaultZ")?, t: place("defaultT")?, is_grey })
}

fn channel(value: &Value) -> Channel {
    let window = &value["window"];
    let window = window["start"]
        .as_f64()
        .zip(window["end"].as_f64())
        .map(|(start, end)| Window { start, end })
        .filter(|window| window.start < window.end);
    let usual = Rendering::default();
    let rendering = Rendering {
        is_active: value["active"].as_bool().unwrap_or(usual.is_active),
        is_inverted: value["inverted"].as_bool().unwrap_or(usual.is_inverted),
        family: value["family"].as_str().and_then(Family::named).unwrap_or_default(),
        coefficient: value["coefficient"].as_f64().unwrap_or(usual.coefficient),
        lookup_table: text(&value["lut"]),
    };
    Channel {
        name: text(&value["label"]),
        colour: value["color"].as_str().and_then(Colour::from_hexadecimal),
        window,
        range: None,
        rendering,
    }
}

/// A text that is not empty, as far as one reads names.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(|text| text.chars().take(NAME).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(attributes: &Value) -> Result<Multiscale, ReadError> {
        Multiscale::read(Path::new("image.zarr"), attributes).map(|found| found.expect("it is an image"))
    }

    #[test]
    fn axes_scales_units_and_channels_are_read() {
        let image = read(&json!({
            "multiscales": [{
                "version": "0.4",
                "name": "cells",
                "axes": [
                    { "name": "c", "type": "channel" },
                    { "name": "y", "type": "space", "unit": "micrometer" },
                    { "name": "x", "type": "space", "unit": "micrometer" },
                ],
                "datasets": [{ "path": "0", "coordinateTransformations": [{ "type": "scale", "scale": [1, 0.5, 0.25] }] }],
                "coordinateTransformations": [{ "type": "scale", "scale": [1, 2, 2] }],
            }],
            "omero": { "channels": [
                { "label": "DAPI", "color": "0000FF", "window": { "start": 10, "end": 200, "min": 0, "max": 255 },
                  "active": false, "inverted": true, "family": "logarithmic", "coefficient": 1.5, "lut": "fire.lut" },
                { "label": "", "color": "blue", "window": { "start": 10, "end": 10 } },
            ], "rdefs": { "defaultZ": 3, "defaultT": 2, "model": "greyscale" } },
        }))
        .expect("it is whole");
        assert_eq!(image.axes, [None, Some(0), None, Some(1), Some(2)]);
        assert_eq!(image.levels, ["0"]);
        let metadata = &image.metadata;
        assert_eq!(metadata.name.as_deref(), Some("cells"));
        assert_eq!(metadata.y.map(|size| size.to_string()).as_deref(), Some("1 µm"));
        assert_eq!(metadata.x.map(|size| size.to_string()).as_deref(), Some("0.5 µm"));
        assert_eq!(metadata.channels[0].colour, Some(Colour([0, 0, 255])));
        assert_eq!(metadata.channels[0].window, Some(Window { start: 10.0, end: 200.0 }));
        let rendering = Rendering {
            is_active: false,
            is_inverted: true,
            family: Family::Logarithmic,
            coefficient: 1.5,
            lookup_table: Some("fire.lut".to_owned()),
        };
        assert_eq!(metadata.channels[0].rendering, rendering);
        assert_eq!(metadata.view, Some(View { z: 3, t: 2, is_grey: true }));
        assert_eq!(metadata.channels[1], Channel::default());
    }

    #[test]
    fn a_scale_of_one_without_a_unit_says_nothing() {
        let image = read(&json!({ "multiscales": [{
            "axes": [{ "name": "y", "type": "space" }, { "name": "x", "type": "space" }],
            "datasets": [{ "path": "0", "coordinateTransformations": [{ "type": "scale", "scale": [1.0, 1.0] }] }],
        }]}))
        .expect("it is whole");
        assert_eq!((image.metadata.x, image.metadata.y), (None, None));
    }

    #[test]
    fn axes_that_make_no_sense_are_refused() {
        for axes in
            [json!(["y"]), json!(["y", "x", "y"]), json!(["y", "x", "lambda"]), json!([{}, {}]), json!(7)]
        {
            let attributes = json!({ "multiscales": [{ "axes": axes, "datasets": [{ "path": "0" }] }] });
            let error = read(&attributes).expect_err("it makes no sense");
            assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
        }
        for multiscales in
            [json!([]), json!([{}]), json!([{ "axes": ["y", "x"], "datasets": [{ "path": 7 }] }])]
        {
            read(&json!({ "multiscales": multiscales })).expect_err("it names nothing");
        }
    }
}
