//! What the worker carries.

use rusqlite::{OptionalExtension as _, Result, Row, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use super::query::count;
use super::value::{Id, Moment, hex, wall_time};
use crate::error::Error;
use crate::query::{Listed, Page};
use crate::retry::Retry;
use crate::schema::{WORKER_EVENTS, WORKFLOWS};
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
    ) -> Result<Listed<WorkflowRecord>, Error> {
        let matching = format!(
            "FROM {WORKFLOWS}
             WHERE (?1 IS NULL OR \"user\" = ?1) AND (?2 IS NULL OR \"group\" = ?2)
               AND (?3 IS NULL OR phase = ?3) AND (?4 IS NULL OR name = ?4)
               AND (?5 IS NULL OR parent_id = ?5) AND (?6 IS NULL OR is_open = ?6)"
        );
        let RecordFilter { user, group, phase, name, parent, open } = filter.clone();
        let (parent, open) = (parent.map(hex), open.then_some(1));
        self.read("list workflows", move |database, connection| {
            let listed = || -> Result<_> {
                let total = connection
                    .prepare_cached(&format!("SELECT count(*) {matching}"))?
                    .query_row((user, group, &phase, &name, &parent, open), |row| count(row, 0))?;
                let rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} {matching} ORDER BY created DESC, workflow_id DESC LIMIT ?7 OFFSET ?8"
                    ))?
                    .query_map(
                        (user, group, &phase, &name, &parent, open, page.limit, page.offset),
                        record,
                    )?
                    .collect::<Result<_>>()?;
                Ok(Listed { rows, total })
            };
            listed().map_err(|error| database.failed("list workflows", error))
        })
        .await
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
