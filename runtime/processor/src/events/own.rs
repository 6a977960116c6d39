//! `processor events select --own`: the worker's own stream, which Python never reads.

use biomero_events::json::Value;
use biomero_events::timestamp::Timestamp;
use biomero_events::worker::RecordedWorkerEvent;

use super::Opened;
use super::row::seconds;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::table::{Cell, Table, Tone};

/// Shows the worker's own events, in their order.
pub(super) async fn run(opened: &Opened, start: i64, limit: u64, answer: &mut Answer) -> Result<u8, Ended> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let events = opened.told(opened.log.worker_events(start, limit).await).await?;
    if answer.is_json() {
        events.iter().try_for_each(|event| answer.object(object(event)))?;
    } else if events.is_empty() {
        answer.line(format!("no events of the worker's own from id {start} on in {}", opened.log.place()))?;
    } else {
        let rows: Vec<Vec<Cell>> = events.iter().map(cells).collect();
        Table::new(&[">ID", "TIME (UTC)", "EVENT", "WORKFLOW", "TASK", "WHAT"]).write(&rows, answer)?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

fn cells(recorded: &RecordedWorkerEvent) -> Vec<Cell> {
    let id = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    vec![
        recorded.id.to_string().into(),
        Cell::new(seconds(Timestamp::from_time(recorded.recorded)), Tone::Faint),
        recorded.event.topic.as_str().into(),
        id(recorded.event.workflow_id).into(),
        id(recorded.event.task_id).into(),
        recorded.event.state.to_string().into(),
    ]
}

fn object(recorded: &RecordedWorkerEvent) -> Value {
    let id = |id: Option<uuid::Uuid>| Value::from(id.map(|id| id.to_string()));
    Value::from([
        ("id", recorded.id.into()),
        ("recorded", Timestamp::from_time(recorded.recorded).to_string().into()),
        ("topic", recorded.event.topic.as_str().into()),
        ("workflow_id", id(recorded.event.workflow_id)),
        ("task_id", id(recorded.event.task_id)),
        ("state", recorded.event.state.clone()),
    ])
}
