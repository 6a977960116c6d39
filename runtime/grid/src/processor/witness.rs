//! Who is told of scripts that have run.

use std::time::Duration;

use crate::script::Why;

/// A script that has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its job.
    pub job: i64,
    /// Whether it was run to know its parameters.
    pub parse: bool,
    /// Who had it run; empty where OMERO did not say.
    pub user: String,
    /// In which group.
    pub group: String,
    /// Its path and name in OMERO.
    pub script: String,
    /// The id of its file.
    pub file: i64,
    /// The digest of its text: two runs of the same are of the same version.
    pub sha1: String,
    /// How long it ran.
    pub duration: Duration,
    /// As [`crate::script::Outcome::code`].
    pub code: i32,
    /// Why it ended.
    pub why: Why,
}

/// Is told of every script that has run, once its job has its status. A processor that is killed in between tells it again.
pub trait Witness: Send + Sync + 'static {
    /// It has run.
    fn ran(&self, run: &Run);
}
