//! A moment as people write it on a command line or in a configuration.

use biomero_events::timestamp::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::ended::Ended;

/// The moment that `origin` wrote.
pub(super) fn moment(text: &str, origin: &str) -> Result<Timestamp, Ended> {
    let no_moment = || Ended::Since { origin: origin.to_owned(), text: text.chars().take(60).collect() };
    read(text, OffsetDateTime::now_utc()).ok_or_else(no_moment)
}

/// A number of days before now, a day, or a moment.
fn read(text: &str, now: OffsetDateTime) -> Option<Timestamp> {
    if let Some(days) = text.strip_suffix('d') {
        let days: u32 = days.parse().ok()?;
        return now.checked_sub(Duration::days(days.into())).map(Timestamp::from_time);
    }
    text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_every_way_it_is_written() {
        let now = "2026-11-22T10:00:00Z".parse::<Timestamp>().expect("a moment").as_time();
        for (text, expected) in [
            ("2026-11-01", Some("2026-11-01T00:00:00+00:00")),
            ("2026-11-01T10:00:00+01:00", Some("2026-11-01T10:00:00+01:00")),
            ("2026-11-01 10:00:00", Some("2026-11-01T10:00:00+00:00")),
            ("30d", Some("2026-10-23T10:00:00+00:00")),
            ("4000000000d", None),
            ("-1d", None),
            ("yesterday", None),
        ] {
            assert_eq!(read(text, now).map(|moment| moment.to_string()).as_deref(), expected, "{text}");
        }
    }
}
