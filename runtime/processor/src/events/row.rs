//! One row of the log, as a line for people and as an object for programs.

use biomero_events::event::{Event, Fact, uuid_of};
use biomero_events::json::{Object, Value};
use biomero_events::stored::{Corrupt, Notification};
use biomero_events::timestamp::Timestamp;

use crate::table::{Cell, Table, Tone, shortened};

/// A value of a field is shown up to this width; programs get it whole.
const VALUE: usize = 160;

/// A row and what it says.
pub(super) struct Row {
    pub(super) notification: Notification,
    pub(super) event: Result<Event, Corrupt>,
    /// What is wrong with its place among the events of its originator, where those are known.
    pub(super) misplaced: Option<Corrupt>,
}

impl From<Notification> for Row {
    fn from(notification: Notification) -> Self {
        Self { event: notification.event(), notification, misplaced: None }
    }
}

/// The columns of a list of rows, wide enough for whatever comes.
pub(super) fn columns() -> Table {
    let mut table = Table::new(&[">ID", "TIME (UTC)", "ORIGINATOR", ">V", "EVENT", "WHAT"]);
    let widest: Vec<Cell> =
        ["123456", "2026-11-22 19:11:22", "2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98", "12", "WorkflowInitiated"]
            .map(Cell::from)
            .into();
    table.fit([&widest]);
    table
}

impl Row {
    /// What is wrong with it.
    pub(super) fn corrupt(&self) -> Option<&Corrupt> {
        self.event.as_ref().err().or(self.misplaced.as_ref())
    }

    /// When it happened.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.event.as_ref().ok().map(|event| event.timestamp)
    }

    /// What happened, and how that looks.
    pub(super) fn told(&self) -> (String, Tone) {
        match (&self.event, &self.misplaced) {
            (Ok(event), None) => (what(&event.fact), tone(&event.fact)),
            (Err(corrupt), _) | (_, Some(corrupt)) => (corrupt.to_string(), Tone::Bad),
        }
    }

    /// The row in [`columns`].
    pub(super) fn cells(&self) -> Vec<Cell> {
        let Notification { id, originator_id, originator_version, topic, .. } = &self.notification;
        let (what, tone) = self.told();
        vec![
            id.to_string().into(),
            Cell::new(self.time().map(seconds).unwrap_or_default(), Tone::Faint),
            originator_id.to_string().into(),
            originator_version.to_string().into(),
            Cell::new(short(topic), tone),
            what.into(),
        ]
    }

    /// The row for programs.
    pub(super) fn object(&self) -> Value {
        let Notification { id, originator_id, originator_version, topic, state } = &self.notification;
        let text = str::from_utf8(state).ok();
        let mut members: Object = vec![
            ("id".to_owned(), (*id).into()),
            ("originator_id".to_owned(), originator_id.to_string().into()),
            ("originator_version".to_owned(), (*originator_version).into()),
            ("topic".to_owned(), topic.as_str().into()),
            ("state".to_owned(), text.and_then(|text| Value::read(text).ok()).unwrap_or_default()),
        ];
        if let Some(corrupt) = self.corrupt() {
            members.push(("state_hex".to_owned(), hexadecimal(state).into()));
            members.push(("corrupt".to_owned(), corrupt.reason.to_string().into()));
        }
        Value::Object(members)
    }
}

/// Two digits a byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of an event without the module and the class, which it needs not to be told apart.
pub(super) fn short(topic: &str) -> &str {
    topic.rsplit(['.', ':']).next().unwrap_or(topic)
}

/// A moment to the second, in UTC.
pub(super) fn seconds(moment: Timestamp) -> String {
    let moment = Timestamp::from_time(moment.as_time().to_offset(time::UtcOffset::UTC)).to_string();
    moment.get(..19).unwrap_or(&moment).replacen('T', " ", 1)
}

/// The fields of an event, for people.
pub(super) fn what(fact: &Fact) -> String {
    let fields = fact.fields();
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    fields.join(" ")
}

/// A value that stands alone, for people.
pub(super) fn alone(value: &Value) -> String {
    value.as_str().map_or_else(|| shown(value), |text| shortened(text, VALUE))
}

/// A value among others, for people.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Object(_) => uuid_of(value).map_or_else(|| value.to_string(), |id| id.to_string()),
        other => other.to_string(),
    };
    shortened(&text, VALUE)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '='))
}

/// How an event looks.
pub(super) fn tone(fact: &Fact) -> Tone {
    match fact {
        Fact::WorkflowFailed { .. } | Fact::TaskFailed { .. } => Tone::Bad,
        Fact::WorkflowCompleted {} | Fact::TaskCompleted { .. } => Tone::Good,
        Fact::StatusUpdated { status } => status.as_str().map_or(Tone::Plain, of_state),
        _ => Tone::Plain,
    }
}

/// How a Slurm job's or a workflow's state looks.
pub(super) fn of_state(state: &str) -> Tone {
    let state = state.strip_prefix("JOB_").unwrap_or(state).trim_end_matches('+');
    match state {
        "COMPLETED" | "DONE" => Tone::Good,
        "FAILED" | "CANCELLED" | "TIMEOUT" | "NODE_FAIL" | "BOOT_FAIL" | "DEADLINE" | "PREEMPTED"
        | "REVOKED" => Tone::Bad,
        // What follows the word is who did it, or how the column was cut.
        _ if state.starts_with("FAILED ")
            || state.starts_with("OUT_OF_ME")
            || state.starts_with("CANCELLED") =>
        {
            Tone::Bad
        }
        _ => Tone::Busy,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn row(topic: &str, state: &[u8]) -> Row {
        Notification {
            id: 7,
            originator_id: Uuid::from_u128(1),
            originator_version: 0,
            topic: topic.to_owned(),
            state: state.to_vec(),
        }
        .into()
    }

    #[test]
    fn a_row_for_programs_holds_the_state_as_it_is() {
        let state = br#"{"timestamp":{"_type_":"datetime_iso","_data_":"2026-11-22T19:11:22+00:00"},"status":"RUNNING"}"#;
        assert_eq!(
            row("biomero.eventsourcing:Task.StatusUpdated", state).object().to_string(),
            format!(
                r#"{{"id":7,"originator_id":"00000000-0000-0000-0000-000000000001","originator_version":0,"topic":"biomero.eventsourcing:Task.StatusUpdated","state":{}}}"#,
                String::from_utf8_lossy(state)
            )
        );
    }

    #[test]
    fn a_row_that_is_no_event_keeps_its_bytes_and_says_why() {
        let object = row("biomero.eventsourcing:Task.StatusUpdated", b"\xff{").object();
        assert_eq!(object.get("state_hex"), Some(&"ff7b".into()));
        assert_eq!(object.get("corrupt"), Some(&"the state is not UTF-8".into()));
    }

    #[test]
    fn values_are_shown_so_that_fields_can_be_told_apart() {
        for (value, text) in [
            (Value::from("RUNNING"), "RUNNING"),
            ("two words".into(), "\"two words\""),
            ("".into(), "\"\""),
            (Value::Null, "null"),
            ((-1).into(), "-1"),
            (biomero_events::event::uuid(Uuid::from_u128(1)), "00000000-0000-0000-0000-000000000001"),
        ] {
            assert_eq!(shown(&value), text);
        }
    }
}
