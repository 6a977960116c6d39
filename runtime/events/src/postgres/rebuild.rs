//! Projecting the whole log beside the views, then changing in one transaction what differs.
//!
//! The projection is written to temporary tables of one session, a few thousand events at a time, so that memory is bounded
//! and nothing is left when the process is killed. The view tables are not replaced: rows that are right stay as they are,
//! and with them the grants, dashboards and views that others have built on the tables.

use crate::error::Error;
use crate::projection::understood;
use crate::rebuild::{Compared, Progress, Rebuilt, Unreadable, ViewChange, ViewDifference};
use crate::schema::{JOB_PROGRESS, JOBS, STATE, TASK_EXECUTION, WORKFLOW_PROGRESS};
use crate::sql::{count_differences, delete_superfluous, example_differences, write_different};
use crate::timestamp::Timestamp;

use super::session::Session;
use super::sql::{self, Place, Projecting};
use super::{Store, append, project};

/// How many events are projected at a time.
const STEP: i64 = 5_000;

/// How many differing rows are named.
const EXAMPLES: i64 = 5;

const VIEWS: [&str; 4] = [JOBS, JOB_PROGRESS, WORKFLOW_PROGRESS, TASK_EXECUTION];

/// Where the shadow stands.
#[derive(Debug, Default)]
struct Shadow {
    position: i64,
    events: u64,
    unreadable: Unreadable,
    /// The first event at or after the date from which rows are wanted.
    first: Option<i64>,
}

/// Writes the views anew. Rows that no event since a date has written are left out.
pub(super) async fn rebuild(
    store: &Store,
    since: Option<Timestamp>,
    progress: Progressed<'_>,
) -> Result<Rebuilt, Error> {
    let failed = |error| store.failed("rebuild the views", error);
    let session = store.living_session().await?;
    let mut shadow = Shadow { first: since.is_none().then_some(0), ..Shadow::default() };
    let statements = begin(&session).await.map_err(failed)?;
    // Most of it without keeping anybody waiting.
    fill(store, &session, &statements, &mut shadow, i64::MAX, since, progress).await.map_err(failed)?;
    let client = session.client();
    // From here on appends wait for the position; whoever only reads, or writes without projecting, does not.
    client.batch_execute("BEGIN; SET LOCAL statement_timeout = 0").await.map_err(failed)?;
    store.position(&session).await?;
    fill(store, &session, &statements, &mut shadow, i64::MAX, since, progress).await.map_err(failed)?;
    let first = shadow.first.unwrap_or(i64::MAX);
    let mut views = Vec::with_capacity(VIEWS.len());
    for table in VIEWS {
        let beside = Place::Shadow.name(table);
        client.batch_execute(&format!("ANALYZE {beside}")).await.map_err(failed)?;
        let deleted = client.execute(&delete_superfluous(table, &beside), &[&first]).await.map_err(failed)?;
        let written = client.execute(&write_different(table, &beside), &[&first]).await.map_err(failed)?;
        views.push(ViewChange { table, deleted, written });
    }
    let beside = Place::Shadow.name(STATE);
    client.batch_execute(&format!("ANALYZE {beside}")).await.map_err(failed)?;
    client.execute(&delete_superfluous(STATE, &beside), &[]).await.map_err(failed)?;
    client.execute(&write_different(STATE, &beside), &[]).await.map_err(failed)?;
    store.move_positions(&session, shadow.position, Some(first)).await.map_err(failed)?;
    client.batch_execute("COMMIT").await.map_err(failed)?;
    // Not given back: with the connection go its temporary tables.
    drop(session);
    let Unreadable { told: corrupt, count: corrupt_events } = shadow.unreadable;
    Ok(Rebuilt { events: shadow.events, corrupt, corrupt_events, views })
}

/// Compares the views with what the events up to their position make.
pub(super) async fn compare(store: &Store, progress: Progressed<'_>) -> Result<Compared, Error> {
    let failed = |error| store.failed("compare the views with the log", error);
    let session = store.living_session().await?;
    let mut shadow = Shadow { first: Some(0), ..Shadow::default() };
    let statements = begin(&session).await.map_err(failed)?;
    let reached = store.standing(&session).await?.notification_id;
    fill(store, &session, &statements, &mut shadow, reached, None, progress).await.map_err(failed)?;
    let client = session.client();
    client.batch_execute("BEGIN; SET LOCAL statement_timeout = 0").await.map_err(failed)?;
    let standing = store.position(&session).await?;
    fill(store, &session, &statements, &mut shadow, standing.notification_id, None, progress)
        .await
        .map_err(failed)?;
    let mut views = Vec::with_capacity(VIEWS.len());
    for table in VIEWS {
        let beside = Place::Shadow.name(table);
        let differences = client
            .query_one(&count_differences(table, &beside), &[&standing.first_id])
            .await
            .map_err(failed)?;
        let examples = client
            .query(&example_differences(table, &beside), &[&standing.first_id, &EXAMPLES])
            .await
            .map_err(failed)?;
        let count = |index| differences.try_get::<_, i64>(index).map(i64::cast_unsigned);
        views.push(ViewDifference {
            table,
            missing: count(0).map_err(failed)?,
            superfluous: count(1).map_err(failed)?,
            different: count(2).map_err(failed)?,
            examples: examples.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?,
        });
    }
    client.batch_execute("ROLLBACK").await.map_err(failed)?;
    drop(session);
    let Unreadable { told: corrupt, count: corrupt_events } = shadow.unreadable;
    Ok(Compared { events: shadow.events, corrupt, corrupt_events, views })
}

/// Told how far it is.
pub(super) type Progressed<'a> = &'a (dyn Fn(Progress) + Send + Sync);

async fn begin(session: &Session) -> Result<Projecting, tokio_postgres::Error> {
    let mut tables: Vec<String> = VIEWS.iter().copied().map(sql::shadow).collect();
    tables.push(sql::shadow(STATE));
    session.client().batch_execute(&tables.join("; ")).await?;
    Ok(Projecting::at(Place::Shadow))
}

/// Projects what comes behind the shadow's position, up to an id.
async fn fill(
    store: &Store,
    session: &Session,
    statements: &Projecting,
    shadow: &mut Shadow,
    upto: i64,
    since: Option<Timestamp>,
    progress: Progressed<'_>,
) -> Result<(), tokio_postgres::Error> {
    let total = upto.min(append::head(store, session).await?);
    while shadow.position < total {
        let mut step = append::since(store, session, shadow.position, STEP).await?;
        step.retain(|notification| notification.id <= upto);
        let Some(last) = step.last().map(|notification| notification.id) else { break };
        let (events, corrupt) = understood(&step);
        if let (None, Some(since)) = (shadow.first, since) {
            shadow.first = events.iter().find(|(.., event)| event.timestamp >= since).map(|(id, ..)| *id);
        }
        project::project(session, statements, &events).await?;
        shadow.events += events.len() as u64;
        shadow.unreadable.extend(corrupt);
        shadow.position = last;
        progress(Progress { done: last, total: total.max(last) });
    }
    Ok(())
}
