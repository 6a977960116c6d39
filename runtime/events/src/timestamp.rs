//! Moments, as Python's `datetime.isoformat()` writes them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

/// A moment to the microsecond, with the offset from UTC that it was written with.
///
/// Written as `2026-11-22T19:11:22.614386+00:00`, without the fraction when that is zero, as `datetime.isoformat()` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

/// A text that is no moment.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("`{text}` is not a moment like 2026-11-22T19:11:22.614386+00:00")]
pub struct InvalidTimestamp {
    text: String,
}

impl Timestamp {
    /// This moment, by the machine's clock, in UTC.
    pub fn now() -> Self {
        Self(to_microseconds(OffsetDateTime::now_utc()))
    }

    /// As the `time` crate has it.
    pub const fn as_time(self) -> OffsetDateTime {
        self.0
    }

    /// From the `time` crate; anything below a microsecond is dropped.
    pub fn from_time(moment: OffsetDateTime) -> Self {
        Self(to_microseconds(moment))
    }
}

fn to_microseconds(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_microsecond(moment.microsecond()).unwrap_or(moment)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = self.0;
        let (hour, minute, second) = moment.time().as_hms();
        write!(
            formatter,
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}",
            moment.year(),
            u8::from(moment.month()),
            moment.day()
        )?;
        if moment.microsecond() != 0 {
            write!(formatter, ".{:06}", moment.microsecond())?;
        }
        let (hours, minutes, seconds) = moment.offset().as_hms();
        let sign = if moment.offset().is_negative() { '-' } else { '+' };
        write!(formatter, "{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())?;
        if seconds != 0 {
            write!(formatter, ":{:02}", seconds.unsigned_abs())?;
        }
        Ok(())
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// `YYYY-MM-DD`, `T` or a space, `HH:MM:SS`, a fraction of up to nine digits or none, `Z` or an offset; a moment
    /// without an offset is in UTC.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidTimestamp { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let year = number(text.get(0..4)?)?;
    let month: u8 = number(after(text, 4, "-", 2)?)?;
    let day = number(after(text, 7, "-", 2)?)?;
    matches!(text.get(10..11)?, "T" | "t" | " ").then_some(())?;
    let hour = number(text.get(11..13)?)?;
    let minute = number(after(text, 13, ":", 2)?)?;
    let second = number(after(text, 16, ":", 2)?)?;
    let rest = text.get(19..)?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("0", rest),
    };
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let microsecond = number(format!("{fraction:0<6}").get(..6)?)?;
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let time = Time::from_hms_micro(hour, minute, second, microsecond).ok()?;
    Some(Timestamp(date.with_time(time).assume_offset(parse_offset(offset)?)))
}

fn parse_offset(text: &str) -> Option<UtcOffset> {
    if matches!(text, "" | "Z" | "z") {
        return Some(UtcOffset::UTC);
    }
    let sign: i8 = match text.get(0..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let hours: i8 = number(text.get(1..3)?)?;
    let minutes: i8 = number(after(text, 3, ":", 2)?)?;
    let seconds: i8 = match text.get(6..)? {
        "" => 0,
        rest if rest.len() == 3 => number(after(rest, 0, ":", 2)?)?,
        _ => return None,
    };
    UtcOffset::from_hms(sign * hours, sign * minutes, sign * seconds).ok()
}

/// The `length` bytes after a separator at `at`.
fn after<'a>(text: &'a str, at: usize, separator: &str, length: usize) -> Option<&'a str> {
    text.get(at..)?.strip_prefix(separator)?.get(..length)
}

/// Digits alone: no sign, as `parse` would take.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_python_writes_comes_out_again() {
        for text in [
            "2026-11-22T19:11:22.614386+00:00",
            "2026-11-22T19:11:22+00:00",
            "2026-11-22T19:11:22.000001+05:30",
            "1999-01-01T00:00:00-00:30",
            "1900-01-01T00:00:00+00:19:32",
        ] {
            assert_eq!(text.parse::<Timestamp>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn other_ways_to_write_a_moment_are_read() {
        for text in ["2026-11-22T19:11:22Z", "2026-11-22 19:11:22", "2026-11-22T19:11:22.000000000+00:00"] {
            assert_eq!(text.parse::<Timestamp>().expect(text).to_string(), "2026-11-22T19:11:22+00:00");
        }
        assert_eq!(
            "2026-11-22T19:11:22.5Z".parse::<Timestamp>().expect("tenths").to_string(),
            "2026-11-22T19:11:22.500000+00:00"
        );
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T19:11:22.+00:00",
            "2026-11-22T+1:11:22Z",
            "2026-11-22T19:11:22+99:00",
            "2026-11-22é19:11:22",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(microseconds in -62_000_000_000_000_000_i64..253_000_000_000_000_000) {
            let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1000).expect("a moment");
            let moment = Timestamp::from_time(moment);
            prop_assert_eq!(moment.to_string().parse::<Timestamp>(), Ok(moment));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = text.parse::<Timestamp>();
        }
    }
}
