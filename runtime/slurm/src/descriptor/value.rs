//! What JSON and YAML hold, with the distinction that parameters need: a whole number is not a float.

use std::collections::HashMap;
use std::fmt;

/// A value of a descriptor. Keys keep the order they were written in.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A scalar.
    Scalar(Scalar),
    /// What has no place in a descriptor, but does no harm where nobody looks: a date, bytes.
    Foreign(String),
    /// A list.
    List(Vec<Value>),
    /// Keys that are text, with values.
    Map(Vec<(String, Value)>),
}

/// A value that a parameter can have.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A boolean.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, even where that is zero.
    Float(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Scalar {
    /// As Python's `str`: `True`, `30`, `0.5`, `1e-05`; what the workflow's program gets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(true) => formatter.write_str("True"),
            Self::Boolean(false) => formatter.write_str("False"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) => float(*number, formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

impl Scalar {
    /// For JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Boolean(value) => (*value).into(),
            Self::Integer(number) => (*number).into(),
            // What JSON has no number for is text.
            Self::Float(number) => serde_json::Number::from_f64(*number)
                .map_or_else(|| self.to_string().into(), serde_json::Value::Number),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

/// A mapping that is being read: a key that comes again replaces the value, and stays where it was.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pairs: Vec<(String, Value)>,
    places: HashMap<String, usize>,
}

impl Pairs {
    pub(super) fn set(&mut self, key: String, value: Value) {
        match self.places.get(&key).and_then(|at| self.pairs.get_mut(*at)) {
            Some(pair) => pair.1 = value,
            None => {
                self.places.insert(key.clone(), self.pairs.len());
                self.pairs.push((key, value));
            }
        }
    }

    pub(super) fn finish(self) -> Value {
        Value::Map(self.pairs)
    }
}

/// Python's `repr` of a float: the shortest digits that read back as the same, with an exponent below 1e-4 and from 1e16 on.
fn float(number: f64, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    if number.is_nan() {
        return formatter.write_str("nan");
    }
    if number.is_infinite() {
        return formatter.write_str(if number > 0.0 { "inf" } else { "-inf" });
    }
    let short = format!("{number:e}");
    let Some((digits, exponent)) = short.split_once('e') else { return formatter.write_str(&short) };
    let power: i32 = exponent.parse().unwrap_or_default();
    if number == 0.0 || (-4..16).contains(&power) {
        return write!(formatter, "{number:?}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    write!(formatter, "{digits}e{sign}{:02}", power.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.5, "0.5"),
            (30.0, "30.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.25e-7, "-1.25e-07"),
            (123_456_789.125, "123456789.125"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(Scalar::Float(number).to_string(), text);
        }
        assert_eq!(Scalar::Boolean(true).to_string(), "True");
        assert_eq!(Scalar::Integer(-3).to_string(), "-3");
    }
}
