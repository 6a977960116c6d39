//! `processor slurm log`: what a job says.

use std::time::Duration;

use biomero_slurm::job::JobId;
use biomero_slurm::scheduler::log::{Follower, Lines};

use crate::ended::Ended;
use crate::exit_code;
use crate::output::{self, Answer, inert};
use crate::slurm::Context;

/// How often a log is looked at, and its job asked after.
const INTERVAL: Duration = Duration::from_secs(2);

pub(crate) async fn run(
    context: &Context<'_>,
    job: &str,
    follow: bool,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let id: JobId = job.parse()?;
    let engine = context.engine()?;
    let mut log = Follower::new(engine.log_of(id).await?);
    let mut lines = Lines::default();
    // The job is asked first: what it wrote before its end is in the log then.
    let mut over = !follow;
    let mut failures = 0_u32;
    loop {
        if follow {
            match engine.states(&[id]).await {
                Ok(jobs) => {
                    failures = 0;
                    over = jobs.iter().all(|job| job.state.is_ended());
                }
                Err(error) if failures == 0 => {
                    failures = 1;
                    output::error(format!("{error}: going on"));
                }
                Err(_) => failures = failures.saturating_add(1),
            }
        }
        match log.look(&context.cluster).await {
            Ok(news) => {
                if news.restarted {
                    lines = Lines::default();
                    output::hint("the log began anew");
                }
                for line in lines.push(&news.bytes) {
                    answer.line(inert(&line))?;
                }
                if news.more {
                    continue;
                }
                if news.missing && over {
                    output::hint(format!("there is no log at {} (yet)", log.path().display()));
                    return Ok(exit_code::ABSENT);
                }
            }
            Err(error) if !follow => return Err(error.into()),
            Err(_) => over = false,
        }
        answer.flush()?;
        if over {
            break;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    if let Some(line) = lines.finish() {
        answer.line(inert(&line))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}
