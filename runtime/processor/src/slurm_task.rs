//! `processor slurm-task`: one task of the embedded executor. The queue starts it in the background; it reads no settings, so
//! that what was submitted runs as it was meant to then.

use std::path::Path;

use biomero_slurm::executor::Executor;

use crate::ended::Ended;
use crate::exit_code;

/// Runs the task to its end.
pub(crate) fn run(state: &Path, job: &str, token: &str) -> Result<u8, Ended> {
    let id = job.parse()?;
    let executor = Executor::resume(state)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Ended::System)?;
    runtime.block_on(executor.run(id, token))?;
    Ok(exit_code::SUCCESS)
}
