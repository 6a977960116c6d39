//! `processor slurm workflows`: what can be run.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

pub(crate) async fn run(
    _context: &Context<'_>,
    _name: Option<&str>,
    _refresh: bool,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("workflows"))
}
