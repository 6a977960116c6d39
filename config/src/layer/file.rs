//! A TOML file as a layer, with the line of every key.

use std::io::Read;
use std::path::Path;

use toml_edit::{Document, Item, TableLike};

use super::{Key, Layer};
use crate::Origin;
use crate::kind::{Kind, Value};
use crate::reference::{self, Lookup};

/// No settings file is this large; a device or a log would be.
const LARGEST_FILE: u64 = 1 << 20;

/// The content of a regular file of bounded size; `None` when there is no such file.
///
/// # Errors
/// What is wrong with the file, and the remedy.
pub(crate) fn read_bounded(path: &Path) -> Result<Option<String>, String> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(format!(
                "cannot be read: {error}; check the permissions of the file and its folders"
            ));
        }
    };
    // A pipe would block the start, a folder gives an error nobody understands.
    if !metadata.is_file() {
        return Err("is not a regular file; remove it or mount a file here".to_owned());
    }
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut content))
        .map_err(|error| format!("cannot be read: {error}; check its permissions"))?;
    if content.len() as u64 > LARGEST_FILE {
        return Err("is larger than 1 MiB, so it is no settings file; check what is mounted here".to_owned());
    }
    String::from_utf8(content).map(Some).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("is not UTF-8 text (line {line}); save it as UTF-8")
    })
}

/// Where a text comes from.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// The shipped defaults.
    Shipped,
    /// A file.
    File(&'a Path),
}

/// The layer that a TOML text is. A text that is not TOML is one problem with line and column.
pub(crate) fn of_text(text: &str, place: Text<'_>) -> Layer {
    let mut reader = Reader { lines: Lines::of(text), place, layer: Layer::default() };
    match Document::parse(text) {
        Ok(document) => reader.table(document.as_table(), &mut Vec::new()),
        Err(error) => {
            // `Display` of the error quotes the line, which may hold a password.
            let (line, column) = error.span().map_or((1, 1), |span| reader.lines.position(text, span.start));
            let origin = reader.origin_at(line);
            let message = error.message().trim().replace('\n', ", ");
            reader.layer.problem(Vec::new(), &origin, &format!("column {column}: not valid TOML: {message}"));
        }
    }
    reader.layer.settle()
}

struct Reader<'a> {
    lines: Lines,
    place: Text<'a>,
    layer: Layer,
}

impl Reader<'_> {
    fn origin_at(&self, line: usize) -> Origin {
        match self.place {
            Text::Shipped => Origin::Default,
            Text::File(path) => Origin::File { path: path.to_owned(), line },
        }
    }

    fn table(&mut self, table: &dyn TableLike, section: &mut Key) {
        for (name, item) in table.iter() {
            let span = table.get_key_value(name).and_then(|(key, _)| key.span()).or_else(|| item.span());
            let line = span.map_or(1, |span| self.lines.line(span.start));
            let origin = self.origin_at(line);
            if section.first().is_some_and(|first| first == "properties") {
                self.property(section, name, item, &origin);
                continue;
            }
            section.push(name.to_owned());
            match (reference::look_up(section), item.as_table_like()) {
                (Lookup::Value(setting), _) => {
                    self.layer.set(section.clone(), setting, value_of(item), &origin)
                }
                (Lookup::Section, Some(below)) => {
                    self.layer.sections.entry(section.clone()).or_insert(origin);
                    self.table(below, section);
                }
                (Lookup::Section, None) => {
                    let (names, any) = reference::names_below(section);
                    let names = if any { "NAME".to_owned() } else { names.join(", ") };
                    let message =
                        format!("is a section; write [{}] and below it {names} = …", super::dotted(section));
                    self.layer.problem(section.clone(), &origin, &message);
                }
                (Lookup::Unknown, _) => {
                    section.pop();
                    self.layer.unknown(section, name, &origin);
                    continue;
                }
            }
            section.pop();
        }
    }

    /// `omero.db.host = "x"` below `[properties]` is the property `omero.db.host`, quoted or not.
    fn property(&mut self, section: &mut Key, name: &str, item: &Item, origin: &Origin) {
        let property = match section.get(1) {
            Some(before) => format!("{before}.{name}"),
            None => name.to_owned(),
        };
        let mut key = vec![section[0].clone(), property];
        if let Some(below) = item.as_table_like() {
            self.table(below, &mut key);
        } else if let Lookup::Value(setting) = reference::look_up(&key) {
            let value = match value_of(item) {
                Value::Other(what) => {
                    let message =
                        format!("expected {}, found {what}; write it in quotes", Kind::Property.in_words());
                    self.layer.problem(key, origin, &message);
                    return;
                }
                value => value,
            };
            self.layer.set(key, setting, value, origin);
        }
    }
}

fn value_of(item: &Item) -> Value {
    match item {
        Item::Value(value) => Value::from_toml(value),
        Item::ArrayOfTables(_) => Value::Other("a list of tables"),
        Item::Table(_) | Item::None => Value::Other("a table"),
    }
}

/// Where each line begins, so that an offset becomes a line without another pass over the text.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(
            std::iter::once(0)
                .chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
                .collect(),
        )
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    fn position(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.0[line - 1];
        let column = text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }
}
