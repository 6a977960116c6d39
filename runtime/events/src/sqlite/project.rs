//! Projecting events: states read, rules applied, rows and states written, in the transaction that is open.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Result, Statement, ToSql, params};
use uuid::Uuid;

use super::sql::Projecting;
use super::value::{hex, wall_time};
use crate::event::Event;
use crate::projection::{Key, Rows, State, applied, placed, touched};

/// Projects events, in their order.
pub(super) fn project(
    connection: &Connection,
    sql: &Projecting,
    events: &[(i64, Uuid, Event)],
) -> Result<()> {
    let states = load(connection, sql, touched(events.iter().map(|(_, id, event)| (*id, &event.fact))))?;
    let (states, rows) = applied(states, placed(events));
    write(connection, sql, &states, &rows)
}

/// The states of some keys, and of those that they name. One that cannot be understood is as good as none: a rebuild writes
/// it anew.
fn load(connection: &Connection, sql: &Projecting, keys: BTreeSet<Key>) -> Result<Vec<(Key, State)>> {
    let mut load = connection.prepare_cached(&sql.load_state)?;
    let mut states = Vec::new();
    let mut asked = BTreeSet::new();
    let mut waiting: Vec<Key> = keys.into_iter().collect();
    while let Some(key) = waiting.pop() {
        if !asked.insert(key) {
            continue;
        }
        let state: Option<String> = load.query_row([key.to_string()], |row| row.get(0)).optional()?;
        if let Some(state) = state.and_then(|state| serde_json::from_str::<State>(&state).ok()) {
            waiting.extend(state.related().into_iter().flatten());
            states.push((key, state));
        }
    }
    Ok(states)
}

fn write(connection: &Connection, sql: &Projecting, states: &[(Key, State)], rows: &Rows) -> Result<()> {
    let mut save = connection.prepare_cached(&sql.save_state)?;
    for (key, state) in states {
        let [workflow, job] = state.related().map(|key| key.map(|key| key.to_string()));
        // A state is a few strings and numbers: it always has a JSON text.
        let state = serde_json::to_string(state).unwrap_or_default();
        save.execute(params![key.to_string(), workflow, job, state])?;
    }
    let mut job = connection.prepare_cached(&sql.job)?;
    for (id, (row, event)) in &rows.jobs {
        execute(&mut job, &[id, &row.user, &row.group, &hex(row.task_id), event])?;
    }
    let mut job_progress = connection.prepare_cached(&sql.job_progress)?;
    for (id, (row, event)) in &rows.job_progress {
        execute(&mut job_progress, &[id, &row.status, &row.progress, event])?;
    }
    let mut workflow_progress = connection.prepare_cached(&sql.workflow_progress)?;
    for (id, (row, event)) in &rows.workflow_progress {
        let values: [&dyn ToSql; 10] = [
            &hex(*id),
            &row.status,
            &row.progress,
            &row.user,
            &row.group,
            &row.name,
            &row.task,
            &row.main_task_name,
            &wall_time(row.start_time),
            event,
        ];
        execute(&mut workflow_progress, &values)?;
    }
    let mut task_execution = connection.prepare_cached(&sql.task_execution)?;
    for (id, (row, event)) in &rows.task_execution {
        let values: [&dyn ToSql; 10] = [
            &hex(*id),
            &row.task_name,
            &row.task_version,
            &row.user_id,
            &row.group_id,
            &row.status,
            &wall_time(row.start_time),
            &row.end_time.map(wall_time),
            &row.error_type,
            event,
        ];
        execute(&mut task_execution, &values)?;
    }
    Ok(())
}

/// The last value tells which event wrote a row; the real tables have no place for it.
fn execute(statement: &mut Statement<'_>, values: &[&dyn ToSql]) -> Result<()> {
    let expected = statement.parameter_count();
    statement.execute(values.get(..expected).unwrap_or(values)).map(drop)
}
