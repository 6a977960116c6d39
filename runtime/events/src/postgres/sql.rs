//! The statements, made once from the tables they are about: the real ones, or those that a rebuild fills beside them.

use crate::schema::{
    COMMANDS, JOB_PROGRESS, JOBS, Kind, LEADER, LOG, LOG_SEQUENCE, POSITION, STATE, TASK_EXECUTION, TRACKING,
    Table, WORKER_EVENTS, WORKFLOW_PROGRESS,
};
use crate::sql::{list, quoted, table};
use crate::worker::PROJECTED_BY_PYTHON;

/// The type of a column, as PostgreSQL's `CREATE TABLE` has it.
pub(super) const fn declared(kind: Kind) -> &'static str {
    match kind {
        Kind::BigSerial => "BIGSERIAL",
        Kind::Serial => "SERIAL",
        other => stored(other),
    }
}

/// The type of a column's values.
pub(super) const fn stored(kind: Kind) -> &'static str {
    match kind {
        Kind::BigSerial | Kind::BigInt => "bigint",
        Kind::Serial | Kind::Integer => "integer",
        Kind::Double => "double precision",
        Kind::Uuid => "uuid",
        Kind::Text => "text",
        Kind::Varchar => "character varying",
        Kind::Varchar32 => "character varying(32)",
        Kind::Bytes => "bytea",
        Kind::WallTime => "timestamp without time zone",
        Kind::Moment => "timestamp with time zone",
    }
}

/// The type that a value is sent as: wall times as moments, which the server turns into the session's wall time, as it does
/// with what Python sends.
const fn sent(kind: Kind) -> &'static str {
    match kind {
        Kind::WallTime => "timestamptz",
        Kind::Varchar | Kind::Varchar32 => "text",
        other => stored(other),
    }
}

/// Where a projection is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The view tables that people look at, and the state beside them.
    Real,
    /// Temporary tables of one session, whose rows also tell which event wrote them.
    Shadow,
}

impl Place {
    /// What the table is called there.
    pub(super) fn name(self, table: &str) -> String {
        match self {
            Self::Real => table.to_owned(),
            Self::Shadow => format!("pg_temp.shadow_{table}"),
        }
    }
}

/// Rows by the array, one array a column: inserted, or written over the rows of the same key.
pub(super) fn upsert(place: Place, name: &str) -> String {
    upsert_from(place, name, 1)
}

/// The same with parameters from a number on.
fn upsert_from(place: Place, name: &str, first: usize) -> String {
    let Table { columns, key, .. } = table(name);
    let (keys, others) = columns.split_at_checked(*key).unwrap_or((columns, &[]));
    let touched = place == Place::Shadow && name != STATE;
    let mut names = list(columns, |column| quoted(column.name));
    let mut arrays: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("${}::{}[]", index + first, sent(column.kind)))
        .collect();
    let mut set = list(others, |column| format!("{0} = EXCLUDED.{0}", quoted(column.name)));
    if touched {
        names.push_str(", touched");
        arrays.push(format!("${}::bigint[]", columns.len() + first));
        set.push_str(", touched = EXCLUDED.touched");
    }
    format!(
        "INSERT INTO {} ({names}) SELECT * FROM unnest({}) ON CONFLICT ({}) DO UPDATE SET {set}",
        place.name(name),
        arrays.join(", "),
        list(keys, |column| quoted(column.name)),
    )
}

/// The states of some keys, and of those that they name.
pub(super) fn load_states(place: Place) -> String {
    load_states_of(place, 1)
}

/// The same with the keys in a parameter of this number.
fn load_states_of(place: Place, keys: usize) -> String {
    let state = place.name(STATE);
    format!(
        "WITH own AS MATERIALIZED (SELECT key, workflow_key, job_key, state FROM {state} WHERE key = ANY(${keys}))
         SELECT key, state FROM own
         UNION ALL
         SELECT key, state FROM {state}
         WHERE key = ANY(ARRAY(SELECT workflow_key FROM own UNION SELECT job_key FROM own))"
    )
}

/// What one projection needs.
#[derive(Debug, Clone)]
pub(super) struct Projecting {
    pub(super) load_states: String,
    /// In the order of [`WRITTEN`].
    pub(super) write: [String; 5],
}

impl Projecting {
    pub(super) fn at(place: Place) -> Self {
        Self { load_states: load_states(place), write: WRITTEN.map(|name| upsert(place, name)) }
    }
}

/// The events and the commands. Parameters: five arrays of events, three of commands.
fn logged() -> (String, String) {
    (
        format!(
            "INSERT INTO {LOG} (id, originator_id, originator_version, topic, state)
             SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bytea[])"
        ),
        format!(
            "INSERT INTO {COMMANDS} (command_id, first_id, last_id)
             SELECT * FROM unnest($6::uuid[], $7::bigint[], $8::bigint[])"
        ),
    )
}

/// What they do to the views, and how far those are now. Parameters, from a number on: the last event's id, then the arrays
/// of [`WRITTEN`].
fn viewed(first: usize) -> String {
    let mut parts = vec![moved(first)];
    let mut parameter = first + 1;
    for name in WRITTEN {
        parts.push(format!("{name}_written AS ({})", upsert_from(Place::Real, name, parameter)));
        parameter += table(name).columns.len();
    }
    format!("{} {}", parts.join(", "), position_moved(first))
}

/// What a projection writes, in this order.
pub(super) const WRITTEN: [&str; 5] = [STATE, JOBS, JOB_PROGRESS, WORKFLOW_PROGRESS, TASK_EXECUTION];

/// Moves Python's listeners to the event in a parameter, never back.
fn moved(parameter: usize) -> String {
    let each = TRACKING.iter().map(|table| {
        format!(
            "{table}_moved AS (INSERT INTO {table} AS old (application_name, notification_id) VALUES ('{LEADER}', ${parameter})
             ON CONFLICT (application_name) DO UPDATE SET notification_id = EXCLUDED.notification_id
             WHERE coalesce(old.notification_id, 0) < EXCLUDED.notification_id)"
        )
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Records, at most once an hour, that listeners of Python stand behind the event in the parameter, to which we had moved them:
/// a Python worker projects as well, from its own memory.
fn witnessed() -> String {
    let ahead: Vec<String> = TRACKING
        .iter()
        .map(|table| {
            format!(
                "SELECT '{table}' AS listener, notification_id FROM {table}
                 WHERE application_name = '{LEADER}' AND notification_id > $1"
            )
        })
        .collect();
    format!(
        "INSERT INTO {WORKER_EVENTS} (recorded, topic, state)
         SELECT now(), '{PROJECTED_BY_PYTHON}',
                json_build_object('listeners', json_agg(listener), 'notification_id', max(notification_id))::text
         FROM ({}) AS ahead
         HAVING count(*) > 0 AND $1::bigint > 0 AND NOT EXISTS (
             SELECT FROM {WORKER_EVENTS} WHERE topic = '{PROJECTED_BY_PYTHON}' AND recorded > now() - interval '1 hour')",
        ahead.join(" UNION ALL ")
    )
}

/// Moves our own position to it.
fn position_moved(parameter: usize) -> String {
    format!("UPDATE {POSITION} SET notification_id = ${parameter} WHERE leader = '{LEADER}'")
}

/// What an append needs beside.
#[derive(Debug, Clone)]
pub(super) struct Appending {
    /// Begins, and keeps other writers out: ids are then given in the order in which they are committed, on which every
    /// reader of the log relies.
    pub(super) begin: String,
    pub(super) position: String,
    pub(super) standing: String,
    pub(super) first: String,
    pub(super) head: String,
    pub(super) known: String,
    pub(super) recorded: String,
    /// All that an append writes, as one statement: each one more would cost it as much as its work.
    pub(super) write: String,
    /// The same as two, for many events: the first is done while the second is made up.
    pub(super) write_log: String,
    pub(super) write_views: String,
    pub(super) since: String,
    pub(super) between: String,
    pub(super) history: String,
    pub(super) moved: String,
    pub(super) witnessed: String,
    pub(super) commit: String,
}

impl Appending {
    pub(super) fn new() -> Self {
        let (events, commands) = logged();
        Self {
            begin: format!("BEGIN; LOCK TABLE {LOG} IN EXCLUSIVE MODE"),
            position: format!(
                "SELECT notification_id, first_id, (SELECT coalesce(max(id), 0) FROM {LOG})
                 FROM {POSITION} WHERE leader = '{LEADER}' FOR UPDATE"
            ),
            standing: format!("SELECT notification_id, first_id FROM {POSITION} WHERE leader = '{LEADER}'"),
            first: format!("UPDATE {POSITION} SET first_id = $1 WHERE leader = '{LEADER}'"),
            head: format!("SELECT coalesce(max(id), 0) FROM {LOG}"),
            known: format!(
                "SELECT ARRAY(SELECT coalesce((SELECT max(originator_version) FROM {LOG} WHERE originator_id = asked.id), -1)
                              FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, place) ORDER BY place),
                        ARRAY(SELECT nextval('{LOG_SEQUENCE}') FROM generate_series(1, $2::bigint)),
                        EXISTS (SELECT FROM {COMMANDS} WHERE command_id = ANY($3)),
                        found.keys, found.states
                 FROM (SELECT array_agg(key), array_agg(state) FROM ({}) AS state) AS found (keys, states)",
                load_states_of(Place::Real, 4)
            ),
            recorded: format!("SELECT command_id, first_id, last_id FROM {COMMANDS} WHERE command_id = ANY($1)"),
            since: format!(
                "SELECT id, originator_id, originator_version, topic, state FROM {LOG} WHERE id > $1 ORDER BY id LIMIT $2"
            ),
            history: format!(
                "SELECT id, originator_id, originator_version, topic, state FROM {LOG}
                 WHERE originator_id = $1 ORDER BY originator_version"
            ),
            between: format!(
                "SELECT id, originator_id, originator_version FROM {LOG} WHERE id BETWEEN $1 AND $2 ORDER BY id"
            ),
            write: format!("WITH logged AS ({events}), told AS ({commands}), {}", viewed(9)),
            write_log: format!("WITH logged AS ({events}) {commands}"),
            write_views: format!("WITH {}", viewed(1)),
            moved: format!("WITH {} {}", moved(1), position_moved(1)),
            witnessed: witnessed(),
            commit: format!("NOTIFY {LOG}; COMMIT"),
        }
    }
}

/// A temporary table like `name`, whose rows also tell which event wrote them.
pub(super) fn shadow(name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    let key = list(columns.get(..*key).unwrap_or(columns), |column| quoted(column.name));
    let touched = if name == STATE { "" } else { "touched bigint NOT NULL, " };
    let shadow = Place::Shadow.name(name);
    format!(
        "CREATE TEMPORARY TABLE {shadow} (LIKE {name}, {touched}PRIMARY KEY ({key}))",
        shadow = shadow.trim_start_matches("pg_temp.")
    )
}
