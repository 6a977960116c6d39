//! JSON into [`Value`]: whole numbers stay whole, a key that comes twice is what it was last.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{DescriptorError, Scalar, Value};

/// Reads JSON. Depth is bounded by the parser: 128.
pub(super) fn read(file: &str, text: &str) -> Result<Value, DescriptorError> {
    serde_json::from_str::<Value>(text).map_err(|error| {
        let reason = error.to_string();
        // The parser says the place at the end of its message, too.
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason).to_owned();
        DescriptorError::Syntax { file: file.to_owned(), line: error.line(), column: error.column(), reason }
    })
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Boolean(value)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Integer(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        // Beyond 63 bits there is no parameter; as text its digits are kept.
        Ok(Value::Scalar(
            i64::try_from(number).map_or_else(|_| Scalar::Text(number.to_string()), Scalar::Integer),
        ))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut pairs = super::value::Pairs::default();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            pairs.set(key, value);
        }
        Ok(pairs.finish())
    }
}
