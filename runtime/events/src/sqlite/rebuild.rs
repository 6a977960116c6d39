//! Projecting the whole log beside the views, then changing in one transaction what differs.
//!
//! The projection is written to temporary tables of a connection of its own, a few thousand events at a time, so that memory
//! is bounded, nobody waits for most of it, and nothing is left when the process is killed.

use std::sync::Arc;

use super::append::{Part, head, moved, position, since};
use super::connection::Connection;
use super::project::project;
use super::sql::{Place, Projecting};
use super::{Database, Store};
use crate::error::Error;
use crate::projection::understood;
use crate::rebuild::{Compared, Progress, Rebuilt, Unreadable, ViewChange, ViewDifference};
use crate::schema::{JOB_PROGRESS, JOBS, STATE, TASK_EXECUTION, WORKFLOW_PROGRESS};
use crate::sql::{count_differences, delete_superfluous, example_differences, table, write_different};
use crate::timestamp::Timestamp;

/// How many events are projected at a time.
const STEP: i64 = 5_000;

/// How many differing rows are named.
const EXAMPLES: i64 = 5;

const VIEWS: [&str; 4] = [JOBS, JOB_PROGRESS, WORKFLOW_PROGRESS, TASK_EXECUTION];

/// Told how far it is.
pub(super) type Progressed<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// The projection beside the views, and where it stands.
struct Shadow {
    connection: Connection,
    sql: Projecting,
    position: i64,
    events: u64,
    unreadable: Unreadable,
    /// The date from which rows are wanted, and the first event since then.
    since: Option<Timestamp>,
    first: Option<i64>,
}

impl Shadow {
    fn begin(database: &Database, since: Option<Timestamp>) -> Result<Self, Error> {
        let connection = Connection::open(&database.path, &database.limits)?;
        let failed = |error| database.failed("project beside the views", error);
        for name in VIEWS.into_iter().chain([STATE]) {
            let create = super::schema::create_table(Place::Shadow, table(name));
            connection.execute_batch(&create).map_err(failed)?;
        }
        Ok(Self {
            connection,
            sql: Projecting::at(Place::Shadow),
            position: 0,
            events: 0,
            unreadable: Unreadable::default(),
            since,
            first: since.is_none().then_some(0),
        })
    }

    /// Projects some of what comes behind the position, up to an id. Whether there may be more.
    fn step(&mut self, database: &Database, upto: i64) -> rusqlite::Result<bool> {
        let Part { events: mut step, more } = since(&self.connection, &database.sql, self.position, STEP)?;
        step.retain(|notification| notification.id <= upto);
        let Some(last) = step.last().map(|notification| notification.id) else { return Ok(false) };
        let (events, corrupt) = understood(&step);
        if let (None, Some(since)) = (self.first, self.since) {
            self.first = events.iter().find(|(.., event)| event.timestamp >= since).map(|(id, ..)| *id);
        }
        project(&self.connection, &self.sql, &events)?;
        self.events += events.len() as u64;
        self.unreadable.extend(corrupt);
        self.position = last;
        Ok(more)
    }
}

/// Writes the views anew. Rows that no event since a date has written are left out.
pub(super) async fn rebuild(
    store: &Store,
    since: Option<Timestamp>,
    progress: Progressed<'_>,
) -> Result<Rebuilt, Error> {
    const ATTEMPTED: &str = "rebuild the views";
    let mut shadow = filled(store, ATTEMPTED, Upto::Head, since, progress).await?;
    store
        .exclusively(ATTEMPTED, move |database, _| {
            let failed = |error| database.failed(ATTEMPTED, error);
            shadow.connection.begin(database.limits.lock).map_err(failed)?;
            while shadow.step(database, i64::MAX).map_err(failed)? {}
            let first = shadow.first.unwrap_or(i64::MAX);
            let views = change(&shadow, first).map_err(failed)?;
            moved(&shadow.connection, &database.sql, shadow.position).map_err(failed)?;
            shadow.connection.execute(&database.sql.first, [first]).map_err(failed)?;
            shadow.connection.execute_batch("COMMIT").map_err(failed)?;
            let Unreadable { told: corrupt, count: corrupt_events } = shadow.unreadable;
            Ok(Rebuilt { events: shadow.events, corrupt, corrupt_events, views })
        })
        .await
}

/// Writes what differs.
fn change(shadow: &Shadow, first: i64) -> rusqlite::Result<Vec<ViewChange>> {
    let connection = &shadow.connection;
    let mut views = Vec::with_capacity(VIEWS.len());
    for table in VIEWS {
        let beside = Place::Shadow.name(table);
        let deleted = connection.execute(&delete_superfluous(table, &beside), [first])? as u64;
        let written = connection.execute(&write_different(table, &beside), [first])? as u64;
        views.push(ViewChange { table, deleted, written });
    }
    let beside = Place::Shadow.name(STATE);
    connection.execute(&delete_superfluous(STATE, &beside), [])?;
    connection.execute(&write_different(STATE, &beside), [])?;
    Ok(views)
}

/// Compares the views with what the events up to their position make.
pub(super) async fn compare(store: &Store, progress: Progressed<'_>) -> Result<Compared, Error> {
    const ATTEMPTED: &str = "compare the views with the log";
    let mut shadow = filled(store, ATTEMPTED, Upto::Views, None, progress).await?;
    let database = Arc::clone(&store.database);
    store
        .blocking(ATTEMPTED, move || {
            let failed = |error| database.failed(ATTEMPTED, error);
            // Others go on writing: what is compared is the log and the views of one moment.
            shadow.connection.execute_batch("BEGIN").map_err(failed)?;
            let position = position(&database, &shadow.connection)?;
            while shadow.step(&database, position.notification_id).map_err(failed)? {}
            let views = differences(&shadow, position.first_id).map_err(failed)?;
            let Unreadable { told: corrupt, count: corrupt_events } = shadow.unreadable;
            Ok(Compared { events: shadow.events, corrupt, corrupt_events, views })
        })
        .await
}

fn differences(shadow: &Shadow, first: i64) -> rusqlite::Result<Vec<ViewDifference>> {
    let mut views = Vec::with_capacity(VIEWS.len());
    for table in VIEWS {
        let beside = Place::Shadow.name(table);
        let count = |row: &rusqlite::Row<'_>, index| row.get::<_, i64>(index).map(i64::unsigned_abs);
        let mut examples = shadow.connection.prepare(&example_differences(table, &beside))?;
        let examples = examples.query_map([first, EXAMPLES], |row| row.get(0))?.collect::<Result<_, _>>()?;
        views.push(shadow.connection.query_row(&count_differences(table, &beside), [first], |row| {
            let (missing, superfluous, different) = (count(row, 0)?, count(row, 1)?, count(row, 2)?);
            Ok(ViewDifference { table, missing, superfluous, different, examples })
        })?);
    }
    Ok(views)
}

/// How far the log is projected without keeping anybody waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upto {
    /// To its end.
    Head,
    /// Not past what the views have: a comparison could not go back.
    Views,
}

async fn filled(
    store: &Store,
    attempted: &'static str,
    upto: Upto,
    since: Option<Timestamp>,
    progress: Progressed<'_>,
) -> Result<Shadow, Error> {
    let database = Arc::clone(&store.database);
    let mut shadow = store.blocking(attempted, move || Shadow::begin(&database, since)).await?;
    loop {
        let database = Arc::clone(&store.database);
        let stepped = store.blocking(attempted, move || {
            let failed = |error| database.failed(attempted, error);
            shadow.connection.execute_batch("BEGIN").map_err(failed)?;
            let total = match upto {
                Upto::Head => head(&shadow.connection, &database.sql).map_err(failed)?,
                Upto::Views => position(&database, &shadow.connection)?.notification_id,
            };
            let more = shadow.step(&database, total).map_err(failed)?;
            shadow.connection.execute_batch("COMMIT").map_err(failed)?;
            Ok((shadow, more, total))
        });
        let (filled, more, total) = stepped.await?;
        progress(Progress { done: filled.position, total: total.max(filled.position) });
        if !more {
            return Ok(filled);
        }
        shadow = filled;
    }
}
