//! `processor events record`: what Python's `WorkflowTracker` is told, for scripts, and for the administrator who has to end
//! what nobody else will.

use biomero_events::aggregate::Replayed;
use biomero_events::event::Aggregate;
use biomero_events::json::Value;
use biomero_events::{Appended, Recorded};
use uuid::Uuid;

use super::Opened;
use crate::command_line::Asked;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;

/// Records a command and answers.
pub(super) async fn run(
    opened: &Opened,
    asked: Asked,
    command_id: Option<Uuid>,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let made = asked.made;
    let appended = append(opened, asked, command_id).await?;
    if answer.is_json() {
        answer.object(object(&appended))?;
    } else if let Some(id) = made_then(&appended, made) {
        answer.line(id.to_string())?;
    } else {
        let word = if appended.repeated { "was recorded before" } else { "recorded" };
        for Recorded { id, originator_id, originator_version } in &appended.events {
            answer.line(format!("{word}: event {id}, version {originator_version} of {originator_id}"))?;
        }
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// Records a command, once however often it is repeated under the same id.
pub(super) async fn append(
    opened: &Opened,
    asked: Asked,
    command_id: Option<Uuid>,
) -> Result<Appended, Ended> {
    let Asked { command, about, .. } = asked;
    if let Some((id, expected)) = about {
        let found = match opened.told(opened.log.get(id).await).await? {
            Replayed::WorkflowRun(_) => Aggregate::WorkflowRun,
            Replayed::Task(_) => Aggregate::Task,
        };
        // The log takes any event; Python would not be able to read one of the other kind.
        if found != expected {
            return Err(Ended::OtherKind { id, found: name(found), expected: name(expected) });
        }
    }
    let command = match command_id {
        Some(id) => command.with_id(id),
        None => command,
    };
    opened.told(opened.log.append(&command).await).await
}

/// What was made: by a repeated command, what it made the first time.
fn made_then(appended: &Appended, made: Option<Uuid>) -> Option<Uuid> {
    made.and_then(|_| appended.events.first()).map(|event| event.originator_id)
}

const fn name(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::WorkflowRun => "workflow run",
        Aggregate::Task => "task",
    }
}

/// For a program.
pub(super) fn object(appended: &Appended) -> Value {
    let events: Vec<Value> = appended
        .events
        .iter()
        .map(|event| {
            [
                ("id", event.id.into()),
                ("originator_id", event.originator_id.to_string().into()),
                ("originator_version", event.originator_version.into()),
            ]
            .into()
        })
        .collect();
    [("repeated", appended.repeated.into()), ("events", events.into())].into()
}
