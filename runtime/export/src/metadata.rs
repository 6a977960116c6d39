//! What an image says of itself besides its pixels: name, sizes in the world, channels.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// A unit, as OME-NGFF and OME-XML write it.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    /// In OME-NGFF, from UDUNITS-2: `micrometer`.
    pub ngff: &'static str,
    /// In OME-XML: `µm`.
    pub ome: &'static str,
    /// How many of it make the base unit, metre or second, as a power of ten; `None` for those that are none.
    pub exponent: Option<i8>,
}

const fn unit(ngff: &'static str, ome: &'static str, exponent: i8) -> Unit {
    Unit { ngff, ome, exponent: Some(exponent) }
}

/// Lengths that both know, of the OME schema 2016-06 and of OME-NGFF 0.4.
static LENGTHS: &[Unit] = &[
    unit("micrometer", "µm", -6),
    unit("nanometer", "nm", -9),
    unit("millimeter", "mm", -3),
    unit("meter", "m", 0),
    unit("centimeter", "cm", -2),
    unit("decimeter", "dm", -1),
    unit("picometer", "pm", -12),
    unit("femtometer", "fm", -15),
    unit("attometer", "am", -18),
    unit("angstrom", "Å", -10),
    unit("decameter", "dam", 1),
    unit("hectometer", "hm", 2),
    unit("kilometer", "km", 3),
    unit("megameter", "Mm", 6),
    Unit { ngff: "inch", ome: "in", exponent: None },
    Unit { ngff: "foot", ome: "ft", exponent: None },
    Unit { ngff: "yard", ome: "yd", exponent: None },
    Unit { ngff: "mile", ome: "mi", exponent: None },
];

/// Times that both know.
static TIMES: &[Unit] = &[
    unit("second", "s", 0),
    unit("millisecond", "ms", -3),
    unit("microsecond", "µs", -6),
    unit("nanosecond", "ns", -9),
    Unit { ngff: "minute", ome: "min", exponent: None },
    Unit { ngff: "hour", ome: "h", exponent: None },
    Unit { ngff: "day", ome: "d", exponent: None },
];

impl Unit {
    /// A length by its name in OME-NGFF or OME-XML.
    #[must_use]
    pub fn length(name: &str) -> Option<&'static Self> {
        find(LENGTHS, name)
    }

    /// A time by its name in OME-NGFF or OME-XML.
    #[must_use]
    pub fn time(name: &str) -> Option<&'static Self> {
        find(TIMES, name)
    }
}

fn find(units: &'static [Unit], name: &str) -> Option<&'static Unit> {
    // Two characters look like this one: the micro sign, which OME has, and the Greek letter, which some writers have.
    let name = name.replace('μ', "µ");
    units.iter().find(|unit| unit.ngff == name || unit.ome == name)
}

/// A size or a step in the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    /// How many; finite and more than 0.
    pub value: f64,
    /// Of what; `None` where nothing is said, or something that nobody knows.
    pub unit: Option<&'static Unit>,
}

impl Quantity {
    /// `None` where the number is not one of a size.
    #[must_use]
    pub fn new(value: f64, unit: Option<&'static Unit>) -> Option<Self> {
        (value.is_finite() && value > 0.0).then_some(Self { value, unit })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Some(unit) => write!(formatter, "{} {}", self.value, unit.ome),
            None => write!(formatter, "{}", self.value),
        }
    }
}

/// A colour: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// Six hexadecimal digits, as OME-NGFF has it.
    #[must_use]
    pub fn from_hexadecimal(text: &str) -> Option<Self> {
        let is_colour = text.len() == 6 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u32::from_str_radix(text, 16).ok().filter(|_| is_colour)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    /// Of the channels of an image that says nothing, as OMERO gives them: grey where there is one, else red, green, blue,
    /// and on.
    #[must_use]
    pub const fn by_default(channel: usize, channels: usize) -> Self {
        const TURN: [[u8; 3]; 7] = [
            [255, 0, 0],
            [0, 255, 0],
            [0, 0, 255],
            [255, 0, 255],
            [0, 255, 255],
            [255, 255, 0],
            [255, 255, 255],
        ];
        if channels == 1 { Self([255; 3]) } else { Self(TURN[channel % TURN.len()]) }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(formatter, "{red:02X}{green:02X}{blue:02X}")
    }
}

/// The part of the range of a channel that is shown, from dark to bright.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// What is dark.
    pub start: f64,
    /// What is bright.
    pub end: f64,
}

/// How brightness follows from a sample within the window: a map of OMERO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// By a line.
    #[default]
    Linear,
    /// By a power.
    Polynomial,
    /// By an exponential function.
    Exponential,
    /// By a logarithm.
    Logarithmic,
}

impl Family {
    const ALL: [Self; 4] = [Self::Linear, Self::Polynomial, Self::Exponential, Self::Logarithmic];

    /// As OMERO and the block `omero` of OME-NGFF call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Polynomial => "polynomial",
            Self::Exponential => "exponential",
            Self::Logarithmic => "logarithmic",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }
}

/// How a channel is shown, besides its colour and window.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendering {
    /// Whether it is shown at all.
    pub is_active: bool,
    /// Whether what is bright is shown dark.
    pub is_inverted: bool,
    /// How brightness follows from samples.
    pub family: Family,
    /// The exponent of it.
    pub coefficient: f64,
    /// The name of a table of colours that stands for the colour.
    pub lookup_table: Option<String>,
}

impl Default for Rendering {
    fn default() -> Self {
        Self {
            is_active: true,
            is_inverted: false,
            family: Family::Linear,
            coefficient: 1.0,
            lookup_table: None,
        }
    }
}

/// A channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Channel {
    /// What people call it.
    pub name: Option<String>,
    /// How it is shown.
    pub colour: Option<Colour>,
    /// What of it is shown.
    pub window: Option<Window>,
    /// What a window is chosen from, where somebody has said so: from its smallest to its largest sample.
    pub range: Option<Window>,
    /// And what else there is to say of how it is shown.
    pub rendering: Rendering,
}

/// What of an image is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Which depth.
    pub z: usize,
    /// Which point in time.
    pub t: usize,
    /// Whether without colours.
    pub is_grey: bool,
}

/// A run of a microscope over a plate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acquisition {
    /// Its number, by which fields refer to it.
    pub id: usize,
    /// What people call it.
    pub name: Option<String>,
    /// What they say of it.
    pub description: Option<String>,
    /// When it began and ended, in milliseconds since 1970.
    pub times: [Option<i64>; 2],
}

/// A plate of wells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plate {
    /// What people call it.
    pub name: Option<String>,
    /// Names of its rows, from above: `A`, `B`, and on.
    pub rows: Vec<String>,
    /// Names of its columns, from the left: `1`, `2`, and on.
    pub columns: Vec<String>,
    /// What is said of its acquisitions.
    pub acquisitions: Vec<Acquisition>,
}

impl Plate {
    /// With so many rows and columns, called by letters where that is said and else by numbers.
    #[must_use]
    pub fn named(name: Option<String>, rows: (usize, bool), columns: (usize, bool)) -> Self {
        let lines = |(count, is_lettered): (usize, bool)| {
            let line = |line: usize| if is_lettered { letters(line) } else { (line + 1).to_string() };
            (0..count.min(LINES)).map(line).collect()
        };
        Self { name, rows: lines(rows), columns: lines(columns), acquisitions: Vec::new() }
    }
}

/// No plate has more rows or columns: one of 6144 wells has 96.
pub(crate) const LINES: usize = 1000;

/// `A` to `Z`, then `AA`, as rows of large plates are called.
pub(crate) fn letters(mut row: usize) -> String {
    let mut name = String::new();
    loop {
        name.insert(0, char::from(b'A' + (row % 26) as u8));
        match (row / 26).checked_sub(1) {
            Some(rest) => row = rest,
            None => return name,
        }
    }
}

/// The numbers of the fields of a well: their names where these are numbers, or else in the order in which they are listed.
pub(crate) fn numbers(names: &[&str]) -> Vec<usize> {
    let told: Option<Vec<usize>> = names
        .iter()
        .map(|name| name.parse().ok().filter(|number: &usize| number.to_string() == **name))
        .collect();
    let is_each_once = |numbers: &Vec<usize>| numbers.iter().collect::<HashSet<_>>().len() == numbers.len();
    told.filter(is_each_once).unwrap_or_else(|| (0..names.len()).collect())
}

/// Where on a plate an image was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The plate, which all its fields share.
    pub plate: Arc<Plate>,
    /// The row of the well, from 0.
    pub row: usize,
    /// The column of the well, from 0.
    pub column: usize,
    /// Which image of the well, from 0.
    pub number: usize,
    /// The acquisition that it belongs to.
    pub acquisition: Option<usize>,
}

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Its name.
    pub name: Option<String>,
    /// The width of a sample.
    pub x: Option<Quantity>,
    /// The height of a sample.
    pub y: Option<Quantity>,
    /// From plane to plane.
    pub z: Option<Quantity>,
    /// From one point in time to the next.
    pub t: Option<Quantity>,
    /// The channels, as far as something is said of them: no more than the image has.
    pub channels: Vec<Channel>,
    /// Whether its three channels are red, green and blue of one picture, as those of a camera or a slide scanner are.
    pub is_rgb: bool,
    /// What of it is shown first, where somebody has chosen.
    pub view: Option<View>,
    /// Where on a plate it was taken.
    pub field: Option<Field>,
}

impl Metadata {
    /// What is said of a channel.
    #[must_use]
    pub fn channel(&self, number: usize) -> Option<&Channel> {
        self.channels.get(number)
    }

    /// The colour of a channel, given or by default.
    #[must_use]
    pub fn colour(&self, channel: usize, channels: usize) -> Colour {
        self.channel(channel)
            .and_then(|known| known.colour)
            .unwrap_or_else(|| Colour::by_default(channel, channels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_known_by_both_names_and_both_characters() {
        for name in ["micrometer", "µm", "μm"] {
            assert_eq!(Unit::length(name).map(|unit| unit.ngff), Some("micrometer"), "{name}");
        }
        assert_eq!(Unit::time("ms").map(|unit| unit.ngff), Some("millisecond"));
        assert_eq!(Unit::length("pixel"), None);
    }

    #[test]
    fn a_size_is_finite_and_more_than_nothing() {
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Quantity::new(value, None), None);
        }
        let size = Quantity::new(0.25, Unit::length("µm")).expect("it is a size");
        assert_eq!(size.to_string(), "0.25 µm");
    }

    #[test]
    fn colours_have_six_digits() {
        assert_eq!(Colour::from_hexadecimal("00FFa0"), Some(Colour([0, 255, 160])));
        for text in ["", "FFF", "0xFFFF", "FFFFFF00", "+12345", "gggggg"] {
            assert_eq!(Colour::from_hexadecimal(text), None, "{text}");
        }
        assert_eq!(Colour([1, 2, 255]).to_string(), "0102FF");
    }

    #[test]
    fn rows_are_called_by_letters() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letters), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }

    #[test]
    fn fields_have_the_numbers_that_they_are_called_by() {
        assert_eq!(numbers(&["0", "3"]), [0, 3]);
        for names in
            [&["3", "3"][..], &["03", "1"], &["a", "7"], &["+1", "2"], &["99999999999999999999", "1"]]
        {
            assert_eq!(numbers(names), [0, 1], "{names:?}");
        }
    }
}
