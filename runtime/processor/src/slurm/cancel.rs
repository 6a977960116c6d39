//! `processor slurm cancel`: jobs are ended, or put back into the queue.

use biomero_slurm::job::JobId;

use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::slurm::Context;
use crate::slurm::jobs::ids;

pub(crate) async fn run(
    context: &Context<'_>,
    jobs: &[String],
    requeue: bool,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let ids = ids(jobs)?;
    let engine = context.engine()?;
    if requeue {
        engine.requeue(&ids).await?;
    } else {
        engine.cancel(&ids).await?;
    }
    let done = if requeue { "requeued" } else { "cancelled" };
    if answer.is_json() {
        for id in &ids {
            answer.object([("job", id.to_string().into()), ("done", done.into())].into())?;
        }
    } else {
        let named: Vec<String> = ids.iter().map(JobId::to_string).collect();
        answer.line(format!("{done}: {}", named.join(" ")))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}
