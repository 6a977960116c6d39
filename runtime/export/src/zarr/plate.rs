//! A plate: which wells it has and where its fields are, read and written.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::collection::IMAGES;
use super::documents::creator;
use super::group::{Group, within};
use super::writer::Version;
use crate::metadata::{Acquisition, Field, LINES, Plate, letters, numbers};
use crate::source::{ReadError, Source};
use crate::write_error::WriteError;

/// Names and descriptions are no longer, in characters.
const TEXT: usize = 1000;

/// The fields of a plate: the folder of each, and where it was taken as far as that is told. In the order of rows, columns and
/// the fields of a well.
pub(crate) fn fields(path: &Path, plate: &Value) -> Result<Vec<(PathBuf, Option<Field>)>, ReadError> {
    let shared = Arc::new(Plate {
        name: plate["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned),
        rows: lines(&plate["rows"]),
        columns: lines(&plate["columns"]),
        acquisitions: acquisitions(&plate["acquisitions"]),
    });
    let wells = plate["wells"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut wells: Vec<(Option<[usize; 2]>, &str)> = wells
        .iter()
        .map(|well| {
            let path = well["path"].as_str().unwrap_or_default();
            (place(well, path, &shared), path)
        })
        .collect();
    // Some writers list them in no order.
    wells.sort_by_key(|(place, _)| place.unwrap_or([usize::MAX; 2]));
    let mut found = Vec::new();
    for (place, name) in wells {
        let well = within(path, name)?;
        // A well that was never imaged may have no folder.
        let Some(group) = Group::read(&well)? else { continue };
        let images = group.attributes["well"]["images"].as_array().map(Vec::as_slice).unwrap_or_default();
        if found.len() + images.len() > IMAGES {
            return Err(ReadError::damaged(path, format!("it has more than {IMAGES} fields")));
        }
        let names: Vec<&str> =
            images.iter().map(|image| image["path"].as_str().unwrap_or_default()).collect();
        let numbers = numbers(&names);
        for ((image, name), number) in images.iter().zip(names).zip(numbers) {
            let acquisition = image["acquisition"].as_u64().and_then(|id| usize::try_from(id).ok());
            // A place that the plate does not have is none.
            let known =
                place.filter(|[row, column]| *row < shared.rows.len() && *column < shared.columns.len());
            let field = known.map(|[row, column]| Field {
                plate: Arc::clone(&shared),
                row,
                column,
                number,
                acquisition,
            });
            found.push((within(&well, name)?, field));
        }
    }
    Ok(found)
}

/// The names of rows or columns.
fn lines(value: &Value) -> Vec<String> {
    let lines = value.as_array().map(Vec::as_slice).unwrap_or_default().iter().take(LINES);
    lines.map(|line| line["name"].as_str().unwrap_or_default().chars().take(100).collect()).collect()
}

/// What is said of acquisitions besides their numbers.
fn acquisitions(value: &Value) -> Vec<Acquisition> {
    let text = |value: &Value| {
        value.as_str().filter(|text| !text.is_empty()).map(|text| text.chars().take(TEXT).collect())
    };
    let one = |value: &Value| {
        let id = usize::try_from(value["id"].as_u64()?).ok()?;
        let (name, description) = (text(&value["name"]), text(&value["description"]));
        let times = [value["starttime"].as_i64(), value["endtime"].as_i64()];
        let known = Acquisition { id, name, description, times };
        (known != Acquisition { id, ..Acquisition::default() }).then_some(known)
    };
    let found = value.as_array().map(Vec::as_slice).unwrap_or_default();
    found.iter().take(LINES).filter_map(one).collect()
}

/// The row and column of a well: told, or by the names in its path, as plates before 0.4 have it.
fn place(well: &Value, path: &str, plate: &Plate) -> Option<[usize; 2]> {
    let told = |key: &str| well[key].as_u64().and_then(|index| usize::try_from(index).ok());
    let find = |lines: &[String], name: &str| lines.iter().position(|line| line == name);
    let named = || {
        let (row, column) = path.split_once('/')?;
        find(&plate.rows, row).zip(find(&plate.columns, column))
    };
    told("rowIndex").zip(told("columnIndex")).or_else(named).map(<[usize; 2]>::from)
}

/// How images are laid out as a plate.
#[derive(Debug)]
pub(crate) struct Layout {
    plate: Arc<Plate>,
    rows: Vec<String>,
    columns: Vec<String>,
    /// By row, column and field: the number of the image among the sources, and its acquisition.
    fields: BTreeMap<[usize; 3], (usize, Option<usize>)>,
}

impl Layout {
    /// Of images that are all of one plate.
    pub(crate) fn of(sources: &[Box<dyn Source>]) -> Result<Self, WriteError> {
        let refused = |what: String| WriteError::Unsupported {
            what,
            remedy: "choose images of one plate with --series",
        };
        let mut plate: Option<Arc<Plate>> = None;
        let mut fields = BTreeMap::new();
        for (number, source) in sources.iter().enumerate() {
            let field = source.metadata().field.as_ref();
            let field = field.ok_or_else(|| refused(format!("image {number} is of no plate")))?;
            let plate = plate.get_or_insert_with(|| Arc::clone(&field.plate));
            if *plate != field.plate {
                return Err(refused(format!("image {number} is of another plate than the first")));
            }
            let place = [field.row, field.column, field.number];
            if let Some((other, _)) = fields.insert(place, (number, field.acquisition)) {
                let what = format!(
                    "images {other} and {number} are both field {} of the well in row {} and column {}",
                    field.number,
                    field.row + 1,
                    field.column + 1
                );
                return Err(refused(what));
            }
        }
        let plate = plate.ok_or_else(|| refused("there is no image".to_owned()))?;
        let count = |axis: usize, named: &[String]| {
            fields.keys().map(|place: &[usize; 3]| place[axis] + 1).fold(named.len(), usize::max)
        };
        let (rows, columns) = (count(0, &plate.rows), count(1, &plate.columns));
        if rows.max(columns) > LINES {
            return Err(refused(format!("a plate of {rows} rows and {columns} columns is not written")));
        }
        Ok(Self {
            rows: named(&plate.rows, rows, letters),
            columns: named(&plate.columns, columns, |column| (column + 1).to_string()),
            plate,
            fields,
        })
    }

    /// The plate, with the names of all its rows and columns.
    pub(crate) fn plate(&self) -> Plate {
        Plate { rows: self.rows.clone(), columns: self.columns.clone(), ..(*self.plate).clone() }
    }

    /// Row, column and field of each image in their order, its number among the sources, and its acquisition.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = ([usize; 3], usize, Option<usize>)> {
        self.fields.iter().map(|(place, (number, acquisition))| (*place, *number, *acquisition))
    }

    /// The folder of each image, below that of the plate, in the order in which they are written.
    pub(crate) fn images(&self) -> impl Iterator<Item = (usize, PathBuf)> {
        self.fields.iter().map(|(place, (number, _))| (*number, self.well(place).join(place[2].to_string())))
    }

    fn well(&self, place: &[usize; 3]) -> PathBuf {
        Path::new(&self.rows[place[0]]).join(&self.columns[place[1]])
    }

    /// The folders of rows that have wells.
    pub(crate) fn row_folders(&self) -> Vec<PathBuf> {
        let mut rows: Vec<usize> = self.fields.keys().map(|place| place[0]).collect();
        rows.dedup();
        rows.into_iter().map(|row| PathBuf::from(&self.rows[row])).collect()
    }

    /// The folder of each well, and its attributes.
    pub(crate) fn wells(&self, version: Version) -> Vec<(PathBuf, Value)> {
        let mut wells: BTreeMap<[usize; 2], (PathBuf, Vec<Value>)> = BTreeMap::new();
        for (place, (_, acquisition)) in &self.fields {
            let mut image = json!({ "path": place[2].to_string() });
            if let Some(acquisition) = acquisition {
                image["acquisition"] = (*acquisition).into();
            }
            let well = || (self.well(place), Vec::new());
            wells.entry([place[0], place[1]]).or_insert_with(well).1.push(image);
        }
        let attributes = |images: Vec<Value>| {
            let mut well = json!({ "images": images });
            if version == Version::V04 {
                well["version"] = "0.4".into();
            }
            json!({ "well": well })
        };
        wells.into_values().map(|(path, images)| (path, attributes(images))).collect()
    }

    /// The attributes of the plate.
    pub(crate) fn attributes(&self, version: Version) -> Value {
        let names = |lines: &[String]| lines.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        let mut wells: Vec<[usize; 3]> =
            self.fields.keys().map(|[row, column, _]| [*row, *column, 0]).collect();
        wells.dedup();
        let wells: Vec<Value> = wells
            .iter()
            .map(|place| {
                let path = self.well(place).to_string_lossy().into_owned();
                json!({ "path": path, "rowIndex": place[0], "columnIndex": place[1] })
            })
            .collect();
        let mut plate = Map::new();
        if let Some(name) = &self.plate.name {
            plate.insert("name".into(), name.as_str().into());
        }
        plate.insert("rows".into(), names(&self.rows).into());
        plate.insert("columns".into(), names(&self.columns).into());
        plate.insert("wells".into(), wells.into());
        let count = self.fields.keys().map(|place| place[2] + 1).max().unwrap_or(1);
        plate.insert("field_count".into(), count.into());
        let acquisitions = self.acquisitions();
        if !acquisitions.is_empty() {
            plate.insert("acquisitions".into(), acquisitions.into());
        }
        // Of 0.5 the specification's own schema has it here too.
        plate.insert("version".into(), if version == Version::V04 { "0.4" } else { "0.5" }.into());
        json!({ "plate": plate, "_creator": creator() })
    }

    /// The acquisitions, and the most fields that a well has of each.
    fn acquisitions(&self) -> Vec<Value> {
        let mut counts: BTreeMap<usize, BTreeMap<[usize; 2], usize>> = BTreeMap::new();
        for ([row, column, _], (_, acquisition)) in &self.fields {
            if let Some(acquisition) = acquisition {
                *counts.entry(*acquisition).or_default().entry([*row, *column]).or_default() += 1;
            }
        }
        let most = |wells: &BTreeMap<[usize; 2], usize>| wells.values().copied().max().unwrap_or_default();
        let told = |(id, wells): (&usize, &BTreeMap<[usize; 2], usize>)| {
            let mut told = json!({ "id": id, "maximumfieldcount": most(wells) });
            let known = self.plate.acquisitions.iter().find(|known| known.id == *id);
            if let Some(Acquisition { name, description, times: [start, end], .. }) = known {
                for (key, value) in [
                    ("name", name.as_deref().map(Value::from)),
                    ("description", description.as_deref().map(Value::from)),
                    ("starttime", start.map(Value::from)),
                    ("endtime", end.map(Value::from)),
                ] {
                    if let Some(value) = value {
                        told[key] = value;
                    }
                }
            }
            told
        };
        counts.iter().map(told).collect()
    }
}

/// The names of rows or columns, which are names of folders too: those that were given, if each is of letters and digits and
/// there once, whatever the case of its letters; or else those that everybody has.
fn named(given: &[String], count: usize, usual: fn(usize) -> String) -> Vec<String> {
    let is_name =
        |name: &String| !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_alphanumeric());
    let different = given.iter().map(|name| name.to_ascii_lowercase()).collect::<HashSet<_>>().len();
    if given.len() == count && different == count && given.iter().all(is_name) {
        return given.to_vec();
    }
    (0..count).map(usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_folders_are_replaced() {
        let names = |given: &[&str], count| {
            named(&given.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), count, letters)
        };
        assert_eq!(names(&["X", "Y1"], 2), ["X", "Y1"]);
        for given in [&["..", "B"][..], &["a", "A"], &["A/B", "C"], &["", "B"], &["B"], &["é", "B"]] {
            assert_eq!(names(given, 2), ["A", "B"], "{given:?}");
        }
    }
}
