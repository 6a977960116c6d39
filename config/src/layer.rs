//! One layer of settings: what a file, the environment or the command line sets, checked against the reference
//! table, each value with its origin.
//!
//! Invariant: a layer holds only values of the kind their key takes; all else became a problem.

mod command_line;
mod environment;
mod file;

use std::collections::BTreeMap;

pub(crate) use command_line::of_command_line;
pub use environment::MAIN_FILE_VARIABLE;
pub(crate) use environment::of_environment;
pub use environment::property_name;
pub(crate) use file::{Text, of_text, read_bounded};

use crate::Origin;
use crate::kind::{Kind, Value, is_name, is_property_name};
use crate::reference::{self, Lookup, Setting};

/// More problems of one layer help nobody.
const MOST_PROBLEMS: usize = 50;

/// A key as its segments; a segment may hold dots (`properties`, `"omero.db.host"`).
pub(crate) type Key = Vec<String>;

/// What one layer sets.
#[derive(Default)]
pub(crate) struct Layer {
    /// Every value.
    pub(crate) values: BTreeMap<Key, (Value, Origin)>,
    /// Every section that was opened, be it empty.
    pub(crate) sections: BTreeMap<Key, Origin>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What is worth a look.
    pub(crate) warnings: Vec<String>,
    /// `omero.ports.*` as the properties of the same names set them.
    ports: BTreeMap<Key, (Value, Origin)>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key it is about; empty when it is about the layer.
    pub(crate) key: Key,
    /// Place, key, what was expected, the remedy.
    pub(crate) message: String,
}

impl Layer {
    /// Takes a value for a key of the table, or notes why not.
    pub(crate) fn set(&mut self, key: Key, setting: &Setting, value: Value, origin: &Origin) {
        if let Err(message) = check_names(&key, setting) {
            self.problem(key, origin, &message);
            return;
        }
        match setting.kind.accept(value, is_secret(&key)) {
            Ok(value) => {
                let first = self.values.get(&key).map(|(_, first)| first);
                if let (Some(first @ Origin::File { .. }), Origin::File { .. }) = (first, origin) {
                    let message = format!("set twice in one file, first at {first}; remove one");
                    self.problem(key, origin, &message);
                    return;
                }
                if setting.kind == Kind::Property {
                    self.port_of_property(&key, &value, origin);
                }
                self.values.insert(key, (value, origin.clone()));
            }
            Err(message) => self.problem(key, origin, &message),
        }
    }

    /// Notes a problem of a key.
    pub(crate) fn problem(&mut self, key: Key, origin: &Origin, message: &str) {
        if self.problems.len() >= MOST_PROBLEMS {
            return;
        }
        if self.problems.len() + 1 == MOST_PROBLEMS {
            let message = format!("{origin}: and more; these problems first");
            self.problems.push(Problem { key: Key::new(), message });
            return;
        }
        let message = if key.is_empty() {
            format!("{origin}: {}", shortened(message))
        } else {
            format!("{origin}: {}: {}", shortened(&dotted(&key)), shortened(message))
        };
        self.problems.push(Problem { key, message });
    }

    /// Notes an unknown key.
    pub(crate) fn unknown(&mut self, section: &[String], name: &str, origin: &Origin) {
        if self.problems.len() >= MOST_PROBLEMS {
            return;
        }
        let message = format!("unknown key; {}", reference::suggestion(section, name));
        let mut key = section.to_vec();
        key.push(name.to_owned());
        self.problem(key, origin, &message);
    }

    /// `omero.ports.NAME` is known under two names: as OMERO's property and as a setting.
    fn port_of_property(&mut self, key: &Key, value: &Value, origin: &Origin) {
        let (Some(property), Value::Text(text)) = (key.get(1), value) else { return };
        if !property.starts_with("omero.ports.") {
            return;
        }
        let port: Key = property.split('.').map(str::to_owned).collect();
        let Lookup::Value(setting) = reference::look_up(&port) else { return };
        match setting.kind.accept(setting.kind.read(text), false) {
            Ok(value) => {
                self.ports.insert(port, (value, origin.clone()));
            }
            Err(message) => self.problem(key.clone(), origin, &message),
        }
    }

    /// Fills in what follows from other values; called once, when all were set. What the layer sets itself stays.
    pub(crate) fn settle(mut self) -> Self {
        for (key, value) in std::mem::take(&mut self.ports) {
            self.values.entry(key).or_insert(value);
        }
        self
    }
}

/// A hostile name or value does not fill the log.
fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Whether the names in a key are such as their places take.
fn check_names(key: &Key, setting: &Setting) -> Result<(), String> {
    for (name, place) in key.iter().zip(setting.key.split('.')) {
        let expected = match place {
            "NAME" if !is_name(name) => Kind::Name.in_words(),
            "PROPERTY" if !is_property_name(name) => {
                "an OMERO property of letters, digits, \".\", \"_\" and \"-\"".to_owned()
            }
            "VARIABLE" if name.is_empty() || name.contains(['=', '\0']) => {
                "the name of a variable".to_owned()
            }
            "FILE" if name.is_empty() || name.contains(['/', '\0']) => "the name of a file".to_owned(),
            _ => continue,
        };
        return Err(format!("\"{name}\" is not {expected}"));
    }
    Ok(())
}

/// Whether a value of this key must not be shown.
pub(crate) fn is_secret(key: &Key) -> bool {
    let named = match key.first().map(String::as_str) {
        Some("properties" | "traces") => key.get(1),
        Some("services") if key.get(2).is_some_and(|word| word == "environment") => key.get(3),
        _ => None,
    };
    named.is_some_and(|name| crate::names_a_secret(name))
}

/// The key as it is written in TOML.
pub(crate) fn dotted(key: &[String]) -> String {
    let segments: Vec<String> = key
        .iter()
        .map(|segment| {
            let bare = !segment.is_empty()
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
            if bare { segment.clone() } else { format!("{segment:?}") }
        })
        .collect();
    segments.join(".")
}
