//! What the library says while it works, on standard error: warnings, and with `--verbose` each retry too; of what serves, also
//! what it does.

use std::fmt;

use biomero_config::LogFormat;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::output::inert;

/// Sends all events from now on to standard error.
pub(crate) fn install(verbose: bool, serves: bool) {
    let level = match (verbose, serves) {
        (true, _) => LevelFilter::DEBUG,
        (false, true) => LevelFilter::INFO,
        (false, false) => LevelFilter::WARN,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .event_format(Lines)
        .finish();
    // Refused only when there is a subscriber already: then that one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The same for what runs for long and alone: each step too, with the time, or as JSON, an object a line.
pub(crate) fn install_for_service(format: LogFormat, verbose: bool) {
    let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
    // As above.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().with_target(false).finish()),
        LogFormat::Human => tracing::subscriber::set_global_default(lines.event_format(TimedLines).finish()),
    };
}

/// `2026-11-22T10:00:00.000000Z processor: warning: message`.
struct TimedLines;

impl<S, N> FormatEvent<S, N> for TimedLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        writer.write_char(' ')?;
        Lines.format_event(context, writer, event)
    }
}

/// `processor: warning: message`, as errors are told.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let word = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut message = Message::default();
        event.record(&mut message);
        writeln!(writer, "processor: {word}: {}", inert(&message.0))
    }
}

/// The message; no event of ours has other fields that people need.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
