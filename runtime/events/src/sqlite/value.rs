//! Ids and moments as Python's SQLAlchemy keeps them in SQLite, so that either side reads the other's.
//!
//! An id is 32 hexadecimal digits, as people see it in the `sqlite3` shell; only the log's `originator_id` is of 16 bytes.
//! A moment is a text in UTC, `2026-11-22 19:11:22.614386`, which SQLite's own functions understand. What is read is taken
//! as it comes: a row that somebody made by hand does not stop the rest.

use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::stored::Notification;
use crate::timestamp::Timestamp;

/// An id outside of the log.
pub(super) fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

/// An id that was written as text or as bytes.
pub(super) struct Id(pub(super) Uuid);

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        uuid(value).map(Self).ok_or(FromSqlError::InvalidType)
    }
}

/// A moment that was written as text.
pub(super) struct Moment(pub(super) OffsetDateTime);

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let moment: Timestamp = value.as_str()?.parse().map_err(FromSqlError::other)?;
        Ok(Self(moment.as_time()))
    }
}

/// An id, whichever way it was written.
pub(super) fn uuid(value: ValueRef<'_>) -> Option<Uuid> {
    match value {
        ValueRef::Blob(bytes) => Uuid::from_slice(bytes).ok(),
        ValueRef::Text(text) => Uuid::try_parse_ascii(text).ok(),
        _ => None,
    }
}

/// A moment, in UTC and always with its microseconds: texts are in the order of what they say.
pub(super) fn wall_time(moment: OffsetDateTime) -> String {
    let moment = moment.to_offset(time::UtcOffset::UTC);
    let (hour, minute, second) = moment.time().as_hms();
    format!(
        "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}.{:06}",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.microsecond()
    )
}

/// A row of the log: `id`, `originator_id`, `originator_version`, `topic`, `state`.
pub(super) fn notification(row: &Row<'_>) -> rusqlite::Result<Notification> {
    let mut wrong = None;
    let originator_id = uuid(row.get_ref(1)?).unwrap_or_else(|| {
        wrong = Some("(no event: its originator_id is no UUID)");
        Uuid::nil()
    });
    let originator_version = row.get_ref(2)?.as_i64().unwrap_or_else(|_| {
        wrong = Some("(no event: its originator_version is no number)");
        -1
    });
    let topic = match (wrong, row.get_ref(3)?) {
        (Some(wrong), _) => wrong.to_owned(),
        (None, topic) => String::from_utf8_lossy(bytes(topic)).into_owned(),
    };
    Ok(Notification {
        id: row.get(0)?,
        originator_id,
        originator_version,
        topic,
        state: bytes(row.get_ref(4)?).to_vec(),
    })
}

fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_is_in_utc_and_as_long_as_any_other() {
        for (moment, expected) in [
            ("2026-11-22T19:11:22.614386+00:00", "2026-11-22 19:11:22.614386"),
            ("2026-11-22T19:11:22+05:30", "2026-11-22 13:41:22.000000"),
        ] {
            let moment: Timestamp = moment.parse().expect("a moment");
            assert_eq!(wall_time(moment.as_time()), expected);
        }
    }
}
