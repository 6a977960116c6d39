//! What the worker carries.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Store;
use super::session::{Session, Values};
use crate::error::Error;
use crate::query::Page;
use crate::retry::Retry;
use crate::schema::{WORKER_EVENTS, WORKFLOWS};
use crate::sql::where_equal;
use crate::worker::WorkerEvent;
use crate::workflow::{Change, RecordFilter, WorkflowHead, WorkflowRecord};

/// The columns, in the order of [`record`].
const COLUMNS: &str = "workflow_id, parent_id, \"user\", \"group\", name, phase, is_open, revision, term, created, changed, state";

type Done<T> = Result<T, tokio_postgres::Error>;

impl Store {
    pub(crate) async fn keep(&self, changes: &[Change<'_>], events: &[WorkerEvent]) -> Result<bool, Error> {
        let mut retry = Retry::new("keep a workflow", self.limits.command);
        loop {
            let session = self.session().await?;
            let work = async {
                keep(&session, changes, events).await.map_err(|error| self.failed("keep a workflow", error))
            };
            match self.answered("keep a workflow", work).await {
                Ok(kept) => {
                    session.done();
                    return Ok(kept);
                }
                Err(error) => {
                    drop(session);
                    retry.after(error).await?;
                }
            }
        }
    }

    pub(crate) async fn record_of(&self, id: Uuid) -> Result<Option<WorkflowRecord>, Error> {
        let statement = format!("SELECT {COLUMNS} FROM {WORKFLOWS} WHERE workflow_id = $1");
        Ok(self.rows("read a workflow", &statement, &[&id], record).await?.pop())
    }

    pub(crate) async fn open_heads(&self) -> Result<Vec<WorkflowHead>, Error> {
        let statement = format!(
            "SELECT workflow_id, parent_id, \"user\", phase, revision FROM {WORKFLOWS} WHERE is_open = 1
             ORDER BY created, workflow_id"
        );
        self.rows("read workflows", &statement, &[], |row| {
            Ok(WorkflowHead {
                id: row.try_get(0)?,
                parent: row.try_get(1)?,
                user: row.try_get(2)?,
                phase: row.try_get(3)?,
                revision: row.try_get(4)?,
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
        let (offset, limit) = (i64::from(page.offset), i64::from(page.limit));
        let place = values.len() + 1;
        values.extend([&offset as &(dyn ToSql + Sync), &limit]);
        let statement = format!(
            "SELECT {COLUMNS} FROM {WORKFLOWS} {matching}
             ORDER BY created DESC, workflow_id DESC OFFSET ${place} LIMIT ${}",
            place + 1
        );
        self.rows("list workflows", &statement, &values, record).await
    }

    pub(crate) async fn count_records(&self, filter: &RecordFilter) -> Result<u64, Error> {
        let (matching, values) = matching(filter);
        let statement = format!("SELECT count(*) FROM {WORKFLOWS} {matching}");
        let counts =
            self.rows("count workflows", &statement, &values, |row| row.try_get::<_, i64>(0)).await?;
        Ok(counts.first().map_or(0, |count| count.unsigned_abs()))
    }

    pub(crate) async fn begin_term(&self) -> Result<i64, Error> {
        // One statement: a worker of an earlier term that still writes is before it or behind it.
        let statement = format!(
            "WITH begun AS (SELECT coalesce(max(term), 0) + 1 AS term FROM {WORKFLOWS}),
                  taken AS (UPDATE {WORKFLOWS} SET term = begun.term FROM begun WHERE is_open = 1)
             SELECT term FROM begun"
        );
        let terms = self.rows("begin a term", &statement, &[], |row| row.try_get(0)).await?;
        Ok(terms.first().copied().unwrap_or(1))
    }
}

/// The conditions that a filter makes, and their values.
fn matching(filter: &RecordFilter) -> (String, Vec<&(dyn ToSql + Sync)>) {
    fn given<T: ToSql + Sync>(value: &Option<T>) -> Option<&(dyn ToSql + Sync)> {
        value.as_ref().map(|value| value as _)
    }
    let RecordFilter { user, group, phase, name, parent, open } = filter;
    let given: Vec<(&str, &(dyn ToSql + Sync))> = [
        ("user", given(user)),
        ("group", given(group)),
        ("phase", given(phase)),
        ("name", given(name)),
        ("parent_id", given(parent)),
        ("is_open", open.then_some(&1_i32 as _)),
    ]
    .into_iter()
    .filter_map(|(column, value)| Some((column, value?)))
    .collect();
    let matching = where_equal(given.iter().map(|(column, _)| *column), '$');
    (matching, given.into_iter().map(|(_, value)| value).collect())
}

async fn keep(session: &Session, changes: &[Change<'_>], events: &[WorkerEvent]) -> Done<bool> {
    let insert = format!(
        "INSERT INTO {WORKFLOWS} ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (workflow_id) DO NOTHING"
    );
    let update = format!(
        "UPDATE {WORKFLOWS} SET phase = $2, is_open = $3, revision = $4::bigint, term = coalesce($5::bigint, term),
                changed = $6, state = $7
         WHERE workflow_id = $1 AND revision = $4::bigint - 1 AND term <= coalesce($5::bigint, term)"
    );
    let same = format!("SELECT FROM {WORKFLOWS} WHERE workflow_id = $1 AND revision = $2 AND state = $3");
    let tell = format!(
        "INSERT INTO {WORKER_EVENTS} (recorded, topic, workflow_id, task_id, state) VALUES (now(), $1, $2, $3, $4)"
    );
    let [insert, update, same, tell] = session.prepare([&insert, &update, &same, &tell]).await?;
    let client = session.client();
    client.batch_execute("BEGIN").await?;
    let mut repeated = 0;
    for Change { record, term } in changes {
        let WorkflowRecord { id, parent, user, group, name, phase, is_open, revision, .. } = record;
        let (is_open, state) = (i32::from(*is_open), &record.state);
        let written = if *revision == 1 {
            let values: Values<'_> = &[
                id,
                parent,
                user,
                group,
                name,
                phase,
                &is_open,
                revision,
                &record.term,
                &record.created,
                &record.changed,
                state,
            ];
            client.execute(&insert, values).await?
        } else {
            let values: Values<'_> = &[id, phase, &is_open, revision, term, &record.changed, state];
            client.execute(&update, values).await?
        };
        // Written before, by ourselves, when the answer was lost.
        if written == 0 {
            if client.query_opt(&same, &[id, revision, state]).await?.is_none() {
                client.batch_execute("ROLLBACK").await?;
                return Ok(false);
            }
            repeated += 1;
        }
    }
    if changes.is_empty() || repeated < changes.len() {
        // Whoever follows the stream reads behind the last id: none may appear before it later.
        client.batch_execute(&format!("LOCK TABLE {WORKER_EVENTS} IN SHARE ROW EXCLUSIVE MODE")).await?;
        for WorkerEvent { topic, workflow_id, task_id, state } in events {
            client.execute(&tell, &[topic, workflow_id, task_id, &state.to_string()]).await?;
        }
    }
    client.batch_execute(&format!("NOTIFY {WORKER_EVENTS}; COMMIT")).await?;
    Ok(true)
}

fn record(row: &Row) -> Done<WorkflowRecord> {
    Ok(WorkflowRecord {
        id: row.try_get(0)?,
        parent: row.try_get(1)?,
        user: row.try_get(2)?,
        group: row.try_get(3)?,
        name: row.try_get(4)?,
        phase: row.try_get(5)?,
        is_open: row.try_get::<_, i32>(6)? != 0,
        revision: row.try_get(7)?,
        term: row.try_get(8)?,
        created: row.try_get(9)?,
        changed: row.try_get(10)?,
        state: row.try_get(11)?,
    })
}
