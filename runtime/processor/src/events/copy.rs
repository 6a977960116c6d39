//! `processor events copy`: the history of one database in another, as when one machine becomes several.

use biomero_events::copy::{Copied, CopyError, copy};
use biomero_events::json::Value;

use super::Opened;
use super::init::count;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::progress::Bar;

/// Copies what the target does not have.
pub(super) async fn run(from: &Opened, to: &Opened, answer: &mut Answer) -> Result<u8, Ended> {
    let bar = Bar::new("copying");
    let copied = copy(&from.log, &to.log, &|progress| bar.at(progress)).await;
    drop(bar);
    let copied = match copied {
        Ok(copied) => copied,
        // The database that it was names itself; a question that is not understood may be for want of tables.
        Err(CopyError::Log(error)) => return from.told(Err(error)).await,
        Err(error) => return Err(Ended::Copy(error)),
    };
    let (source, target) = (from.log.place(), to.log.place());
    if answer.is_json() {
        answer.object(object(&copied, source, target))?;
    } else {
        answer.line(format!("copied {} events from {source} to {target}", copied.events))?;
        let Copied { present, worker_events, job_usage, projected, .. } = copied;
        if present > 0 {
            answer.line(format!("{present} were there already, from a copy before"))?;
        }
        answer.line(format!(
            "and {worker_events} events of the worker's own, the usage of {job_usage} jobs; {projected} events projected"
        ))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

fn object(copied: &Copied, from: String, to: String) -> Value {
    let Copied { present, events, commands, worker_events, job_usage, projected } = *copied;
    [
        ("from", from.into()),
        ("to", to.into()),
        ("present", count(present)),
        ("events", count(events)),
        ("commands", count(commands)),
        ("worker_events", count(worker_events)),
        ("job_usage", count(job_usage)),
        ("projected", count(projected)),
    ]
    .into()
}
