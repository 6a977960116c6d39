//! Objects of OMERO that results are brought home to.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Class {
    /// An image.
    Image,
    /// A dataset of images.
    Dataset,
    /// A project of datasets.
    Project,
    /// A plate of wells.
    Plate,
    /// A screen of plates.
    Screen,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Image, Self::Dataset, Self::Project, Self::Plate, Self::Screen];

    /// As OMERO calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Dataset => "Dataset",
            Self::Project => "Project",
            Self::Plate => "Plate",
            Self::Screen => "Screen",
        }
    }
}

/// An object, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// What it is.
    pub class: Class,
    /// Its number.
    pub id: i64,
}

/// A text names no object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` names nothing in OMERO that has results; write omero:Image:ID, or Dataset, Project, Plate or Screen, with its number"
)]
pub struct NoObject(String);

impl FromStr for Object {
    type Err = NoObject;

    /// `omero:Image:7`, or without what stands in front as `omero` itself has it.
    fn from_str(text: &str) -> Result<Self, NoObject> {
        let wrong = || NoObject(text.to_owned());
        let (class, id) = text.strip_prefix("omero:").unwrap_or(text).split_once(':').ok_or_else(wrong)?;
        let class = Class::ALL.into_iter().find(|known| known.name() == class).ok_or_else(wrong)?;
        // What a number may look like otherwise: +7, -7, 007.
        let id = id.parse().ok().filter(|number: &i64| *number >= 0 && number.to_string() == id);
        Ok(Self { class, id: id.ok_or_else(wrong)? })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.class.name(), self.id)
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_by_what_it_is_and_its_number() {
        let object = Object { class: Class::Plate, id: 12 };
        assert_eq!("omero:Plate:12".parse(), Ok(object));
        assert_eq!("Plate:12".parse(), Ok(object));
        assert_eq!(object.to_string(), "Plate:12");
        for wrong in [
            "",
            "Plate",
            "Plate:",
            "Plate:-1",
            "Plate:+1",
            "Plate:01",
            "plate:1",
            "Well:1",
            "omero:omero:Plate:1",
        ] {
            let error = wrong.parse::<Object>().expect_err(wrong);
            assert!(error.to_string().contains("omero:Image:ID"), "{error}");
        }
    }
}
