//! Plates in OME-XML: which image is which field of which well, read and written.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::read::{Pixels, attribute};
use super::write::{self, Described, File};
use crate::metadata::{Acquisition, Field, LINES, Plate, letters, numbers};

/// Plates of a document.
const PLATES: usize = 1000;

/// Well samples of a document, and references to them: more than any plate has.
const SAMPLES: usize = 1 << 20;

/// Gives each image that a well refers to its place on the plate.
pub(super) fn attach(text: &str, images: &mut [Pixels]) -> Result<(), String> {
    // Most documents have none, and are not read twice.
    if !text.contains("WellSample") {
        return Ok(());
    }
    let mut document = Document::default();
    document.read(text)?;
    let Document { plates, images: known, .. } = document;
    for found in plates {
        let plate = Arc::new(found.plate());
        for well in &found.wells {
            for (sample, number) in well.samples.iter().zip(well.numbers()) {
                let image = sample.image.as_ref().and_then(|id| images.get_mut(*known.get(id)?));
                // A place that the plate does not have is none.
                let place = well
                    .place
                    .filter(|[row, column]| *row < plate.rows.len() && *column < plate.columns.len());
                if let (Some(image), Some([row, column])) = (image, place) {
                    let acquisition = found.acquisitions.get(&sample.id).copied();
                    let plate = Arc::clone(&plate);
                    image.metadata.field = Some(Field { plate, row, column, number, acquisition });
                }
            }
        }
    }
    Ok(())
}

/// What was read so far.
#[derive(Default)]
struct Document {
    plates: Vec<Found>,
    /// By their ids: which of the images.
    images: HashMap<String, usize>,
    /// The id of an image whose pixels are still to come.
    image: Option<String>,
    pixels: usize,
    /// How many samples and references to them there were.
    samples: usize,
    is_in_sample: bool,
    /// The number of the acquisition that references are of.
    acquisition: usize,
}

#[derive(Default)]
struct Found {
    name: Option<String>,
    /// How many rows and columns it says it has.
    told: [usize; 2],
    /// Whether rows and columns are called by letters.
    letters: [bool; 2],
    wells: Vec<Well>,
    /// By the id of a sample: the number of its acquisition.
    acquisitions: HashMap<String, usize>,
    runs: usize,
    /// Those with a name.
    named: Vec<Acquisition>,
}

struct Well {
    place: Option<[usize; 2]>,
    samples: Vec<Sample>,
}

struct Sample {
    id: String,
    image: Option<String>,
}

impl Found {
    fn plate(&self) -> Plate {
        let count = |axis: usize| {
            let used = self.wells.iter().filter_map(|well| well.place);
            let used = used.map(|place| place[axis].saturating_add(1)).max().unwrap_or(0);
            // Some writers leave the number out.
            if self.told[axis] > 0 { self.told[axis] } else { used }
        };
        let plate = Plate::named(self.name.clone(), (count(0), self.letters[0]), (count(1), self.letters[1]));
        Plate { acquisitions: self.named.clone(), ..plate }
    }
}

impl Well {
    /// The numbers of its fields: those at the ends of the ids, `WellSample:0:7:2`, where these make sense.
    fn numbers(&self) -> Vec<usize> {
        let ends: Vec<&str> = self
            .samples
            .iter()
            .map(|sample| match sample.id.split(':').collect::<Vec<_>>()[..] {
                ["WellSample", _, _, number] => number,
                _ => "",
            })
            .collect();
        numbers(&ends)
    }
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
                    self.end(start.local_name().into_inner());
                }
                Event::End(end) => self.end(end.local_name().into_inner()),
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let id = || attribute(element, "ID").unwrap_or_default();
        let count = |name: &str| attribute(element, name).and_then(|text| text.trim().parse().ok());
        let plate = self.plates.last_mut();
        match (element.local_name().into_inner(), plate) {
            ("Image", _) => self.image = Some(id()),
            // As images are counted where their pixels are read.
            ("Pixels", _) => {
                if let Some(image) = self.image.take() {
                    self.images.insert(image, self.pixels);
                }
                self.pixels += 1;
            }
            ("Plate", _) => {
                let convention = |name: &str| attribute(element, name);
                self.plates.push(Found {
                    name: attribute(element, "Name"),
                    told: ["Rows", "Columns"].map(|name| count(name).unwrap_or(0)),
                    letters: [
                        convention("RowNamingConvention").is_none_or(|convention| convention != "number"),
                        convention("ColumnNamingConvention").is_some_and(|convention| convention == "letter"),
                    ],
                    ..Found::default()
                });
            }
            ("Well", Some(plate)) => {
                let place = count("Row").zip(count("Column")).map(<[usize; 2]>::from);
                plate.wells.push(Well { place, samples: Vec::new() });
            }
            ("WellSample", Some(plate)) => {
                self.samples += 1;
                if let Some(well) = plate.wells.last_mut() {
                    well.samples.push(Sample { id: id(), image: None });
                    self.is_in_sample = true;
                }
            }
            ("ImageRef", Some(plate)) if self.is_in_sample => {
                let sample = plate.wells.last_mut().and_then(|well| well.samples.last_mut());
                if let Some(sample) = sample {
                    sample.image = Some(id());
                }
            }
            ("PlateAcquisition", Some(plate)) => {
                self.acquisition = match id().split(':').collect::<Vec<_>>()[..] {
                    ["PlateAcquisition", _, number] => number.parse().unwrap_or(plate.runs),
                    _ => plate.runs,
                };
                plate.runs += 1;
                let name = attribute(element, "Name").filter(|name| !name.is_empty());
                if name.is_some() && plate.named.len() < LINES {
                    plate.named.push(Acquisition { id: self.acquisition, name, ..Acquisition::default() });
                }
            }
            ("WellSampleRef", Some(plate)) => {
                self.samples += 1;
                plate.acquisitions.insert(id(), self.acquisition);
            }
            _ => {}
        }
        match (self.plates.len(), self.samples) {
            (0..=PLATES, 0..=SAMPLES) => Ok(()),
            (..=PLATES, _) => Err(format!("its OME-XML has more than {SAMPLES} samples of wells")),
            _ => Err(format!("its OME-XML has more than {PLATES} plates")),
        }
    }

    fn end(&mut self, name: &str) {
        if name == "WellSample" {
            self.is_in_sample = false;
        }
    }
}

/// The file that a document leaves all metadata to, and of which it has only the name.
pub(crate) fn companion(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) | Event::Empty(start) if start.local_name().into_inner() == "BinaryOnly" => {
                return attribute(&start, "MetadataFile");
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The document of a file whose metadata are elsewhere.
pub(crate) fn write_binary_only(own: &str, companion: &str, identity: &str) -> String {
    let mut text = write::begin(Some(own));
    text.push_str("  <BinaryOnly");
    write::attribute(&mut text, "MetadataFile", Some(companion));
    write::attribute(&mut text, "UUID", Some(&format!("urn:uuid:{identity}")));
    text.push_str("/>\n</OME>\n");
    text
}

/// An image of a plate, and the file that it is alone in.
pub(crate) struct Member<'a> {
    pub(crate) described: Described<'a>,
    pub(crate) file: File,
    /// Row, column and number of the field.
    pub(crate) place: [usize; 3],
    pub(crate) acquisition: Option<usize>,
}

/// A document of a plate, whose images are in the order of their places.
pub(crate) fn write_companion(
    identity: &str,
    plate: &Plate,
    members: &[Member<'_>],
    channels_first: bool,
) -> String {
    let mut text = write::begin(Some(identity));
    text.push_str("  <Plate ID=\"Plate:0\"");
    write::attribute(&mut text, "Name", plate.name.as_deref());
    // Names themselves have no place here, only how they come about.
    let is_counted = plate.rows.iter().enumerate().all(|(row, name)| *name == (row + 1).to_string());
    let is_lettered = plate.columns.iter().enumerate().all(|(column, name)| *name == letters(column));
    let convention = |letters: bool| Some(if letters { "letter" } else { "number" });
    write::attribute(&mut text, "RowNamingConvention", convention(!is_counted));
    write::attribute(&mut text, "ColumnNamingConvention", convention(is_lettered));
    write::attribute(&mut text, "Rows", Some(&plate.rows.len().to_string()));
    write::attribute(&mut text, "Columns", Some(&plate.columns.len().to_string()));
    text.push_str(">\n");
    let mut runs: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let wells = members.chunk_by(|one, other| one.place[..2] == other.place[..2]);
    let mut image = 0;
    for (well, members) in wells.enumerate() {
        let [row, column, _] = members[0].place;
        let _ = writeln!(text, "    <Well ID=\"Well:0:{well}\" Row=\"{row}\" Column=\"{column}\">");
        for Member { place: [.., number], acquisition, .. } in members {
            let id = format!("WellSample:0:{well}:{number}");
            let _ = writeln!(
                text,
                "      <WellSample ID=\"{id}\" Index=\"{image}\"><ImageRef ID=\"Image:{image}\"/></WellSample>"
            );
            if let Some(acquisition) = acquisition {
                runs.entry(*acquisition).or_default().push(id);
            }
            image += 1;
        }
        text.push_str("    </Well>\n");
    }
    for (run, samples) in runs {
        let wells = samples.iter().map(|id| id.rsplit_once(':').unwrap_or_default().0);
        let mut counts: HashMap<&str, usize> = HashMap::new();
        wells.for_each(|well| *counts.entry(well).or_default() += 1);
        let most = counts.values().max().copied().unwrap_or(1);
        let known = plate.acquisitions.iter().find(|known| known.id == run);
        let _ = write!(text, "    <PlateAcquisition ID=\"PlateAcquisition:0:{run}\"");
        write::attribute(&mut text, "Name", known.and_then(|known| known.name.as_deref()));
        let _ = writeln!(text, " MaximumFieldCount=\"{most}\">");
        for id in &samples {
            let _ = writeln!(text, "      <WellSampleRef ID=\"{id}\"/>");
        }
        text.push_str("    </PlateAcquisition>\n");
    }
    text.push_str("  </Plate>\n");
    for (number, Member { described, file, .. }) in members.iter().enumerate() {
        let files = std::slice::from_ref(file);
        write::write_image(
            &mut text,
            number,
            described,
            write::Planes::Files { channels_first, files, own: 0 },
        );
    }
    text.push_str("</OME>\n");
    text
}
