//! The statements, made once from the tables they are about: the real ones, or those that a rebuild fills beside them.

use crate::schema::{
    COMMANDS, Column, JOB_PROGRESS, JOBS, Kind, LEADER, LOG, LOG_SEQUENCE, POSITION, STATE, TABLES,
    TASK_EXECUTION, TRACKING, Table, WORKFLOW_PROGRESS,
};

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

/// The table of this name.
pub(super) fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.name == name).unwrap_or(&TABLES[0])
}

/// A name in quotation marks: two columns are called `user` and `group`.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn list(columns: &[Column], each: impl Fn(&Column) -> String) -> String {
    columns.iter().map(each).collect::<Vec<_>>().join(", ")
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
    let Table { columns, key, .. } = table(name);
    let (keys, others) = columns.split_at_checked(*key).unwrap_or((columns, &[]));
    let touched = place == Place::Shadow && name != STATE;
    let mut names = list(columns, |column| quoted(column.name));
    let mut arrays: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("${}::{}[]", index + 1, sent(column.kind)))
        .collect();
    let mut set = list(others, |column| format!("{0} = EXCLUDED.{0}", quoted(column.name)));
    if touched {
        names.push_str(", touched");
        arrays.push(format!("${}::bigint[]", columns.len() + 1));
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
    let state = place.name(STATE);
    format!(
        "WITH own AS MATERIALIZED (SELECT key, workflow_key, job_key, state FROM {state} WHERE key = ANY($1))
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
    pub(super) save_states: String,
    pub(super) jobs: String,
    pub(super) job_progress: String,
    pub(super) workflow_progress: String,
    pub(super) task_execution: String,
}

impl Projecting {
    pub(super) fn at(place: Place) -> Self {
        Self {
            load_states: load_states(place),
            save_states: upsert(place, STATE),
            jobs: upsert(place, JOBS),
            job_progress: upsert(place, JOB_PROGRESS),
            workflow_progress: upsert(place, WORKFLOW_PROGRESS),
            task_execution: upsert(place, TASK_EXECUTION),
        }
    }
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
    pub(super) versions: String,
    pub(super) next_ids: String,
    pub(super) recorded: String,
    pub(super) since: String,
    pub(super) between: String,
    pub(super) history: String,
    pub(super) insert: String,
    pub(super) commands: String,
    pub(super) moved: String,
    pub(super) commit: String,
}

impl Appending {
    pub(super) fn new() -> Self {
        let tracking: Vec<String> = TRACKING
            .iter()
            .map(|table| {
                format!(
                    "{table}_moved AS (INSERT INTO {table} AS old (application_name, notification_id) VALUES ('{LEADER}', $1)
                     ON CONFLICT (application_name) DO UPDATE SET notification_id = EXCLUDED.notification_id
                     WHERE coalesce(old.notification_id, 0) < EXCLUDED.notification_id)"
                )
            })
            .collect();
        Self {
            begin: format!("BEGIN; LOCK TABLE {LOG} IN EXCLUSIVE MODE"),
            position: format!(
                "SELECT notification_id, first_id, (SELECT coalesce(max(id), 0) FROM {LOG})
                 FROM {POSITION} WHERE leader = '{LEADER}' FOR UPDATE"
            ),
            standing: format!("SELECT notification_id, first_id FROM {POSITION} WHERE leader = '{LEADER}'"),
            first: format!("UPDATE {POSITION} SET first_id = $1 WHERE leader = '{LEADER}'"),
            head: format!("SELECT coalesce(max(id), 0) FROM {LOG}"),
            versions: format!(
                "SELECT asked.id, (SELECT max(originator_version) FROM {LOG} WHERE originator_id = asked.id)
                 FROM unnest($1::uuid[]) AS asked (id)"
            ),
            next_ids: format!("SELECT nextval('{LOG_SEQUENCE}') FROM generate_series(1, $1::bigint)"),
            recorded: format!(
                "SELECT command_id, first_id, last_id FROM {COMMANDS} WHERE command_id = ANY($1)"
            ),
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
            insert: format!(
                "INSERT INTO {LOG} (id, originator_id, originator_version, topic, state)
                 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bytea[])"
            ),
            commands: format!(
                "INSERT INTO {COMMANDS} (command_id, first_id, last_id)
                 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])"
            ),
            moved: format!(
                "WITH {} UPDATE {POSITION} SET notification_id = $1 WHERE leader = '{LEADER}'",
                tracking.join(", ")
            ),
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

/// Rows of the shadow that the view should have.
fn wanted(name: &str) -> &'static str {
    if name == STATE { "true" } else { "new.touched >= $1" }
}

/// Whether two rows have the same key.
fn same_key(name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    let equal: Vec<String> =
        columns.iter().take(*key).map(|column| format!("old.{0} = new.{0}", quoted(column.name))).collect();
    equal.join(" AND ")
}

/// A row's values beside its key.
fn values(of: &str, name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    format!(
        "({})",
        list(columns.get(*key..).unwrap_or(&[]), |column| format!("{of}.{}", quoted(column.name)))
    )
}

/// Deletes what the shadow has not.
pub(super) fn delete_superfluous(name: &str) -> String {
    format!(
        "DELETE FROM {name} AS old WHERE NOT EXISTS (SELECT FROM {} AS new WHERE {} AND {})",
        Place::Shadow.name(name),
        same_key(name),
        wanted(name),
    )
}

/// Writes what the shadow has and the table has not, or has otherwise.
pub(super) fn write_different(name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    let (keys, others) = columns.split_at_checked(*key).unwrap_or((columns, &[]));
    let names = list(columns, |column| quoted(column.name));
    format!(
        "INSERT INTO {name} AS old ({names}) SELECT {names} FROM {} AS new WHERE {}
         ON CONFLICT ({}) DO UPDATE SET {} WHERE {} IS DISTINCT FROM {}",
        Place::Shadow.name(name),
        wanted(name),
        list(keys, |column| quoted(column.name)),
        list(others, |column| format!("{0} = EXCLUDED.{0}", quoted(column.name))),
        values("old", name),
        values("EXCLUDED", name),
    )
}

/// The table beside the shadow.
fn beside(name: &str) -> String {
    format!(
        "(SELECT * FROM {} AS new WHERE {}) AS new FULL JOIN {name} AS old ON {}",
        Place::Shadow.name(name),
        wanted(name),
        same_key(name),
    )
}

/// How many rows are missing, superfluous, different.
pub(super) fn count_differences(name: &str) -> String {
    let key = table(name).columns.first().map_or_else(String::new, |column| quoted(column.name));
    format!(
        "SELECT count(*) FILTER (WHERE old.{key} IS NULL), count(*) FILTER (WHERE new.{key} IS NULL),
                count(*) FILTER (WHERE old.{key} = new.{key} AND {} IS DISTINCT FROM {})
         FROM {}",
        values("old", name),
        values("new", name),
        beside(name),
    )
}

/// The keys of a few of those.
pub(super) fn example_differences(name: &str) -> String {
    let key = table(name).columns.first().map_or_else(String::new, |column| quoted(column.name));
    format!(
        "SELECT coalesce(old.{key}, new.{key})::text FROM {}
         WHERE old.{key} IS NULL OR new.{key} IS NULL OR {} IS DISTINCT FROM {}
         ORDER BY 1 LIMIT $2",
        beside(name),
        values("old", name),
        values("new", name),
    )
}
