//! The statements, made once from the tables they are about.

use crate::schema::{
    COMMANDS, Column, JOB_PROGRESS, JOBS, Kind, LEADER, LOG, POSITION, STATE, TABLES, TASK_EXECUTION,
    TRACKING, Table, WORKFLOW_PROGRESS,
};

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

/// The table of this name.
fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.name == name).unwrap_or(&TABLES[0])
}

/// A name in quotation marks: two columns are called `user` and `group`.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

pub(super) fn list(columns: &[Column], each: impl Fn(&Column) -> String) -> String {
    columns.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn upsert(name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    let (keys, others) = columns.split_at_checked(*key).unwrap_or((columns, &[]));
    format!(
        "INSERT INTO {name} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
        list(columns, |column| quoted(column.name)),
        list(columns, |_| "?".to_owned()),
        list(keys, |column| quoted(column.name)),
        list(others, |column| format!("{0} = excluded.{0}", quoted(column.name))),
    )
}

/// Every statement that is run again and again.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) position: String,
    pub(super) head: String,
    pub(super) version: String,
    pub(super) recorded: String,
    pub(super) since: String,
    pub(super) history: String,
    pub(super) between: String,
    pub(super) insert: String,
    pub(super) command: String,
    pub(super) moved: Vec<String>,
    pub(super) load_state: String,
    pub(super) save_state: String,
    pub(super) job: String,
    pub(super) job_progress: String,
    pub(super) workflow_progress: String,
    pub(super) task_execution: String,
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
            position: format!("SELECT notification_id FROM {POSITION} WHERE leader = '{LEADER}'"),
            head: format!("SELECT coalesce(max(id), 0) FROM {LOG}"),
            version: format!("SELECT max(originator_version) FROM {LOG} WHERE originator_id = ?1"),
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
            load_state: format!("SELECT state FROM {STATE} WHERE key = ?1"),
            save_state: upsert(STATE),
            job: upsert(JOBS),
            job_progress: upsert(JOB_PROGRESS),
            workflow_progress: upsert(WORKFLOW_PROGRESS),
            task_execution: upsert(TASK_EXECUTION),
        }
    }
}
