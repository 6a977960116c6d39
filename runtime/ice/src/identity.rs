//! What an object is called: a name within a category ("Object Identities" in the Ice manual).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::encoding::{Decode, DecodeError, Decoder, Encode, Encoder, WireType};

/// A name within a category. Both empty: no object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Identity {
    /// The name, any text.
    pub name: String,
    /// The category, any text; most objects have none.
    pub category: String,
}

impl Identity {
    /// A name in no category.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), category: String::new() }
    }

    /// A name in a category.
    #[must_use]
    pub fn new(category: impl Into<String>, name: impl Into<String>) -> Self {
        Self { name: name.into(), category: category.into() }
    }

    /// Whether it is no object's.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.name.is_empty() && self.category.is_empty()
    }
}

/// As `category/name`, or `name` alone; what is special has a backslash.
impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.category.is_empty() {
            write!(formatter, "{}/", escape(&self.category, "/"))?;
        }
        formatter.write_str(&escape(&self.name, "/"))
    }
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// More than one `/`.
    #[error("`{text}` has more than one `/`; write one that belongs to a name as `\\/`")]
    Slashes {
        /// The text.
        text: String,
    },
    /// A category alone.
    #[error("`{text}` has a category and no name")]
    NoName {
        /// The text.
        text: String,
    },
    /// What follows a backslash.
    #[error("`{text}` has an escape that means nothing: {escape}")]
    Escape {
        /// The text.
        text: String,
        /// What is wrong.
        escape: String,
    },
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let mut slashes = unescaped(text, '/');
        let (category, name) = match (slashes.next(), slashes.next()) {
            (None, _) => ("", text),
            (Some(at), None) => (&text[..at], &text[at + 1..]),
            (Some(_), Some(_)) => return Err(IdentityError::Slashes { text: text.to_owned() }),
        };
        let unescape = |part: &str| {
            unescape(part).map_err(|escape| IdentityError::Escape { text: text.to_owned(), escape })
        };
        let identity = Self { name: unescape(name)?, category: unescape(category)? };
        if identity.name.is_empty() && !identity.category.is_empty() {
            return Err(IdentityError::NoName { text: text.to_owned() });
        }
        Ok(identity)
    }
}

impl WireType for Identity {
    const SHORTEST: usize = 2;
}

impl Encode for Identity {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.string(&self.name);
        encoder.string(&self.category);
    }
}

impl Decode for Identity {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { name: decoder.string()?, category: decoder.string()? })
    }
}

/// The places of a character that no backslash stands before.
fn unescaped(text: &str, wanted: char) -> impl Iterator<Item = usize> + '_ {
    let mut escaped = false;
    text.char_indices().filter_map(move |(at, character)| {
        let found = character == wanted && !escaped;
        escaped = character == '\\' && !escaped;
        found.then_some(at)
    })
}

/// A backslash before each special character and for what cannot be printed. Other text stays, as Ice 3.7 writes it.
pub(crate) fn escape(text: &str, special: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\u{7}' => escaped.push_str("\\a"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{b}' => escaped.push_str("\\v"),
            _ if special.contains(character) => escaped.extend(['\\', character]),
            _ if character.is_ascii_control() => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// In quotes, where a character would end the word.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    if text.is_empty() || text.contains([' ', '\t', '\n', '\r', ':', '@', '"', '\'']) || text.starts_with('-')
    {
        return format!("\"{}\"", text.replace('"', "\\\"")).into();
    }
    text.into()
}

/// Undoes [`escape`], also as other versions of Ice write it: octal and hexadecimal bytes, universal character names.
pub(crate) fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let Some(character) = rest.chars().next() else { return Err("a `\\` at the end".to_owned()) };
        rest = &rest[character.len_utf8()..];
        match character {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            'u' | 'U' | 'x' => {
                let longest = match character {
                    'u' => 4,
                    'U' => 8,
                    _ => 2,
                };
                let digits = rest.bytes().take(longest).take_while(u8::is_ascii_hexdigit).count();
                let shown = format!("\\{character}{}", &rest[..digits]);
                let number = u32::from_str_radix(&rest[..digits], 16).map_err(|_| shown.clone())?;
                rest = &rest[digits..];
                match (character, u8::try_from(number)) {
                    ('x', Ok(byte)) => bytes.push(byte),
                    _ => {
                        let character = char::from_u32(number).filter(|_| digits == longest).ok_or(shown)?;
                        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
            }
            '0'..='7' => {
                let more = rest.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                let octal = format!("{character}{}", &rest[..more]);
                rest = &rest[more..];
                bytes.push(u8::from_str_radix(&octal, 8).map_err(|_| format!("\\{octal}"))?);
            }
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "bytes that are not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slash_parts_category_and_name() {
        let identity: Identity = "OMERO.Glacier2/router".parse().unwrap();
        assert_eq!(identity, Identity::new("OMERO.Glacier2", "router"));
        assert_eq!(identity.to_string(), "OMERO.Glacier2/router");
        assert_eq!("Processor-0".parse(), Ok(Identity::named("Processor-0")));
    }

    #[test]
    fn escapes_of_every_version_are_read() {
        assert_eq!(r"a\/b/c\\d".parse(), Ok(Identity::new("a/b", "c\\d")));
        assert_eq!(r"\303\251".parse(), Ok(Identity::named("é")));
        assert_eq!(r"\u00e9\U000000e9".parse(), Ok(Identity::named("éé")));
        assert_eq!(r"\n\tx\x41".parse(), Ok(Identity::named("\n\txA")));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        assert!(matches!("a/b/c".parse::<Identity>(), Err(IdentityError::Slashes { .. })));
        assert!(matches!("a/".parse::<Identity>(), Err(IdentityError::NoName { .. })));
        for text in [r"a\", r"\xzz", r"\400", r"\377", r"\ud800", r"\u12"] {
            assert!(matches!(text.parse::<Identity>(), Err(IdentityError::Escape { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(name in ".+", category in any::<String>()) {
            let identity = Identity { name, category };
            prop_assert_eq!(identity.to_string().parse(), Ok(identity));
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = text.parse::<Identity>();
        }
    }
}
