//! `processor events show UUID`: `repository.get(uuid)`, with all that happened.

use biomero_events::Error;
use biomero_events::aggregate::Replayed;
use biomero_events::event::uuid_of;
use biomero_events::json::{Object, Value};
use biomero_events::timestamp::Timestamp;
use uuid::Uuid;

use super::Opened;
use super::row::{Row, alone, of_state, seconds, short};
use super::timeline::{End, History, Job, between, took};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::table::{Cell, Table, Tone};

/// Shows a workflow run with its tasks, or a task.
pub(super) async fn run(opened: &Opened, id: Uuid, answer: &mut Answer) -> Result<u8, Ended> {
    let subject = History::new(id, opened.told(opened.log.history(id).await).await?);
    let mut tasks = Vec::new();
    for task in subject.tasks() {
        match opened.log.history(task).await {
            Ok(rows) => tasks.push(History::new(task, rows)),
            // Added, but never created: Python's own order of the two events allows it.
            Err(Error::Unknown { .. }) => tasks.push(History::new(task, Vec::new())),
            Err(error) => return opened.told(Err(error)).await,
        }
    }
    if answer.is_json() {
        answer.object(object(&subject, &tasks))?;
    } else {
        write(&subject, &tasks, answer)?;
    }
    answer.flush()?;
    let corrupt = subject.corrupt().count() + tasks.iter().flat_map(History::corrupt).count();
    Ok(if corrupt == 0 { exit_code::SUCCESS } else { exit_code::CORRUPT })
}

fn write(subject: &History, tasks: &[History], answer: &mut Answer) -> Result<(), Ended> {
    let kind = match &subject.replayed {
        Some(Replayed::WorkflowRun(_)) => "workflow run",
        Some(Replayed::Task(_)) => "task",
        None => "events of",
    };
    let state = subject.state();
    let colour = answer.colour();
    let lasted = subject.begun().zip(subject.end.as_ref()).map(|(begun, end)| between(begun, end.at));
    let lasted = lasted.map(|seconds| format!(" after {}", took(seconds))).unwrap_or_default();
    answer.line(format!("{kind} {}: {}{lasted}", subject.id, tone(subject).paint(&state, colour)))?;
    let facts = Table::new(&["", ""]);
    let rows: Vec<Vec<Cell>> = facts_of(subject)
        .into_iter()
        .map(|(name, value)| vec![Cell::new(format!("  {name}"), Tone::Faint), value.into()])
        .collect();
    let mut facts = facts;
    facts.fit(&rows);
    rows.iter().try_for_each(|row| facts.write_row(row, answer))?;

    if !tasks.is_empty() {
        answer.line("")?;
        let rows: Vec<Vec<Cell>> = (1..).zip(tasks).map(|(number, task)| task_row(number, task)).collect();
        Table::new(&[">TASK", "ID", "NAME", "VERSION", "STATE", ">TOOK", "MESSAGE"]).write(&rows, answer)?;
    }
    let jobs: Vec<Vec<Cell>> = (1..)
        .zip(tasks.iter().chain((tasks.is_empty()).then_some(subject)))
        .flat_map(|(number, task)| task.jobs.iter().map(move |job| job_row(number, job)))
        .collect();
    if !jobs.is_empty() {
        answer.line("")?;
        Table::new(&[">JOB", ">TASK", "SUBMITTED (UTC)", "STATE", ">TOOK", ">PROGRESS"])
            .write(&jobs, answer)?;
    }

    answer.line("")?;
    let rows: Vec<Vec<Cell>> = in_order(subject, tasks)
        .into_iter()
        .map(|(number, row)| event_row(subject.begun(), number, row))
        .collect();
    Table::new(&[">ID", "TIME (UTC)", ">AFTER", ">TASK", ">V", "EVENT", "WHAT"]).write(&rows, answer)
}

/// All rows by their place in the log, each with the number of its task.
fn in_order<'a>(subject: &'a History, tasks: &'a [History]) -> Vec<(Option<usize>, &'a Row)> {
    let mut rows: Vec<(Option<usize>, &Row)> = subject.rows.iter().map(|row| (None, row)).collect();
    for (number, task) in (1..).zip(tasks) {
        rows.extend(task.rows.iter().map(|row| (Some(number), row)));
    }
    rows.sort_by_key(|(_, row)| row.notification.id);
    rows
}

fn facts_of(subject: &History) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    match &subject.replayed {
        Some(Replayed::WorkflowRun(run)) => {
            facts.push(("name", alone(&run.name)));
            facts.push(("description", alone(&run.description)));
            facts.push(("user, group", format!("{}, {}", alone(&run.user), alone(&run.group))));
        }
        Some(Replayed::Task(task)) => {
            facts.push(("name", alone(&task.task_name)));
            facts.push(("version", alone(&task.task_version)));
            facts.push((
                "workflow run",
                uuid_of(&task.workflow_id).map_or_else(|| alone(&task.workflow_id), |id| id.to_string()),
            ));
            facts.push(("input", alone(&task.input_data)));
            facts.push(("parameters", alone(&task.params)));
        }
        None => {}
    }
    let moment = |moment: Timestamp| format!("{} UTC", seconds(moment));
    facts.extend(subject.begun().map(|begun| ("begun", moment(begun))));
    if let Some(end) = &subject.end {
        facts.push(("ended", moment(end.at)));
        facts.extend(end.message.as_ref().map(|message| ("message", alone(message))));
    }
    facts
}

fn tone(history: &History) -> Tone {
    match &history.end {
        Some(End { failed: true, .. }) => Tone::Bad,
        Some(_) => Tone::Good,
        None => of_state(&history.state()),
    }
}

fn task_row(number: usize, task: &History) -> Vec<Cell> {
    let (name, version) = match &task.replayed {
        Some(Replayed::Task(task)) => (alone(&task.task_name), alone(&task.task_version)),
        _ => ("never created".to_owned(), String::new()),
    };
    let lasted = task.begun().zip(task.end.as_ref()).map(|(begun, end)| took(between(begun, end.at)));
    let message = task.end.as_ref().and_then(|end| end.message.as_ref()).map(alone);
    vec![
        number.to_string().into(),
        Cell::new(task.id.to_string(), Tone::Faint),
        name.into(),
        version.into(),
        Cell::new(task.state(), tone(task)),
        lasted.unwrap_or_default().into(),
        message.unwrap_or_default().into(),
    ]
}

fn job_row(number: usize, job: &Job) -> Vec<Cell> {
    let state = match &job.status {
        Some(status) => status,
        None if job.id == Value::from(-1) => "FAILED to be submitted",
        None => "submitted",
    };
    vec![
        alone(&job.id).into(),
        number.to_string().into(),
        Cell::new(seconds(job.submitted), Tone::Faint),
        Cell::new(state, of_state(state)),
        job.ended.map(|ended| took(between(job.submitted, ended))).unwrap_or_default().into(),
        job.progress.clone().unwrap_or_default().into(),
    ]
}

fn event_row(begun: Option<Timestamp>, number: Option<usize>, row: &Row) -> Vec<Cell> {
    let notification = &row.notification;
    let after = begun.zip(row.time()).map(|(begun, time)| took(between(begun, time)));
    let (what, tone) = row.told();
    vec![
        notification.id.to_string().into(),
        Cell::new(row.time().map(seconds).unwrap_or_default(), Tone::Faint),
        after.unwrap_or_default().into(),
        number.map(|number| number.to_string()).unwrap_or_default().into(),
        Cell::new(notification.originator_version.to_string(), Tone::Faint),
        Cell::new(short(&notification.topic), tone),
        what.into(),
    ]
}

/// All of it for programs.
fn object(subject: &History, tasks: &[History]) -> Value {
    let mut members = aggregate(subject);
    if !matches!(subject.replayed, Some(Replayed::Task(_))) {
        let tasks: Vec<Value> = tasks.iter().map(|task| Value::Object(aggregate(task))).collect();
        members.push(("tasks".to_owned(), tasks.into()));
    }
    let events: Vec<Value> = in_order(subject, tasks).into_iter().map(|(_, row)| row.object()).collect();
    members.push(("events".to_owned(), events.into()));
    Value::Object(members)
}

fn aggregate(history: &History) -> Object {
    let mut members = Object::new();
    let mut add = |key: &str, value: Value| members.push((key.to_owned(), value));
    let moment = |moment: Option<Timestamp>| Value::from(moment.map(|moment| moment.to_string()));
    match &history.replayed {
        Some(Replayed::WorkflowRun(run)) => {
            add("kind", "WorkflowRun".into());
            add("id", history.id.to_string().into());
            add("name", run.name.clone());
            add("description", run.description.clone());
            add("user", run.user.clone());
            add("group", run.group.clone());
        }
        Some(Replayed::Task(task)) => {
            add("kind", "Task".into());
            add("id", history.id.to_string().into());
            add(
                "workflow_id",
                uuid_of(&task.workflow_id)
                    .map_or_else(|| task.workflow_id.clone(), |id| id.to_string().into()),
            );
            add("task_name", task.task_name.clone());
            add("task_version", task.task_version.clone());
            add("input_data", task.input_data.clone());
            add("params", task.params.clone());
            add("results", task.results.clone().into());
        }
        None => {
            add("kind", Value::Null);
            add("id", history.id.to_string().into());
        }
    }
    add("version", history.rows.last().map(|row| row.notification.originator_version).into());
    add("state", history.state().into());
    add("created_on", moment(history.begun()));
    add("modified_on", moment(history.rows.iter().rev().find_map(Row::time)));
    let end = history.end.as_ref();
    add("ended_on", moment(end.map(|end| end.at)));
    add("message", end.and_then(|end| end.message.clone()).into());
    add("seconds", history.begun().zip(end).map(|(begun, end)| between(begun, end.at)).into());
    if !matches!(history.replayed, Some(Replayed::WorkflowRun(_))) {
        let jobs: Vec<Value> = history.jobs.iter().map(job).collect();
        add("jobs", jobs.into());
    }
    members
}

fn job(job: &Job) -> Value {
    [
        ("job_id", job.id.clone()),
        ("status", job.status.clone().into()),
        ("progress", job.progress.clone().into()),
        ("submitted_on", job.submitted.to_string().into()),
        ("ended_on", job.ended.map(|ended| ended.to_string()).into()),
        ("seconds", job.ended.map(|ended| between(job.submitted, ended)).into()),
    ]
    .into()
}
