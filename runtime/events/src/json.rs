//! JSON as Python's `json` module writes and reads it.
//!
//! Not a general JSON library, for two reasons: Python writes `NaN` and `Infinity`, which JSON has not, and what it wrote
//! has to come out again byte for byte. So a number stays the text it was, and an object keeps its order.
//! Source: the Python standard library's `json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)`.

use std::fmt::Write as _;

mod read;

pub use read::{Invalid, MAX_DEPTH};

/// A JSON value. Two are equal when they are written alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value {
    /// `null`, Python's `None`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(Number),
    /// A string.
    String(String),
    /// An array, Python's list.
    Array(Vec<Value>),
    /// An object, Python's dict, in its order; of a repeated key the last one counts.
    Object(Object),
}

/// An object's members, in their order.
pub type Object = Vec<(String, Value)>;

/// The text of a number: digits, or `NaN`, `Infinity`, `-Infinity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value, when it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// Its nearest value.
    pub fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    /// The text that `value` has in Python: the shortest one that reads back, with an exponent below 1e-4 and from 1e16 on
    /// (`float.__repr__`).
    pub fn from_f64(value: f64) -> Self {
        if value.is_nan() {
            return Self("NaN".to_owned());
        }
        if value.is_infinite() {
            return Self(if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned());
        }
        let scientific = format!("{value:e}");
        let Some((mantissa, exponent)) = scientific.split_once('e') else {
            return Self(scientific);
        };
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if (-4..16).contains(&exponent) {
            let plain = value.to_string();
            return Self(if plain.contains('.') { plain } else { format!("{plain}.0") });
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        Self(format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(Number(value.to_string()))
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        i64::from(value).into()
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(Number::from_f64(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Self::Array(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(members: [(&str, Value); N]) -> Self {
        Self::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// An object's member; of a repeated key the last one, as in Python.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Object(members) => {
                members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Reads one value from `text`, which holds nothing else.
    ///
    /// # Errors
    /// It is not JSON as Python reads it, or nested deeper than [`MAX_DEPTH`].
    pub fn read(text: &str) -> Result<Self, Invalid> {
        read::value(text)
    }

    /// Writes it at the end of `out`, as Python does: no spaces, only what must be escaped escaped.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(Number(text)) => out.push_str(text),
            Self::String(text) => write_string(text, out),
            Self::Array(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        formatter.write_str(&text)
    }
}

/// `json.encoder.ESCAPE`: quotation mark, backslash and what is below the space.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| letter < ' ' || letter == '"' || letter == '\\') {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let mut letters = escaped.chars();
        match letters.next() {
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(letter @ ('"' | '\\')) => out.extend(['\\', letter]),
            Some(letter) => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            None => {}
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
pub(crate) mod tests;
