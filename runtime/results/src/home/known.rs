//! What OMERO knows of the targets: which group they are in, whether they may be annotated, which images are in them.

use biomero_omero::api::IQuery;
use biomero_omero::model::IObject;
use biomero_omero::{QueryParameters, Remote as _, Row, Values as _};

use super::{Error, asked};
use crate::object::{Class, Object};
use crate::plan::{Known, SourceImage};

/// Images of all targets together.
const IMAGES: usize = 100_000;
/// Rows of an answer.
const PAGE: usize = 5_000;

/// The place of the right to annotate among what permissions restrict (`ANNOTATERESTRICTION`).
const ANNOTATE: usize = 3;

const fn object(class: Class) -> &'static str {
    match class {
        Class::Image => "select o from Image o where o.id = :id",
        Class::Dataset => "select o from Dataset o where o.id = :id",
        Class::Project => "select o from Project o where o.id = :id",
        Class::Plate => "select o from Plate o where o.id = :id",
        Class::Screen => "select o from Screen o where o.id = :id",
    }
}

const GROUP: &str = "select g.name from ExperimenterGroup g where g.id = :id";

const fn images(class: Class) -> &'static str {
    match class {
        Class::Image => {
            "select i.id, i.name, p.sizeT, p.sizeC, p.sizeZ, p.sizeY, p.sizeX from Pixels p join p.image i \
             where i.id = :id order by i.id"
        }
        Class::Dataset => {
            "select i.id, i.name, p.sizeT, p.sizeC, p.sizeZ, p.sizeY, p.sizeX from Pixels p join p.image i \
             join i.datasetLinks l where l.parent.id = :id order by i.id"
        }
        Class::Project => {
            "select i.id, i.name, p.sizeT, p.sizeC, p.sizeZ, p.sizeY, p.sizeX from Pixels p join p.image i \
             join i.datasetLinks l join l.parent d join d.projectLinks k where k.parent.id = :id order by i.id"
        }
        Class::Plate => {
            "select i.id, i.name, p.sizeT, p.sizeC, p.sizeZ, p.sizeY, p.sizeX from Pixels p join p.image i \
             join i.wellSamples s join s.well w where w.plate.id = :id order by i.id"
        }
        Class::Screen => {
            "select i.id, i.name, p.sizeT, p.sizeC, p.sizeZ, p.sizeY, p.sizeX from Pixels p join p.image i \
             join i.wellSamples s join s.well w join w.plate q join q.screenLinks k where k.parent.id = :id \
             order by i.id"
        }
    }
}

/// Wells with their plates, of those that have any.
const fn wells(class: Class) -> Option<&'static str> {
    match class {
        Class::Plate => Some(
            "select w.id, w.row, w.column, q.id, q.name from Well w join w.plate q where q.id = :id order by w.id",
        ),
        Class::Screen => Some(
            "select w.id, w.row, w.column, q.id, q.name from Well w join w.plate q join q.screenLinks k \
             where k.parent.id = :id order by w.id",
        ),
        _ => None,
    }
}

/// The group that all targets are in, and that the user may annotate each.
pub(super) async fn group(query: &IQuery, targets: &[Object]) -> Result<i64, Error> {
    let everywhere = query.in_group(-1);
    let mut first: Option<(Object, i64)> = None;
    for target in targets {
        let parameters = QueryParameters::new().long("id", target.id);
        let what = format!("for {target}");
        let found =
            everywhere.one::<IObject>(object(target.class), &parameters).await.map_err(asked(&what))?;
        let root = found.root().ok_or(Error::Absent(*target))?;
        let details = found.objects.at(root.details);
        let group = details
            .and_then(|details| found.objects.at(details.group))
            .and_then(|group| found.objects.long(group.base.id))
            .ok_or(Error::Absent(*target))?;
        let permissions = details.and_then(|details| found.objects.at(details.permissions));
        if permissions.and_then(|permissions| permissions.restrictions.get(ANNOTATE)) == Some(&true) {
            let parameters = QueryParameters::new().long("id", group);
            let named = everywhere.rows(GROUP, &parameters).await.map_err(asked("for a group"))?;
            let name = named.first().and_then(|row| row.maybe_text(0).ok().flatten().map(str::to_owned));
            return Err(Error::ReadOnly {
                object: *target,
                group: name.unwrap_or_else(|| group.to_string()),
            });
        }
        match first {
            Some((other, of)) if of != group => return Err(Error::Groups { first: other, second: *target }),
            Some(_) => {}
            None => first = Some((*target, group)),
        }
    }
    first.map(|(_, group)| group).ok_or(Error::NoTarget)
}

/// The images in the targets, each once, and what tables may name.
pub(super) async fn read(query: &IQuery, targets: &[Object]) -> Result<Known, Error> {
    let mut known = Known::default();
    for target in targets {
        let what = format!("for the images of {target}");
        for row in pages(query, images(target.class), *target, &what).await? {
            let image = image(&row).map_err(asked(&what))?;
            if known.names.images.insert(image.id, image.name.clone()).is_none() {
                known.images.push(image);
            }
        }
        if let Some(wells) = wells(target.class) {
            let what = format!("for the wells of {target}");
            for row in pages(query, wells, *target, &what).await? {
                well(&row, &mut known).map_err(asked(&what))?;
            }
        }
    }
    Ok(known)
}

async fn pages(query: &IQuery, text: &'static str, target: Object, what: &str) -> Result<Vec<Row>, Error> {
    let mut all = Vec::new();
    loop {
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let parameters = QueryParameters::new().long("id", target.id).page(count(all.len()), count(PAGE));
        let mut rows = query.rows(text, &parameters).await.map_err(asked(what))?;
        let is_last = rows.len() < PAGE;
        all.append(&mut rows);
        if all.len() > IMAGES {
            return Err(Error::TooMany { object: target, most: IMAGES });
        }
        if is_last {
            return Ok(all);
        }
    }
}

fn image(row: &Row) -> Result<SourceImage, biomero_omero::Error> {
    let mut sides = [0; 5];
    for (number, side) in sides.iter_mut().enumerate() {
        *side = usize::try_from(row.long(number + 2)?).unwrap_or_default();
    }
    Ok(SourceImage { id: row.long(0)?, name: row.maybe_text(1)?.unwrap_or_default().to_owned(), sides })
}

fn well(row: &Row, known: &mut Known) -> Result<(), biomero_omero::Error> {
    let (id, plate) = (row.long(0)?, row.long(3)?);
    known.names.plates.insert(plate, row.maybe_text(4)?.unwrap_or_default().to_owned());
    // A well without a place has no name.
    if let (Some(line), Some(column)) = (row.maybe_long(1)?, row.maybe_long(2)?)
        && let (Ok(line), Some(column)) = (usize::try_from(line), column.checked_add(1))
    {
        let name = format!("{}{column}", letters(line).to_lowercase());
        known.names.wells.insert((plate, name), id);
    }
    Ok(())
}

/// `A` to `Z`, then `AA`, as OMERO calls rows of plates.
fn letters(mut row: usize) -> String {
    let mut name = String::new();
    loop {
        name.insert(0, char::from(b'A' + u8::try_from(row % 26).unwrap_or_default()));
        match (row / 26).checked_sub(1) {
            Some(rest) => row = rest,
            None => return name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_plates_are_letters() {
        let names: Vec<String> = [0, 25, 26, 31, 701, 702].into_iter().map(letters).collect();
        assert_eq!(names, ["A", "Z", "AA", "AF", "ZZ", "AAA"]);
    }
}
