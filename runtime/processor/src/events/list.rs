//! `processor events list`: workflow runs, newest first.

use biomero_events::json::Value;
use biomero_events::query::{Page, WorkflowFilter, WorkflowRow};
use biomero_events::timestamp::Timestamp;

use super::Opened;
use super::row::{of_state, seconds};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::table::{Cell, Table, Tone};

/// Shows a page of the list.
pub(super) async fn run(
    opened: &Opened,
    filter: &WorkflowFilter,
    page: Page,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let listed = opened.told(opened.log.workflows(filter, page).await).await?;
    if answer.is_json() {
        for row in &listed.rows {
            answer.object(object(row))?;
        }
    } else if listed.rows.is_empty() {
        answer.line(format!("none of {} workflow runs in {}", listed.total, opened.log.place()))?;
    } else {
        let rows: Vec<Vec<Cell>> = listed.rows.iter().map(cells).collect();
        Table::new(&[
            "WORKFLOW RUN",
            "BEGUN (UTC)",
            "STATUS",
            ">PROGRESS",
            ">USER",
            ">GROUP",
            "NAME",
            "MAIN TASK",
        ])
        .write(&rows, answer)?;
        let last = u64::from(page.offset) + listed.rows.len() as u64;
        if last < listed.total {
            answer.line(format!("{last} of {} so far; --offset {last} goes on", listed.total))?;
        }
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

fn cells(row: &WorkflowRow) -> Vec<Cell> {
    let text = |text: &Option<String>| Cell::from(text.clone().unwrap_or_default());
    let number = |number: Option<i32>| Cell::from(number.map(|id| id.to_string()).unwrap_or_default());
    let status = row.status.as_deref().unwrap_or_default();
    vec![
        row.workflow_id.to_string().into(),
        Cell::new(seconds(Timestamp::from_time(row.start_time)), Tone::Faint),
        Cell::new(status, of_state(status)),
        text(&row.progress),
        number(row.user),
        number(row.group),
        text(&row.name),
        text(&row.main_task_name),
    ]
}

fn object(row: &WorkflowRow) -> Value {
    [
        ("workflow_id", row.workflow_id.to_string().into()),
        ("start_time", Timestamp::from_time(row.start_time).to_string().into()),
        ("status", row.status.clone().into()),
        ("progress", row.progress.clone().into()),
        ("user", row.user.into()),
        ("group", row.group.into()),
        ("name", row.name.clone().into()),
        ("task", row.task.clone().into()),
        ("main_task_name", row.main_task_name.clone().into()),
    ]
    .into()
}
