//! What BIOMERO ends up with for each key, and where it came from: variable, file or default.

use serde::Serialize;

use super::known::{self, KEYS, Kind, Known};
use super::{Merged, Notice};
use crate::{Environment, MASK, Origin, Secret, mask_urls, names_a_secret};

/// One key as BIOMERO sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectiveValue {
    /// The section.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value, secrets masked; `None` for a key without a value.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// A key with a fixed name after files, variables and default were looked at.
pub(crate) struct Resolved {
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
    /// BIOMERO stops here.
    pub(crate) problem: Option<Notice>,
    /// BIOMERO goes on with something else than what was written.
    pub(crate) warning: Option<Notice>,
}

impl Merged {
    /// All keys in the order of the merged file, then those that are at their defaults or set by variables alone.
    #[must_use]
    pub fn rows(&self, environment: &Environment) -> Vec<EffectiveValue> {
        let mut rows = Vec::new();
        for section in &self.sections {
            for key in self.items(&section.name) {
                let (value, origin) = match known::find(&section.name, &key.key) {
                    Some(known) => {
                        let resolved = self.resolve(known, environment);
                        (resolved.value, resolved.origin)
                    }
                    None => (
                        key.value.as_deref().map(|value| self.expanded(&section.name, value)),
                        Origin::File { path: key.path.clone(), line: key.line },
                    ),
                };
                rows.push(row(&section.name, &key.key, value, origin));
            }
        }
        for known in KEYS {
            if self.find(known.section, known.key).is_none() {
                let resolved = self.resolve(known, environment);
                if resolved.value.is_some() {
                    rows.push(row(known.section, known.key, resolved.value, resolved.origin));
                }
            }
        }
        rows
    }

    /// What BIOMERO makes of one key with a fixed name, in clear, and where it came from; none where neither a file nor
    /// a variable nor a default says anything.
    #[must_use]
    pub fn effective(
        &self,
        section: &str,
        key: &str,
        environment: &Environment,
    ) -> Option<(Secret<String>, Origin)> {
        let resolved = self.resolve(known::find(section, key)?, environment);
        Some((Secret::new(resolved.value.filter(|value| !value.is_empty())?), resolved.origin))
    }

    /// Whether the merged file holds a secret, so that neither it nor a diff of it may be shown.
    #[must_use]
    pub fn contains_secret(&self) -> bool {
        let secret = |key: &super::merged::MergedKey| {
            key.value.as_deref().is_some_and(|value| {
                !value.is_empty()
                    && (names_a_secret(&key.key) || key.key == "sqlalchemy_url" || mask_urls(value) != value)
            })
        };
        self.sections.iter().any(|section| section.keys.iter().any(secret))
    }

    /// What BIOMERO makes of a key.
    pub(crate) fn resolve(&self, known: &Known, environment: &Environment) -> Resolved {
        let default = Resolved {
            value: known.default.map(str::to_owned),
            origin: Origin::Default,
            problem: None,
            warning: None,
        };
        let mut resolved = match self.find(known.section, known.key) {
            None => default,
            Some(key) => {
                let origin = Origin::File { path: key.path.clone(), line: key.line };
                let notice = |message: String| Some(Notice::new(&key.path, key.line, message));
                let name = known.key;
                match (known.kind, key.value.as_deref().map(|value| self.expanded(known.section, value))) {
                    (Kind::Boolean, None) => {
                        let message =
                            format!("{name} has no value, at which BIOMERO stops; write {name} = true");
                        Resolved { problem: notice(message), ..default }
                    }
                    (Kind::Boolean, Some(text)) if boolean(&text).is_none() => {
                        let message = format!(
                            "{name} is neither true nor false, at which BIOMERO stops; write true or false"
                        );
                        Resolved { problem: notice(message), ..default }
                    }
                    (_, None) => {
                        let message = format!(
                            "{name} has no value; write {name} = VALUE, or remove it for the default"
                        );
                        Resolved { warning: notice(message), ..default }
                    }
                    (Kind::FilledText | Kind::Integer, Some(text)) if text.is_empty() => default,
                    (Kind::Integer, Some(text)) if integer(&text).is_none() => {
                        let message = format!(
                            "{name} is not a whole number, so that BIOMERO ignores it; write {name} = 30"
                        );
                        Resolved { warning: notice(message), ..default }
                    }
                    (_, Some(text)) => Resolved { value: Some(text), origin, problem: None, warning: None },
                }
            }
        };
        let set = known.variables.iter().find_map(|name| Some((*name, environment.get(name)?)));
        if let Some((name, text)) = set {
            let usable = match known.kind {
                Kind::Text => true,
                Kind::FilledText => !text.is_empty(),
                Kind::Boolean => boolean_of_variable(text).is_some(),
                Kind::Integer => integer(text).is_some(),
            };
            if usable {
                resolved.value = Some(text.to_owned());
                resolved.origin = Origin::Variable(name.to_owned());
                resolved.warning = None;
            } else if known.kind != Kind::FilledText {
                let expected =
                    if known.kind == Kind::Boolean { "neither true nor false" } else { "not a whole number" };
                let message = format!(
                    "the variable {name} is {expected}, so that BIOMERO ignores it; correct or unset it"
                );
                resolved.warning = Some(Notice::new(std::path::Path::new(""), 0, message));
            }
        }
        resolved
    }
}

/// A boolean as `configparser` reads it.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// A boolean as BIOMERO reads it from a variable, where `y` and `n` count too.
pub(crate) fn boolean_of_variable(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "y" => Some(true),
        "n" => Some(false),
        other => boolean(other),
    }
}

/// A number as Python's `int` reads it: space around it, a sign, and `_` between digits.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let text = text.trim_matches(super::dialect::is_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let grouped =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if grouped { text.replace('_', "").parse().ok() } else { None }
}

fn row(section: &str, key: &str, value: Option<String>, origin: Origin) -> EffectiveValue {
    let value =
        value.map(
            |value| {
                if names_a_secret(key) && !value.is_empty() { MASK.to_owned() } else { mask_urls(&value) }
            },
        );
    EffectiveValue { section: section.to_owned(), key: key.to_owned(), value, origin }
}
