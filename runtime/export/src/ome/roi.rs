//! The regions of interest of an OME-XML document: masks, polygons, rectangles and ellipses.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::read::{Pixels, attribute};
use crate::roi::{Figure, Outline, Roi};

/// Figures of a document: more are more than people or programs draw.
const FIGURES: usize = 1 << 20;
/// Bytes of all masks of a document, without compression.
const BITS: usize = 128 << 20;

/// Gives each image the regions that refer to it. What is no figure that is read is left out, and counted.
pub(super) fn attach(text: &str, images: &mut [Pixels]) -> Result<(), String> {
    // Most documents have none, and are not read twice.
    if !text.contains("ROI") {
        return Ok(());
    }
    let mut document = Document::default();
    document.read(text)?;
    let Document { regions, references, .. } = document;
    let numbers: Vec<Option<u64>> = regions.iter().map(|(id, _)| number(id)).collect();
    let is_each_once = numbers.iter().collect::<HashSet<_>>().len() == numbers.len();
    for (place, (id, mut roi)) in regions.into_iter().enumerate() {
        roi.id = numbers[place].filter(|_| is_each_once).unwrap_or(place as u64);
        let roi = Arc::new(roi);
        match (references.get(&id), &mut *images) {
            (Some(of), images) => {
                for image in of {
                    if let Some(image) = images.get_mut(*image) {
                        image.rois.push(Arc::clone(&roi));
                    }
                }
            }
            // Some writers refer to none, and mean the only image that there is.
            (None, [only]) if references.is_empty() => only.rois.push(roi),
            _ => {}
        }
    }
    Ok(())
}

/// The number at the end of an id: `ROI:7`, also behind an LSID.
fn number(id: &str) -> Option<u64> {
    id.rsplit(':').next()?.parse().ok()
}

/// What was read so far.
#[derive(Default)]
struct Document {
    /// By their ids.
    regions: Vec<(String, Roi)>,
    /// The images that refer to a region.
    references: HashMap<String, Vec<usize>>,
    images: usize,
    figures: usize,
    bits: usize,
    /// Whether one is within a region, and not within a reference to it.
    within: bool,
    /// A mask whose bits are still to come.
    mask: Option<Mask>,
    /// How the bits that come next are compressed.
    compression: Option<String>,
}

struct Mask {
    figure: Figure,
    base64: String,
}

impl Document {
    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut reader = Reader::from_str(text);
        loop {
            let event =
                reader.read_event().map_err(|error| format!("its OME-XML is not well-formed: {error}"))?;
            match event {
                Event::Start(start) => self.start(&start)?,
                Event::Empty(start) => {
                    self.start(&start)?;
                    self.end(start.local_name().into_inner())?;
                }
                Event::End(end) => self.end(end.local_name().into_inner())?,
                Event::Text(text) if self.compression.is_some() => {
                    if let Some(mask) = &mut self.mask {
                        mask.base64.push_str(&text);
                    }
                }
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        match element.local_name().into_inner() {
            "Image" => self.images += 1,
            "ROIRef" => {
                let id = attribute(element, "ID").unwrap_or_default();
                // One in a dataset or a folder is of no image.
                if let Some(image) = self.images.checked_sub(1) {
                    self.references.entry(id).or_default().push(image);
                }
            }
            "ROI" => {
                self.within = true;
                let id = attribute(element, "ID").unwrap_or_default();
                self.regions.push((id, Roi { id: 0, figures: Vec::new() }));
            }
            "Mask" => self.mask = self.figure(element)?.map(|figure| Mask { figure, base64: String::new() }),
            "Polygon" | "Rectangle" | "Ellipse" => {
                let figure = self.figure(element)?;
                self.push(figure);
            }
            "Transform" => {
                // It would be drawn somewhere else.
                self.mask = None;
                if let Some((_, roi)) = self.regions.last_mut().filter(|_| self.within) {
                    roi.figures.pop();
                }
            }
            "BinData" if self.mask.is_some() => {
                self.compression =
                    Some(attribute(element, "Compression").unwrap_or_else(|| "none".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), String> {
        match name {
            "ROI" => self.within = false,
            "BinData" => {
                if let (Some(compression), Some(mask)) = (self.compression.take(), &mut self.mask) {
                    let base64 = std::mem::take(&mut mask.base64);
                    let Outline::Mask { width, height, bits, .. } = &mut mask.figure.outline else {
                        return Ok(());
                    };
                    let bytes = width.saturating_mul(*height).div_ceil(8);
                    self.bits = self.bits.saturating_add(bytes);
                    if self.bits > BITS {
                        return Err(format!("its OME-XML has masks of more than {BITS} bytes"));
                    }
                    *bits = unpacked(&compression, &base64, bytes)?;
                }
            }
            "Mask" => {
                let mask = self.mask.take().map(|mask| mask.figure);
                self.push(mask);
            }
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, figure: Option<Figure>) {
        if let (Some(figure), Some((_, roi)), true) = (figure, self.regions.last_mut(), self.within) {
            roi.figures.push(figure);
        }
    }

    /// A figure; `None` where it has no form that is known.
    fn figure(&mut self, element: &BytesStart<'_>) -> Result<Option<Figure>, String> {
        self.figures += 1;
        if self.figures > FIGURES {
            return Err(format!("its OME-XML has more than {FIGURES} figures"));
        }
        let Some(outline) = outline(element) else { return Ok(None) };
        let index = |name: &str| attribute(element, name).and_then(|text| text.trim().parse().ok());
        let fill = attribute(element, "FillColor").and_then(|text| text.trim().parse::<i32>().ok());
        Ok(Some(Figure {
            id: attribute(element, "ID").as_deref().and_then(number).unwrap_or(self.figures as u64 - 1),
            text: attribute(element, "Text"),
            fill: fill.map(i32::to_be_bytes),
            t: index("TheT"),
            z: index("TheZ"),
            outline,
        }))
    }
}

fn outline(element: &BytesStart<'_>) -> Option<Outline> {
    let numbers = |names: [&str; 4]| {
        let [first, second, third, fourth] = names.map(|name| attribute(element, name)?.trim().parse().ok());
        Some([first?, second?, third?, fourth?])
    };
    match element.local_name().into_inner() {
        "Mask" => Outline::mask(numbers(["X", "Y", "Width", "Height"])?),
        "Polygon" => {
            // Longer than any other attribute is read.
            let points = element.try_get_attribute("Points").ok()??;
            Outline::polygon_of(&points.value)
        }
        "Rectangle" => Outline::rectangle(numbers(["X", "Y", "Width", "Height"])?),
        "Ellipse" => Outline::ellipse(numbers(["X", "Y", "RadiusX", "RadiusY"])?),
        _ => None,
    }
}

/// The bits of a mask, of which there are so many bytes.
fn unpacked(compression: &str, base64: &str, bytes: usize) -> Result<Vec<u8>, String> {
    let stored = decoded(base64).ok_or("a mask in its OME-XML is no base64")?;
    let mut bits = match compression {
        "none" => stored,
        "zlib" => {
            let mut bits = Vec::new();
            let mut decoder = flate2::read::ZlibDecoder::new(&stored[..]).take(bytes as u64);
            decoder.read_to_end(&mut bits).map_err(|error| format!("a mask in its OME-XML: {error}"))?;
            bits
        }
        other => return Err(format!("a mask in its OME-XML is compressed by {other:?}, which is not read")),
    };
    bits.truncate(bytes);
    Ok(bits)
}

/// RFC 4648, section 4; white space between the letters is nothing.
fn decoded(base64: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(base64.len() / 4 * 3);
    let (mut held, mut count) = (0_u32, 0);
    let letters = base64.bytes().filter(|letter| !letter.is_ascii_whitespace());
    let mut is_over = false;
    for letter in letters {
        let value = match letter {
            _ if is_over && letter != b'=' => return None,
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                is_over = true;
                continue;
            }
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((held >> count) as u8);
        }
    }
    // What is left of the last letter is less than a letter.
    (count < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rois: &str) -> Result<Vec<Arc<Roi>>, String> {
        let image = |number: u32, refs: &str| {
            format!(
                r#"<Image ID="Image:{number}"><Pixels DimensionOrder="XYZCT" SizeX="9" SizeY="9" SizeZ="1" SizeC="1" SizeT="1"/>{refs}</Image>"#
            )
        };
        let text = format!(
            r#"<OME>{}{}{rois}</OME>"#,
            image(0, ""),
            image(1, r#"<ROIRef ID="ROI:7"/><ROIRef ID="urn:lsid:here.org:ROI:5"/>"#)
        );
        let images = crate::ome::read(&text)?;
        assert!(images[0].rois.is_empty());
        Ok(images[1].rois.clone())
    }

    #[test]
    fn figures_are_read_with_what_is_said_of_them() {
        let rois = read(
            r#"<ROI ID="ROI:7"><Union>
                 <Polygon ID="Shape:70" Points="1.5,2.5 -3,4 5,6" TheZ="2" FillColor="-16776961" Text="a &amp; b"/>
                 <Mask ID="Shape:71" X="1" Y="2" Width="3" Height="2" TheT="0"><BinData Compression="none" Length="1">/ A=
                 =</BinData></Mask>
                 <Line X1="0" Y1="0" X2="1" Y2="1"/>
                 <Rectangle X="0" Y="1" Width="2" Height="3"><Transform A00="2"/></Rectangle>
               </Union></ROI>
               <ROI ID="urn:lsid:here.org:ROI:5"><Union><Ellipse X="1" Y="2" RadiusX="3" RadiusY="4.5"/></Union></ROI>
               <ROI ID="ROI:6"><Union><Rectangle X="0" Y="1" Width="2" Height="3"/></Union></ROI>"#,
        )
        .expect("it is well-formed");
        assert_eq!(rois.iter().map(|roi| (roi.id, roi.figures.len())).collect::<Vec<_>>(), [(7, 2), (5, 1)]);
        let [polygon, mask] = rois[0].figures.as_slice() else { panic!("there are two") };
        assert_eq!(polygon.outline, Outline::Polygon(vec![[2, 2], [-3, 4], [5, 6]]));
        assert_eq!((polygon.id, polygon.z, polygon.t), (70, Some(2), None));
        assert_eq!((polygon.fill, polygon.text.as_deref()), (Some([255, 0, 0, 255]), Some("a & b")));
        assert_eq!(mask.outline, Outline::Mask { x: 1, y: 2, width: 3, height: 2, bits: vec![0xfc] });
        assert_eq!(
            rois[1].figures[0].outline,
            Outline::Ellipse { x: 1.0, y: 2.0, radius_x: 3.0, radius_y: 4.5 }
        );
    }

    #[test]
    fn masks_that_make_no_sense_are_told_and_large_ones_take_no_memory() {
        let mask = |attributes: &str, data: &str| {
            read(&format!(
                r#"<ROI ID="ROI:7"><Mask X="0" Y="0" {attributes}><BinData {data}</BinData></Mask></ROI>"#
            ))
        };
        let small = r#"Width="2" Height="2""#;
        for (attributes, data, problem) in [
            (small, r#"Compression="none">?!"#, "no base64"),
            (small, r#"Compression="none">A=A"#, "no base64"),
            (small, r#"Compression="bzip2">AAAA"#, "bzip2"),
            (small, r#"Compression="zlib">AAAA"#, "a mask"),
            (r#"Width="2000000000" Height="2000000000""#, r#"Compression="none">AAAA"#, "more than"),
        ] {
            let error = mask(attributes, data).expect_err("it makes no sense");
            assert!(error.contains(problem), "{error}");
        }
        for attributes in [r#"Width="-1" Height="2""#, r#"Width="NaN" Height="2""#, r#"Width="2""#] {
            assert!(
                mask(attributes, r#">AAAA"#).expect("it is left out")[0].figures.is_empty(),
                "{attributes}"
            );
        }
    }
}
