//! The history in a file: beside the real Python client, written by several processes that are killed, on a full disk, and
//! copied from the server and back.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use biomero_events::command::Command;
use biomero_events::copy::{Copied, CopyError, copy};
use biomero_tests::biomero::{Biomero, LISTENERS};
use biomero_tests::process::Running;
use biomero_tests::scenario::{self, Call, Seeded};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, postgres, views, wait};
use nix::sys::signal::Signal;
use rusqlite::types::ValueRef;
use serde_json::json;
use uuid::Uuid;

use super::ours::{Ours, chain};
use super::together::same_log;

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

const WRITERS: usize = 4;
const UPDATES: usize = 100;

/// A process that writes, and the file to which it says what was acknowledged.
struct Writer {
    number: usize,
    task: Uuid,
    process: Running,
}

fn write(number: usize, tasks: [Uuid; 2], url: &str, folder: &Path) -> Result<Running> {
    let mut command = Program::new(env!("CARGO_BIN_EXE_event_writer"));
    command.arg(acknowledged(folder, number)).args([number.to_string(), UPDATES.to_string()]);
    command.args(tasks.map(|task| task.to_string())).env("EVENTS_URL", url);
    Running::start("event_writer", command, &folder.join(format!("writer.{number}.log")))
}

fn acknowledged(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("acknowledged.{number}"))
}

fn lines(folder: &Path, number: usize) -> Vec<String> {
    let text = std::fs::read_to_string(acknowledged(folder, number)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A workflow run with tasks, one more than there are writers.
fn tasks(ours: &Ours) -> Result<Vec<Uuid>> {
    let workflow = Uuid::new_v4();
    ours.append(&Command::initiate_workflow(workflow, "crash", "", 1, 1))?;
    let tasks: Vec<Uuid> = (0..=WRITERS).map(|_| Uuid::new_v4()).collect();
    for (task, job) in tasks.iter().zip(1..) {
        ours.append(&Command::add_task(workflow, *task, "cellpose", "1", "".into(), "".into()))?;
        ours.append(&Command::add_job_id(*task, job))?;
    }
    Ok(tasks)
}

/// Every acknowledged update of a writer once and in its order, nothing missing before it, and the views as a rebuild
/// makes them.
fn in_order(ours: &Ours, number: usize, task: Uuid, acknowledged: &[String]) -> Result<usize> {
    let history = ours.block(ours.log().history(task))?;
    for (event, version) in history.iter().zip(0..) {
        assert_eq!(event.originator_version, version);
    }
    let updates: Vec<String> = history
        .iter()
        .filter(|event| event.topic.ends_with("StatusUpdated"))
        .map(|event| {
            let state = String::from_utf8_lossy(&event.state);
            let status = state.split("\"status\":\"").nth(1).unwrap_or_default().trim_end_matches("\"}");
            format!("{} {} {status}", event.id, event.originator_version)
        })
        .collect();
    for (update, line) in acknowledged.iter().enumerate() {
        let said: Vec<&str> = line.split(' ').take(2).collect();
        assert_eq!(updates.get(update), Some(&format!("{} {number}.{update}", said.join(" "))));
    }
    Ok(updates.len())
}

fn right_views(ours: &Ours) -> Result<()> {
    let compared = ours.block(ours.log().compare(&|_| {}))?;
    assert!(compared.views.iter().all(|view| view.is_none()), "{compared:?}");
    Ok(())
}

#[test]
fn four_writers_of_a_file_that_are_killed_lose_and_repeat_nothing() -> Result<()> {
    let scratch = Scratch::new()?;
    let (_, url) = file(&scratch, "crash");
    let ours = Ours::initialised(&url)?;
    let tasks = tasks(&ours)?;
    let shared = tasks[WRITERS];
    let start = |number: usize| write(number, [tasks[number], shared], &url, scratch.path());
    let mut writers = (0..WRITERS)
        .map(|number| Ok(Writer { number, task: tasks[number], process: start(number)? }))
        .collect::<Result<Vec<_>>>()?;
    let mut seeded = Seeded::new(2);
    for threshold in (20..WRITERS * UPDATES).step_by(20) {
        let progress = || (0..WRITERS).map(|number| lines(scratch.path(), number).len()).sum::<usize>();
        wait::until("updates that are acknowledged", Duration::from_secs(180), &[], || {
            (progress() >= threshold).then_some(())
        })?;
        let writer = &mut writers[seeded.below(WRITERS)];
        if writer.process.status().is_none() {
            writer.process.signal(Signal::SIGKILL)?;
            writer.process.ended_within(wait::PATIENCE)?;
            writer.process = start(writer.number)?;
        }
    }
    for writer in &mut writers {
        let status = writer.process.ended_within(Duration::from_secs(180))?;
        assert!(status.success(), "writer {}: {status}: {}", writer.number, writer.process.output());
        let acknowledged = lines(scratch.path(), writer.number);
        assert_eq!(acknowledged.len(), UPDATES);
        assert_eq!(in_order(&ours, writer.number, writer.task, &acknowledged)?, UPDATES);
    }
    // The task that all have written to: version 0 is its creation, 1 its job.
    let history = ours.block(ours.log().history(shared))?;
    assert_eq!(history.len(), 2 + WRITERS * UPDATES / 5);
    assert_eq!(history.last().map(|event| event.originator_version), Some(history.len() as i64 - 1));
    right_views(&ours)
}

#[test]
fn a_full_disk_is_told_and_leaves_what_was_acknowledged() -> Result<()> {
    let scratch = Scratch::new()?;
    let (path, url) = file(&scratch, "prepared");
    let tasks = tasks(&Ours::initialised(&url)?)?;
    let (small, kept) = (scratch.folder("small")?, scratch.folder("kept")?);
    let script = "mount -t tmpfs -o size=1500k tmpfs \"$2\" && cp \"$1\" \"$2/history.sqlite\" || exit 99
                  shift 2; \"$@\"; status=$?; cp \"${EVENTS_URL#sqlite:///}\"* \"$KEPT\"; exit $status";
    let mut command = Program::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--", "/bin/sh", "-c", script, "sh"]).arg(&path).arg(&small);
    command.arg(env!("CARGO_BIN_EXE_event_writer")).arg(acknowledged(scratch.path(), 0));
    command.args(["0", "1000000"]).args([tasks[0], tasks[1]].map(|task| task.to_string()));
    command
        .env("EVENTS_URL", format!("sqlite:///{}", small.join("history.sqlite").display()))
        .env("KEPT", &kept);
    let mut writer = Running::start("event_writer", command, &scratch.path().join("writer.log"))?;
    let status = writer.ended_within(Duration::from_secs(180))?;
    assert!(writer.output().contains("the disk is full; make room"), "{status}: {}", writer.output());
    let ours = Ours::open(&format!("sqlite:///{}", kept.join("history.sqlite").display()))?;
    let acknowledged = lines(scratch.path(), 0);
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    assert_eq!(in_order(&ours, 0, tasks[0], &acknowledged)?, acknowledged.len());
    right_views(&ours)
}
