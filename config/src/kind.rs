//! What values a setting takes: how they are told to people, read from text, and checked.
//!
//! Invariant: a value that [`Kind::accept`] let through deserialises into the setting's type.

use std::time::Duration;

use crate::duration;

/// The names of signals a service can be stopped with, without `SIG`.
pub(crate) const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The longest duration: beyond it the addition to a clock could overflow.
const LONGEST: Duration = Duration::from_secs(366 * 86400);

/// A value as a layer gave it, or as [`Kind::accept`] normalised it.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    /// Found in a file where no setting takes it: a date, a float or a table.
    Other(&'static str),
}

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text without white space, not empty.
    Word,
    /// Letters, digits, `.`, `_` and `-`, a letter or digit first.
    Name,
    /// A host name or an IP address.
    Host,
    /// `host:port`.
    Address,
    /// An absolute path.
    Path,
    /// Digits, or nothing.
    Digits,
    /// `true` or `false`.
    Boolean,
    /// A whole number between the two, both included.
    Integer(i64, i64),
    /// A time with its unit, this many milliseconds at least.
    Duration(u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The name of a signal.
    Signal,
    /// An OMERO property's value: text, or a number or boolean that stands for its text.
    Property,
    /// A list of such values.
    List(&'static Kind),
}

impl Kind {
    /// The kind in words, as the reference page and errors tell it.
    pub fn in_words(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Word => "text without spaces, not empty".to_owned(),
            Self::Name => {
                "a name of letters, digits, \".\", \"_\" and \"-\" that starts with a letter or digit"
                    .to_owned()
            }
            Self::Host => "a host name or an IP address".to_owned(),
            Self::Address => "an address HOST:PORT".to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Digits => "digits, or empty text".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer(least, most) if most >= i64::from(u32::MAX) => {
                format!("a whole number, at least {least}")
            }
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration(0) => "a duration such as 250ms, 10s, 5m or 2h".to_owned(),
            Self::Duration(least) => {
                format!(
                    "a duration such as 250ms, 10s, 5m or 2h, at least {}",
                    duration::display(Duration::from_millis(least))
                )
            }
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", words.join(", "))
            }
            Self::Signal => "the name of a signal such as TERM, INT or QUIT".to_owned(),
            Self::Property => "text".to_owned(),
            Self::List(Self::Path) => "a list of absolute paths, [\"/a\", \"/b\"]".to_owned(),
            Self::List(Self::Address) => "a list of addresses, [\"HOST:PORT\"]".to_owned(),
            Self::List(Self::Name) => "a list of names, [\"a\", \"b\"]".to_owned(),
            Self::List(_) => "a list of texts, [\"a\", \"b\"]".to_owned(),
        }
    }

    /// Reads text of a variable or of the command line: TOML where this kind wants something else than text.
    pub(crate) fn read(self, text: &str) -> Value {
        match self {
            Self::Integer(..) => {
                text.trim().parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Integer)
            }
            Self::Boolean => match text.trim() {
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                _ => Value::Text(text.to_owned()),
            },
            Self::List(_) => match text.trim().parse::<toml_edit::Value>() {
                Ok(value) => Value::from_toml(&value),
                Err(_) => Value::Text(text.to_owned()),
            },
            _ => Value::Text(text.to_owned()),
        }
    }

    /// The value in the form the setting's type is read from.
    ///
    /// # Errors
    /// What was expected and, unless `secret`, what was found.
    pub(crate) fn accept(self, value: Value, secret: bool) -> Result<Value, String> {
        if let (Self::Property, Value::Integer(_) | Value::Boolean(_)) = (self, &value) {
            return Ok(Value::Text(value.shown()));
        }
        let shown = value.found(secret);
        match self.accepted(value, secret) {
            Ok(value) => Ok(value),
            Err(Some(reason)) => Err(reason),
            Err(None) => Err(format!("expected {}, found {shown}", self.in_words())),
        }
    }

    fn accepted(self, value: Value, secret: bool) -> Result<Value, Option<String>> {
        match (self, value) {
            (Self::Boolean, value @ Value::Boolean(_)) => Ok(value),
            (Self::Integer(least, most), Value::Integer(number)) if (least..=most).contains(&number) => {
                Ok(Value::Integer(number))
            }
            (Self::List(kind), Value::List(values)) => values
                .into_iter()
                .map(|value| kind.accept(value, secret).map_err(Some))
                .collect::<Result<_, _>>()
                .map(Value::List),
            (Self::Boolean | Self::Integer(..) | Self::List(_), _) => Err(None),
            (_, Value::Text(text)) if text.contains('\0') => {
                Err(Some("holds a NUL character; remove it".to_owned()))
            }
            (kind, Value::Text(text)) => kind.accepted_text(text),
            _ => Err(None),
        }
    }

    fn accepted_text(self, text: String) -> Result<Value, Option<String>> {
        let valid = match self {
            Self::Word => !text.is_empty() && !text.contains(char::is_whitespace),
            Self::Name => is_name(&text),
            Self::Host => is_host(&text),
            Self::Address => parse_address(&text).is_some(),
            Self::Path => text.starts_with('/') && text.len() < 4096,
            Self::Digits => text.chars().all(|character| character.is_ascii_digit()) && text.len() <= 5,
            Self::Duration(least) => match duration::parse(&text) {
                Ok(time) if time > LONGEST => return Err(Some(format!("\"{text}\" is longer than a year"))),
                Ok(time) => time >= Duration::from_millis(least),
                Err(reason) => return Err(Some(reason)),
            },
            Self::Choice(words) => {
                if let Some(word) = words.iter().find(|word| **word == text) {
                    return Ok(Value::Text((*word).to_owned()));
                }
                let hint = crate::nearest::nearest(&text, words.iter().copied());
                let hint = hint.map_or(String::new(), |word| format!("; did you mean \"{word}\"?"));
                return Err(Some(format!("expected {}, found \"{text}\"{hint}", self.in_words())));
            }
            Self::Signal => {
                let upper = text.to_ascii_uppercase();
                let name = upper.strip_prefix("SIG").unwrap_or(&upper);
                if SIGNALS.contains(&name) {
                    return Ok(Value::Text(name.to_owned()));
                }
                let hint = crate::nearest::nearest(name, SIGNALS);
                let hint = hint.map_or(String::new(), |name| format!("; did you mean \"{name}\"?"));
                return Err(Some(format!("expected {}, found \"{text}\"{hint}", self.in_words())));
            }
            _ => true,
        };
        if valid { Ok(Value::Text(text)) } else { Err(None) }
    }
}

impl Value {
    /// The value of a TOML document.
    pub(crate) fn from_toml(value: &toml_edit::Value) -> Self {
        match value {
            toml_edit::Value::String(text) => Self::Text(text.value().clone()),
            toml_edit::Value::Integer(number) => Self::Integer(*number.value()),
            toml_edit::Value::Boolean(truth) => Self::Boolean(*truth.value()),
            toml_edit::Value::Array(values) => Self::List(values.iter().map(Self::from_toml).collect()),
            toml_edit::Value::Float(_) => Self::Other("a number with a fraction"),
            toml_edit::Value::Datetime(_) => Self::Other("a date"),
            toml_edit::Value::InlineTable(_) => Self::Other("a table"),
        }
    }

    /// As it is written for a reader; text without quotes.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(truth) => truth.to_string(),
            Self::Other(what) => (*what).to_owned(),
            Self::List(values) => {
                let values: Vec<String> = values
                    .iter()
                    .map(|value| match value {
                        Self::Text(text) => format!("{text:?}"),
                        value => value.shown(),
                    })
                    .collect();
                format!("[{}]", values.join(", "))
            }
        }
    }

    /// What an error says was found: never the text of a secret, never a page of it.
    fn found(&self, secret: bool) -> String {
        match self {
            Self::Text(_) if secret => "a text".to_owned(),
            Self::Text(text) if text.chars().count() > 80 => "a long text".to_owned(),
            Self::Text(text) => format!("the text {:?}", crate::mask_urls(text)),
            Self::Integer(_) if secret => "a number".to_owned(),
            Self::Integer(number) => format!("the number {number}"),
            Self::Boolean(truth) => truth.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        }
    }

    /// The value as a layer for figment holds it.
    pub(crate) fn for_figment(&self) -> figment::value::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Boolean(truth) => (*truth).into(),
            Self::List(values) => values.iter().map(Self::for_figment).collect::<Vec<_>>().into(),
            Self::Other(what) => (*what).into(),
        }
    }
}

/// Whether a name can be a file name, an Ice property and a word of a command line at once.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|character: char| character.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-'))
}

/// Whether OMERO takes a property of this name.
pub(crate) fn is_property_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-'))
}

fn is_host(text: &str) -> bool {
    text.len() <= 253
        && !text.starts_with('-')
        && !text.is_empty()
        && text.chars().all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | ':' | '%')
        })
        && (!text.contains(':')
            || text.split('%').next().is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()))
}

/// Host and port of `host:port` or `[IPv6 address]:port`; `None` for anything else and for port 0.
pub fn parse_address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
        None if host.contains(':') => return None,
        None => host,
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    is_host(host).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, parsed) in [
            ("master:4061", Some(("master", 4061))),
            ("10.0.0.1:22", Some(("10.0.0.1", 22))),
            ("[::1]:5432", Some(("::1", 5432))),
            ("[fe80::1%eth0]:22", Some(("fe80::1%eth0", 22))),
            ("::1:22", None),
            ("[master]:22", None),
            ("master", None),
            ("master:", None),
            ("master:0", None),
            ("master:65536", None),
            ("master:+1", None),
            (":22", None),
            ("mas ter:22", None),
            ("http://master:22", None),
        ] {
            assert_eq!(parse_address(text), parsed, "{text}");
        }
    }

    #[test]
    fn each_kind_says_what_it_expects() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases: [(Kind, Value, &str); 12] = [
            (Kind::Boolean, text("yes"), "expected true or false, found the text \"yes\""),
            (
                Kind::Integer(1, 65535),
                Value::Integer(0),
                "expected a whole number from 1 to 65535, found the number 0",
            ),
            (
                Kind::Integer(1, 65535),
                text("4062"),
                "expected a whole number from 1 to 65535, found the text \"4062\"",
            ),
            (Kind::Path, text("etc/x"), "expected an absolute path, found the text \"etc/x\""),
            (
                Kind::Choice(&["internal", "external"]),
                text("externel"),
                "expected one of \"internal\", \"external\", found \"externel\"; did you mean \"external\"?",
            ),
            (
                Kind::Signal,
                text("SIGTREM"),
                "expected the name of a signal such as TERM, INT or QUIT, found \"SIGTREM\"; did you mean \"TERM\"?",
            ),
            (
                Kind::Duration(1),
                text("10"),
                "\"10\" is not a duration: write a number and its unit, as 250ms, 10s, 5m, 2h or 1d",
            ),
            (
                Kind::Duration(1),
                text("0s"),
                "expected a duration such as 250ms, 10s, 5m or 2h, at least 1ms, found the text \"0s\"",
            ),
            (Kind::Duration(0), text("999d"), "\"999d\" is longer than a year"),
            (
                Kind::List(&Kind::Text),
                text("a"),
                "expected a list of texts, [\"a\", \"b\"], found the text \"a\"",
            ),
            (Kind::Text, Value::Other("a date"), "expected text, found a date"),
            (Kind::Text, text("a\0b"), "holds a NUL character; remove it"),
        ];
        for (kind, value, message) in cases {
            assert_eq!(kind.accept(value, false).err().as_deref(), Some(message), "{kind:?}");
        }
        assert_eq!(
            Kind::Path.accept(text("hunter2"), true).err().as_deref(),
            Some("expected an absolute path, found a text")
        );
    }

    #[test]
    fn a_signal_is_taken_with_or_without_sig() {
        for typed in ["TERM", "SIGTERM", "term"] {
            let accepted = Kind::Signal.accept(Value::Text(typed.to_owned()), false);
            assert!(accepted == Ok(Value::Text("TERM".to_owned())), "{typed}");
        }
    }
}
