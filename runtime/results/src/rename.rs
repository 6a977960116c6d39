//! What imported images are called: BIOMERO's pattern of `{original_file}`, `{original_ext}`, `{file}` and `{ext}`.

use std::str::FromStr;

use thiserror::Error;

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Of the image that it was made of.
    OriginalFile,
    OriginalExtension,
    File,
    Extension,
}

/// A text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no pattern of names; write text, {{original_file}}, {{original_ext}}, {{file}} and {{ext}}"
)]
pub struct NoPattern(String);

impl FromStr for Pattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let wrong = || NoPattern(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}').ok_or_else(wrong)?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                "original_file" => Part::OriginalFile,
                "original_ext" => Part::OriginalExtension,
                "file" => Part::File,
                "ext" => Part::Extension,
                _ => return Err(wrong()),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            return Err(wrong());
        }
        Ok(Self(parts))
    }
}

impl Pattern {
    /// The name of a result, which was made of an image of this name.
    #[must_use]
    pub fn name(&self, result: &str, original: &str) -> String {
        let (file, extension) = split(result);
        let (original_file, original_extension) = split(original.trim_end_matches('.'));
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::OriginalFile => original_file.to_owned(),
            Part::OriginalExtension => original_extension.to_owned(),
            Part::File => file.to_owned(),
            Part::Extension => extension.to_owned(),
        };
        // OMERO's database has room for so many.
        self.0.iter().map(part).collect::<String>().chars().take(255).collect()
    }
}

/// A name before its first dot, and all behind it; a dot in front belongs to the name.
fn split(name: &str) -> (&str, &str) {
    match name.char_indices().skip(1).find(|(_, letter)| *letter == '.') {
        Some((dot, _)) => (name.get(..dot).unwrap_or(name), name.get(dot + 1..).unwrap_or_default()),
        None => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_what_the_pattern_says() {
        let name =
            |pattern: &str| pattern.parse::<Pattern>().map(|known| known.name("mask.ome.tif", "cells.png"));
        assert_eq!(name("{original_file}_{file}.{ext}").as_deref(), Ok("cells_mask.ome.tif"));
        assert_eq!(name("label of {original_file}.{original_ext}").as_deref(), Ok("label of cells.png"));
        assert_eq!(name("plain").as_deref(), Ok("plain"));
        for wrong in ["{", "{file", "{name}", "{}", "", " ", "a\n"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        let pattern: Pattern = "{file}|{ext}".parse().expect("it is one");
        assert_eq!(pattern.name(".hidden", "x"), ".hidden|");
        assert_eq!(pattern.name("ü.tif", "x"), "ü|tif");
    }
}
