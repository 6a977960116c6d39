//! `processor slurm clean`: what a run has left goes.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

pub(crate) async fn run(
    _context: &Context<'_>,
    _run: &str,
    _dry_run: bool,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("clean"))
}
