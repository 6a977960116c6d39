//! `processor workflows`.

use serde_json::Value;

use super::show::{cell, text, tone};
use crate::client::{Client, query};
use crate::command_line::asked::List;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::table::{Cell, Table, Tone};

/// Lists them, newest first.
pub(super) async fn run(asked: &List, client: &Client, answer: &mut Answer) -> Result<u8, Ended> {
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    let query = query(&[
        ("user", number(asked.user)),
        ("group", number(asked.group)),
        ("phase", asked.phase.clone()),
        ("name", asked.name.clone()),
        ("parent", asked.batch.map(|id| id.to_string())),
        ("open", asked.open.then(|| "true".to_owned())),
        ("limit", Some(asked.limit.to_string())),
        ("offset", Some(asked.offset.to_string())),
    ]);
    let listed = client.get(&format!("/v1/workflows{query}")).await?;
    let workflows = listed["workflows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if answer.is_json() {
        workflows.iter().try_for_each(|workflow| answer.json(workflow))?;
    } else if workflows.is_empty() {
        answer.line("no workflows")?;
    } else {
        let rows: Vec<Vec<Cell>> = workflows.iter().map(row).collect();
        Table::new(&["ID", "PHASE", "WORKFLOW", "VERSION", ">USER", "ASKED FOR (UTC)", "ON", "WHY"])
            .write(&rows, answer)?;
        let total = listed["total"].as_u64().unwrap_or(0);
        let shown = u64::from(asked.offset).saturating_add(workflows.len() as u64);
        if shown < total {
            answer.line(format!("{} more of {total}: --offset {shown}", total - shown))?;
        }
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

fn row(workflow: &Value) -> Vec<Cell> {
    let created = text(&workflow["created"]);
    let created = created.split(['.', '+']).next().unwrap_or_default().replace('T', " ");
    vec![
        cell(&workflow["id"]),
        Cell::new(text(&workflow["phase"]), tone(workflow)),
        cell(&workflow["workflow"]),
        cell(&workflow["version"]),
        cell(&workflow["user"]),
        Cell::new(created, Tone::Faint),
        inputs(workflow).into(),
        cell(&workflow["failure"]["reason"]),
    ]
}

/// The first input, and how many more.
pub(super) fn inputs(workflow: &Value) -> String {
    let inputs = workflow["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    match inputs {
        [] => String::new(),
        [one] => text(one),
        [one, more @ ..] => format!("{} and {} more", text(one), more.len()),
    }
}
