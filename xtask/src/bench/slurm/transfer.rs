//! Two gigabytes there, in one file and in many.

use std::path::Path;

use biomero_tests::cluster::Access;

use crate::bench::Line;
use crate::failure::Failure;

/// Ours against theirs.
pub(super) fn measure(_cluster: &Access, _programs: &Path) -> Result<Vec<Line>, Failure> {
    Ok(Vec::new())
}
