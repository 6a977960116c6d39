//! `processor show`: a workflow and its tasks.

use serde_json::Value;
use uuid::Uuid;

use super::list::inputs;
use crate::client::{Client, ClientError};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::table::{Cell, Table, Tone};

/// Shows it.
pub(super) async fn run(id: Uuid, client: &Client, answer: &mut Answer) -> Result<u8, Ended> {
    let mut workflow = client.get(&format!("/v1/workflows/{id}")).await?;
    let tasks = match client.get(&format!("/v1/workflows/{id}/tasks")).await {
        Ok(tasks) => tasks["tasks"].clone(),
        // It was asked for a moment ago, and the history does not tell of it yet.
        Err(ClientError::Refused { status: 404, .. }) => Value::Array(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if answer.is_json() {
        workflow["tasks"] = tasks;
        answer.json(&workflow)?;
        answer.flush()?;
        return Ok(exit_code::SUCCESS);
    }
    one(&workflow, answer)?;
    let rows: Vec<Vec<Cell>> = tasks.as_array().into_iter().flatten().map(task).collect();
    if !rows.is_empty() {
        answer.line("")?;
        Table::new(&["TASK", "VERSION", "STATUS", ">PROGRESS", "JOBS", "MESSAGE"]).write(&rows, answer)?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// Shows it without its tasks.
pub(super) fn one(workflow: &Value, answer: &mut Answer) -> Result<u8, Ended> {
    if answer.is_json() {
        answer.json(workflow)?;
        answer.flush()?;
        return Ok(exit_code::SUCCESS);
    }
    let phase = tone(workflow).paint(&inert(&text(&workflow["phase"])), answer.colour());
    answer.line(format!("{}: {phase}", inert(&text(&workflow["id"]))))?;
    let rows: Vec<Vec<Cell>> = facts(workflow)
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| vec![Cell::new(format!("  {name}"), Tone::Faint), value.into()])
        .collect();
    let mut table = Table::new(&["", ""]);
    table.fit(&rows);
    rows.iter().try_for_each(|row| table.write_row(row, answer))?;
    for line in workflow["failure"]["log"].as_array().into_iter().flatten() {
        answer.line(format!("  its log: {}", inert(&text(line))))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

fn facts(workflow: &Value) -> Vec<(&'static str, String)> {
    let failure = &workflow["failure"];
    let joined = |value: &Value, between: &str| {
        let pairs = value.as_object().into_iter().flatten();
        pairs.map(|(name, value)| format!("{name}{between}{}", text(value))).collect::<Vec<_>>().join(", ")
    };
    let job = ["status", "progress"].map(|key| text(&workflow[key]));
    vec![
        ("workflow", format!("{} {}", text(&workflow["workflow"]), text(&workflow["version"]))),
        ("on", inputs(workflow)),
        ("parameters", joined(&workflow["parameters"], "=")),
        ("user, group", format!("{}, {}", text(&workflow["user"]), text(&workflow["group"]))),
        ("results", joined(&workflow["results"], ": ")),
        ("asked for", text(&workflow["created"])),
        ("changed", text(&workflow["changed"])),
        ("status", job.join(" ").trim().to_owned()),
        ("children", joined(&workflow["children"], ": ")),
        ("cancelled by", text(&workflow["cancelled_by"])),
        ("failed in", text(&failure["step"])),
        ("because", text(&failure["reason"])),
        ("job", text(&failure["job"])),
        ("on nodes", text(&failure["nodes"])),
        ("exit code", text(&failure["exit_code"])),
        ("signal", text(&failure["signal"])),
        ("then", text(&failure["remedy"])),
        ("paused until", text(&workflow["paused_until"])),
    ]
}

fn task(task: &Value) -> Vec<Cell> {
    let jobs: Vec<String> =
        task["jobs"].as_array().into_iter().flatten().map(|job| text(&job["job"])).collect();
    // Its last state is not what it has come to: scripts tell none at their end.
    let standing = match task["outcome"].as_str() {
        Some(outcome) => outcome.to_uppercase(),
        None => text(&task["status"]),
    };
    vec![
        cell(&task["name"]),
        cell(&task["version"]),
        standing.into(),
        cell(&task["progress"]),
        jobs.join(", ").into(),
        cell(&task["message"]),
    ]
}

/// What its phase means.
pub(super) fn tone(workflow: &Value) -> Tone {
    match workflow["phase"].as_str() {
        Some("DONE") => Tone::Good,
        Some("FAILED") => Tone::Bad,
        Some("CANCELLED") => Tone::Faint,
        _ => Tone::Busy,
    }
}

/// A value as people read it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The same as a cell.
pub(super) fn cell(value: &Value) -> Cell {
    text(value).into()
}
