//! `%` in values.
//!
//! The rule: `%%` is one percent sign, and `%(name)s` is the value of the key `name` of the same section or of
//! `[DEFAULT]`, both as in Python's `BasicInterpolation`. Any other `%` stands for itself, where Python stops with an
//! error; [`for_python`] doubles it.

/// Values nest this deep at most, as in Python.
const DEEPEST: usize = 10;

/// What following references may cost: they can multiply, even to nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    parts: usize,
    bytes: usize,
}

impl Default for Budget {
    /// Enough for all values of any configuration together.
    fn default() -> Self {
        Self { parts: 1 << 20, bytes: 1 << 24 }
    }
}

/// A part of a value.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Text without `%`.
    Text(&'a str),
    /// `%%`.
    Doubled,
    /// A `%` that Python refuses.
    Bare,
    /// `%(name)s`, with the name and the whole.
    Reference(&'a str, &'a str),
}

fn parts(mut rest: &str) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, length) = match rest.strip_prefix('%') {
            None => {
                let end = rest.find('%').unwrap_or(rest.len());
                (Part::Text(&rest[..end]), end)
            }
            Some(after) if after.starts_with('%') => (Part::Doubled, 2),
            Some(after) => match reference(after) {
                Some(name) => {
                    let length = name.len() + "%()s".len();
                    (Part::Reference(name, &rest[..length]), length)
                }
                None => (Part::Bare, 1),
            },
        };
        rest = &rest[length..];
        Some(part)
    })
}

/// The name in `(name)s`.
fn reference(after: &str) -> Option<&str> {
    let inside = after.strip_prefix('(')?;
    let end = inside.find(')').filter(|end| *end > 0)?;
    inside[end..].starts_with(")s").then_some(&inside[..end])
}

/// Whether the value holds a `%` that Python refuses.
pub(crate) fn has_bare_percent(value: &str) -> bool {
    parts(value).any(|part| part == Part::Bare)
}

/// The value with each bare `%` doubled: Python reads it to what [`expand`] gives.
pub(crate) fn for_python(value: &str) -> String {
    parts(value)
        .map(|part| match part {
            Part::Text(text) | Part::Reference(_, text) => text,
            Part::Doubled | Part::Bare => "%%",
        })
        .collect()
}

/// The value with all references followed. `look_up` gives the raw value of a lower-cased key: `None` when there is
/// no such key, `Some(None)` when it has no value.
///
/// # Errors
/// A sentence about the reference that leads nowhere.
pub(crate) fn expand<'a>(
    value: &'a str,
    look_up: &dyn Fn(&str) -> Option<Option<&'a str>>,
    budget: &mut Budget,
) -> Result<String, Unresolved> {
    let mut expansion = Expansion { text: String::new(), look_up, budget };
    expansion.add(value, 1)?;
    Ok(expansion.text)
}

/// Why a value has no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// No key of this name.
    Missing(String),
    /// The key has no value.
    NoValue(String),
    /// References go round, or too deep.
    TooDeep,
    /// References multiply.
    TooLarge,
}

struct Expansion<'a, 'b> {
    text: String,
    look_up: &'b dyn Fn(&str) -> Option<Option<&'a str>>,
    budget: &'b mut Budget,
}

impl<'a> Expansion<'a, '_> {
    fn push(&mut self, text: &str) -> Result<(), Unresolved> {
        let Budget { parts, bytes } = *self.budget;
        if parts == 0 || bytes < text.len() {
            return Err(Unresolved::TooLarge);
        }
        *self.budget = Budget { parts: parts - 1, bytes: bytes - text.len() };
        self.text.push_str(text);
        Ok(())
    }

    fn add(&mut self, value: &'a str, depth: usize) -> Result<(), Unresolved> {
        if depth > DEEPEST {
            return Err(Unresolved::TooDeep);
        }
        for part in parts(value) {
            match part {
                Part::Text(text) => self.push(text)?,
                Part::Doubled | Part::Bare => self.push("%")?,
                Part::Reference(name, _) => {
                    let name = name.to_lowercase();
                    match (self.look_up)(&name) {
                        None => return Err(Unresolved::Missing(name)),
                        Some(None) => return Err(Unresolved::NoValue(name)),
                        Some(Some(text)) if text.contains('%') => self.add(text, depth + 1)?,
                        Some(Some(text)) => self.push(text)?,
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(value: &str) -> Result<String, Unresolved> {
        expand(
            value,
            &|name| match name {
                "host" => Some(Some("db")),
                "url" => Some(Some("%(host)s:50%%%4")),
                "round" => Some(Some("%(round)s")),
                "none" => Some(None),
                _ => None,
            },
            &mut Budget::default(),
        )
    }

    #[test]
    fn a_percent_sign_stands_for_itself_unless_doubled_or_a_reference() {
        for (value, meaning, python) in [
            ("a%40b", "a%40b", "a%%40b"),
            ("50%", "50%", "50%%"),
            ("50%%", "50%", "50%%"),
            ("%%%", "%%", "%%%%"),
            ("%(host)s%(HOST)s", "dbdb", "%(host)s%(HOST)s"),
            ("%(url)s", "db:50%%4", "%(url)s"),
            ("%(host", "%(host", "%%(host"),
            ("%(host)d", "%(host)d", "%%(host)d"),
            ("%()s", "%()s", "%%()s"),
            ("%%(host)s", "%(host)s", "%%(host)s"),
            ("", "", ""),
        ] {
            assert_eq!(expanded(value).as_deref(), Ok(meaning), "{value}");
            assert_eq!(for_python(value), python, "{value}");
            assert_eq!(has_bare_percent(value), value != python, "{value}");
        }
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_told() {
        assert_eq!(expanded("%(hsot)s"), Err(Unresolved::Missing("hsot".to_owned())));
        assert_eq!(expanded("%(none)s"), Err(Unresolved::NoValue("none".to_owned())));
        assert_eq!(expanded("%(round)s"), Err(Unresolved::TooDeep));
    }

    #[test]
    fn references_that_multiply_are_cut_off() {
        let (many, long, empty) = ("%(many)s".repeat(2000), "x".repeat(20_000), "%(none)s".repeat(1000));
        let cut = |value, leaf: &str| {
            expand(
                value,
                &|name| match name {
                    "many" => Some(Some(leaf)),
                    _ => Some(Some("")),
                },
                &mut Budget::default(),
            )
        };
        assert_eq!(cut(&many, &long), Err(Unresolved::TooLarge));
        // Empty text never reaches the limit of size.
        assert_eq!(cut(&many, &empty), Err(Unresolved::TooLarge));
    }
}
