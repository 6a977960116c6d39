//! How pages say things: moments, lengths of time, phases.

use biomero_events::timestamp::Timestamp;
use maud::{Markup, html};
use time::OffsetDateTime;

/// A moment; the script writes it in the reader's own time.
pub(super) fn moment(moment: OffsetDateTime) -> Markup {
    let moment = moment.to_offset(time::UtcOffset::UTC);
    let (hour, minute, _) = moment.time().as_hms();
    let date = moment.date();
    html! {
        time datetime=(Timestamp::from_time(moment)) {
            (date.year()) "-" (format!("{:02}", u8::from(date.month()))) "-" (format!("{:02}", date.day()))
            " " (format!("{hour:02}:{minute:02}")) " UTC"
        }
    }
}

/// The same of a text that an answer has.
pub(super) fn moment_of(text: &str) -> Option<OffsetDateTime> {
    text.parse::<Timestamp>().ok().map(|timestamp| timestamp.as_time())
}

/// A length of time: `7 s`, `3 min`, `2 h 5 min`, `4 d 2 h`.
pub(super) fn length(seconds: f64) -> String {
    // What is no number, or below none, is none.
    let whole = seconds.max(0.0) as u64;
    match whole {
        0 if seconds >= 0.05 => format!("{seconds:.1} s"),
        0 if seconds > 0.0 => "under 0.1 s".to_owned(),
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// A phase as a word with a colour and a sign of its own: colour alone tells nobody.
pub(super) fn phase(phase: &str) -> Markup {
    html! { span .phase.(tone(phase)) { (phase.to_lowercase()) } }
}

/// How it is meant.
pub(super) fn tone(phase: &str) -> &'static str {
    match phase {
        "DONE" | "COMPLETED" => "good",
        "FAILED" | "TIMEOUT" | "OUT_OF_MEMORY" | "NODE_FAIL" => "bad",
        "CANCELLED" | "CANCELLING" => "off",
        "INITIALIZING" | "PENDING" => "waiting",
        _ => "busy",
    }
}

/// OMERO's id, of which -1 is none.
pub(super) fn omero(id: i64) -> String {
    if id < 0 { "—".to_owned() } else { id.to_string() }
}

/// As much of a text as a page has room for, whole letters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_as_people_say_them() {
        for (seconds, told) in [
            (0.0, "0 s"),
            (0.25, "0.2 s"),
            (0.02, "under 0.1 s"),
            (59.9, "59 s"),
            (61.0, "1 min 1 s"),
            (7_260.0, "2 h 1 min"),
            (180_000.0, "2 d 2 h"),
            (-3.0, "0 s"),
            (f64::NAN, "0 s"),
        ] {
            assert_eq!(length(seconds), told, "{seconds}");
        }
    }

    #[test]
    fn what_is_long_is_cut_between_letters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöü", 2), "äö…");
    }

    #[test]
    fn a_phase_is_text_whatever_it_holds() {
        let markup = phase("<script>").into_string();
        assert!(markup.contains("&lt;script&gt;") && !markup.contains("<script>"), "{markup}");
    }
}
