//! What of OMERO is meant.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::Unread;

/// What a source begins with that is not a path.
const PREFIX: &str = "omero:";

/// Something of OMERO that holds images, or is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    /// An image.
    Image(i64),
    /// All fields of a plate.
    Plate(i64),
    /// All images of a dataset.
    Dataset(i64),
}

impl Object {
    /// What a source means, if it is one of OMERO's.
    pub(crate) fn of(source: &Path) -> Option<Result<Self, Unread>> {
        source.to_str()?.strip_prefix(PREFIX).map(str::parse)
    }

    /// Its number.
    pub(crate) const fn id(self) -> i64 {
        match self {
            Self::Image(id) | Self::Plate(id) | Self::Dataset(id) => id,
        }
    }
}

impl FromStr for Object {
    type Err = Unread;

    fn from_str(text: &str) -> Result<Self, Unread> {
        let (kind, id) = text.split_once(':').unwrap_or_default();
        // As it is written, so that nothing has two names.
        let id = id.parse().ok().filter(|id: &i64| *id >= 0 && id.to_string() == text[kind.len() + 1..]);
        match (kind, id) {
            ("Image", Some(id)) => Ok(Self::Image(id)),
            ("Plate", Some(id)) => Ok(Self::Plate(id)),
            ("Dataset", Some(id)) => Ok(Self::Dataset(id)),
            _ => Err(Unread::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Image(_) => "Image",
            Self::Plate(_) => "Plate",
            Self::Dataset(_) => "Dataset",
        };
        write!(formatter, "{kind}:{}", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_omero_is_named_by_its_kind_and_number() {
        assert!(Object::of(Path::new("image.tif")).is_none());
        assert!(Object::of(Path::new("./omero:Image:7")).is_none());
        for (source, object) in [
            ("omero:Image:7", Object::Image(7)),
            ("omero:Plate:0", Object::Plate(0)),
            ("omero:Dataset:9223372036854775807", Object::Dataset(i64::MAX)),
        ] {
            assert_eq!(Object::of(Path::new(source)).and_then(Result::ok), Some(object));
            assert_eq!(format!("omero:{object}"), source);
        }
        for wrong in [
            "omero:7",
            "omero:",
            "omero:Image:",
            "omero:Image:-7",
            "omero:Image:+7",
            "omero:Image:07",
            "omero:Image:7a",
            "omero:Screen:7",
            "omero:Image:9223372036854775808",
        ] {
            let error =
                Object::of(Path::new(wrong)).and_then(Result::err).expect("it names none").to_string();
            assert!(error.contains(wrong.trim_start_matches("omero:")), "{error}");
        }
    }
}
