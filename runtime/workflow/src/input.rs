//! What a workflow works on: files of this machine, or what OMERO has.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a workflow works on. Its text is `/absolute/path`, `omero:Image:7`, `omero:Dataset:7` or `omero:Plate:7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Input {
    /// A file or folder of this machine; absolute.
    Path(PathBuf),
    /// Something of OMERO's.
    Omero(OmeroObject),
}

/// Something of OMERO's that has images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OmeroObject {
    /// What it is.
    pub kind: OmeroKind,
    /// Its id, above 0.
    pub id: i64,
}

/// What has images in OMERO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OmeroKind {
    /// One image.
    Image,
    /// The images of a dataset.
    Dataset,
    /// The wells of a plate.
    Plate,
}

impl OmeroKind {
    /// As OMERO calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Dataset => "Dataset",
            Self::Plate => "Plate",
        }
    }
}

/// A text that names no input.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is no input: write an absolute path, omero:Image:ID, omero:Dataset:ID or omero:Plate:ID, with an id above 0"
)]
pub struct NoInput {
    text: String,
}

/// The longest path of Linux.
const LONGEST: usize = 4096;

impl FromStr for Input {
    type Err = NoInput;

    fn from_str(text: &str) -> Result<Self, NoInput> {
        let wrong = || NoInput { text: text.chars().take(200).collect() };
        if text.len() > LONGEST || text.contains('\0') {
            return Err(wrong());
        }
        if let Some(object) = text.strip_prefix("omero:") {
            let (kind, id) = object.split_once(':').ok_or_else(wrong)?;
            let kinds = [OmeroKind::Image, OmeroKind::Dataset, OmeroKind::Plate];
            let kind = kinds.into_iter().find(|known| known.name() == kind).ok_or_else(wrong)?;
            // `+7` and `007` are numbers to Rust, and two names for one image.
            let id = id.parse().ok().filter(|parsed: &i64| *parsed > 0 && parsed.to_string() == id);
            return Ok(Self::Omero(OmeroObject { kind, id: id.ok_or_else(wrong)? }));
        }
        let path = PathBuf::from(text);
        if path.is_absolute() { Ok(Self::Path(path)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(formatter, "{}", path.display()),
            Self::Omero(object) => write!(formatter, "omero:{}:{}", object.kind.name(), object.id),
        }
    }
}

impl TryFrom<String> for Input {
    type Error = NoInput;

    fn try_from(text: String) -> Result<Self, NoInput> {
        text.parse()
    }
}

impl From<Input> for String {
    fn from(input: Input) -> Self {
        input.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_written_as_it_is_read() {
        for text in ["/data/cells", "omero:Image:7", "omero:Dataset:1", "omero:Plate:9223372036854775807"] {
            let input: Input = text.parse().expect("an input");
            assert_eq!(input.to_string(), text);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let long = format!("/{}", "a".repeat(LONGEST));
        for text in [
            "",
            "cells",
            "omero:Image:0",
            "omero:Image:-1",
            "omero:Image:+1",
            "omero:Image:01",
            "omero:Well:1",
            "omero:Image",
            "omero:",
            "/a\0b",
            &long,
        ] {
            assert!(text.parse::<Input>().is_err(), "{text:?}");
        }
    }
}
