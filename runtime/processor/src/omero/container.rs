//! What holds images: plates, by their wells, and datasets.

use std::sync::Arc;

use biomero_export::metadata::{Acquisition, Field, Plate};
use biomero_omero::api::IQuery;
use biomero_omero::{QueryParameters, Row};

use super::{Object, Unread};

const PLATE: &str =
    "select p.name, p.rowNamingConvention, p.columnNamingConvention from Plate p where p.id = :id";
/// Its last row and column that have a well, as OMERO's own viewers count.
const GRID: &str = "select max(w.row), max(w.column) from Well w where w.plate.id = :id";
/// Its fields: where they are, which image, of which acquisition.
const FIELDS: &str = "select w.row, w.column, index(s), i.id, a.id from Well w join w.wellSamples s join s.image i \
     left outer join s.plateAcquisition a where w.plate.id = :id order by w.row, w.column, index(s)";
const ACQUISITIONS: &str = "select a.id, a.name, a.description, a.startTime, a.endTime from PlateAcquisition a \
     where a.plate.id = :id order by a.id";
const DATASET: &str = "select d.id from Dataset d where d.id = :id";
const IMAGES: &str =
    "select distinct i.id from DatasetImageLink l join l.child i where l.parent.id = :id order by i.id";

/// No plate has more rows or columns, and no dataset or plate more images that are exported together.
const LINES: i64 = 1000;
const IMAGES_AT_MOST: usize = 1 << 20;

/// The images of a dataset, in the order of their ids.
pub(super) async fn dataset(query: &IQuery, id: i64) -> Result<Vec<i64>, Unread> {
    let parameters = QueryParameters::new().long("id", id);
    if query.rows(DATASET, &parameters).await?.is_empty() {
        return Err(Unread::Absent(Object::Dataset(id)));
    }
    let rows = query.rows(IMAGES, &parameters).await?;
    let mut images = rows.iter().map(|row| row.long(0)).collect::<Result<Vec<_>, _>>()?;
    // Not every database sorts what is distinct.
    images.sort_unstable();
    images.dedup();
    check(Object::Dataset(id), images.len())?;
    Ok(images)
}

/// The images of a plate and where on it they were taken, in the order of rows, columns and fields.
pub(super) async fn plate(query: &IQuery, id: i64) -> Result<Vec<(i64, Field)>, Unread> {
    let parameters = QueryParameters::new().long("id", id);
    let plates = query.rows(PLATE, &parameters).await?;
    let told = plates.first().ok_or(Unread::Absent(Object::Plate(id)))?;
    let grid = query.rows(GRID, &parameters).await?;
    let lines = |column: usize| -> Result<usize, Unread> {
        let last = grid.first().map_or(Ok(None), |row| row.maybe_long(column))?.unwrap_or(-1);
        let count = last.checked_add(1).filter(|count| (0..=LINES).contains(count));
        count.and_then(|count| usize::try_from(count).ok()).ok_or(Unread::Grid { id, last })
    };
    let convention = |column: usize| told.maybe_text(column).map(|name| name.map(str::to_lowercase));
    let is_numbered = convention(1)?.is_some_and(|convention| convention == "number");
    let is_lettered = convention(2)?.is_some_and(|convention| convention == "letter");
    let mut plate = Plate::named(
        told.maybe_text(0)?.map(str::to_owned),
        (lines(0)?, !is_numbered),
        (lines(1)?, is_lettered),
    );
    let runs = query.rows(ACQUISITIONS, &parameters).await?;
    plate.acquisitions = runs.iter().map(acquisition).collect::<Result<_, _>>()?;
    let plate = Arc::new(plate);
    let rows = query.rows(FIELDS, &parameters).await?;
    check(Object::Plate(id), rows.len())?;
    let mut fields = rows.iter().map(|row| field(row, &plate, id)).collect::<Result<Vec<_>, _>>()?;
    fields.sort_by_key(|(_, field)| (field.row, field.column, field.number));
    Ok(fields)
}

fn acquisition(row: &Row) -> Result<Acquisition, Unread> {
    let text = |column: usize| {
        row.maybe_text(column).map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    Ok(Acquisition {
        id: usize::try_from(row.long(0)?).unwrap_or_default(),
        name: text(1)?,
        description: text(2)?,
        times: [row.maybe_long(3)?, row.maybe_long(4)?],
    })
}

fn field(row: &Row, plate: &Arc<Plate>, id: i64) -> Result<(i64, Field), Unread> {
    let number = |column: usize| -> Result<usize, Unread> {
        let number = row.long(column)?;
        usize::try_from(number).map_err(|_| Unread::Grid { id, last: number })
    };
    let acquisition = row.maybe_long(4)?.and_then(|id| usize::try_from(id).ok());
    let field = Field {
        plate: Arc::clone(plate),
        row: number(0)?,
        column: number(1)?,
        number: number(2)?,
        acquisition,
    };
    Ok((row.long(3)?, field))
}

const fn check(object: Object, images: usize) -> Result<(), Unread> {
    match images {
        0 => Err(Unread::Empty(object)),
        1..=IMAGES_AT_MOST => Ok(()),
        _ => Err(Unread::Many { object, images }),
    }
}
