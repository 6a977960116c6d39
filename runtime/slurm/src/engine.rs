//! Who runs jobs: Slurm, or the embedded executor of a machine without.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::executor::{self, Executor};
use crate::job::{Job, JobId, Submission};
use crate::scheduler::log::{self, Look, Wish};
use crate::scheduler::watch::{Looking, Standing};
use crate::scheduler::{self, Heard, Slurm, Snapshot, Whose};

/// Who runs jobs.
#[derive(Debug, Clone)]
pub enum Engine {
    /// Slurm, wherever its cluster is.
    Slurm(Slurm),
    /// Processes of this machine.
    Embedded(Executor),
}

/// Why something asked of it did not come about.
#[derive(Debug, Error)]
pub enum Error {
    /// Slurm or its cluster.
    #[error(transparent)]
    Slurm(#[from] scheduler::Error),
    /// The embedded executor.
    #[error(transparent)]
    Embedded(#[from] executor::Error),
}

impl Engine {
    /// Submits a job, once.
    ///
    /// # Errors
    /// It is refused, or cannot be asked for.
    pub async fn submit(&self, submission: &Submission) -> Result<JobId, Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.submit(submission).await?),
            Self::Embedded(executor) => Ok(blocking(executor, submission.clone(), |executor, submission| {
                executor.submit(&submission)
            })
            .await?),
        }
    }

    /// The job with this comment, if there is one that was submitted within `within`.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn find(&self, comment: &str, within: Duration) -> Result<Option<JobId>, Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.find(comment, within).await?),
            Self::Embedded(executor) => {
                Ok(blocking(executor, comment.to_owned(), |executor, comment| executor.find(&comment))
                    .await?)
            }
        }
    }

    /// How the job with this comment ended, where it is known although another job has its number.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn ended(&self, comment: &str, within: Duration) -> Result<Option<Job>, Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.ended(comment, within).await?),
            // It gives a number once.
            Self::Embedded(_) => Ok(None),
        }
    }

    /// How long after it was asked for something may still become a job, whoever asked.
    #[must_use]
    pub const fn settled(&self) -> Duration {
        match self {
            Self::Slurm(slurm) => slurm.settled(),
            // Who submits and who looks hold the queue's lock.
            Self::Embedded(_) => Duration::ZERO,
        }
    }

    /// How these stand, all in one question; of an array each task.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn states(&self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.states(ids).await?),
            Self::Embedded(executor) => Ok(standing(executor, ids).await?),
        }
    }

    /// Ends these; what is over already is fine.
    ///
    /// # Errors
    /// One cannot be ended.
    pub async fn cancel(&self, ids: &[JobId]) -> Result<(), Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.cancel(ids).await?),
            Self::Embedded(executor) => {
                Ok(blocking(executor, ids.to_vec(), |executor, ids| executor.cancel(&ids)).await?)
            }
        }
    }

    /// Puts these back into the queue.
    ///
    /// # Errors
    /// One cannot be put back.
    pub async fn requeue(&self, ids: &[JobId]) -> Result<(), Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.requeue(ids).await?),
            Self::Embedded(executor) => {
                Ok(blocking(executor, ids.to_vec(), |executor, ids| executor.requeue(&ids)).await?)
            }
        }
    }

    /// Fills in what jobs that have ended have used, where that is asked for separately.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn add_usage(&self, jobs: &mut [Job]) -> Result<(), Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.add_usage(jobs).await?),
            Self::Embedded(_) => Ok(()),
        }
    }

    /// Jobs that wait or run; of Slurm those too that ended within `hours`.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn list(&self, whose: Whose, hours: u32) -> Result<Vec<Job>, Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.list(whose, hours).await?.jobs),
            Self::Embedded(executor) => Ok(blocking(executor, (), |executor, ()| executor.queue()).await?),
        }
    }

    /// Where the log of a job or of a task is.
    ///
    /// # Errors
    /// Nobody knows the job any more.
    pub async fn log_of(&self, id: JobId) -> Result<PathBuf, Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.log_of(id).await?),
            Self::Embedded(executor) => Ok(blocking(executor, id, Executor::log).await?),
        }
    }
}

impl Standing for Engine {
    type Error = Error;

    async fn standing(&self, ids: &[JobId]) -> Result<Snapshot, Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.snapshot(ids).await?),
            Self::Embedded(executor) => Ok(Snapshot {
                jobs: standing(executor, ids).await?,
                controller: Heard::Yes,
                accounting: Heard::Yes,
            }),
        }
    }

    async fn complete(&self, jobs: &mut [Job]) {
        if let Self::Slurm(slurm) = self {
            slurm.complete(jobs).await;
        }
    }
}

impl Looking for Engine {
    async fn look(&self, ids: &[JobId], logs: &[Wish]) -> Result<(Snapshot, Vec<Option<Look>>), Error> {
        match self {
            Self::Slurm(slurm) => Ok(slurm.look(ids, logs).await?),
            Self::Embedded(executor) => {
                let snapshot = self.standing(ids).await?;
                let looks = blocking(executor, logs.to_vec(), |executor, logs| {
                    Ok(log::here(&logs, &executor.home()))
                });
                Ok((snapshot, looks.await?))
            }
        }
    }
}

/// How these stand; those that the executor does not know are told as unknown, as of Slurm.
async fn standing(executor: &Executor, ids: &[JobId]) -> Result<Vec<Job>, executor::Error> {
    let mut jobs = blocking(executor, ids.to_vec(), |executor, ids| executor.states(&ids)).await?;
    for id in ids {
        if !jobs.iter().any(|job| job.id == *id || job.id.job == id.job && id.task.is_none()) {
            jobs.push(scheduler::unknown(*id));
        }
    }
    Ok(jobs)
}

/// The queue is a folder with a lock, which others may hold for a while.
async fn blocking<A: Send + 'static, T: Send + 'static>(
    executor: &Executor,
    with: A,
    work: impl FnOnce(&Executor, A) -> Result<T, executor::Error> + Send + 'static,
) -> Result<T, executor::Error> {
    let executor = executor.clone();
    match tokio::task::spawn_blocking(move || work(&executor, with)).await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
