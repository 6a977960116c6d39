//! `init`'s own lines, on standard error: for a reader, or one JSON object a line.
//!
//! No filter expressions, no regular expressions: one level, set once. Standard output belongs to the services.

use std::fmt;
use std::io::IsTerminal as _;

use biomero_config::{Log, LogFormat, LogLevel};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Sends all events from now on to standard error. A second call changes nothing.
pub(crate) fn install(log: &Log) {
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level(log.level));
    // Refused only when there is a subscriber already: then that one stays.
    let _ = match log.format {
        LogFormat::Human => {
            let colour = std::io::stderr().is_terminal();
            tracing::subscriber::set_global_default(builder.with_ansi(colour).event_format(Human).finish())
        }
        LogFormat::Json => tracing::subscriber::set_global_default(
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish(),
        ),
    };
}

const fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// `init: warning: message key=value`. The level is left out where it says nothing: for what is going on as it should.
struct Human;

impl<S, N> FormatEvent<S, N> for Human
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
        let (word, colour) = match *event.metadata().level() {
            Level::ERROR => ("error: ", "\x1b[31m"),
            Level::WARN => ("warning: ", "\x1b[33m"),
            Level::INFO => ("", ""),
            Level::DEBUG => ("debug: ", "\x1b[2m"),
            Level::TRACE => ("trace: ", "\x1b[2m"),
        };
        let colour = if writer.has_ansi_escapes() { colour } else { "" };
        let end = if colour.is_empty() { "" } else { "\x1b[0m" };
        let mut line = Line::default();
        event.record(&mut line);
        writeln!(writer, "init: {colour}{word}{end}{}{}", line.message, line.fields)
    }
}

/// The parts of one line. A field `service` or `hook` goes before the message: it says whose line it is.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        // Control characters of a foreign text would let it forge lines.
        let value: String =
            value.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
        match field.name() {
            "message" => self.message.push_str(&value),
            "service" | "hook" => self.message.insert_str(0, &format!("{value}: ")),
            name => self.fields.push_str(&format!(" {name}={value}")),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_for_a_reader_names_whose_it_is_and_how_bad_and_cannot_be_forged() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(Human)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("all services are ready");
            tracing::warn!(service = "node", pid = 7, "exited with code {}", 3);
            tracing::error!(hook = "wait", "said \"a\nb\"");
        });
        insta::assert_snapshot!(String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap(), @r#"
        init: all services are ready
        init: warning: node: exited with code 3 pid=7
        init: error: wait: said "a b"
        "#);
    }
}
