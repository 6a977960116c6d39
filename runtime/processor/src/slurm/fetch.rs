//! `processor slurm fetch`: results come back.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

pub(crate) async fn run(
    _context: &Context<'_>,
    _run: &str,
    _output: &std::path::Path,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("fetch"))
}
