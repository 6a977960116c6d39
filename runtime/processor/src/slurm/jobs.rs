//! `processor slurm jobs`: how jobs stand.

use crate::ended::Ended;
use crate::output::Answer;
use crate::slurm::Context;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) jobs: &'a [String],
    pub(crate) all: bool,
    pub(crate) watch: bool,
}

pub(crate) async fn run(
    _context: &Context<'_>,
    _asked: Asked<'_>,
    _answer: &mut Answer,
) -> Result<u8, Ended> {
    Err(Ended::Missing("jobs"))
}
