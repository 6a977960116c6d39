//! `processor slurm validate`: what stands between us and a job that runs.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

pub(crate) async fn run(_context: &Context<'_>, _job: bool, _answer: &mut Answer) -> Result<u8, Ended> {
    Err(Ended::Missing("validate"))
}
