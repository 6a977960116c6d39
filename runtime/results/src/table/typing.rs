//! The columns of a table by what is in them, and by their names as omero-metadata reads those.

use std::collections::BTreeSet;
use std::io::BufRead;

use serde::Serialize;

use super::csv::{Records, TableError};

/// What a column of OMERO's tables holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Whole numbers of 64 bits.
    Long,
    /// Floating-point numbers of 64 bits.
    Double,
    /// Truth values.
    Bool,
    /// Texts of at most so many bytes.
    String(usize),
    /// Ids of images.
    Image,
    /// Ids of datasets.
    Dataset,
    /// Ids of regions of interest.
    Roi,
    /// Names of wells, `A1`, to be found among those of the plate.
    Well,
    /// Names of plates, to be found among those of the screen.
    Plate,
}

impl Kind {
    /// For messages.
    const fn noun(self) -> &'static str {
        match self {
            Self::Long => "whole number of 64 bits",
            Self::Double => "number",
            Self::Bool => "truth value",
            Self::String(_) => "text",
            Self::Image => "id of an image",
            Self::Dataset => "id of a dataset",
            Self::Roi => "id of a region of interest",
            Self::Well => "name of a well",
            Self::Plate => "name of a plate",
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name in OMERO: there once, and nothing that its tables refuse.
    pub name: String,
    /// Its name in the file.
    pub written: String,
    /// What it holds.
    pub kind: Kind,
    /// The bytes of its longest text.
    #[serde(skip)]
    pub bytes: usize,
}

/// What a table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Its columns.
    pub columns: Vec<Column>,
    /// How many rows it has.
    pub rows: u64,
}

/// What the cells of a column have been so far.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    empty: bool,
    integer: bool,
    /// A whole number that a floating-point number does not hold.
    large: bool,
    number: bool,
    truth: bool,
    text: bool,
    bytes: usize,
}

/// Reads a table to its end and says what its columns hold.
///
/// # Errors
/// It is none, or its first line gives a column a type that one of its values has not.
pub fn columns<R: BufRead>(mut records: Records<R>) -> Result<Shape, TableError> {
    let names = names(records.header());
    let told = told(&records)?;
    let mut seen = vec![Seen::default(); names.len()];
    let mut rows = 0;
    while let Some(record) = records.next()? {
        rows += 1;
        for (((seen, cell), written), told) in
            seen.iter_mut().zip(&record.fields).zip(records.header()).zip(&told)
        {
            seen.see(cell);
            if let Some(kind) = told
                && !fits(*kind, cell)
            {
                let (line, column) = (record.line, written.clone());
                let value = cell.chars().take(100).collect();
                return Err(TableError::Value { line, column, value, kind: kind.noun() });
            }
        }
    }
    let columns = seen.iter().zip(records.header()).zip(told).zip(names);
    let columns = columns.map(|(((seen, written), told), name)| {
        // A text of OMERO's tables has a byte at least.
        let bytes = seen.bytes.max(1);
        let kind = match told.unwrap_or_else(|| by_name(written, seen)) {
            Kind::String(_) => Kind::String(bytes),
            kind => kind,
        };
        Column { name, written: written.clone(), kind, bytes }
    });
    Ok(Shape { columns: columns.collect(), rows })
}

impl Seen {
    fn see(&mut self, cell: &str) {
        self.bytes = self.bytes.max(cell.len());
        let cell = cell.trim();
        if cell.is_empty() {
            self.empty = true;
        } else if let Some(number) = long(cell) {
            self.integer = true;
            self.large |= number.unsigned_abs() > 1 << 53;
        } else if double(cell).is_some() && !cell.bytes().all(|byte| byte.is_ascii_digit()) {
            // Digits alone that are no whole number of 64 bits are one too long, or a name: 007.
            self.number = true;
        } else if truth(cell).is_some() {
            self.truth = true;
        } else {
            self.text = true;
        }
    }

    /// By what is in it alone.
    const fn kind(&self) -> Kind {
        match (self.integer, self.number, self.truth, self.text) {
            (true, false, false, false) if !self.empty => Kind::Long,
            (true, _, false, false) | (_, true, false, false) if !self.large => Kind::Double,
            (false, false, true, false) if !self.empty => Kind::Bool,
            _ => Kind::String(0),
        }
    }

    /// Whether it is ids, none missing.
    const fn is_ids(&self) -> bool {
        matches!(self.kind(), Kind::Long)
    }
}

/// By its name, if what is in it suits; else by what is in it.
fn by_name(written: &str, seen: &Seen) -> Kind {
    let name: String = written.to_lowercase().chars().filter(|letter| !matches!(letter, ' ' | '_')).collect();
    match name.as_str() {
        "image" | "imageid" if seen.is_ids() => Kind::Image,
        "dataset" | "datasetid" if seen.is_ids() => Kind::Dataset,
        "roi" | "roiid" if seen.is_ids() => Kind::Roi,
        "well" | "wellname" if !seen.is_ids() => Kind::Well,
        "plate" | "platename" if !seen.is_ids() => Kind::Plate,
        _ => seen.kind(),
    }
}

/// The types that the first line gives, for each column.
fn told<R: BufRead>(records: &Records<R>) -> Result<Vec<Option<Kind>>, TableError> {
    let Some(types) = records.types() else { return Ok(vec![None; records.header().len()]) };
    let mut told = Vec::with_capacity(records.header().len());
    for (number, text) in types.iter().enumerate() {
        told.push(Some(match text.to_lowercase().as_str() {
            "d" => Kind::Double,
            "l" => Kind::Long,
            "s" => Kind::String(0),
            "b" => Kind::Bool,
            "image" => Kind::Image,
            "dataset" => Kind::Dataset,
            "roi" => Kind::Roi,
            "well" => Kind::Well,
            "plate" => Kind::Plate,
            _ => return Err(TableError::Type { column: number + 1, text: text.chars().take(40).collect() }),
        }));
    }
    told.resize(records.header().len(), None);
    Ok(told)
}

fn fits(kind: Kind, cell: &str) -> bool {
    let cell = cell.trim();
    match kind {
        Kind::Long => long(cell).is_some(),
        Kind::Double => cell.is_empty() || double(cell).is_some(),
        Kind::Bool => truth(cell).is_some(),
        // What is missing is no image.
        Kind::Image | Kind::Dataset | Kind::Roi => cell.is_empty() || long(cell).is_some(),
        Kind::String(_) | Kind::Well | Kind::Plate => true,
    }
}

/// A whole number as it would be written: `007` and `+7` are names.
pub(super) fn long(cell: &str) -> Option<i64> {
    let number: i64 = cell.parse().ok()?;
    (number.to_string() == cell).then_some(number)
}

/// A number; what is missing is none.
pub(super) fn double(cell: &str) -> Option<f64> {
    if cell.is_empty() {
        return Some(f64::NAN);
    }
    let is_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let bare = cell.trim_start_matches(['+', '-']);
    let is_named = ["nan", "inf", "infinity"].iter().any(|name| bare.eq_ignore_ascii_case(name));
    if !is_named && !cell.bytes().all(is_number) {
        return None;
    }
    cell.parse().ok()
}

/// A truth value as programs write it.
pub(super) fn truth(cell: &str) -> Option<bool> {
    match cell {
        "True" | "TRUE" | "true" => Some(true),
        "False" | "FALSE" | "false" => Some(false),
        _ => None,
    }
}

/// Names that OMERO's tables take: not empty, each once, without slashes, not reserved.
fn names(written: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::with_capacity(written.len());
    for (number, text) in written.iter().enumerate() {
        let plain: String = text
            .chars()
            .map(|letter| if letter.is_control() || letter == '/' { '_' } else { letter })
            .take(200)
            .collect();
        let plain = plain.trim();
        let plain = match plain {
            "" | "." | ".." => format!("column {}", number + 1),
            // Names that begin so are the server's own.
            _ if plain.starts_with("__") => format!("column {plain}"),
            _ => plain.to_owned(),
        };
        names.push(another(&plain, &mut taken));
    }
    names
}

/// A name that is not taken, and is then.
pub(super) fn another(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 2_u32;
    while !taken.insert(free.clone()) {
        free = format!("{name} ({number})");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn shape(text: &str) -> Result<Shape, TableError> {
        columns(Records::new(Cursor::new(text))?)
    }

    fn kinds(text: &str) -> Vec<Kind> {
        shape(text).expect(text).columns.into_iter().map(|column| column.kind).collect()
    }

    #[test]
    fn a_column_is_what_all_its_cells_are() {
        for (cells, kind) in [
            (&["1", "-2", "9223372036854775807"][..], Kind::Long),
            (&["1", ""], Kind::Double),
            (&["1", "2.5", "NaN", "-inf", "1e3", ""], Kind::Double),
            (&["True", "false"], Kind::Bool),
            (&["True", ""], Kind::String(4)),
            (&["True", "1"], Kind::String(4)),
            (&["007", "1"], Kind::String(3)),
            (&["9223372036854775808"], Kind::String(19)),
            // More than a double holds, and one that is missing.
            (&["9007199254740993", ""], Kind::String(16)),
            (&["1_000", "0x10"], Kind::String(5)),
            (&["infinit", "1"], Kind::String(7)),
            (&["größe"], Kind::String(7)),
            (&[" "], Kind::String(1)),
        ] {
            let text = format!("a,x\n{}", cells.iter().map(|cell| format!("{cell},x\n")).collect::<String>());
            assert_eq!(kinds(&text)[0], kind, "{cells:?}");
        }
    }

    #[test]
    fn names_of_objects_are_those_of_omero_metadata() {
        let text = "Image,image_id,ImageID,Dataset ID,ROI,Well,plate name,Image Name,Well ID,area\n\
                    1,2,3,4,5,A1,plate01,cells.tif,7,8\n";
        let expected = [
            Kind::Image,
            Kind::Image,
            Kind::Image,
            Kind::Dataset,
            Kind::Roi,
            Kind::Well,
            Kind::Plate,
            Kind::String(9),
            Kind::Long,
            Kind::Long,
        ];
        assert_eq!(kinds(text), expected);
        // What is there is something else than the name says.
        assert_eq!(kinds("image,well\ncells.tif,1\n"), [Kind::String(9), Kind::Long]);
    }

    #[test]
    fn the_first_line_may_say_the_types_and_is_held_to_it() {
        assert_eq!(kinds("# header s,d,b\na,b,c\n1,2,True\n"), [Kind::String(1), Kind::Double, Kind::Bool]);
        let error = shape("# header l,s\na,b\n1,x\nx,y\n").expect_err("x is no number").to_string();
        assert_eq!(
            error,
            "line 4: \"x\" is no whole number of 64 bits, which its first line says of the column \"a\""
        );
        let error = shape("# header l,q\na,b\n").expect_err("q is no type").to_string();
        assert!(error.contains("column 2 the type \"q\""), "{error}");
    }

    #[test]
    fn names_are_such_that_tables_take_them() {
        let shape = shape("a,a,,__x,um/px,.\n").expect("it is one");
        let names: Vec<&str> = shape.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "a (2)", "column 3", "column __x", "um_px", "column 6"]);
        assert_eq!((shape.rows, shape.columns[4].written.as_str()), (0, "um/px"));
    }

    proptest! {
        /// Whatever a column is taken for, each of its cells is one.
        #[test]
        fn no_cell_is_lost(cells in prop::collection::vec("-?[0-9]{0,20}(\\.[0-9]{1,3})?|[Tt]rue|nan|[a-z ]{0,3}", 1..20)) {
            let mut text = "a,x\n".to_owned();
            cells.iter().for_each(|cell| text += &format!("{cell},x\n"));
            let shape = shape(&text).expect("it is one");
            prop_assert_eq!(shape.rows, cells.len() as u64);
            for cell in &cells {
                let trimmed = cell.trim();
                match shape.columns[0].kind {
                    Kind::Long => prop_assert_eq!(trimmed.parse::<i64>().map(|number| number.to_string()), Ok(trimmed.to_owned())),
                    Kind::Double => prop_assert!(trimmed.is_empty() || trimmed.parse::<f64>().is_ok()),
                    Kind::Bool => prop_assert!(truth(trimmed).is_some()),
                    Kind::String(bytes) => prop_assert!(cell.len() <= bytes),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
