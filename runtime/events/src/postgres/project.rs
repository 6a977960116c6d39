//! Projecting events that are in the log, or about to be: states read, rules applied, rows and states written.

use futures_util::future::join_all;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::session::Session;
use super::sql::Projecting;
use crate::event::Event;
use crate::projection::{Key, Rows, State, applied, keys, placed};

/// A state that was read. One that cannot be understood is as good as none: a rebuild writes it anew.
pub(super) fn state(key: &str, state: &str) -> Option<(Key, State)> {
    Some((key.parse().ok()?, serde_json::from_str(state).ok()?))
}

/// The same, in a row of its own.
pub(super) fn state_of(row: &tokio_postgres::Row) -> Option<(Key, State)> {
    state(row.try_get(0).ok()?, row.try_get(1).ok()?)
}

/// Reads the states, applies the rules, writes what came of it. Two round trips, in the transaction that is open.
pub(super) async fn project(
    session: &Session,
    statements: &Projecting,
    events: &[(i64, Uuid, Event)],
) -> Result<(), tokio_postgres::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let [load] = session.prepare([&statements.load_states]).await?;
    let states = session.client().query(&load, &[&keys(events)]).await?;
    let (states, rows) = applied(states.iter().filter_map(state_of).collect(), placed(events));
    write(session, statements, &states, &rows).await
}

/// Writes states and rows, all statements on their way before the first has answered.
pub(super) async fn write(
    session: &Session,
    statements: &Projecting,
    states: &[(Key, State)],
    rows: &Rows,
) -> Result<(), tokio_postgres::Error> {
    let columns = columns(states, rows);
    let written = statements.write.iter().zip(&columns).filter(|(_, (rows, _))| *rows > 0);
    let written = written.map(|(statement, (_, columns))| async move {
        let statement = session.client().prepare_cached(statement).await?;
        let values: Vec<&(dyn ToSql + Sync)> =
            columns.iter().take(statement.params().len()).map(|column| &**column as _).collect();
        session.client().execute(&statement, &values).await
    });
    for result in join_all(written).await {
        result?;
    }
    Ok(())
}

/// For each table of [`super::sql::WRITTEN`], how many rows, and their columns; the last column of a view tells which event
/// wrote a row, which only the shadow keeps.
pub(super) fn columns<'a>(states: &'a [(Key, State)], rows: &'a Rows) -> [(usize, Columns<'a>); 5] {
    [
        (states.len(), state_columns(states)),
        (rows.jobs.len(), job_columns(rows)),
        (rows.job_progress.len(), job_progress_columns(rows)),
        (rows.workflow_progress.len(), workflow_progress_columns(rows)),
        (rows.task_execution.len(), task_execution_columns(rows)),
    ]
}

/// One array a column.
pub(super) type Columns<'a> = Vec<Box<dyn ToSql + Sync + Send + 'a>>;

fn column<'a, T>(values: impl Iterator<Item = T>) -> Box<dyn ToSql + Sync + Send + 'a>
where
    T: ToSql + Sync + Send + 'a,
{
    Box::new(values.collect::<Vec<T>>())
}

fn state_columns(states: &[(Key, State)]) -> Columns<'_> {
    let related =
        |index: usize| {
            column(states.iter().map(move |(_, state)| {
                state.related().get(index).copied().flatten().map(|key| key.to_string())
            }))
        };
    vec![
        column(states.iter().map(|(key, _)| key.to_string())),
        related(0),
        related(1),
        // A state is a few strings and numbers: it always has a JSON text.
        column(states.iter().map(|(_, state)| serde_json::to_string(state).unwrap_or_default())),
    ]
}

fn job_columns(rows: &Rows) -> Columns<'_> {
    let each = || rows.jobs.iter();
    vec![
        column(each().map(|(job, _)| *job)),
        column(each().map(|(_, (row, _))| row.user)),
        column(each().map(|(_, (row, _))| row.group)),
        column(each().map(|(_, (row, _))| row.task_id)),
        column(each().map(|(_, (_, id))| *id)),
    ]
}

fn job_progress_columns(rows: &Rows) -> Columns<'_> {
    let each = || rows.job_progress.iter();
    vec![
        column(each().map(|(job, _)| *job)),
        column(each().map(|(_, (row, _))| row.status.as_str())),
        column(each().map(|(_, (row, _))| row.progress.as_deref())),
        column(each().map(|(_, (_, id))| *id)),
    ]
}

fn workflow_progress_columns(rows: &Rows) -> Columns<'_> {
    let each = || rows.workflow_progress.iter();
    vec![
        column(each().map(|(workflow, _)| *workflow)),
        column(each().map(|(_, (row, _))| row.status.as_str())),
        column(each().map(|(_, (row, _))| row.progress.as_str())),
        column(each().map(|(_, (row, _))| row.user)),
        column(each().map(|(_, (row, _))| row.group)),
        column(each().map(|(_, (row, _))| row.name.as_deref())),
        column(each().map(|(_, (row, _))| row.task.as_deref())),
        column(each().map(|(_, (row, _))| row.main_task_name.as_deref())),
        column(each().map(|(_, (row, _))| row.start_time)),
        column(each().map(|(_, (_, id))| *id)),
    ]
}

fn task_execution_columns(rows: &Rows) -> Columns<'_> {
    let each = || rows.task_execution.iter();
    vec![
        column(each().map(|(task, _)| *task)),
        column(each().map(|(_, (row, _))| row.task_name.as_str())),
        column(each().map(|(_, (row, _))| row.task_version.as_deref())),
        column(each().map(|(_, (row, _))| row.user_id)),
        column(each().map(|(_, (row, _))| row.group_id)),
        column(each().map(|(_, (row, _))| row.status.as_str())),
        column(each().map(|(_, (row, _))| row.start_time)),
        column(each().map(|(_, (row, _))| row.end_time)),
        column(each().map(|(_, (row, _))| row.error_type.as_deref())),
        column(each().map(|(_, (_, id))| *id)),
    ]
}
