//! `processor events select`: `notification_log.select(start, limit)`.

use biomero_events::stored::Notification;

use super::Opened;
use super::row::{Row, columns};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;

/// How many rows are asked for at a time, so that any limit takes the same memory.
const PORTION: u32 = 1_000;

/// Which rows.
pub(super) struct Asked<'a> {
    pub(super) start: i64,
    pub(super) limit: u64,
    pub(super) topics: &'a [String],
}

/// Shows rows in their order.
pub(super) async fn run(opened: &Opened, asked: Asked<'_>, answer: &mut Answer) -> Result<u8, Ended> {
    let table = columns();
    let Asked { mut start, limit: mut wanted, topics } = asked;
    let mut shown = 0;
    while wanted > 0 {
        // With a filter as many as there are, and of those the ones that are wanted.
        let portion =
            if topics.is_empty() { u32::try_from(wanted).unwrap_or(PORTION).min(PORTION) } else { PORTION };
        let rows = opened.told(opened.log.select(start, portion).await).await?;
        let is_last = rows.len() < portion as usize;
        start = rows.last().map_or(start, |row| row.id.saturating_add(1));
        for notification in rows
            .into_iter()
            .filter(|row| is_of(row, topics))
            .take(usize::try_from(wanted).unwrap_or(usize::MAX))
        {
            let row = Row::from(notification);
            if answer.is_json() {
                answer.object(row.object())?;
            } else {
                if shown == 0 {
                    table.write_head(answer)?;
                }
                table.write_row(&row.cells(), answer)?;
            }
            shown += 1;
            wanted -= 1;
        }
        if is_last {
            break;
        }
    }
    if shown == 0 && !answer.is_json() {
        answer.line(format!("no events from id {} on in {}", asked.start, opened.log.place()))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// Whether it is one of the topics, each written whole, without the module, or as the class or the event alone.
pub(super) fn is_of(row: &Notification, topics: &[String]) -> bool {
    let name = row.topic.rsplit_once(':').map_or(row.topic.as_str(), |(_, name)| name);
    let is_it =
        |topic: &String| *topic == row.topic || topic == name || name.split('.').any(|part| part == topic);
    topics.is_empty() || topics.iter().any(is_it)
}
