//! Work that takes long: a bar, and a way to stop it.

use biomero_convert::command_line::Effort;
use biomero_convert::work::{Interruption, options};
use biomero_export::WriteError;
use biomero_export::pipeline::Options;

use crate::ended::Ended;
use crate::progress::Bytes;

/// Does it; Ctrl-C and TERM end it early, with nothing half done left.
pub(super) fn run<T>(
    effort: Effort,
    interruption: &Interruption,
    what: &'static str,
    work: impl FnOnce(&Options<'_>) -> Result<T, WriteError>,
) -> Result<T, Ended> {
    let bar = Bytes::new(what);
    let outcome = work(&options(effort, interruption.flag(), &|done, total| bar.at(done, total)));
    bar.clear();
    Ok(outcome?)
}
