//! Appending: one transaction that holds the file's only write lock from its beginning, so that no race can be lost.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::Database;
use super::project::project;
use super::sql::Statements;
use super::value::{hex, notification, uuid};
use crate::command::Command;
use crate::copy::BYTES;
use crate::error::Error;
use crate::log::Recorded;
use crate::plan::{Attempt, ON_THE_WAY, Placed, Plan, STEP, plan, told};
use crate::projection::{Ordered, projectable};
use crate::schema::POSITION;
use crate::stored::Notification;

/// Commands within a transaction that is open: all of them or, when this fails, none.
pub(super) fn append(
    database: &Database,
    connection: &Connection,
    commands: &[Command],
) -> Result<Attempt, Error> {
    let failed = |error| database.failed("append events", error);
    let sql = &database.sql;
    let position = position(database, connection)?.notification_id;
    let head = head(connection, sql).map_err(failed)?;
    let known = recorded(connection, sql, commands).map_err(failed)?;
    let versions = versions(connection, sql, commands).map_err(failed)?;
    // An id that a listener has passed is not given again, even where its event was deleted.
    let next = head.max(position) + 1;
    let Plan { events: placed, commands: new } =
        plan(commands, versions, next.., |id| known.contains_key(&id), || database.place())?;
    if !placed.is_empty() {
        let mut events: Ordered = Vec::new();
        if position < head {
            let missing = since(connection, sql, position, ON_THE_WAY).map_err(failed)?;
            if missing.more {
                return Ok(Attempt::Behind);
            }
            events = projectable(&missing.events);
        }
        insert(connection, sql, &placed, &new).map_err(failed)?;
        let last = placed.last().map_or(head, |event| event.at.id);
        events.extend(placed.iter().map(|event| (event.at.id, event.at.originator_id, event.event.clone())));
        project(connection, &sql.real, &events).map_err(failed)?;
        moved(connection, sql, last).map_err(failed)?;
    }
    let before = recorded_before(connection, sql, &known).map_err(failed)?;
    let placed: Vec<Recorded> = placed.into_iter().map(|event| event.at).collect();
    Ok(Attempt::Done(told(commands, &new, &placed, &known, &before)))
}

/// Projects some of what others have written. Returns how many events that were, and whether there are more.
pub(super) fn project_step(database: &Database, connection: &Connection) -> Result<(u64, bool), Error> {
    let failed = |error| database.failed("project events", error);
    let sql = &database.sql;
    let position = position(database, connection)?.notification_id;
    let Part { events: missing, more } = since(connection, sql, position, STEP).map_err(failed)?;
    if let Some(last) = missing.last() {
        let events = projectable(&missing);
        project(connection, &sql.real, &events).map_err(failed)?;
        moved(connection, sql, last.id).map_err(failed)?;
    }
    Ok((missing.len() as u64, more))
}

/// How far the views are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    /// The last event that was projected.
    pub(super) notification_id: i64,
    /// Rows last written before this event are left out.
    pub(super) first_id: i64,
}

/// How far the views are, as this transaction sees it.
pub(super) fn position(database: &Database, connection: &Connection) -> Result<Position, Error> {
    let failed = |error| database.failed("read how far the views are", error);
    let mut position = connection.prepare_cached(&database.sql.position).map_err(failed)?;
    let position = position
        .query_row([], |row| Ok(Position { notification_id: row.get(0)?, first_id: row.get(1)? }))
        .optional()
        .map_err(failed)?;
    position.ok_or_else(|| database.not_initialised(POSITION))
}

/// The id of the last event.
pub(super) fn head(connection: &Connection, sql: &Statements) -> rusqlite::Result<i64> {
    connection.prepare_cached(&sql.head)?.query_row([], |row| row.get(0))
}

/// Those of the commands that are in the log already, with the ids of their first and last event.
fn recorded(
    connection: &Connection,
    sql: &Statements,
    commands: &[Command],
) -> rusqlite::Result<HashMap<Uuid, (i64, i64)>> {
    let mut recorded = connection.prepare_cached(&sql.recorded)?;
    let mut known = HashMap::new();
    for command in commands {
        let ids = recorded.query_row([hex(command.id)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        known.extend(ids.map(|ids| (command.id, ids)));
    }
    Ok(known)
}

/// The last version of each aggregate that commands are about.
fn versions(
    connection: &Connection,
    sql: &Statements,
    commands: &[Command],
) -> rusqlite::Result<HashMap<Uuid, i64>> {
    let mut version = connection.prepare_cached(&sql.version)?;
    let mut versions = HashMap::new();
    for draft in commands.iter().flat_map(|command| &command.events) {
        let id = draft.originator_id;
        if let Entry::Vacant(entry) = versions.entry(id) {
            entry.insert(version.query_row([id.as_bytes()], |row| row.get::<_, i64>(0)).optional()?);
        }
    }
    Ok(versions.into_iter().filter_map(|(id, version)| Some((id, version?))).collect())
}

/// Some of the log.
pub(super) struct Part {
    pub(super) events: Vec<Notification>,
    /// Whether the log goes on behind it.
    pub(super) more: bool,
}

/// Events behind a position, in their order: as many as are asked for, or as memory is to hold.
pub(super) fn since(
    connection: &Connection,
    sql: &Statements,
    position: i64,
    limit: i64,
) -> rusqlite::Result<Part> {
    let mut since = connection.prepare_cached(&sql.since)?;
    let mut rows = since.query([position, limit.saturating_add(1)])?;
    let mut part = Part { events: Vec::new(), more: false };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if bytes >= BYTES || part.events.len() as i64 >= limit {
            part.more = true;
            break;
        }
        let event = notification(row)?;
        bytes += event.state.len() as i64;
        part.events.push(event);
    }
    Ok(part)
}

/// The events, and the commands they came from.
fn insert(
    connection: &Connection,
    sql: &Statements,
    placed: &[Placed<'_>],
    new: &[(Uuid, i64, i64)],
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(&sql.insert)?;
    for Placed { at, event, .. } in placed {
        let originator = at.originator_id.as_bytes();
        insert.execute(params![
            at.id,
            originator,
            at.originator_version,
            event.fact.topic(),
            event.encode()
        ])?;
    }
    let mut command = connection.prepare_cached(&sql.command)?;
    for (id, first, last) in new {
        command.execute(params![hex(*id), first, last])?;
    }
    Ok(())
}

/// The views are projected up to here, and Python's listeners need not do it.
pub(super) fn moved(connection: &Connection, sql: &Statements, last: i64) -> rusqlite::Result<()> {
    for statement in &sql.moved {
        connection.prepare_cached(statement)?.execute([last])?;
    }
    Ok(())
}

/// The events of commands that were recorded before.
fn recorded_before(
    connection: &Connection,
    sql: &Statements,
    known: &HashMap<Uuid, (i64, i64)>,
) -> rusqlite::Result<Vec<Recorded>> {
    let mut between = connection.prepare_cached(&sql.between)?;
    let mut events: Vec<Recorded> = Vec::new();
    for (first, last) in known.values() {
        let rows = between.query_map([first, last], |row| {
            let originator_id = uuid(row.get_ref(1)?).unwrap_or_default();
            Ok(Recorded { id: row.get(0)?, originator_id, originator_version: row.get(2)? })
        })?;
        for row in rows {
            events.push(row?);
        }
    }
    events.sort_unstable_by_key(|event| event.id);
    Ok(events)
}
