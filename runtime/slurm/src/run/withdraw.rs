//! Ending what runs of a run, and letting its data go.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::failure::Failure;
use super::progress::{Keep, Notes as _};
use super::steps::{FOUND_WITHIN, LOOKS, Worker, comment};
use super::{Request, Step};
use crate::data::{self, Layout};
use crate::job::{JobId, State};

/// How long jobs may take to end that were cancelled; what goes on for longer is left to the cluster.
const ENDING: Duration = Duration::from_secs(120);
/// How often it is looked whether they have.
const PACE: Duration = Duration::from_secs(2);

/// Cancels the jobs of a run, also one that was asked for and is not known yet, and waits until they have ended.
///
/// # Errors
/// The cluster cannot be asked; doing it again is fine.
pub async fn withdraw<K: Keep>(worker: &Worker<'_>, request: &Request, held: &K) -> Result<(), Failure> {
    let mut jobs = Vec::new();
    for step in [Step::Convert, Step::Workflow] {
        let comment = comment(request, step);
        while let Some(ago) = held.asked(step) {
            if let Some(job) = worker.engine.find(&comment, FOUND_WITHIN).await? {
                jobs.push((job, comment));
                break;
            }
            // What a process that was killed has asked for may still be on its way.
            let Some(left) = worker.engine.settled().checked_sub(ago).filter(|left| !left.is_zero()) else {
                break;
            };
            sleep(left.min(LOOKS)).await;
        }
    }
    let running = open(worker, &jobs).await?;
    if running.is_empty() {
        return Ok(());
    }
    worker.engine.cancel(&running).await?;
    let begun = Instant::now();
    while !open(worker, &jobs).await?.is_empty() && begun.elapsed() < ENDING {
        sleep(PACE).await;
    }
    Ok(())
}

/// Those of them that have not ended, and are still the jobs with these comments.
async fn open(worker: &Worker<'_>, jobs: &[(JobId, String)]) -> Result<Vec<JobId>, Failure> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<JobId> = jobs.iter().map(|(id, _)| *id).collect();
    let states = worker.engine.states(&ids).await?;
    let is_open = |(id, comment): &&(JobId, String)| {
        states.iter().any(|job| {
            job.id.job == id.job
                && !job.has_number_of(comment)
                && !job.state.is_ended()
                && job.state != State::Unknown
        })
    };
    Ok(jobs.iter().filter(is_open).map(|(id, _)| *id).collect())
}

/// The run is over: its data may be cleaned away. Where that cannot be said, whoever cleans is told whose mark it is.
pub async fn let_go(worker: &Worker<'_>, request: &Request) {
    let Ok(layout) = Layout::new(&worker.settings.slurm.data_path, request.data_name()) else { return };
    let run = request.id.to_string();
    if let Err(error) = data::unmark_in_use(worker.cluster, &layout, &run).await {
        tracing::warn!("{error}");
    }
}
