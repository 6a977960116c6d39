//! OME-XML as others wrote it: sizes, the order of planes, which plane is where, and what people want to know.
//!
//! Element by element, without a tree: names of elements decide, not their depth. No document type and no entity beyond the
//! predefined five is accepted, so that no input grows.

use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use crate::metadata::{Channel, Colour, Metadata, Quantity, Unit};
use crate::roi::Roi;

/// The pixels of an image.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pixels {
    /// Time, channel, z, y, x.
    pub(crate) sides: [usize; 5],
    /// The axes of planes by their number in `sides`, the fastest first.
    pub(crate) order: [usize; 3],
    pub(crate) blocks: Vec<Block>,
    pub(crate) metadata: Metadata,
    pub(crate) rois: Vec<Arc<Roi>>,
}

/// Where planes are: `TiffData`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// The directory of the first; where none is given it is the first of the file.
    pub(crate) ifd: Option<usize>,
    /// Time, channel, z of the first.
    pub(crate) first: [usize; 3],
    pub(crate) count: Option<usize>,
    /// The name of the file, where it says so.
    pub(crate) file: Option<String>,
}

/// Names are no longer, in characters.
const NAME: usize = 1000;

/// Reads the images of a document.
pub(crate) fn read(text: &str) -> Result<Vec<Pixels>, String> {
    let mut reader = Reader::from_str(text);
    let mut images: Vec<Pixels> = Vec::new();
    let mut name = None;
    loop {
        let event =
            reader.read_event().map_err(|error| format!("its OME-XML is not well-formed: {error}"))?;
        match event {
            Event::Start(start) | Event::Empty(start) => match start.local_name().into_inner() {
                "Image" => name = attribute(&start, "Name"),
                "Pixels" => images.push(pixels(&start, name.take())?),
                "Channel" => {
                    if let Some(image) = images.last_mut() {
                        channel(&start, image);
                    }
                }
                "TiffData" => {
                    if let Some(image) = images.last_mut() {
                        image.blocks.push(block(&start)?);
                    }
                }
                "UUID" => {
                    let block = images.last_mut().and_then(|image| image.blocks.last_mut());
                    if let (Some(block), Some(file)) = (block, attribute(&start, "FileName")) {
                        block.file = Some(file);
                    }
                }
                _ => {}
            },
            Event::DocType(_) => return Err("its OME-XML has a document type, which is not read".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    super::roi::attach(text, &mut images)?;
    super::plate::attach(text, &mut images)?;
    Ok(images)
}

/// An attribute as text; `None` where it is not there, empty or not well-formed.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok()??;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    (!value.is_empty()).then(|| value.chars().take(NAME).collect())
}

fn number<T: std::str::FromStr>(element: &BytesStart<'_>, name: &str) -> Result<Option<T>, String> {
    let Some(text) = attribute(element, name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| format!("its OME-XML has {name}={text:?}"))
}

fn pixels(element: &BytesStart<'_>, name: Option<String>) -> Result<Pixels, String> {
    let side = |name: &str| {
        number::<usize>(element, name)?.ok_or_else(|| format!("its OME-XML has Pixels without {name}"))
    };
    let order = attribute(element, "DimensionOrder").unwrap_or_default();
    let order = match order.as_str() {
        "XYZCT" => [2, 1, 0],
        "XYZTC" => [2, 0, 1],
        "XYCTZ" => [1, 0, 2],
        "XYCZT" => [1, 2, 0],
        "XYTCZ" => [0, 1, 2],
        "XYTZC" => [0, 2, 1],
        other => return Err(format!("its OME-XML has DimensionOrder={other:?}")),
    };
    // A size that is no number is no reason to refuse pixels.
    let size = |name: &str, default: &str, unit: fn(&str) -> Option<&'static Unit>| {
        let value = number::<f64>(element, name).ok()??;
        let given = attribute(element, &format!("{name}Unit"));
        Quantity::new(value, unit(given.as_deref().unwrap_or(default)))
    };
    Ok(Pixels {
        sides: [side("SizeT")?, side("SizeC")?, side("SizeZ")?, side("SizeY")?, side("SizeX")?],
        order,
        blocks: Vec::new(),
        metadata: Metadata {
            name,
            x: size("PhysicalSizeX", "µm", Unit::length),
            y: size("PhysicalSizeY", "µm", Unit::length),
            z: size("PhysicalSizeZ", "µm", Unit::length),
            t: size("TimeIncrement", "s", Unit::time),
            channels: Vec::new(),
            ..Metadata::default()
        },
        rois: Vec::new(),
    })
}

/// A channel, which is several where its pixels have several samples: those have its name and no colour of their own.
fn channel(element: &BytesStart<'_>, image: &mut Pixels) {
    let samples = number::<usize>(element, "SamplesPerPixel").ok().flatten().unwrap_or(1).clamp(1, 64);
    let name = attribute(element, "Name");
    let colour = number::<i32>(element, "Color").ok().flatten().map(|colour| {
        let [red, green, blue, _] = colour.to_be_bytes();
        Colour([red, green, blue])
    });
    image.metadata.is_rgb |= samples == 3 && image.sides[1] == 3;
    for sample in 0..samples {
        if image.metadata.channels.len() >= image.sides[1] {
            return;
        }
        let (name, colour) = match samples {
            1 => (name.clone(), colour),
            _ => (name.as_ref().map(|name| format!("{name} {sample}")), None),
        };
        image.metadata.channels.push(Channel { name, colour, ..Channel::default() });
    }
}

fn block(element: &BytesStart<'_>) -> Result<Block, String> {
    let first = |name: &str| Ok::<_, String>(number(element, name)?.unwrap_or(0));
    Ok(Block {
        ifd: number(element, "IFD")?,
        first: [first("FirstT")?, first("FirstC")?, first("FirstZ")?],
        count: number(element, "PlaneCount")?,
        file: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_units_channels_and_places_of_planes_are_read() {
        let images = read(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
              <Image ID="Image:0" Name="a &amp; b">
                <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="5" SizeY="4" SizeZ="3" SizeC="2" SizeT="1"
                  PhysicalSizeX="0.5" PhysicalSizeY="500" PhysicalSizeYUnit="nm" TimeIncrement="x">
                  <Channel ID="Channel:0:0" Name="DAPI" Color="65535"/>
                  <Channel ID="Channel:0:1"/>
                  <TiffData IFD="3" FirstC="1" PlaneCount="3"><UUID FileName="other.ome.tif">urn:uuid:1</UUID></TiffData>
                  <TiffData/>
                </Pixels>
              </Image>
            </OME>"#,
        )
        .expect("it is well-formed");
        let [image] = images.as_slice() else { panic!("there is one image") };
        assert_eq!((image.sides, image.order), ([1, 2, 3, 4, 5], [2, 1, 0]));
        assert_eq!(image.metadata.name.as_deref(), Some("a & b"));
        assert_eq!(image.metadata.x.map(|size| size.to_string()).as_deref(), Some("0.5 µm"));
        assert_eq!(image.metadata.y.map(|size| size.to_string()).as_deref(), Some("500 nm"));
        assert_eq!(image.metadata.t, None);
        assert_eq!(image.metadata.channels[0].colour, Some(Colour([0, 0, 255])));
        let elsewhere =
            Block { ifd: Some(3), first: [0, 1, 0], count: Some(3), file: Some("other.ome.tif".to_owned()) };
        assert_eq!(image.blocks, [elsewhere, Block::default()]);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for text in [
            "<OME><Pixels/></OME>",
            r#"<Pixels DimensionOrder="XYZCQ" SizeX="1" SizeY="1" SizeZ="1" SizeC="1" SizeT="1"/>"#,
            r#"<Pixels DimensionOrder="XYZCT" SizeX="-1" SizeY="1" SizeZ="1" SizeC="1" SizeT="1"/>"#,
            "<!DOCTYPE OME [<!ENTITY a 'b'>]><OME/>",
            "<OME><Image></OME>",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(read("<OME/>"), Ok(Vec::new()));
    }
}
