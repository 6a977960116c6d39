//! What the worker carries.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Result, Row, params, params_from_iter};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use super::query::count;
use super::value::{Id, Moment, hex, wall_time};
use crate::error::Error;
use crate::query::Page;
use crate::retry::Retry;
use crate::schema::{WORKER_EVENTS, WORKFLOWS};
use crate::sql::where_equal;
use crate::worker::WorkerEvent;
use crate::workflow::{Change, RecordFilter, WorkflowHead, WorkflowRecord};

/// The columns, in the order of [`record`].
const COLUMNS: &str = "workflow_id, parent_id, \"user\", \"group\", name, phase, is_open, revision, term, created, changed, state";

impl Store {
    pub(crate) async fn keep(&self, changes: &[Change<'_>], events: &[WorkerEvent]) -> Result<bool, Error> {
        let mut retry = Retry::new("keep a workflow", self.limits().command);
        loop {
            let changes: Vec<(WorkflowRecord, Option<i64>)> =
                changes.iter().map(|change| (change.record.clone(), change.term)).collect();
            let events = events.to_vec();
            let kept = self.write("keep a workflow", move |database, connection| {
                keep(connection, &changes, &events).map_err(|error| database.failed("keep a workflow", error))
            });
            match kept.await {
                Ok(kept) => return Ok(kept),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    pub(crate) async fn record_of(&self, id: Uuid) -> Result<Option<WorkflowRecord>, Error> {
        let statement = format!("SELECT {COLUMNS} FROM {WORKFLOWS} WHERE workflow_id = ?1");
        Ok(self.rows("read a workflow", statement, [hex(id)], record).await?.pop())
    }

    pub(crate) async fn open_heads(&self) -> Result<Vec<WorkflowHead>, Error> {
        let statement = format!(
            "SELECT workflow_id, parent_id, \"user\", phase, revision FROM {WORKFLOWS} WHERE is_open = 1
             ORDER BY created, workflow_id"
        );
        self.rows("read workflows", statement, [], |row| {
            Ok(WorkflowHead {
                id: row.get::<_, Id>(0)?.0,
                parent: row.get::<_, Option<Id>>(1)?.map(|id| id.0),
                user: row.get(2)?,
                phase: row.get(3)?,
                revision: row.get(4)?,
            })
        })
        .await
    }

    pub(crate) async fn records(
        &self,
        filter: &RecordFilter,
        page: Page,
    ) -> Result<Vec<WorkflowRecord>, Error> {
        let (matching, mut values) = matching(filter);
        let place = values.len() + 1;
        values.extend([Value::from(page.limit), Value::from(page.offset)]);
        let statement = format!(
            "SELECT {COLUMNS} FROM {WORKFLOWS} {matching}
             ORDER BY created DESC, workflow_id DESC LIMIT ?{place} OFFSET ?{}",
            place + 1
        );
        self.rows("list workflows", statement, params_from_iter(values), record).await
    }

    pub(crate) async fn count_records(&self, filter: &RecordFilter) -> Result<u64, Error> {
        let (matching, values) = matching(filter);
        let statement = format!("SELECT count(*) FROM {WORKFLOWS} {matching}");
        let counts =
            self.rows("count workflows", statement, params_from_iter(values), |row| count(row, 0)).await?;
        Ok(counts.first().copied().unwrap_or(0))
    }

    pub(crate) async fn begin_term(&self) -> Result<i64, Error> {
        self.write("begin a term", |database, connection| {
            let begin = || -> Result<i64> {
                let next = format!("SELECT coalesce(max(term), 0) + 1 FROM {WORKFLOWS}");
                let term: i64 = connection.query_row(&next, [], |row| row.get(0))?;
                connection.execute(&format!("UPDATE {WORKFLOWS} SET term = ?1 WHERE is_open = 1"), [term])?;
                Ok(term)
            };
            begin().map_err(|error| database.failed("begin a term", error))
        })
        .await
    }
}

/// The conditions that a filter makes, and their values.
fn matching(filter: &RecordFilter) -> (String, Vec<Value>) {
    let RecordFilter { user, group, phase, name, parent, open } = filter.clone();
    let given: Vec<(&str, Value)> = [
        ("user", user.map(Value::from)),
        ("group", group.map(Value::from)),
        ("phase", phase.map(Value::from)),
        ("name", name.map(Value::from)),
        ("parent_id", parent.map(|id| Value::from(hex(id)))),
        ("is_open", open.then_some(Value::from(1))),
    ]
    .into_iter()
    .filter_map(|(column, value)| Some((column, value?)))
    .collect();
    let matching = where_equal(given.iter().map(|(column, _)| *column), '?');
    (matching, given.into_iter().map(|(_, value)| value).collect())
}

/// Within a transaction that is committed also where it says no: nothing is written then.
fn keep(
    connection: &rusqlite::Connection,
    changes: &[(WorkflowRecord, Option<i64>)],
    events: &[WorkerEvent],
) -> Result<bool> {
    connection.execute_batch("SAVEPOINT keep")?;
    let mut repeated = 0;
    for (record, term) in changes {
        if !write(connection, record, *term)? {
            let statement =
                format!("SELECT 1 FROM {WORKFLOWS} WHERE workflow_id = ?1 AND revision = ?2 AND state = ?3");
            let values = (hex(record.id), record.revision, &record.state);
            // Written before, by ourselves, when the answer was lost.
            if connection.prepare_cached(&statement)?.query_row(values, |_| Ok(())).optional()?.is_none() {
                connection.execute_batch("ROLLBACK TO keep; RELEASE keep")?;
                return Ok(false);
            }
            repeated += 1;
        }
    }
    if changes.is_empty() || repeated < changes.len() {
        let tell = format!(
            "INSERT INTO {WORKER_EVENTS} (recorded, topic, workflow_id, task_id, state) VALUES (?1, ?2, ?3, ?4, ?5)"
        );
        let mut tell = connection.prepare_cached(&tell)?;
        let recorded = wall_time(OffsetDateTime::now_utc());
        for WorkerEvent { topic, workflow_id, task_id, state } in events {
            let ids = (workflow_id.map(hex), task_id.map(hex));
            tell.execute(params![recorded, topic, ids.0, ids.1, state.to_string()])?;
        }
    }
    connection.execute_batch("RELEASE keep")?;
    Ok(true)
}

fn write(connection: &rusqlite::Connection, record: &WorkflowRecord, term: Option<i64>) -> Result<bool> {
    let (id, changed) = (hex(record.id), wall_time(record.changed));
    if record.revision == 1 {
        let statement = format!(
            "INSERT INTO {WORKFLOWS} ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (workflow_id) DO NOTHING"
        );
        let written = connection.prepare_cached(&statement)?.execute(params![
            id,
            record.parent.map(hex),
            record.user,
            record.group,
            record.name,
            record.phase,
            i32::from(record.is_open),
            record.revision,
            record.term,
            wall_time(record.created),
            changed,
            record.state,
        ])?;
        return Ok(written == 1);
    }
    let statement = format!(
        "UPDATE {WORKFLOWS} SET phase = ?2, is_open = ?3, revision = ?4, term = coalesce(?5, term), changed = ?6, state = ?7
         WHERE workflow_id = ?1 AND revision = ?4 - 1 AND term <= coalesce(?5, term)"
    );
    let values =
        params![id, record.phase, i32::from(record.is_open), record.revision, term, changed, record.state];
    Ok(connection.prepare_cached(&statement)?.execute(values)? == 1)
}

fn record(row: &Row<'_>) -> Result<WorkflowRecord> {
    Ok(WorkflowRecord {
        id: row.get::<_, Id>(0)?.0,
        parent: row.get::<_, Option<Id>>(1)?.map(|id| id.0),
        user: row.get(2)?,
        group: row.get(3)?,
        name: row.get(4)?,
        phase: row.get(5)?,
        is_open: row.get::<_, i64>(6)? != 0,
        revision: row.get(7)?,
        term: row.get(8)?,
        created: row.get::<_, Moment>(9)?.0,
        changed: row.get::<_, Moment>(10)?.0,
        state: row.get(11)?,
    })
}
