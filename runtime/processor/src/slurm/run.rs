//! `processor slurm run`: images to results.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

pub(crate) async fn run(
    _context: &Context<'_>,
    _asked: &crate::command_line::slurm::Run,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("run"))
}
