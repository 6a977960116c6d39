//! One file in the dialect of Python's `configparser.ConfigParser(allow_no_value=True)`.
//!
//! Source: the documentation of the module and the behaviour of CPython 3.11, which the tests run. In short: lines
//! are `[section]`, `key = value`, `key: value` or `key`; a line that begins with `#` or `;` is a comment, further
//! right they are text; a line indented deeper than its key's continues the value, blank lines within included; keys
//! are lower-cased, sections are not; a section or key twice in one file is an error.

use std::collections::HashMap;
use std::path::Path;

use super::{DEFAULT, Notice};

/// No configuration is this large; a log or a device would be.
pub(crate) const LARGEST_FILE: usize = 1 << 20;

/// More problems of one file help nobody.
const MOST_PROBLEMS: usize = 100;

/// A section of one file. `[DEFAULT]` may be several.
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) entries: Vec<Entry>,
}

/// A key of one file.
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The value before `%` is looked at, lines joined; `None` for a key without a delimiter.
    pub(crate) value: Option<String>,
    pub(crate) line: usize,
}

/// What Python takes for white space: Unicode's, and the four ASCII separators.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// Reads a file.
///
/// # Errors
/// All problems that can be told from each other.
pub(crate) fn parse(path: &Path, content: &[u8]) -> Result<Vec<Section>, Vec<Notice>> {
    if content.len() > LARGEST_FILE {
        let message = "is larger than 1 MiB, so it is no slurm-config.ini; check what is mounted here";
        return Err(vec![Notice::new(path, 0, message)]);
    }
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => {
            let before = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            let line = lines(&before).count().max(1);
            return Err(vec![Notice::new(path, line, "is not UTF-8 text; save the file as UTF-8")]);
        }
    };
    if text.starts_with('\u{feff}') {
        let message =
            "begins with a byte order mark, which Python refuses; save the file as UTF-8 without one";
        return Err(vec![Notice::new(path, 1, message)]);
    }
    let mut reader = Reader::of(path);
    for (at, line) in lines(text).enumerate() {
        if !reader.line(at + 1, line) || reader.problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    reader.finish()
}

/// The lines as Python's universal newlines cut them: at `\n`, `\r` and `\r\n`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(['\n', '\r']) else { return Some(std::mem::take(&mut rest)) };
        let line = &rest[..end];
        let newline = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + newline..];
        Some(line)
    })
}

struct Reader<'a> {
    path: &'a Path,
    sections: Vec<Section>,
    /// First lines of sections and of keys, to name both places of a duplicate.
    section_lines: HashMap<String, usize>,
    key_lines: HashMap<(String, String), usize>,
    /// The lines of the value that is being read; `None` between values and for a key without one.
    value: Option<Vec<String>>,
    /// Whether the last line that was no comment belongs to a key.
    in_key: bool,
    indentation: usize,
    problems: Vec<Notice>,
}

impl<'a> Reader<'a> {
    fn of(path: &'a Path) -> Self {
        Self {
            path,
            sections: Vec::new(),
            section_lines: HashMap::new(),
            key_lines: HashMap::new(),
            value: None,
            in_key: false,
            indentation: 0,
            problems: Vec::new(),
        }
    }

    /// Reads a line; `false` when nothing after it can be understood.
    fn line(&mut self, number: usize, line: &str) -> bool {
        let text = line.trim_matches(is_space);
        if text.starts_with(['#', ';']) {
            return true;
        }
        if text.is_empty() {
            if let Some(value) = &mut self.value {
                value.push(String::new());
            }
            return true;
        }
        let indentation = line.chars().take_while(|character| is_space(*character)).count();
        if self.in_key && indentation > self.indentation {
            self.continuation(number, text);
            return true;
        }
        self.indentation = indentation;
        if let Some(name) = section_name(text) {
            self.section(number, name);
        } else if self.sections.is_empty() {
            let message = "stands before any section; write a line such as [SLURM] above it";
            self.problems.push(Notice::new(self.path, number, message));
            return false;
        } else {
            self.key(number, text);
        }
        true
    }

    fn continuation(&mut self, number: usize, text: &str) {
        match &mut self.value {
            Some(value) => value.push(text.to_owned()),
            None => {
                let message = "is indented below a key without a value, which Python refuses; write key = value, or do not indent";
                self.problems.push(Notice::new(self.path, number, message));
            }
        }
    }

    fn section(&mut self, number: usize, name: &str) {
        self.close_value();
        self.in_key = false;
        if name != DEFAULT
            && let Some(first) = self.section_lines.insert(name.to_owned(), number)
        {
            let message =
                format!("the section [{name}] is already in this file, at line {first}; merge the two");
            self.problems.push(Notice::new(self.path, number, message));
        }
        self.sections.push(Section { name: name.to_owned(), line: number, entries: Vec::new() });
    }

    fn key(&mut self, number: usize, text: &str) {
        self.close_value();
        let (key, value) = match text.split_once(['=', ':']) {
            Some((key, value)) => (key.trim_end_matches(is_space), Some(value.trim_matches(is_space))),
            None => (text, None),
        };
        self.in_key = true;
        self.value = value.map(|value| vec![value.to_owned()]);
        if key.is_empty() {
            let message = "has a value but no key; write key = value";
            self.problems.push(Notice::new(self.path, number, message));
        }
        let key = key.to_lowercase();
        let Some(section) = self.sections.last_mut() else { return };
        if let Some(first) = self.key_lines.insert((section.name.clone(), key.clone()), number) {
            let name = &section.name;
            let message =
                format!("the key {key} of [{name}] is already in this file, at line {first}; remove one");
            self.problems.push(Notice::new(self.path, number, message));
        }
        section.entries.push(Entry { key, value: None, line: number });
    }

    /// Joins the lines of the value that ended here.
    fn close_value(&mut self) {
        let Some(lines) = self.value.take() else { return };
        if let Some(entry) = self.sections.last_mut().and_then(|section| section.entries.last_mut()) {
            entry.value = Some(lines.join("\n").trim_end_matches(is_space).to_owned());
        }
    }

    fn finish(mut self) -> Result<Vec<Section>, Vec<Notice>> {
        self.close_value();
        if self.problems.is_empty() { Ok(self.sections) } else { Err(self.problems) }
    }
}

/// The name in `[name]`; what follows the last bracket is ignored, as Python does.
fn section_name(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('[')?;
    rest.rfind(']').filter(|end| *end > 0).map(|end| &rest[..end])
}
