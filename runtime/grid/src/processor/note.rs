//! What has to be known of a script when it is over, also by a processor that did not start it. It lies in the run's folder.

use serde::{Deserialize, Serialize};

use crate::script::ScriptProcess;

/// It.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The session that the script has.
    pub(super) session: String,
    /// The group of its job.
    pub(super) group: i64,
    /// Whether it was run to know its parameters.
    pub(super) parse: bool,
    /// The name of its `Process`, which clients have.
    pub(super) identity: String,
    /// The media types of its two outputs; an empty one is not wanted.
    pub(super) formats: [String; 2],
    /// Its path and name in OMERO.
    pub(super) script: String,
    /// The id of its file.
    pub(super) file: i64,
    /// The digest of its text.
    pub(super) sha1: String,
}

impl Note {
    pub(super) fn of(process: &ScriptProcess) -> Result<Self, serde_json::Error> {
        Self::deserialize(process.note())
    }
}
