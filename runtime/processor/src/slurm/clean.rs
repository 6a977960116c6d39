//! `processor slurm clean`: what a run has left goes.

use biomero_events::json::Value;
use biomero_slurm::data::{Debris, Layout, clean};

use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::slurm::Context;

pub(crate) async fn run(
    context: &Context<'_>,
    run: &str,
    dry_run: bool,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let layout = Layout::new(&context.biomero.slurm.data_path, run)?;
    let debris = Debris { layout, run: run.to_owned(), logs: Vec::new() };
    // What uses the folder has marked it.
    let cleaned = clean(&context.cluster, &debris, dry_run, |_| None).await?;
    if answer.is_json() {
        let removals = cleaned.removals.iter().map(|removal| {
            let path = removal.path.to_string_lossy().into_owned();
            Value::from([("path", path.into()), ("bytes", removal.bytes.cast_signed().into())])
        });
        answer.object(
            [
                ("dry_run", dry_run.into()),
                ("bytes", cleaned.bytes().cast_signed().into()),
                ("removals", Value::Array(removals.collect())),
            ]
            .into(),
        )?;
    } else {
        let word = if dry_run { "would go" } else { "removed" };
        for removal in &cleaned.removals {
            let path = removal.path.to_string_lossy();
            answer.line(format!("{word}: {}, {} bytes", inert(&path), removal.bytes))?;
        }
        if cleaned.removals.is_empty() {
            answer.line("there is nothing to remove")?;
        }
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}
