//! `processor slurm cancel`: jobs are ended, or put back into the queue.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

pub(crate) async fn run(
    _context: &Context<'_>,
    _jobs: &[String],
    _requeue: bool,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("cancel"))
}
