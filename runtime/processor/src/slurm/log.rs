//! `processor slurm log`: what a job says.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

pub(crate) async fn run(
    _context: &Context<'_>,
    _job: &str,
    _follow: bool,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("log"))
}
