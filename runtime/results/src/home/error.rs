//! Why results do not come home.

use std::io;

use biomero_omero::{Error as OmeroError, Exception};
use thiserror::Error;

use super::cli::ImporterError;
use crate::label::LabelError;
use crate::object::Object;
use crate::table::TableError;

/// Why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// OMERO said no, or nothing.
    #[error("{what}: {source}")]
    Omero {
        /// What was done.
        what: String,
        /// What it said.
        source: OmeroError,
    },
    /// The user may not do it.
    #[error(
        "{what}: this user may not write there; the group may be read-only, or the data another's: ask an owner of the group, or bring the results home as the data's owner ({source})"
    )]
    Forbidden {
        /// What was done.
        what: String,
        /// What OMERO said.
        source: OmeroError,
    },
    /// There is no such object.
    #[error("OMERO has no {0}, or does not show it to this user; check its number, and whose session it is")]
    Absent(Object),
    /// It may be seen but nothing added.
    #[error(
        "this user may see {object} but add nothing to it, since the group {group:?} does not allow it; ask an owner of the group for permission, or bring the results home as the owner of {object}"
    )]
    ReadOnly {
        /// Which.
        object: Object,
        /// The group it is in.
        group: String,
    },
    /// Results belong to one group.
    #[error(
        "{first} and {second} are in different groups, and a file of OMERO is in one; bring the results home to each of them by itself"
    )]
    Groups {
        /// One.
        first: Object,
        /// Another.
        second: Object,
    },
    /// There is nothing that they could belong to.
    #[error("no target is named that the results belong to; name one as omero:Image:ID")]
    NoTarget,
    /// OMERO does not say whose session it is.
    #[error("OMERO does not say whose session this is; begin another")]
    Nobody,
    /// More images than are looked at.
    #[error("{object} holds more than {most} images; name the plates or datasets that the results are of")]
    TooMany {
        /// What.
        object: Object,
        /// How many are looked at.
        most: usize,
    },
    /// A file of the results.
    #[error("cannot read {path}: {source}; make it readable, and bring the results home again")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file was replaced between two attempts.
    #[error(
        "{path} is in OMERO already with another content (file {file}), attached for the same workflow; give the results an id of their own, or remove that file"
    )]
    Different {
        /// Which.
        path: String,
        /// What is there.
        file: i64,
    },
    /// What is stored is not what was sent.
    #[error(
        "{path} was sent, and OMERO has something else (file {file}): {problem}; bring the results home again, and have the server's disk looked at if it stays so"
    )]
    Mangled {
        /// Which.
        path: String,
        /// Where it was stored.
        file: i64,
        /// What differs.
        problem: String,
    },
    /// A table of the results.
    #[error("{path}: {source}")]
    Table {
        /// Which.
        path: String,
        /// Why.
        source: TableError,
    },
    /// OMERO has no tables.
    #[error("OMERO's tables service is not running; have it started (`Tables-0`), or leave tables out")]
    NoTables,
    /// A label image of the results.
    #[error("{path}: {source}")]
    Label {
        /// Which.
        path: String,
        /// Why.
        source: LabelError,
    },
    /// A label image of another size.
    #[error(
        "{path} is {found:?} (t, c, z, y, x), and image {image} is {wanted:?}: its objects have no place there"
    )]
    Sides {
        /// Which.
        path: String,
        /// Its sides.
        found: [usize; 5],
        /// The image.
        image: i64,
        /// The sides of that.
        wanted: [usize; 5],
    },
    /// An object that does not go into a message.
    #[error("{path}: object {label} takes {bytes} bytes, more than a message of OMERO holds; {remedy}")]
    Large {
        /// Which file.
        path: String,
        /// Which object.
        label: u64,
        /// How much it takes.
        bytes: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// Nothing imports.
    #[error(
        "{path} is not imported: OMERO's command line is not installed here; install omero-py, or say where it is with --omero"
    )]
    NoImporter {
        /// Which.
        path: String,
    },
    /// `omero import` said no.
    #[error("{path} is not imported: {source}")]
    Importer {
        /// Which.
        path: String,
        /// Why.
        source: ImporterError,
    },
    /// `omero import` said yes, and OMERO has nothing.
    #[error(
        "{path}: `omero import` ended well, and OMERO has no image of it; look into its log on the server"
    )]
    Unmarked {
        /// Which.
        path: String,
    },
    /// A thread has ended.
    #[error("a thread of this program has ended early: {0}")]
    Thread(String),
    /// It was stopped.
    #[error("it was stopped; the same command goes on where it was")]
    Cancelled,
}

impl Error {
    /// From a call.
    pub(super) fn omero(what: String, source: OmeroError) -> Self {
        if source.is(Exception::SecurityViolation) {
            Self::Forbidden { what, source }
        } else {
            Self::Omero { what, source }
        }
    }

    /// Whether nothing else can be done either: OMERO is gone, or the session is.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Omero { source, .. } => {
                matches!(
                    source,
                    OmeroError::Unavailable { .. }
                        | OmeroError::Gone { .. }
                        | OmeroError::Denied { .. }
                        | OmeroError::NoSession { .. }
                ) || source.is(Exception::SessionException)
            }
            Self::Label { source: LabelError::Cancelled, .. } | Self::Cancelled | Self::Nobody => true,
            _ => false,
        }
    }
}
