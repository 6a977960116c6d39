//! Tables of OMERO: made, filled in batches, attached.

use biomero_omero::grid::{
    BoolColumn, Column as Base, DatasetColumn, DoubleColumn, ImageColumn, LongColumn, PlateColumn, RoiColumn,
    StringColumn, Table as Remote, WellColumn,
};
use biomero_omero::model::OriginalFile;
use biomero_omero::{
    Error as OmeroError, Exception, Objects, QueryParameters, Remote as _, Upcast as _, Values as _,
};

use super::link::{Kind as Annotated, Ref, known as known_object};
use super::{Error, Home, Made, PATIENCE, State, Witness, blocking};
use crate::folder::Folder;
use crate::plan::{Known, TABLES, Table};
use crate::table::{Cells, Column, Kind, Resolved, TableError, open};

/// Rows of a message, and bytes of their texts.
const ROWS: usize = 10_000;
const BYTES: usize = 4 << 20;

/// The mark of files that are tables.
const MIMETYPE: &str = "OMERO.tables";

/// Ours of this name, which holds the id of the workflow.
const FIND: &str = "select f.id from OriginalFile f where f.name = :name and f.mimetype = :mimetype \
     and f.details.owner.id = :owner order by f.id";

impl Home<'_> {
    async fn find_table(&self, step: &Table) -> Result<Option<i64>, Error> {
        let parameters = QueryParameters::new()
            .text("name", &step.name)
            .text("mimetype", MIMETYPE)
            .long("owner", self.user);
        self.first("for a table", FIND, &parameters).await
    }

    pub(super) async fn look_table(&self, step: &Table) -> Result<Made, Error> {
        let Some(file) = self.find_table(step).await? else {
            return Ok(Made::new(State::Missing, Vec::new()));
        };
        match self.annotation_of(file).await? {
            Some(id) if self.unlinked(id, &step.to).await?.is_empty() => {
                Ok(Made::new(State::There, vec![format!("FileAnnotation:{id}")]))
            }
            _ => Ok(Made::new(State::Partly, vec![format!("OriginalFile:{file}")])),
        }
    }

    pub(super) async fn table(
        &self,
        folder: &Folder,
        step: &Table,
        known: &Known,
        witness: &dyn Witness,
    ) -> Result<Made, Error> {
        let found = self.find_table(step).await?;
        let annotated = match found {
            Some(file) => self.annotation_of(file).await?,
            None => None,
        };
        let annotation = match annotated {
            Some(annotation) => annotation,
            None => {
                let (file, table) = self.open_table(step, found).await?;
                let filled = self.fill(folder, step, known, &table, file, witness).await;
                // Whatever came of it: the server holds its file open until then.
                let closed = table.close().await;
                filled?;
                closed.map_err(failed(step, "closing"))?;
                self.annotate_file(&step.name, file, TABLES, &step.description, &step.to).await?
            }
        };
        let unlinked = self.unlinked(annotation, &step.to).await?;
        self.link(&step.name, Annotated::File, annotation, &unlinked).await?;
        let state = if annotated.is_some() && unlinked.is_empty() { State::There } else { State::Made };
        let objects = vec![format!("FileAnnotation:{annotation}")];
        Ok(Made { state, objects, count: Some(step.shape.rows) })
    }

    /// The table, and the file that it is.
    async fn open_table(&self, step: &Table, found: Option<i64>) -> Result<(i64, Remote), Error> {
        let shared =
            self.session.shared_resources().await.map_err(failed(step, "asking for tables to make"))?;
        let shared = shared.in_group(self.group).with_timeout(PATIENCE);
        if !shared.are_tables_enabled().await.map_err(failed(step, "asking for tables to make"))? {
            return Err(Error::NoTables);
        }
        let table = match found {
            Some(file) => {
                let mut objects = Objects::new();
                let original =
                    OriginalFile { base: known_object(&mut objects, file), ..OriginalFile::default() };
                let original = objects.put(original);
                shared.open_table(original, &objects).await
            }
            // Which repository does not count: OMERO has one for tables.
            None => shared.new_table(1, &step.name).await,
        };
        let table = table.map_err(failed(step, "opening"))?.ok_or(Error::NoTables)?;
        let file = match found {
            Some(file) => file,
            None => {
                let file = table.get_original_file().await.map_err(failed(step, "opening"))?;
                let id = file.root().and_then(|original| file.objects.long(original.base.id));
                id.ok_or_else(|| {
                    failed(step, "opening")(OmeroError::Missing {
                        what: format!("file of the table {}", step.name),
                    })
                })?
            }
        };
        Ok((file, table))
    }

    /// Stores the rows that are not there yet.
    async fn fill(
        &self,
        folder: &Folder,
        step: &Table,
        known: &Known,
        table: &Remote,
        file: i64,
        witness: &dyn Witness,
    ) -> Result<(), Error> {
        let resolved = Resolved::new(&step.shape, known.names.clone());
        let broken = |source| Error::Table { path: step.path.clone(), source };
        let mut stored = match self.headers(step, table).await? {
            None => {
                let mut objects = Objects::new();
                let empty = |column: &Column| column_of(&mut objects, column, Cells::none(column.kind));
                let columns: Vec<_> = resolved.columns().map(empty).collect();
                table.initialize(&columns, &objects).await.map_err(failed(step, "making"))?;
                0
            }
            Some(headers) if headers != headers_of(&resolved) => {
                return Err(Error::Different { path: step.path.clone(), file });
            }
            Some(_) => {
                let rows = table.get_number_of_rows().await.map_err(failed(step, "looking into"))?;
                u64::try_from(rows).unwrap_or_default()
            }
        };
        let mut records = open(folder, &step.path).map_err(broken)?;
        let mut skipped = stored;
        loop {
            if witness.is_cancelled() {
                return Err(Error::Cancelled);
            }
            witness.at(stored, step.shape.rows);
            let (rest, rows) = blocking(move || {
                let rows = batch(&mut records, &mut skipped);
                (records, rows)
            })
            .await?;
            records = rest;
            skipped = 0;
            let rows = rows.map_err(broken)?;
            if rows.is_empty() {
                break;
            }
            let cells = resolved.cells(&rows).ok_or_else(|| broken(TableError::Changed))?;
            let mut objects = Objects::new();
            let columns = resolved.columns().zip(cells);
            let columns: Vec<_> =
                columns.map(|(column, cells)| column_of(&mut objects, column, cells)).collect();
            table.add_data(&columns, &objects).await.map_err(failed(step, "filling"))?;
            stored += rows.len() as u64;
        }
        if stored == step.shape.rows { Ok(()) } else { Err(broken(TableError::Changed)) }
    }

    /// The names and types of its columns; `None` while it has none.
    async fn headers(&self, step: &Table, table: &Remote) -> Result<Option<Vec<(String, String)>>, Error> {
        let headers = match table.get_headers().await {
            Ok(headers) => headers,
            // As a table says that nothing was made of it yet.
            Err(error) if error.is(Exception::ApiUsageException) => return Ok(None),
            Err(error) => return Err(failed(step, "looking into")(error)),
        };
        let columns = headers.value.iter().flatten().map(|column| {
            let name =
                headers.objects.get(*column).map(|column: &Base| column.name.clone()).unwrap_or_default();
            (name, headers.objects.type_id(*column).unwrap_or_default())
        });
        let columns: Vec<_> = columns.collect();
        Ok((!columns.is_empty()).then_some(columns))
    }
}

fn failed<'s>(step: &'s Table, doing: &'s str) -> impl FnOnce(OmeroError) -> Error + 's {
    move |source| Error::omero(format!("{doing} the table {}", step.name), source)
}

/// The next rows, without the first of them that were stored before.
fn batch(
    records: &mut crate::table::Records<std::io::BufReader<std::fs::File>>,
    skipped: &mut u64,
) -> Result<Vec<Vec<String>>, TableError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < ROWS && bytes < BYTES {
        let Some(record) = records.next()? else { break };
        if *skipped > 0 {
            *skipped -= 1;
            continue;
        }
        bytes += record.fields.iter().map(|field| field.len() + 8).sum::<usize>();
        rows.push(record.fields);
    }
    Ok(rows)
}

impl Cells {
    /// Of no row.
    const fn none(kind: Kind) -> Self {
        match kind {
            Kind::Double => Self::Double(Vec::new()),
            Kind::Bool => Self::Bool(Vec::new()),
            Kind::String(_) => Self::String(Vec::new()),
            _ => Self::Long(Vec::new()),
        }
    }
}

/// The names and types of columns as [`Home::headers`] reads them.
fn headers_of(resolved: &Resolved) -> Vec<(String, String)> {
    let type_id = |kind| match kind {
        Kind::Long => "LongColumn",
        Kind::Double => "DoubleColumn",
        Kind::Bool => "BoolColumn",
        Kind::String(_) => "StringColumn",
        Kind::Image => "ImageColumn",
        Kind::Dataset => "DatasetColumn",
        Kind::Roi => "RoiColumn",
        Kind::Well => "WellColumn",
        Kind::Plate => "PlateColumn",
    };
    let header = |column: &Column| (column.name.clone(), format!("::omero::grid::{}", type_id(column.kind)));
    resolved.columns().map(header).collect()
}

/// A column with its values.
fn column_of(objects: &mut Objects, column: &Column, cells: Cells) -> Option<Ref<Base>> {
    let base = Base { name: column.name.clone(), description: column.written.clone() };
    Some(match (column.kind, cells) {
        (Kind::Image, Cells::Long(values)) => objects.add(ImageColumn { base, values }).up(),
        (Kind::Dataset, Cells::Long(values)) => objects.add(DatasetColumn { base, values }).up(),
        (Kind::Roi, Cells::Long(values)) => objects.add(RoiColumn { base, values }).up(),
        (Kind::Well, Cells::Long(values)) => objects.add(WellColumn { base, values }).up(),
        (Kind::Plate, Cells::Long(values)) => objects.add(PlateColumn { base, values }).up(),
        (_, Cells::Long(values)) => objects.add(LongColumn { base, values }).up(),
        (_, Cells::Double(values)) => objects.add(DoubleColumn { base, values }).up(),
        (_, Cells::Bool(values)) => objects.add(BoolColumn { base, values }).up(),
        (kind, Cells::String(values)) => {
            let size = match kind {
                Kind::String(bytes) => i64::try_from(bytes).unwrap_or(i64::MAX),
                _ => 1,
            };
            objects.add(StringColumn { base, size, values }).up()
        }
    })
}
