//! The statements, made once from the tables they are about.

use crate::schema::{
    COMMANDS, Column, JOB_PROGRESS, JOBS, Kind, LEADER, LOG, POSITION, STATE, TASK_EXECUTION, TRACKING,
    Table, WORKFLOW_PROGRESS,
};
use crate::sql::{list, quoted, table};

/// The type that a column is declared with.
///
/// Python declares ids outside of the log as `UUID`, a word that SQLite does not know and takes for a number's: 32 digits
/// without a letter among them, as a few ids in a million have, would then be rounded. So they are declared as texts here.
pub(super) fn declared(column: &Column) -> &'static str {
    match column.kind {
        Kind::BigSerial | Kind::Serial | Kind::BigInt | Kind::Integer => "INTEGER",
        Kind::Double => "REAL",
        Kind::Uuid if is_binary(column) => "BLOB",
        Kind::Uuid => "CHAR(32)",
        Kind::Varchar => "VARCHAR",
        Kind::Varchar32 => "VARCHAR(32)",
        Kind::Text | Kind::WallTime | Kind::Moment => "TEXT",
        Kind::Bytes => "BLOB",
    }
}

/// The type that Python declares it with, where that is another one.
pub(super) fn declared_by_python(column: &Column) -> Option<&'static str> {
    match column.kind {
        Kind::Uuid if is_binary(column) => Some("BINARY(16)"),
        Kind::Uuid => Some("UUID"),
        Kind::WallTime => Some("DATETIME"),
        _ => None,
    }
}

/// Whether an id is kept as bytes: the log's is.
fn is_binary(column: &Column) -> bool {
    column.name == "originator_id"
}

/// Where a projection is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The view tables that people look at, and the state beside them.
    Real,
    /// Temporary tables of one connection, whose rows also tell which event wrote them.
    Shadow,
}

impl Place {
    /// What the table is called there.
    pub(super) fn name(self, table: &str) -> String {
        match self {
            Self::Real => table.to_owned(),
            Self::Shadow => format!("temp.shadow_{table}"),
        }
    }

    /// Whether the rows of a table tell which event wrote them.
    pub(super) fn is_touched(self, table: &str) -> bool {
        self == Self::Shadow && table != STATE
    }
}

/// A row, inserted or written over the one of the same key.
pub(super) fn upsert(place: Place, name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    let (keys, others) = columns.split_at_checked(*key).unwrap_or((columns, &[]));
    let mut names = list(columns, |column| quoted(column.name));
    let mut values = list(columns, |_| "?".to_owned());
    let mut set = list(others, |column| format!("{0} = excluded.{0}", quoted(column.name)));
    if place.is_touched(name) {
        names.push_str(", touched");
        values.push_str(", ?");
        set.push_str(", touched = excluded.touched");
    }
    format!(
        "INSERT INTO {} ({names}) VALUES ({values}) ON CONFLICT ({}) DO UPDATE SET {set}",
        place.name(name),
        list(keys, |column| quoted(column.name)),
    )
}

/// What a projection needs.
#[derive(Debug)]
pub(super) struct Projecting {
    pub(super) load_state: String,
    pub(super) save_state: String,
    pub(super) job: String,
    pub(super) job_progress: String,
    pub(super) workflow_progress: String,
    pub(super) task_execution: String,
}

impl Projecting {
    pub(super) fn at(place: Place) -> Self {
        Self {
            load_state: format!("SELECT state FROM {} WHERE key = ?1", place.name(STATE)),
            save_state: upsert(place, STATE),
            job: upsert(place, JOBS),
            job_progress: upsert(place, JOB_PROGRESS),
            workflow_progress: upsert(place, WORKFLOW_PROGRESS),
            task_execution: upsert(place, TASK_EXECUTION),
        }
    }
}

/// What is asked of the log and written beside it.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) position: String,
    pub(super) first: String,
    pub(super) head: String,
    pub(super) version: String,
    pub(super) recorded: String,
    pub(super) since: String,
    pub(super) history: String,
    pub(super) between: String,
    pub(super) insert: String,
    pub(super) command: String,
    pub(super) moved: Vec<String>,
    pub(super) real: Projecting,
}

impl Statements {
    pub(super) fn new() -> Self {
        let mut moved: Vec<String> = TRACKING
            .iter()
            .map(|table| {
                format!(
                    "INSERT INTO {table} (application_name, notification_id) VALUES ('{LEADER}', ?1)
                     ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id
                     WHERE coalesce(notification_id, 0) < excluded.notification_id"
                )
            })
            .collect();
        moved.push(format!("UPDATE {POSITION} SET notification_id = ?1 WHERE leader = '{LEADER}'"));
        let events = format!("SELECT id, originator_id, originator_version, topic, state FROM {LOG}");
        Self {
            position: format!("SELECT notification_id, first_id FROM {POSITION} WHERE leader = '{LEADER}'"),
            first: format!("UPDATE {POSITION} SET first_id = ?1 WHERE leader = '{LEADER}'"),
            head: format!("SELECT coalesce(max(id), 0) FROM {LOG}"),
            // A text that somebody has written into a number's column stands behind all numbers.
            version: format!(
                "SELECT originator_version FROM {LOG} WHERE originator_id = ?1 AND originator_version <= {}
                 ORDER BY originator_version DESC LIMIT 1",
                i64::MAX
            ),
            recorded: format!("SELECT first_id, last_id FROM {COMMANDS} WHERE command_id = ?1"),
            since: format!("{events} WHERE id > ?1 ORDER BY id LIMIT ?2"),
            history: format!("{events} WHERE originator_id = ?1 ORDER BY originator_version"),
            between: format!(
                "SELECT id, originator_id, originator_version FROM {LOG} WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
            ),
            insert: format!(
                "INSERT INTO {LOG} (id, originator_id, originator_version, topic, state) VALUES (?1, ?2, ?3, ?4, ?5)"
            ),
            command: format!("INSERT INTO {COMMANDS} (command_id, first_id, last_id) VALUES (?1, ?2, ?3)"),
            moved,
            real: Projecting::at(Place::Real),
        }
    }
}
