//! YAML into [`Value`], with the plain scalars of YAML 1.1: what PyYAML's `safe_load` makes of them.
//!
//! The parser only tells events; what a scalar means, which depth is too deep and how often an alias may be repeated is
//! decided here. Source of the rules: <https://yaml.org/type/>, as PyYAML 6 implements them.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::value::Pairs;
use super::{DescriptorError, Scalar, Value};

/// How deep lists and mappings may nest.
const DEEPEST: usize = 64;

/// What all values may weigh, aliases counted each time, in bytes: 8 MiB.
const HEAVIEST: usize = 8 << 20;

/// What a value weighs besides its text.
const VALUE: usize = 64;

/// Reads the one document of a file.
pub(super) fn read(file: &str, text: &str) -> Result<Value, DescriptorError> {
    let mut builder = Builder { file, open: Vec::new(), anchors: HashMap::new(), weight: 0, document: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| DescriptorError::Syntax {
            file: file.to_owned(),
            line: error.marker().line(),
            column: error.marker().col() + 1,
            reason: error.info().to_owned(),
        })?;
        let place = (span.start.line(), span.start.col() + 1);
        builder.event(event, place)?;
    }
    Ok(builder.document.unwrap_or(Value::Null))
}

/// A list or mapping that has not ended yet.
enum Open {
    List(Vec<Value>, usize, usize),
    /// The pairs, the key that waits for its value, what `<<` brought in, the anchor, the weight before it.
    Map {
        pairs: Vec<(Key, Value)>,
        key: Option<Key>,
        merged: Vec<Value>,
        anchor: usize,
        before: usize,
    },
}

#[derive(Clone)]
enum Key {
    Text(String),
    /// Python has a number, a boolean or nothing as the key, which nobody asks for.
    Other,
    Merge,
}

struct Builder<'a> {
    file: &'a str,
    open: Vec<Open>,
    /// Values by anchor, with their weights.
    anchors: HashMap<usize, (Value, usize)>,
    weight: usize,
    document: Option<Value>,
}

type Place = (usize, usize);

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), DescriptorError> {
        match event {
            Event::DocumentStart(_) if self.document.is_some() => {
                Err(self.syntax(place, "a second document begins, where one is wanted"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), place)?;
                let weight = VALUE + text.len();
                self.weigh(weight)?;
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                self.put(value, is_plain && text == "<<", anchor, weight, place)
            }
            Event::Alias(anchor) => {
                let Some((value, weight)) = self.anchors.get(&anchor) else {
                    return Err(self.syntax(place, "an alias names an anchor that encloses it"));
                };
                let weight = *weight;
                let (file, total) = (self.file, self.weight + weight);
                if total > HEAVIEST {
                    return Err(heavy(file));
                }
                let value = value.clone();
                self.weight = total;
                self.put(value, false, 0, weight, place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection(tag.as_deref(), "seq", place)?;
                self.open.push(Open::List(Vec::new(), anchor, self.weight));
                Ok(())
            }
            Event::MappingStart(anchor, tag) => {
                self.collection(tag.as_deref(), "map", place)?;
                let before = self.weight;
                self.open.push(Open::Map {
                    pairs: Vec::new(),
                    key: None,
                    merged: Vec::new(),
                    anchor,
                    before,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place),
            _ => Ok(()),
        }
    }

    fn collection(&mut self, tag: Option<&Tag>, kind: &str, place: Place) -> Result<(), DescriptorError> {
        if self.open.len() >= DEEPEST {
            return Err(DescriptorError::Excessive {
                file: self.file.to_owned(),
                what: "nests lists and mappings more than 64 deep",
            });
        }
        if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == kind)) {
            return Err(self.syntax(place, "a tag that only programs understand"));
        }
        self.weigh(VALUE)
    }

    fn close(&mut self, place: Place) -> Result<(), DescriptorError> {
        let (value, anchor, before) = match self.open.pop() {
            Some(Open::List(items, anchor, before)) => (Value::List(items), anchor, before),
            Some(Open::Map { pairs, merged, anchor, before, .. }) => {
                let mut all = Pairs::default();
                // Python puts what is merged before the mapping's own, and the first of several over the later ones.
                for value in merged.into_iter().rev() {
                    if let Value::Map(pairs) = value {
                        for (key, value) in pairs {
                            all.set(key, value);
                        }
                    }
                }
                for (key, value) in pairs {
                    if let Key::Text(key) = key {
                        all.set(key, value);
                    }
                }
                (all.finish(), anchor, before)
            }
            None => return Ok(()),
        };
        let weight = self.weight.saturating_sub(before) + VALUE;
        self.put(value, false, anchor, weight, place)
    }

    fn weigh(&mut self, weight: usize) -> Result<(), DescriptorError> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > HEAVIEST { Err(heavy(self.file)) } else { Ok(()) }
    }

    /// Puts a value where it belongs: into a list, as a key, as a key's value, or as the document.
    fn put(
        &mut self,
        value: Value,
        is_merge: bool,
        anchor: usize,
        weight: usize,
        place: Place,
    ) -> Result<(), DescriptorError> {
        if anchor != 0 {
            self.weigh(weight)?;
            self.anchors.insert(anchor, (value.clone(), weight));
        }
        let file = self.file;
        match self.open.last_mut() {
            None => self.document = Some(value),
            Some(Open::List(items, ..)) => items.push(value),
            Some(Open::Map { pairs, key, merged, .. }) => match key.take() {
                None => {
                    *key = Some(match value {
                        _ if is_merge => Key::Merge,
                        Value::Scalar(Scalar::Text(text)) => Key::Text(text),
                        Value::List(_) | Value::Map(_) => {
                            return Err(syntax(file, place, "a list or mapping is no key"));
                        }
                        _ => Key::Other,
                    });
                }
                Some(Key::Merge) => match value {
                    Value::Map(_) => merged.push(value),
                    Value::List(items) if items.iter().all(|item| matches!(item, Value::Map(_))) => {
                        merged.extend(items);
                    }
                    _ => return Err(syntax(file, place, "<< merges mappings, and this is none")),
                },
                Some(key) => pairs.push((key, value)),
            },
        }
        Ok(())
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<Value, DescriptorError> {
        let string = || Value::Scalar(Scalar::Text(text.to_owned()));
        match tag {
            None if style == ScalarStyle::Plain => Ok(plain(text)),
            None => Ok(string()),
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(string()),
            Some(tag) if tag.is_yaml_core_schema() => {
                let value = plain(text);
                match (tag.suffix.as_str(), &value) {
                    ("str", _) => Ok(string()),
                    ("null", _) => Ok(Value::Null),
                    ("float", Value::Scalar(Scalar::Integer(number))) =>
                    {
                        #[expect(clippy::cast_precision_loss, reason = "Python loses the same")]
                        Ok(Value::Scalar(Scalar::Float(*number as f64)))
                    }
                    ("int", Value::Scalar(Scalar::Integer(_)))
                    | ("float", Value::Scalar(Scalar::Float(_)))
                    | ("bool", Value::Scalar(Scalar::Boolean(_))) => Ok(value),
                    _ => Err(self.syntax(place, "a tag that the value does not fit")),
                }
            }
            Some(_) => Err(self.syntax(place, "a tag that only programs understand")),
        }
    }

    fn syntax(&self, place: Place, reason: &str) -> DescriptorError {
        syntax(self.file, place, reason)
    }
}

fn syntax(file: &str, (line, column): Place, reason: &str) -> DescriptorError {
    DescriptorError::Syntax { file: file.to_owned(), line, column, reason: reason.to_owned() }
}

fn heavy(file: &str) -> DescriptorError {
    DescriptorError::Excessive { file: file.to_owned(), what: "repeats itself by aliases beyond 8 MiB" }
}

/// What a plain scalar means in YAML 1.1.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Scalar(Scalar::Boolean(true));
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Scalar(Scalar::Boolean(false));
        }
        _ => {}
    }
    if let Some(value) = integer(text).or_else(|| float(text)) {
        return Value::Scalar(value);
    }
    if is_date(text) {
        Value::Foreign("a date".to_owned())
    } else {
        Value::Scalar(Scalar::Text(text.to_owned()))
    }
}

/// `-12`, `0x1F`, `0b11`, `017` in octal, `1:30` in sixties; `_` within is left out.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, rest) = sign(text);
    if !rest.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let digits = |text: &str, radix| -> Option<i128> {
        if text.is_empty() || !text.chars().all(|digit| digit == '_' || digit.is_digit(radix)) {
            return None;
        }
        // Python refuses a number of underscores alone; as text it does no harm.
        i128::from_str_radix(&text.replace('_', ""), radix).ok()
    };
    let value = if let Some(bits) = rest.strip_prefix("0b") {
        digits(bits, 2)?
    } else if let Some(hex) = rest.strip_prefix("0x") {
        digits(hex, 16)?
    } else if rest.contains(':') {
        sixties(rest)?
    } else if rest.len() > 1 && rest.starts_with('0') {
        digits(&rest[1..], 8)?
    } else {
        digits(rest, 10)?
    };
    let value = if negative { -value } else { value };
    // Beyond 63 bits there is no parameter; as text its digits are kept.
    Some(i64::try_from(value).map_or_else(|_| Scalar::Text(text.to_owned()), Scalar::Integer))
}

fn sixties(text: &str) -> Option<i128> {
    let mut parts = text.split(':');
    let first = parts.next()?;
    if first.starts_with('0') || !first.chars().all(|digit| digit == '_' || digit.is_ascii_digit()) {
        return None;
    }
    let mut value: i128 = first.replace('_', "").parse().ok()?;
    for part in parts {
        let is_part = matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
        value =
            value.checked_mul(60)?.checked_add(if is_part { part.parse().ok()? } else { return None })?;
    }
    Some(value)
}

/// `1.5`, `-.5`, `1.e+3`, `.inf`: there has to be a dot, and a sign in the exponent.
fn float(text: &str) -> Option<Scalar> {
    let (negative, rest) = sign(text);
    let number = match rest {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" if rest.len() == text.len() => f64::NAN,
        _ => {
            let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
                Some((mantissa, exponent)) => (mantissa, Some(exponent)),
                None => (rest, None),
            };
            let (whole, fraction) = mantissa.split_once('.')?;
            let are = |text: &str| text.chars().all(|digit| digit == '_' || digit.is_ascii_digit());
            let begins = |text: &str| text.starts_with(|digit: char| digit.is_ascii_digit());
            // Without a whole part there may be no sign.
            let is_one =
                if whole.is_empty() { begins(fraction) && rest.len() == text.len() } else { begins(whole) };
            let is_exponent = |text: &str| {
                text.strip_prefix(['+', '-']).is_some_and(|digits| {
                    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
                })
            };
            if !is_one || !are(whole) || !are(fraction) || !exponent.is_none_or(is_exponent) {
                return None;
            }
            rest.replace('_', "").parse().ok()?
        }
    };
    Some(Scalar::Float(if negative { -number } else { number }))
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A day or a moment: `2026-11-22`, `2026-11-22T10:00:00Z`.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digits = |part: Option<&[u8]>| part.is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    if !is_digits(bytes.get(..4)) || bytes.get(4) != Some(&b'-') {
        return false;
    }
    match bytes.len() {
        10 => bytes.get(7) == Some(&b'-') && is_digits(bytes.get(5..7)) && is_digits(bytes.get(8..)),
        _ => {
            let Some(at) = text.find(['T', 't', ' ', '\t']) else { return false };
            let (day, time) = text.split_at(at);
            let is_time = |letter: char| letter.is_ascii_digit() || ":.+-Zz \tTt".contains(letter);
            day.matches('-').count() == 2
                && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
                && time.matches(':').count() >= 2
                && time.chars().all(is_time)
        }
    }
}
