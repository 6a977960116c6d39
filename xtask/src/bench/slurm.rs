//! The cluster: ours against the Python client's and rsync's, all at one real sshd and one real Slurm of this machine.

use std::path::Path;

use biomero_tests::cluster;

use super::Line;
use crate::failure::Failure;

mod commands;
mod states;
mod transfer;

/// The programs of the package of tests that take our times.
pub(super) const PROGRAMS: &[&str] = &[commands::PROGRAM, "state_stopwatch", "peak_memory", "slurm_transfer"];

/// All of it. `programs` is the folder of the finished programs that take our times.
pub(super) fn measure(programs: &Path) -> Result<Vec<Line>, Failure> {
    let cluster = cluster::shared()?;
    let mut lines = commands::measure(&cluster, programs)?;
    lines.extend(states::measure(&cluster, programs)?);
    lines.extend(transfer::measure(&cluster, programs)?);
    Ok(lines)
}
