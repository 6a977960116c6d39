//! `processor events init`: `initialize_analytics_system()`.

use biomero_events::Initialised;
use biomero_events::json::Value;

use super::Opened;
use super::rebuild::{self, Since};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;

/// Creates what is missing and projects what is not yet; then writes the views anew, where that is asked for.
pub(super) async fn run(opened: &Opened, rebuilt: Option<Since>, answer: &mut Answer) -> Result<u8, Ended> {
    let done = opened.told(opened.log.initialise().await).await?;
    let place = opened.log.place();
    if answer.is_json() {
        let created: Vec<Value> = done.created.iter().map(|table| table.as_str().into()).collect();
        answer.object(
            [("database", place.into()), ("created", created.into()), ("projected", count(done.projected))]
                .into(),
        )?;
    } else {
        for table in &done.created {
            answer.line(format!("created {table}"))?;
        }
        answer.line(told(&done, &place))?;
    }
    answer.flush()?;
    match rebuilt {
        Some(since) => rebuild::run(opened, since, answer).await,
        None => Ok(exit_code::SUCCESS),
    }
}

fn told(done: &Initialised, place: &str) -> String {
    match (done.created.len(), done.projected) {
        (0, 0) => format!("nothing to do: {place} has all tables, and its views are up to date"),
        (0, events) => format!("projected {events} events: the views of {place} are up to date"),
        (tables, 0) => format!("created {tables} tables in {place}"),
        (tables, events) => format!("created {tables} tables in {place} and projected {events} events"),
    }
}

/// A number of things, which is never beyond an `i64`.
pub(super) fn count(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}
