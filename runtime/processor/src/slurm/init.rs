//! `processor slurm init`: the cluster is made ready.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) workflows: &'a [String],
    pub(crate) dry_run: bool,
    pub(crate) wait: bool,
    pub(crate) force: bool,
    pub(crate) status: bool,
}

pub(crate) async fn run(
    _context: &Context<'_>,
    _asked: Asked<'_>,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("init"))
}
