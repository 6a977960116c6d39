//! Reading JSON text: one pass, no recursion deeper than a bound.

use thiserror::Error;

use super::{Number, Object, Value};

/// How deep arrays and objects may be nested. Python's reader stops at about 1000.
pub const MAX_DEPTH: usize = 200;

/// Why a text is not JSON, and where.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{what} at byte {at}")]
pub struct Invalid {
    what: &'static str,
    at: usize,
}

/// Reads the one value that `text` holds.
pub(super) fn value(text: &str) -> Result<Value, Invalid> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.invalid("more after the end of the JSON value"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    const fn invalid(&self, what: &'static str) -> Invalid {
        Invalid { what, at: self.at }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, Invalid> {
        if depth > MAX_DEPTH {
            return Err(self.invalid("nested too deep"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => self.number().map(Value::Number),
            _ if self.take("null") => Ok(Value::Null),
            _ if self.take("true") => Ok(Value::Bool(true)),
            _ if self.take("false") => Ok(Value::Bool(false)),
            Some(_) => Err(self.invalid("no JSON value")),
            None => Err(self.invalid("the text ends where a JSON value should be")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Invalid> {
        self.at += 1;
        let mut values = Vec::new();
        self.skip_space();
        if self.take("]") {
            return Ok(Value::Array(values));
        }
        loop {
            self.skip_space();
            values.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take("]") {
                return Ok(Value::Array(values));
            }
            if !self.take(",") {
                return Err(self.invalid("no `,` or `]` after an array's value"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Invalid> {
        self.at += 1;
        let mut members = Object::new();
        self.skip_space();
        if self.take("}") {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.invalid("no string where an object's key should be"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(":") {
                return Err(self.invalid("no `:` after an object's key"));
            }
            self.skip_space();
            members.push((key, self.value(depth + 1)?));
            self.skip_space();
            if self.take("}") {
                return Ok(Value::Object(members));
            }
            if !self.take(",") {
                return Err(self.invalid("no `,` or `}` after an object's value"));
            }
        }
    }

    /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?`, and Python's three words.
    fn number(&mut self) -> Result<Number, Invalid> {
        let start = self.at;
        if self.take("NaN") || self.take("Infinity") || self.take("-Infinity") {
            return Ok(self.since(start));
        }
        self.take("-");
        if !self.take("0") && self.digits() == 0 {
            return Err(self.invalid("no digit where a number should go on"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.invalid("no digit after a decimal point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.invalid("no digit in an exponent"));
            }
        }
        Ok(self.since(start))
    }

    fn since(&self, start: usize) -> Number {
        Number(self.text.get(start..self.at).unwrap_or("").to_owned())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Result<String, Invalid> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(|letter: char| letter < ' ' || letter == '"' || letter == '\\') else {
                return Err(self.invalid("a string without an end"));
            };
            text.push_str(rest.get(..end).unwrap_or(""));
            self.at += end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escaped()?);
                }
                _ => return Err(self.invalid("a control character in a string")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Invalid> {
        let letter = match self.peek() {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.invalid("an unknown escape in a string")),
        };
        self.at += 1;
        Ok(letter)
    }

    /// After `\u`: one UTF-16 unit, or a pair of surrogates.
    fn unicode(&mut self) -> Result<char, Invalid> {
        let first = self.unit()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.invalid("no character of Unicode"));
        }
        // Python would keep half of a pair; it could not write it again as UTF-8 either.
        if first >= 0xdc00 || !self.take("\\u") {
            return Err(self.invalid("half of a pair of surrogates"));
        }
        let second = self.unit()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(self.invalid("half of a pair of surrogates"));
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            .ok_or_else(|| self.invalid("no character of Unicode"))
    }

    fn unit(&mut self) -> Result<u32, Invalid> {
        let digits =
            self.rest().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(unit) = unit else {
            return Err(self.invalid("no four hexadecimal digits after `\\u`"));
        };
        self.at += 4;
        Ok(unit)
    }
}
