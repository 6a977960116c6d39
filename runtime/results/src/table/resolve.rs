//! Names in tables and the ids that stand for them in OMERO: what omero-metadata adds to a table.

use std::collections::{BTreeMap, BTreeSet};

use super::typing::{Column, Kind, Shape, another, double, long, truth};

/// What is not known, or ambiguous.
const NONE: i64 = -1;

/// The objects that a table can name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Images by their ids.
    pub images: BTreeMap<i64, String>,
    /// Wells by the plate's id and their names, as `a1`.
    pub wells: BTreeMap<(i64, String), i64>,
    /// Plates by their ids.
    pub plates: BTreeMap<i64, String>,
}

/// The values of a column, as many as there are rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// Whole numbers, or ids.
    Long(Vec<i64>),
    /// Numbers.
    Double(Vec<f64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    String(Vec<String>),
}

/// A column of OMERO's table: where its values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    column: Column,
    /// Which column of the file.
    from: usize,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// As it stands there.
    Read,
    /// The name of the image of that id.
    ImageName,
    /// The id of the image of that name.
    ImageId,
    /// The id of the well of that name, on the plate that another column names.
    WellId,
    /// The id of the plate of that name.
    PlateId,
}

/// A table as OMERO gets it: the columns of the file, with ids in place of names and names beside ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    columns: Vec<Made>,
    /// The column that says which plate a well is on.
    plate: Option<usize>,
    image_ids: BTreeMap<String, i64>,
    plate_ids: BTreeMap<String, i64>,
    names: Names,
}

impl Resolved {
    /// Of a table, and the objects that it may name.
    #[must_use]
    pub fn new(shape: &Shape, names: Names) -> Self {
        let image_ids = by_name(&names.images);
        let plate_ids = by_name(&names.plates);
        let is_image_name = |column: &Column| {
            let name = column.written.to_lowercase();
            matches!(name.replace([' ', '_'], "").as_str(), "imagename")
                && matches!(column.kind, Kind::String(_))
        };
        let mut taken: BTreeSet<String> = shape.columns.iter().map(|column| column.name.clone()).collect();
        let mut columns = Vec::new();
        let mut added = Vec::new();
        let has_image = shape.columns.iter().any(|column| column.kind == Kind::Image);
        for (from, column) in shape.columns.iter().enumerate() {
            let mut add = |name: &str, kind, how| {
                let name = another(name, &mut taken);
                let column = Column { name, kind, ..column.clone() };
                added.push(Made { column, from, how });
            };
            let kept = Made { column: column.clone(), from, how: How::Read };
            match column.kind {
                Kind::Image if !names.images.is_empty() => {
                    let longest = names.images.values().map(String::len).max().unwrap_or_default();
                    add("Image Name", Kind::String(longest.max(1)), How::ImageName);
                    columns.push(kept);
                }
                Kind::String(_) if is_image_name(column) && !has_image && !image_ids.is_empty() => {
                    add("Image", Kind::Image, How::ImageId);
                    columns.push(kept);
                }
                // The ids have the name of what they stand for, and the names one of their own.
                Kind::Well | Kind::Plate => {
                    let (noun, how) = match column.kind {
                        Kind::Well => ("Well", How::WellId),
                        _ => ("Plate", How::PlateId),
                    };
                    let is_known = match column.kind {
                        Kind::Well => !names.wells.is_empty(),
                        _ => !names.plates.is_empty(),
                    };
                    taken.remove(&column.name);
                    let named = another(&format!("{noun} Name"), &mut taken);
                    let text = Column { name: named, kind: Kind::String(column.bytes), ..column.clone() };
                    columns.push(Made { column: text, from, how: How::Read });
                    if is_known {
                        let name = another(noun, &mut taken);
                        let column = Column { name, ..column.clone() };
                        added.push(Made { column, from, how });
                    }
                }
                _ => columns.push(kept),
            }
        }
        columns.append(&mut added);
        let plate = shape.columns.iter().position(|column| column.kind == Kind::Plate);
        Self { columns, plate, image_ids, plate_ids, names }
    }

    /// Its columns.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|made| &made.column)
    }

    /// The values of some rows of the file, column by column. `None` where they are not what the columns were found to hold:
    /// the file has changed.
    #[must_use]
    pub fn cells(&self, rows: &[Vec<String>]) -> Option<Vec<Cells>> {
        self.columns.iter().map(|made| self.column(made, rows)).collect()
    }

    fn column(&self, made: &Made, rows: &[Vec<String>]) -> Option<Cells> {
        let cells = || rows.iter().map(|row| row.get(made.from).map(String::as_str).unwrap_or_default());
        let trimmed = || cells().map(str::trim);
        Some(match (made.how, made.column.kind) {
            (How::ImageName, _) => {
                let name =
                    |cell| long(cell).and_then(|id| self.names.images.get(&id)).cloned().unwrap_or_default();
                Cells::String(trimmed().map(name).collect())
            }
            (How::ImageId, _) => {
                Cells::Long(trimmed().map(|cell| *self.image_ids.get(cell).unwrap_or(&NONE)).collect())
            }
            (How::PlateId, _) => {
                Cells::Long(trimmed().map(|cell| *self.plate_ids.get(cell).unwrap_or(&NONE)).collect())
            }
            (How::WellId, _) => {
                let well = |row: &Vec<String>| self.well(row, made.from).unwrap_or(NONE);
                Cells::Long(rows.iter().map(well).collect())
            }
            (How::Read, Kind::Long) => Cells::Long(trimmed().map(long).collect::<Option<_>>()?),
            (How::Read, Kind::Image | Kind::Dataset | Kind::Roi) => {
                let id = |cell: &str| if cell.is_empty() { Some(NONE) } else { long(cell) };
                Cells::Long(trimmed().map(id).collect::<Option<_>>()?)
            }
            (How::Read, Kind::Double) => Cells::Double(trimmed().map(double).collect::<Option<_>>()?),
            (How::Read, Kind::Bool) => Cells::Bool(trimmed().map(truth).collect::<Option<_>>()?),
            (How::Read, Kind::String(bytes)) => {
                let text = |cell: &str| (cell.len() <= bytes).then(|| cell.to_owned());
                Cells::String(cells().map(text).collect::<Option<_>>()?)
            }
            (How::Read, Kind::Well | Kind::Plate) => Cells::String(cells().map(str::to_owned).collect()),
        })
    }

    /// The id of the well of a row.
    fn well(&self, row: &[String], from: usize) -> Option<i64> {
        let name = well_name(row.get(from)?)?;
        let plate = match self.plate {
            Some(plate) => *self.plate_ids.get(row.get(plate)?.trim())?,
            // Of the only plate there is.
            None if self.names.plates.len() == 1 => *self.names.plates.keys().next()?,
            None => return None,
        };
        self.names.wells.get(&(plate, name)).copied()
    }
}

/// A well's name as it is looked up: `A1`, `a01` and `A 1` are one.
#[must_use]
pub fn well_name(text: &str) -> Option<String> {
    let text: String = text.trim().to_lowercase();
    let digits = text.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
    let letters = text.strip_suffix(digits)?;
    let number: u32 = digits.trim().parse().ok()?;
    (!letters.is_empty() && number > 0).then(|| format!("{letters}{number}"))
}

/// Ids by names; of a name that is there twice nobody knows which is meant.
fn by_name(names: &BTreeMap<i64, String>) -> BTreeMap<String, i64> {
    let mut ids = BTreeMap::new();
    for (id, name) in names {
        ids.entry(name.trim().to_owned()).and_modify(|id| *id = NONE).or_insert(*id);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Records, columns};

    fn names() -> Names {
        let images = [(7, "a.tif"), (8, "b.tif"), (9, "b.tif")].map(|(id, name)| (id, name.to_owned()));
        let wells = [((1, "a1".to_owned()), 11), ((2, "a1".to_owned()), 21)];
        let plates = [(1, "one"), (2, "two")].map(|(id, name)| (id, name.to_owned()));
        Names { images: images.into(), wells: wells.into(), plates: plates.into() }
    }

    fn resolve(text: &str, names: Names) -> Vec<(String, Kind, Cells)> {
        let shape = columns(Records::new(text.as_bytes()).expect(text)).expect(text);
        let resolved = Resolved::new(&shape, names);
        let mut records = Records::new(text.as_bytes()).expect(text);
        let mut rows = Vec::new();
        while let Some(record) = records.next().expect(text) {
            rows.push(record.fields);
        }
        let cells = resolved.cells(&rows).expect("it has not changed");
        let columns = resolved.columns().map(|column| (column.name.clone(), column.kind));
        columns.zip(cells).map(|((name, kind), cells)| (name, kind, cells)).collect()
    }

    fn texts(texts: &[&str]) -> Cells {
        Cells::String(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn an_image_has_its_name_beside_its_id_and_its_id_beside_its_name() {
        let found = resolve("image,area\n7,1.5\n99,2\n", names());
        assert_eq!(found[0], ("image".to_owned(), Kind::Image, Cells::Long(vec![7, 99])));
        assert_eq!(found[2], ("Image Name".to_owned(), Kind::String(5), texts(&["a.tif", ""])));
        let found = resolve("Image Name,area\na.tif,1\nb.tif,2\nc.tif,3\n", names());
        // Two have the name b.tif, none has c.tif.
        assert_eq!(found[2], ("Image".to_owned(), Kind::Image, Cells::Long(vec![7, -1, -1])));
    }

    #[test]
    fn wells_are_found_on_the_plate_that_the_row_names() {
        let found = resolve("Well,Plate,drug\nA1,one,x\na01,two,y\nB9,two,z\nA1,three,z\n", names());
        let columns: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(columns, ["Well Name", "Plate Name", "drug", "Well", "Plate"]);
        assert_eq!(found[3].2, Cells::Long(vec![11, 21, -1, -1]));
        assert_eq!(found[4].2, Cells::Long(vec![1, 2, 2, -1]));
        assert_eq!(found[0].2, texts(&["A1", "a01", "B9", "A1"]));
        let mut one = names();
        one.plates.remove(&2);
        assert_eq!(resolve("well,x\nA1,1\n", one)[2].2, Cells::Long(vec![11]));
        // Nothing is known of wells: names stay what they are.
        assert_eq!(resolve("well,x\nA1,1\n", Names::default())[0].2, texts(&["A1"]));
    }

    #[test]
    fn a_file_that_has_changed_is_noticed() {
        let shape = columns(Records::new(&b"a\n1\n"[..]).expect("one")).expect("one");
        assert_eq!(Resolved::new(&shape, Names::default()).cells(&[vec!["x".to_owned()]]), None);
    }

    #[test]
    fn wells_have_one_name_each() {
        for (text, name) in [
            ("A1", Some("a1")),
            (" h012 ", Some("h12")),
            ("AA 3", Some("aa3")),
            ("A0", None),
            ("12", None),
            ("", None),
            ("ä1", None),
        ] {
            assert_eq!(well_name(text).as_deref(), name, "{text}");
        }
    }
}
