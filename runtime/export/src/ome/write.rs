//! OME-XML as it is written into an OME-TIFF: valid against the schema 2016-06, with everything that is known of the image.

use std::fmt::Write as _;

use crate::metadata::{Metadata, Quantity};
use crate::sample::SampleType;
use crate::shape::{Plane, Shape};
use crate::source::Source;

/// An image that is described.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described<'a> {
    pub(crate) shape: Shape,
    pub(crate) sample_type: SampleType,
    pub(crate) metadata: &'a Metadata,
    /// Whether its channels are the samples of one pixel.
    pub(crate) colour: bool,
}

impl<'a> Described<'a> {
    /// What a source says of itself.
    pub(crate) fn of(source: &'a dyn Source) -> Self {
        Self {
            shape: source.shape(),
            sample_type: source.sample_type(),
            metadata: source.metadata(),
            colour: false,
        }
    }
}

/// Where the planes of images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planes<'a> {
    /// Each is a page of the same file.
    Pages {
        /// Whether those of the channels of a plane follow each other, or else those of a stack.
        channels_first: bool,
    },
    /// Each is a page of one of several files.
    Files {
        /// As of pages.
        channels_first: bool,
        /// All of them.
        files: &'a [File],
        /// That which the document is in.
        own: usize,
    },
    /// Not where the document is.
    Elsewhere,
}

/// One of the files of an image: its pages are planes that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) name: String,
    /// A UUID.
    pub(crate) identity: String,
    /// The plane of its first page.
    pub(crate) first: Plane,
    /// How many it has.
    pub(crate) count: usize,
}

/// Characters that no XML document can hold are left out of texts: those below the blank but for white space, and two that
/// Unicode has for no use.
fn printable(text: &str) -> String {
    let is_valid = |letter: char| match letter {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    };
    text.chars().filter(|letter| is_valid(*letter)).collect()
}

/// A document.
pub(crate) fn write(images: &[Described<'_>], planes: Planes<'_>) -> String {
    let own = match planes {
        Planes::Files { files, own, .. } => files.get(own).map(|file| file.identity.as_str()),
        Planes::Pages { .. } | Planes::Elsewhere => None,
    };
    let mut text = begin(own);
    for (number, image) in images.iter().enumerate() {
        write_image(&mut text, number, image, planes);
    }
    text.push_str("</OME>\n");
    text
}

/// How a document begins, which may have a UUID of its own.
pub(super) fn begin(identity: Option<&str>) -> String {
    let mut text = String::with_capacity(2048);
    text.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"http://www.openmicroscopy.org/Schemas/OME/2016-06 \
         http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd\" \
         Creator=\"biomero-worker\"",
    );
    if let Some(identity) = identity {
        let _ = write!(text, " UUID=\"urn:uuid:{identity}\"");
    }
    text.push_str(">\n");
    text
}

pub(super) fn write_image(text: &mut String, image: usize, described: &Described<'_>, planes: Planes<'_>) {
    let Described { shape, sample_type, metadata, colour } = *described;
    let _ = write!(text, "  <Image ID=\"Image:{image}\"");
    attribute(text, "Name", metadata.name.as_deref());
    let _ = write!(text, ">\n    <Pixels ID=\"Pixels:{image}\"");
    let channels_first = match planes {
        Planes::Pages { channels_first } | Planes::Files { channels_first, .. } => channels_first,
        Planes::Elsewhere => false,
    };
    attribute(text, "DimensionOrder", Some(if channels_first { "XYCZT" } else { "XYZCT" }));
    attribute(text, "Type", Some(sample_type.ome_name()));
    for (axis, side) in ["T", "C", "Z", "Y", "X"].iter().zip(shape.sides()) {
        attribute(text, &format!("Size{axis}"), Some(&side.to_string()));
    }
    attribute(text, "BigEndian", Some("false"));
    attribute(text, "Interleaved", Some(if colour { "true" } else { "false" }));
    for (name, size) in
        [("PhysicalSizeX", metadata.x), ("PhysicalSizeY", metadata.y), ("PhysicalSizeZ", metadata.z)]
    {
        quantity(text, name, size);
    }
    quantity(text, "TimeIncrement", metadata.t);
    text.push_str(">\n");
    if colour {
        // One that stands for all: neither a name nor a colour of its own.
        let samples = shape.c;
        let _ = writeln!(text, "      <Channel ID=\"Channel:{image}:0\" SamplesPerPixel=\"{samples}\"/>");
    }
    for number in 0..if colour { 0 } else { shape.c } {
        let _ = write!(text, "      <Channel ID=\"Channel:{image}:{number}\" SamplesPerPixel=\"1\"");
        let known = metadata.channel(number);
        attribute(text, "Name", known.and_then(|known| known.name.as_deref()));
        if let Some(colour) = known.and_then(|known| known.colour) {
            // Red, green, blue and an opaque alpha, as a number with a sign.
            let [red, green, blue] = colour.0;
            let number = i32::from_be_bytes([red, green, blue, 255]);
            attribute(text, "Color", Some(&number.to_string()));
        }
        text.push_str("/>\n");
    }
    match planes {
        Planes::Pages { .. } => {
            let pages = shape.planes() / if colour { shape.c } else { 1 };
            let _ = writeln!(text, "      <TiffData IFD=\"0\" PlaneCount=\"{pages}\"/>");
        }
        Planes::Files { files, .. } => {
            for File { name, identity, first: Plane { t, c, z }, count } in files {
                let _ = write!(
                    text,
                    "      <TiffData IFD=\"0\" FirstT=\"{t}\" FirstC=\"{c}\" FirstZ=\"{z}\" PlaneCount=\"{count}\"><UUID"
                );
                attribute(text, "FileName", Some(name));
                let _ = writeln!(text, ">urn:uuid:{identity}</UUID></TiffData>");
            }
        }
        Planes::Elsewhere => text.push_str("      <MetadataOnly/>\n"),
    }
    text.push_str("    </Pixels>\n  </Image>\n");
}

/// A size in its unit; one of an unknown unit is left out, because the schema would make micrometres of it.
fn quantity(text: &mut String, name: &str, size: Option<Quantity>) {
    if let Some((size, unit)) = size.and_then(|size| size.unit.map(|unit| (size, unit))) {
        attribute(text, name, Some(&size.value.to_string()));
        attribute(text, &format!("{name}Unit"), Some(unit.ome));
    }
}

pub(super) fn attribute(text: &mut String, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    let _ = write!(text, " {name}=\"");
    for letter in printable(value).chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            // A reader makes blanks of them otherwise.
            '\n' | '\r' | '\t' => {
                let _ = write!(text, "&#{};", u32::from(letter));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Channel, Colour, Unit};

    #[test]
    fn what_is_known_is_written_and_read_back() {
        let length = |value| Quantity::new(value, Unit::length("µm"));
        let metadata = Metadata {
            name: Some("a \"b\" <c> & µ\u{1}\n日本".to_owned()),
            x: length(0.25),
            y: length(1e-7),
            z: Quantity::new(2.0, None),
            t: Quantity::new(30.0, Unit::time("s")),
            channels: vec![
                Channel {
                    name: Some("DAPI".into()),
                    colour: Some(Colour([0, 0, 255])),
                    ..Channel::default()
                },
                Channel::default(),
            ],
            ..Metadata::default()
        };
        let shape = Shape::new([1, 2, 3, 4, 5]).expect("it is small");
        let described =
            Described { shape, sample_type: SampleType::Float, metadata: &metadata, colour: false };
        let text = write(&[described], Planes::Pages { channels_first: false });
        insta::assert_snapshot!(text);
        let read = crate::ome::read(&text).expect("it is well-formed");
        let [image] = read.as_slice() else { panic!("there is one image") };
        assert_eq!(image.sides, [1, 2, 3, 4, 5]);
        assert_eq!(image.metadata.name.as_deref(), Some("a \"b\" <c> & µ\n日本"));
        assert_eq!((image.metadata.x, image.metadata.y), (metadata.x, metadata.y));
        assert_eq!((image.metadata.z, image.metadata.t), (None, metadata.t));
        assert_eq!(image.metadata.channels, metadata.channels);
    }
}
