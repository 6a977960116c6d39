//! A value with the way to it, so that what is wrong is told by file and key.
//!
//! Conversions are those of pydantic's lax mode, which Python reads descriptors by: text is never made of a number, a boolean
//! is also read from `"yes"`, `0` and the like.

use super::{Choice, DescriptorError, Scalar, Type, Value};

/// No message shows more of a foreign text, in characters.
const SHOWN: usize = 60;

/// A value, its file and its key.
#[derive(Clone)]
pub(super) struct Node<'a> {
    file: &'a str,
    key: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) const fn of(file: &'a str, value: &'a Value) -> Self {
        Self { file, key: String::new(), value }
    }

    pub(super) const fn file(&self) -> &'a str {
        self.file
    }

    /// The first dozen keys, for a message.
    pub(super) fn keys(&self) -> Vec<String> {
        match self.value {
            Value::Map(pairs) => pairs.iter().take(12).map(|(key, _)| shown(key)).collect(),
            _ => Vec::new(),
        }
    }

    fn key_below(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    /// The value of a key, if the key is there; it may be null.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        let Value::Map(pairs) = self.value else { return None };
        let (_, value) = pairs.iter().find(|(key, _)| key == name)?;
        Some(Self { file: self.file, key: self.key_below(name), value })
    }

    /// The value of a key, if it is there and not null.
    pub(super) fn filled(&self, name: &str) -> Option<Self> {
        self.get(name).filter(|node| !matches!(node.value, Value::Null))
    }

    /// The value of a key that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<Self, DescriptorError> {
        self.get(name).ok_or_else(|| self.missing(name))
    }

    pub(super) fn missing(&self, name: &str) -> DescriptorError {
        DescriptorError::Missing { file: self.file.to_owned(), key: self.key_below(name) }
    }

    pub(super) fn wrong(&self, wanted: impl Into<String>) -> DescriptorError {
        let found = match self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(Scalar::Boolean(value)) => value.to_string(),
            Value::Scalar(Scalar::Text(text)) => format!("{:?}", shown(text)),
            Value::Scalar(number) => format!("the number {number}"),
            Value::Foreign(what) => what.clone(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        };
        let key = if self.key.is_empty() { "it".to_owned() } else { self.key.clone() };
        DescriptorError::Wrong { file: self.file.to_owned(), key, found, wanted: wanted.into() }
    }

    /// The text, if it is one.
    pub(super) const fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::Scalar(Scalar::Text(text)) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The text; anything else is wrong.
    pub(super) fn string(&self) -> Result<String, DescriptorError> {
        self.text().map(str::to_owned).ok_or_else(|| self.wrong("text"))
    }

    /// The text of a key that may be missing or null.
    pub(super) fn optional_string(&self, name: &str) -> Result<Option<String>, DescriptorError> {
        self.filled(name).map(|node| node.string()).transpose()
    }

    /// The scalar of a key that may be missing or null.
    pub(super) fn optional_scalar(&self, name: &str) -> Result<Option<Scalar>, DescriptorError> {
        self.filled(name).map(|node| node.scalar()).transpose()
    }

    pub(super) fn scalar(&self) -> Result<Scalar, DescriptorError> {
        match self.value {
            Value::Scalar(scalar) => Ok(scalar.clone()),
            _ => Err(self.wrong("text, a number, true or false")),
        }
    }

    /// The boolean of a key that may be missing or null.
    pub(super) fn optional_boolean(&self, name: &str) -> Result<Option<bool>, DescriptorError> {
        let Some(node) = self.filled(name) else { return Ok(None) };
        let read = match node.value {
            Value::Scalar(Scalar::Boolean(value)) => Some(*value),
            Value::Scalar(Scalar::Integer(0)) => Some(false),
            Value::Scalar(Scalar::Integer(1)) => Some(true),
            Value::Scalar(Scalar::Float(number)) if *number == 0.0 => Some(false),
            Value::Scalar(Scalar::Float(number)) if *number == 1.0 => Some(true),
            Value::Scalar(Scalar::Text(text)) => match text.to_ascii_lowercase().as_str() {
                "0" | "off" | "f" | "false" | "n" | "no" => Some(false),
                "1" | "on" | "t" | "true" | "y" | "yes" => Some(true),
                _ => None,
            },
            _ => None,
        };
        read.map(Some).ok_or_else(|| node.wrong("true or false"))
    }

    /// The items of a list of a key that may be missing.
    pub(super) fn list(&self, name: &str) -> Result<Vec<Self>, DescriptorError> {
        self.get(name).map_or_else(|| Ok(Vec::new()), |node| node.items())
    }

    pub(super) fn items(&self) -> Result<Vec<Self>, DescriptorError> {
        let Value::List(items) = self.value else { return Err(self.wrong("a list")) };
        let item = |(at, value)| Self { file: self.file, key: format!("{}[{at}]", self.key), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// A mapping, or wrong.
    pub(super) fn mapping(self, what: &str) -> Result<Self, DescriptorError> {
        match self.value {
            Value::Map(_) => Ok(self),
            _ => Err(self.wrong(format!("a mapping: {what}"))),
        }
    }

    /// Text, or a list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, DescriptorError> {
        let Some(node) = self.filled(name) else { return Ok(Vec::new()) };
        match node.value {
            Value::List(_) => node.items()?.iter().map(Self::string).collect(),
            _ => Ok(vec![node.string()?]),
        }
    }

    /// Scalars that a parameter is chosen from, and what they are called.
    pub(super) fn choices(&self, values: &str, labels: &str) -> Result<Vec<Choice>, DescriptorError> {
        let values = match self.filled(values) {
            Some(node) => node.items()?,
            None => return Ok(Vec::new()),
        };
        let labels = match self.filled(labels) {
            Some(node) => node.items()?,
            None => Vec::new(),
        };
        let mut labels = labels.iter();
        values
            .iter()
            .map(|value| {
                let label = labels.next().filter(|label| !matches!(label.value, Value::Null));
                Ok(Choice { value: value.scalar()?, label: label.map(Self::string).transpose()? })
            })
            .collect()
    }

    /// The type of a parameter.
    pub(super) fn kind(&self) -> Result<Type, DescriptorError> {
        let name = self.text().ok_or_else(|| self.wrong("the name of a type"))?;
        Type::of(name).ok_or_else(|| {
            let known: Vec<&str> = Type::ALL.into_iter().map(Type::name).collect();
            self.wrong(format!("one of {}", known.join(", ")))
        })
    }

    /// Whether dialogs hide it: `mode` is `beginner` or `advanced`.
    pub(super) fn is_advanced(&self) -> Result<bool, DescriptorError> {
        let Some(mode) = self.filled("mode") else { return Ok(false) };
        match mode.text() {
            Some("beginner") => Ok(false),
            Some("advanced") => Ok(true),
            _ => Err(mode.wrong("beginner or advanced")),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
