//! `processor events export`: the whole log as text, from which every byte can be made again.
//!
//! A state is JSON and so text. Where it is none, or begins with `\x`, it is written as `\x` and two digits a byte, as
//! PostgreSQL writes a `bytea`: no two states are written alike.

use std::borrow::Cow;

use biomero_events::json::Value;
use biomero_events::rebuild::Progress;
use biomero_events::stored::Notification;

use super::Opened;
use super::row::hexadecimal;
use crate::command_line::Format;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::progress::Bar;

/// How many rows are held at a time.
const PORTION: u32 = 1_000;

/// Writes all rows.
pub(super) async fn run(opened: &Opened, format: Format, answer: &mut Answer) -> Result<u8, Ended> {
    let bar = Bar::new("exporting");
    let total = if bar.is_seen() { opened.told(opened.log.standing().await).await?.last_id } else { 0 };
    let mut start = 1;
    if format == Format::Csv {
        answer.line("id,originator_id,originator_version,topic,state\r")?;
    }
    loop {
        let rows = opened.told(opened.log.select(start, PORTION).await).await?;
        for row in &rows {
            answer.line(line(row, format))?;
        }
        let Some(last) = rows.last().map(|row| row.id) else { break };
        bar.at(Progress { done: last, total: total.max(last) });
        start = last.saturating_add(1);
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

fn line(row: &Notification, format: Format) -> String {
    let Notification { id, originator_id, originator_version, topic, state } = row;
    match format {
        Format::Jsonl => Value::from([
            ("id", (*id).into()),
            ("originator_id", originator_id.to_string().into()),
            ("originator_version", (*originator_version).into()),
            ("topic", topic.as_str().into()),
            ("state", text(state).as_ref().into()),
        ])
        .to_string(),
        // RFC 4180: its lines end in CR LF.
        Format::Csv => {
            format!("{id},{originator_id},{originator_version},{},{}\r", quoted(topic), quoted(&text(state)))
        }
        Format::Psv => {
            format!("{id}|{originator_id}|{originator_version}|{}|{}", escaped(topic), hexadecimal(state))
        }
    }
}

fn text(state: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(state) {
        Ok(text) if !text.starts_with("\\x") => Cow::Borrowed(text),
        _ => Cow::Owned(format!("\\x{}", hexadecimal(state))),
    }
}

fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains(['"', ',', '\r', '\n']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

/// As `COPY` writes what would end a field or a line. No topic of biomero's has any of it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn row(topic: &str, state: &[u8]) -> Notification {
        Notification {
            id: 7,
            originator_id: Uuid::from_u128(1),
            originator_version: 0,
            topic: topic.to_owned(),
            state: state.to_vec(),
        }
    }

    const PLACE: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn each_format_has_its_own_quoting() {
        let row = row("m:T.E", "{\"a\": \"é\\n\"}".as_bytes());
        assert_eq!(
            line(&row, Format::Jsonl),
            format!(
                r#"{{"id":7,"originator_id":"{PLACE}","originator_version":0,"topic":"m:T.E","state":"{{\"a\": \"é\\n\"}}"}}"#
            )
        );
        assert_eq!(line(&row, Format::Csv), format!("7,{PLACE},0,m:T.E,\"{{\"\"a\"\": \"\"é\\n\"\"}}\"\r"));
        assert_eq!(line(&row, Format::Psv), format!("7|{PLACE}|0|m:T.E|7b2261223a2022c3a95c6e227d"));
    }

    #[test]
    fn what_is_no_text_is_written_as_bytes_and_cannot_be_taken_for_text() {
        assert_eq!(text(b"\xff{"), "\\xff7b");
        assert_eq!(text(b"\\xff7b"), "\\x5c78666637 62".replace(' ', ""));
        assert_eq!(line(&row("a|b\nc\\", b""), Format::Psv), format!("7|{PLACE}|0|a\\|b\\nc\\\\|"));
    }
}
