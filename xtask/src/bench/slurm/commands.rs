//! What asking costs: a hundred commands, and a program's start to its first answer.

use std::path::Path;

use biomero_tests::cluster::Access;

use crate::bench::Line;
use crate::failure::Failure;

/// Ours against theirs.
pub(super) fn measure(_cluster: &Access, _programs: &Path) -> Result<Vec<Line>, Failure> {
    Ok(Vec::new())
}
