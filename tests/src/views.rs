//! The log and the view tables as `psql` shows them: what two programs have written is compared as text, row for row.

use std::fmt::Write as _;
use std::path::Path;

use crate::postgres::Postgres;
use crate::scenario::Row;
use crate::{Result, Trouble};

/// The view tables with their columns.
pub const VIEWS: [(&str, &str); 4] = [
    ("biomero_job_view", "slurm_job_id, \"user\", \"group\", task_id"),
    ("biomero_job_progress_view", "slurm_job_id, status, progress"),
    (
        "biomero_workflow_progress_view",
        "workflow_id, status, progress, \"user\", \"group\", name, task, main_task_name, start_time",
    ),
    (
        "biomero_task_execution",
        "task_id, task_name, task_version, user_id, group_id, status, start_time, end_time, error_type",
    ),
];

/// The event log.
pub const LOG: &str = "workflowtracker_events";

/// All rows of the four tables, each table under its name.
///
/// # Errors
/// A table is missing.
pub fn views(server: &Postgres, database: &str) -> Result<String> {
    let mut text = String::new();
    for (table, columns) in VIEWS {
        let rows =
            server.psql(database, &format!("COPY (SELECT {columns} FROM {table} ORDER BY 1) TO STDOUT"))?;
        let _ = writeln!(text, "{table}\n{rows}");
    }
    Ok(text)
}

/// The rows of the log, in their order.
///
/// # Errors
/// There is no log.
pub fn rows(server: &Postgres, database: &str) -> Result<Vec<Row>> {
    let columns = "originator_id, originator_version, topic, convert_from(state, 'UTF8')";
    let text =
        server.psql(database, &format!("SELECT json_build_array({columns}) FROM {LOG} ORDER BY id"))?;
    let row = |line: &str| {
        let (originator_id, originator_version, topic, state) = serde_json::from_str(line).ok()?;
        Some(Row { originator_id, originator_version, topic, state })
    };
    let no_row = |line| Trouble::new(format!("no row: {line}"));
    text.lines().map(|line| row(line).ok_or_else(|| no_row(line))).collect()
}

/// Puts rows into a log, in their order, as nobody who projects them notices; `folder` takes the file that is read.
///
/// # Errors
/// There is no log, or it refuses a row.
pub fn insert(server: &Postgres, database: &str, rows: &[Row], folder: &Path) -> Result<()> {
    let mut text = format!("COPY {LOG} (originator_id, originator_version, topic, state) FROM stdin;\n");
    for row in rows {
        // The text form of bytea, its backslash escaped for COPY.
        let state: String = row.state.bytes().map(|byte| format!("{byte:02x}")).collect();
        let _ =
            writeln!(text, "{}\t{}\t{}\t\\\\x{state}", row.originator_id, row.originator_version, row.topic);
    }
    text.push_str("\\.\n");
    run(server, database, &text, folder)
}

/// Makes the log of one database that of another, ids included.
///
/// # Errors
/// A log is missing, or the other one is not empty.
pub fn copy_log(server: &Postgres, from: &str, to: &str, folder: &Path) -> Result<()> {
    let columns = "id, originator_id, originator_version, topic, state";
    let rows = server.psql(from, &format!("COPY (SELECT {columns} FROM {LOG} ORDER BY id) TO STDOUT"))?;
    let end = if rows.is_empty() { "" } else { "\n" };
    let text = format!(
        "COPY {LOG} ({columns}) FROM stdin;\n{rows}{end}\\.\n\
         SELECT setval(pg_get_serial_sequence('{LOG}', 'id'), max(id)) FROM {LOG};\n"
    );
    run(server, to, &text, folder)
}

fn run(server: &Postgres, database: &str, text: &str, folder: &Path) -> Result<()> {
    let file = folder.join(format!("{database}.sql"));
    std::fs::write(&file, text).map_err(Trouble::doing(format!("write {}", file.display())))?;
    server.psql_file(database, &file).map(drop)
}
