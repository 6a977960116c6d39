//! The history in a file: beside the real Python client, and copied from the server and back.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use biomero_events::command::Command;
use biomero_events::copy::{Copied, CopyError, copy};
use biomero_tests::biomero::{Biomero, LISTENERS};
use biomero_tests::scenario::{self, Call};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, postgres, views};
use rusqlite::types::ValueRef;
use serde_json::json;
use uuid::Uuid;

use super::ours::{Ours, chain};
use super::together::same_log;

mod crash;
mod questions;

/// A file's place and its URL.
fn file(scratch: &Scratch, name: &str) -> (PathBuf, String) {
    let path = scratch.path().join(format!("{name}.sqlite"));
    let url = format!("sqlite:///{}", path.display());
    (path, url)
}

fn sqlite(doing: &str) -> impl Fn(rusqlite::Error) -> Trouble + '_ {
    move |error| Trouble::new(format!("cannot {doing}: {error}"))
}

/// The rows of the four views as `psql` would show them.
fn rows(path: &Path) -> Result<String> {
    let connection = rusqlite::Connection::open(path).map_err(sqlite("open the file"))?;
    let mut text = String::new();
    for (table, columns) in views::VIEWS {
        let _ = writeln!(text, "{table}");
        let mut statement = connection
            .prepare(&format!("SELECT {columns} FROM {table} ORDER BY 1"))
            .map_err(sqlite("read a view"))?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).map_err(sqlite("read a view"))?;
        let mut lines: Vec<String> = Vec::new();
        while let Some(row) = rows.next().map_err(sqlite("read a view"))? {
            let values = names.iter().enumerate().map(|(index, name)| {
                row.get_ref(index).map(|value| shown(name, value)).map_err(sqlite("read a value"))
            });
            lines.push(values.collect::<Result<Vec<String>>>()?.join("\t"));
        }
        let _ = writeln!(text, "{}", lines.join("\n"));
    }
    Ok(text)
}

/// A value as `COPY` writes it.
fn shown(column: &str, value: ValueRef<'_>) -> String {
    let text = match value {
        ValueRef::Null => return "\\N".to_owned(),
        ValueRef::Integer(number) => return number.to_string(),
        other => other.as_str().unwrap_or("neither a number nor a text").to_owned(),
    };
    if matches!(column, "task_id" | "workflow_id") {
        return text.parse::<Uuid>().map_or(text, |id| id.to_string());
    }
    if matches!(column, "start_time" | "end_time") {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// Copies a history from one URL to another, by connections of its own.
fn copied(from: &str, to: &str) -> Result<Result<Copied, CopyError>> {
    let (from, to) = (Ours::open(from)?, Ours::open(to)?);
    Ok(from.wait(copy(from.log(), to.log(), &|_| {})))
}

fn told(error: CopyError) -> Trouble {
    Trouble::new(chain(&error))
}

#[test]
fn any_history_makes_the_rows_in_a_file_that_python_makes_on_a_server() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let mut python = Biomero::start(scratch.path())?;
    for seed in [200, 201, 202] {
        let name = format!("for_a_file_{seed}");
        let url = server.create_database(&name)?;
        python.open(&url, &[])?;
        views::insert(&server, &name, &scenario::rows(seed, 120), scratch.path())?;
        python.open(&url, &LISTENERS)?;
        python.play(&[json!({ "do": "initiate_workflow", "arguments": ["the last", "", 0, 0] })])?;
        let (path, file) = file(&scratch, &name);
        let done = copied(&url, &file)?.map_err(told)?;
        assert_eq!((done.events, done.projected), (121, 121));
        assert_eq!(rows(&path)?, views::views(&server, &name)?, "seed {seed}");
    }
    Ok(())
}

#[test]
fn a_history_goes_to_a_file_and_back_to_a_server_where_python_goes_on() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let first = server.create_database("copied_from")?;
    let last = server.create_database("copied_to")?;
    let (path, file) = file(&scratch, "between");
    let from = Ours::initialised(&first)?;
    let ids = from.play(&scenario::calls(5, 150))?;
    // A gap in the ids, as a transaction that was rolled back leaves it.
    server.psql("copied_from", "SELECT nextval('workflowtracker_events_id_seq')")?;
    let repeated = Command::update_task_status(ids["task 0"], "RUNNING");
    from.append(&repeated)?;
    copied(&first, &file)?.map_err(told)?;
    let done = copied(&file, &last)?.map_err(told)?;
    assert_eq!(done.events, done.projected);
    let table =
        "SELECT id, originator_id, originator_version, topic, state FROM workflowtracker_events ORDER BY id";
    assert_eq!(server.psql("copied_to", table)?, server.psql("copied_from", table)?);
    assert_eq!(views::views(&server, "copied_to")?, views::views(&server, "copied_from")?);
    assert_eq!(rows(&path)?, views::views(&server, "copied_from")?);
    // What was acknowledged in the first is known in the last.
    let to = Ours::open(&last)?;
    assert!(to.append(&repeated)?.repeated);
    let mut python = Biomero::start(scratch.path())?;
    python.open(&last, &LISTENERS)?;
    python.play(&[json!({ "do": "update_task_status", "of": ids["task 0"], "arguments": ["DONE"] })])?;
    same_log(&mut python, &to)?;
    // A copy goes on behind what was copied, but not behind what somebody else has written.
    from.append(&Command::update_task_status(ids["task 0"], "COMPLETED"))?;
    assert_eq!(copied(&first, &file)?.map_err(told)?.events, 1);
    match copied(&file, &last)? {
        Err(CopyError::Different { .. }) => Ok(()),
        other => Err(Trouble::new(format!("it should have been refused: {other:?}"))),
    }
}

#[test]
fn python_and_we_write_to_one_file_in_turns() -> Result<()> {
    let scratch = Scratch::new()?;
    let (path, url) = file(&scratch, "shared");
    let mut python =
        Biomero::start_with(scratch.path(), &[("PERSISTENCE_MODULE", "eventsourcing_sqlalchemy")])?;
    python.open(&url, &LISTENERS)?;
    let calls = scenario::calls(6, 60);
    let ids = python.play(&calls.iter().map(Call::to_json).collect::<Vec<_>>())?;
    let ids: HashMap<String, Uuid> = serde_json::from_value(ids).unwrap_or_default();
    let theirs = rows(&path)?;
    // A file that Python has set up and filled is taken as it is.
    let ours = Ours::initialised(&url)?;
    assert_eq!(rows(&path)?, theirs);
    assert!(same_log(&mut python, &ours)? >= 60);
    let task = ids["task 0"];
    ours.append(&Command::update_task_status(task, "RUNNING"))?;
    python.play(&[json!({ "do": "update_task_status", "of": task, "arguments": ["COMPLETED"] })])?;
    ours.append(&Command::complete_task(task, "done"))?;
    same_log(&mut python, &ours)?;
    for (name, id) in &ids {
        assert_eq!(ours.get(*id)?, python.get(&id.to_string())?, "{name}");
    }
    Ok(())
}
