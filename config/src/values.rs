//! The settings by their keys, for hooks that a site brings: they know keys, not types.

use std::collections::BTreeMap;

use crate::describe::Row;
use crate::{MASK, Secret};

/// Every setting that has a value, as `init config` shows it, secrets in clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, Value>);

/// One value in clear, and as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    clear: Secret<String>,
    shown: String,
}

impl Values {
    pub(crate) fn new<'a>(rows: impl IntoIterator<Item = (&'a Row, String)>) -> Self {
        let value = |(row, clear): (&Row, String)| {
            (row.key.clone(), Value { clear: Secret::new(clear), shown: row.value.clone() })
        };
        Self(rows.into_iter().map(value).collect())
    }

    /// The value of a dotted key; none where nothing set it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Secret<String>> {
        self.0.get(key).map(|value| &value.clear)
    }

    /// Whether the value must not be shown.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| value.shown.contains(MASK))
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The same with other values for some keys, as a recorded context has them.
    #[must_use]
    pub fn overlaid<'a>(mut self, entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        self.0.extend(Self::from_iter(entries).0);
        self
    }

    /// Puts the values in place of `{key}`. `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// A sentence that names the key without a value, or the brace without its other half.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        self.expand_granted(text, |_| true)
    }

    /// As [`Values::expand`], for text of somebody who may know some settings only.
    ///
    /// # Errors
    /// As there; also a sentence that names a key that `granted` denies, whether it has a value or not.
    pub fn expand_granted(&self, text: &str, granted: impl Fn(&str) -> bool) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            expanded.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                expanded.push_str(brace);
                rest = after;
                continue;
            }
            let (key, after) = match (brace, rest.split_once('}')) {
                ("{", Some(split)) => split,
                _ => {
                    return Err(format!(
                        "{text:?} has a {brace} without its other half; write {brace}{brace} for a brace"
                    ));
                }
            };
            if !granted(key) {
                return Err(format!(
                    "{text:?} holds the setting {key:?}: grant it with settings = [{key:?}]"
                ));
            }
            let value = self.get(key).ok_or_else(|| {
                let nearest = crate::nearest(key, self.keys())
                    .map_or_else(String::new, |nearest| format!("; did you mean {{{nearest}}}?"));
                format!("{text:?}: the setting {key} has no value{nearest} (`init config` lists them)")
            })?;
            expanded.push_str(value.reveal());
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Values {
    /// Values that may be shown unless their key names a secret: for tests and recorded contexts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let value = |(key, clear): (K, V)| {
            let (key, clear) = (key.into(), clear.into());
            let secret = crate::names_a_secret(&key) || crate::mask_urls(&clear) != clear;
            let shown = if secret { MASK.to_owned() } else { clear.clone() };
            (key, Value { clear: Secret::new(clear), shown })
        };
        Self(entries.into_iter().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_braces_give_way_to_values() {
        let values: Values = [("master.host", "omeroserver"), ("master.port", "4061")].into_iter().collect();
        for (text, expanded) in [
            ("{master.host}:{master.port}", "omeroserver:4061"),
            ("no braces", "no braces"),
            ("{{master.host}}", "{master.host}"),
            ("é{master.port}é", "é4061é"),
        ] {
            assert_eq!(values.expand(text).as_deref(), Ok(expanded), "{text}");
        }
        for (text, said) in [
            ("{master.hos}", "did you mean {master.host}?"),
            ("{master.host", "without its other half"),
            ("a}b", "without its other half"),
        ] {
            let error = values.expand(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
