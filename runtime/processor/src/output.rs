//! Standard output and standard error.
//!
//! Invariants: an answer that cannot be written ends the command, and quietly where its reader has gone; nothing that
//! comes from the log can draw on the terminal or begin a line of its own.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use biomero_config::Environment;
use biomero_events::json::Value;

use crate::ended::Ended;

/// Where answers go.
pub(crate) struct Answer {
    output: BufWriter<Stdout>,
    json: bool,
    colour: bool,
    width: Option<usize>,
}

impl Answer {
    /// Standard output; for programs where `json` says so.
    pub(crate) fn new(json: bool, environment: &Environment) -> Self {
        let output = io::stdout();
        let terminal = output.is_terminal();
        let no_colour = environment.get_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || environment.get("TERM") == Some("dumb");
        let width = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        Self {
            output: BufWriter::new(output),
            json,
            colour: terminal && !no_colour,
            width: width.filter(|width| terminal && *width > 0),
        }
    }

    /// Whether the answer is for a program.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// How wide a line may be; without an end where nobody looks.
    pub(crate) const fn width(&self) -> usize {
        match self.width {
            Some(width) => width,
            None => usize::MAX,
        }
    }

    /// Whether there are colours.
    pub(crate) const fn colour(&self) -> bool {
        self.colour
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), Ended> {
        self.output.write_all(line.as_ref().as_bytes())?;
        Ok(self.output.write_all(b"\n")?)
    }

    /// Writes an object for a program, a line of its own.
    pub(crate) fn object(&mut self, value: Value) -> Result<(), Ended> {
        self.line(strict(value).to_string())
    }

    /// Writes what a server has answered, a line of its own.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> Result<(), Ended> {
        self.line(value.to_string())
    }

    /// Hands over what was written: at the end, and where one waits for more.
    pub(crate) fn flush(&mut self) -> Result<(), Ended> {
        Ok(self.output.flush()?)
    }
}

/// JSON has no `NaN` and no `Infinity`, which Python writes: they become strings.
pub(crate) fn strict(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_str().ends_with(|letter: char| letter.is_ascii_alphabetic()) => {
            Value::String(number.as_str().to_owned())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(strict).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, strict(value))).collect())
        }
        other => other,
    }
}

/// A text of others as part of a line.
pub(crate) fn inert(text: &str) -> Cow<'_, str> {
    let is_active = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut inert = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_active(letter) {
            inert.extend(letter.escape_default());
        } else {
            inert.push(letter);
        }
    }
    Cow::Owned(inert)
}

/// Writes what went wrong, one `processor: error:` per line of the message.
pub(crate) fn error(message: impl std::fmt::Display) {
    complain("error", &message.to_string());
}

/// Writes what goes on, for whoever looks on.
pub(crate) fn note(message: impl std::fmt::Display) {
    let mut output = io::stderr().lock();
    for line in message.to_string().lines() {
        let _ = writeln!(output, "{}", inert(line));
    }
}

/// Writes what may help.
pub(crate) fn hint(message: impl std::fmt::Display) {
    complain("hint", &message.to_string());
}

fn complain(severity: &str, message: &str) {
    let mut output = io::stderr().lock();
    for line in message.lines() {
        let _ = writeln!(output, "processor: {severity}: {}", inert(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_holds_cannot_draw_on_the_terminal() {
        assert_eq!(inert("plain für 日本"), "plain für 日本");
        assert_eq!(inert("a\nb\u{1b}[2J\u{9b}\u{202e}"), "a\\nb\\u{1b}[2J\\u{9b}\\u{202e}");
    }

    #[test]
    fn what_json_has_not_is_a_string() {
        let value = Value::read(r#"{"a":[NaN,-Infinity,1e400,12345678901234567890,-0.0]}"#)
            .expect("as Python reads it");
        assert_eq!(strict(value).to_string(), r#"{"a":["NaN","-Infinity",1e400,12345678901234567890,-0.0]}"#);
    }
}
