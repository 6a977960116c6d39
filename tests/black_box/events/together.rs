//! One log, two clients: what either writes the other reads and goes on with.

use biomero_events::command::Command;
use biomero_tests::biomero::{Biomero, LISTENERS};
use biomero_tests::postgres;
use biomero_tests::scenario::{self, Call};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, views};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ours::Ours;

/// The events from `start` on as both sides show them.
pub(super) fn same_log(python: &mut Biomero, ours: &Ours) -> Result<usize> {
    let mut start = 1;
    let mut seen = 0;
    loop {
        let theirs = python.ask("select", &json!({ "start": start, "limit": 10 }))?;
        let page = ours.block(ours.log().select(start, 10))?;
        let shown: Vec<Value> = page
            .iter()
            .map(|event| {
                json!({
                    "id": event.id, "originator_id": event.originator_id, "originator_version": event.originator_version,
                    "topic": event.topic, "state": String::from_utf8_lossy(&event.state),
                })
            })
            .collect();
        assert_eq!(Value::Array(shown), theirs);
        let Some(last) = page.last() else { return Ok(seen) };
        seen += page.len();
        start = last.id + 1;
    }
}

#[test]
fn python_reads_what_we_write_and_goes_on_with_it() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let url = server.create_database("we_write")?;
    let ours = Ours::initialised(&url)?;
    let ids = ours.play(&scenario::calls(1, 120))?;
    let mut python = Biomero::start(scratch.path())?;
    python.open(&url, &[])?;
    assert!(same_log(&mut python, &ours)? >= 120);
    for (name, id) in &ids {
        assert_eq!(ours.get(*id)?, python.get(&id.to_string())?, "{name}");
    }
    let task = ids["task 0"];
    let before = ours.get(task)?["version"].as_i64();
    python.play(&[json!({ "do": "update_task_status", "of": task, "arguments": ["RUNNING"] })])?;
    let after = ours.get(task)?;
    assert_eq!(
        (after["version"].as_i64(), after["status"].as_str()),
        (before.map(|version| version + 1), Some("RUNNING"))
    );
    Ok(())
}

#[test]
fn we_read_what_python_writes_and_go_on_with_it() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let url = server.create_database("python_writes_first")?;
    let mut python = Biomero::start(scratch.path())?;
    python.open(&url, &LISTENERS)?;
    let calls = scenario::calls(2, 60);
    let ids = python.play(&calls.iter().map(Call::to_json).collect::<Vec<_>>())?;
    let ids: std::collections::HashMap<String, Uuid> = serde_json::from_value(ids).unwrap_or_default();
    let projected = views::views(&server, "python_writes_first")?;
    // A database that Python has set up and filled is taken as it is.
    let ours = Ours::initialised(&url)?;
    assert_eq!(views::views(&server, "python_writes_first")?, projected);
    assert!(same_log(&mut python, &ours)? >= 60);
    for (name, id) in &ids {
        assert_eq!(ours.get(*id)?, python.get(&id.to_string())?, "{name}");
    }
    let task = ids["task 0"];
    let before = python.get(&task.to_string())?["version"].as_i64();
    ours.append(&Command::update_task_status(task, "RUNNING"))?;
    let after = python.get(&task.to_string())?;
    assert_eq!(
        (after["version"].as_i64(), after["status"].as_str()),
        (before.map(|version| version + 1), Some("RUNNING"))
    );
    Ok(())
}

#[test]
fn both_write_to_the_same_task_at_once() -> Result<()> {
    const EACH: usize = 40;
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let url = server.create_database("both_at_once")?;
    let ours = Ours::initialised(&url)?;
    let ids = ours.play(&scenario::calls(3, 30))?;
    let task = ids["task 0"];
    let mut python = Biomero::start(scratch.path())?;
    // As a deployment has it: the tracker alone in Python, the views ours.
    python.open(&url, &[])?;
    let update = json!({ "do": "update_task_status", "of": task, "arguments": ["PYTHON"] });
    python.send("play", &json!({ "commands": vec![update; EACH] }))?;
    let mut written = 0;
    let count = |status: &str| {
        let sql = format!(
            "SELECT count(*) FROM workflowtracker_events WHERE convert_from(state, 'UTF8') LIKE '%\"status\":\"{status}\"%'"
        );
        server.psql("both_at_once", &sql)
    };
    // Python gives up after four lost races, so it is given room: ours are as many, one for each of its.
    let mut theirs = 0;
    while theirs < EACH {
        let seen: usize = count("PYTHON")?.parse().unwrap_or(0);
        if seen > theirs || written == 0 {
            ours.append(&Command::update_task_status(task, "OURS"))?;
            written += 1;
        }
        theirs = seen;
    }
    python.answer()?;
    assert_eq!((count("OURS")?, count("PYTHON")?), (written.to_string(), EACH.to_string()));
    assert!(written > EACH / 4, "{written}: they have met");
    let gaps = "SELECT count(*) FROM (SELECT originator_id FROM workflowtracker_events GROUP BY 1 \
                HAVING count(*) <> max(originator_version) + 1 OR min(originator_version) <> 0) AS gaps";
    assert_eq!(server.psql("both_at_once", gaps)?, "0");
    assert_eq!(ours.get(task)?, python.get(&task.to_string())?);
    // What we have projected meanwhile is what Python's listeners make of the same log.
    ours.block(ours.log().catch_up())?;
    let again = server.create_database("both_at_once_again")?;
    python.open(&again, &LISTENERS)?;
    views::copy_log(&server, "both_at_once", "both_at_once_again", scratch.path())?;
    python
        .play(&[json!({ "do": "initiate_workflow", "as": "last", "arguments": ["the last", "", 0, 0] })])?;
    let theirs = views::views(&server, "both_at_once_again")?;
    let theirs: Vec<&str> = theirs.lines().filter(|line| !line.contains("\tthe last\t")).collect();
    let ours = views::views(&server, "both_at_once")?;
    assert_eq!(ours.lines().collect::<Vec<_>>(), theirs);
    Ok(())
}
