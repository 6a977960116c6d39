//! `config.xml` as a tree: read strictly and with bounds, written as OMERO's own tools write it.
//!
//! Text between elements, comments and everything beside `properties` are dropped on reading, as OMERO drops them
//! when it saves. No document type and no entity beyond the predefined five is accepted, so that no input grows.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use crate::hook::HookError;

/// A real file has tens of kilobytes.
const LARGEST: usize = 16 * 1024 * 1024;
/// A real file has three levels.
const DEEPEST: usize = 32;

/// An element with its attributes in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
}

impl Element {
    pub(super) fn new(name: &str, attributes: &[(&str, &str)]) -> Self {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { name: name.to_owned(), attributes, children: Vec::new() }
    }

    pub(super) fn property(name: &str, value: &str) -> Self {
        Self::new("property", &[("name", name), ("value", value)])
    }

    pub(super) fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }

    pub(super) fn set(&mut self, attribute: &str, value: &str) {
        match self.attributes.iter_mut().find(|(name, _)| name == attribute) {
            Some((_, old)) => value.clone_into(old),
            None => self.attributes.push((attribute.to_owned(), value.to_owned())),
        }
    }

    /// Appends the element, empty ones as `<name />`.
    pub(super) fn write(&self, text: &mut String) {
        text.push('<');
        text.push_str(&self.name);
        for (name, value) in &self.attributes {
            text.push(' ');
            text.push_str(name);
            text.push_str("=\"");
            escape(value, text);
            text.push('"');
        }
        if self.children.is_empty() {
            text.push_str(" />");
            return;
        }
        text.push('>');
        for child in &self.children {
            child.write(text);
        }
        text.push_str("</");
        text.push_str(&self.name);
        text.push('>');
    }
}

/// White space other than a blank is written as a reference: a reader turns it into a blank otherwise.
fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\r' => text.push_str("&#13;"),
            '\n' => text.push_str("&#10;"),
            '\t' => text.push_str("&#09;"),
            other => text.push(other),
        }
    }
}

/// Whether a value can be part of an XML document at all.
pub(super) fn holds_only_xml_characters(value: &str) -> bool {
    value.chars().all(|character| match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    })
}

/// The `properties` elements of a document, in their order.
pub(super) fn read(path: &Path, content: &[u8]) -> Result<Vec<Element>, HookError> {
    let whole = |problem: String| invalid(path, None, problem);
    if content.len() > LARGEST {
        return Err(whole(format!("has {} bytes, more than the {LARGEST} that are read", content.len())));
    }
    let text = std::str::from_utf8(content).map_err(|error| {
        invalid(path, Some((content, error.valid_up_to())), "is not UTF-8 here".to_owned())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let before = position(reader.buffer_position());
        let at = |offset: usize, problem: String| invalid(path, Some((text.as_bytes(), offset)), problem);
        let event = reader.read_event().map_err(|error| {
            at(position(reader.error_position()), format!("is not well-formed XML ({error})"))
        })?;
        let closed = match event {
            Event::Start(start) if open.len() >= DEEPEST => {
                return Err(at(
                    before,
                    format!("nests {} more than {DEEPEST} deep", start.name().into_inner()),
                ));
            }
            Event::Start(start) => {
                open.push(element(&start).map_err(|problem| at(before, problem))?);
                None
            }
            Event::Empty(start) => Some(element(&start).map_err(|problem| at(before, problem))?),
            Event::End(_) => open.pop(),
            Event::DocType(_) => return Err(at(before, "has a document type, which is not read".to_owned())),
            Event::Decl(declaration) => {
                if let Some(encoding) = declaration.encoding() {
                    let encoding = encoding.map_err(|error| at(before, error.to_string()))?;
                    if !encoding.eq_ignore_ascii_case("utf-8") && !encoding.eq_ignore_ascii_case("us-ascii") {
                        return Err(at(before, format!("is declared as {encoding}, and only UTF-8 is read")));
                    }
                }
                None
            }
            Event::Text(text) if open.is_empty() && !text.trim().is_empty() => {
                return Err(at(before, "has text outside of its root element".to_owned()));
            }
            Event::Eof if open.is_empty() => break,
            Event::Eof => return Err(at(before, "ends before its last element is closed".to_owned())),
            _ => None,
        };
        if let Some(element) = closed {
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None if root.is_some() => return Err(at(before, "has a second root element".to_owned())),
                None => root = Some(element),
            }
        }
    }
    let root = root.ok_or_else(|| whole("has no root element".to_owned()))?;
    if root.name != "icegrid" {
        return Err(whole(format!("starts with <{}>, and OMERO's starts with <icegrid>", root.name)));
    }
    let profiles: Vec<Element> =
        root.children.into_iter().filter(|child| child.name == "properties").collect();
    if profiles.iter().any(|profile| profile.get("id").is_none()) {
        return Err(whole("has a <properties> without an id".to_owned()));
    }
    Ok(profiles)
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element::new(name(start.name().into_inner())?, &[]);
    for attribute in start.attributes() {
        let attribute =
            attribute.map_err(|error| format!("has an attribute that is not well-formed ({error})"))?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            // The reason would quote the value.
            .map_err(|_| {
                "has a value with an & that starts none of &amp; &lt; &gt; &quot; &apos; &#…;".to_owned()
            })?;
        if !holds_only_xml_characters(&value) {
            return Err("has a value with a control character, which no XML file can hold".to_owned());
        }
        element.attributes.push((name(attribute.key.into_inner())?.to_owned(), value.into_owned()));
    }
    Ok(element)
}

/// The reader takes any name up to a blank; what is not one (XML 1.0, section 2.3) would not be read back.
fn name(name: &str) -> Result<&str, String> {
    let starts = |character: char| character.is_alphabetic() || matches!(character, '_' | ':');
    let goes_on =
        |character: char| starts(character) || character.is_numeric() || matches!(character, '-' | '.');
    if name.starts_with(starts) && name.chars().all(goes_on) {
        return Ok(name);
    }
    Err("has an element or attribute whose name is not a name".to_owned())
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// A value may be a password: only places are named, never what stands there.
fn invalid(path: &Path, at: Option<(&[u8], usize)>, problem: String) -> HookError {
    let place = at.map_or_else(
        || path.display().to_string(),
        |(content, offset)| {
            let before = &content[..offset.min(content.len())];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
            format!("{} line {line} column {column}", path.display())
        },
    );
    HookError::Invalid {
        place,
        problem,
        remedy: "move the file away and start again: init writes a new one from the settings and CONFIG_* variables"
            .to_owned(),
    }
}
