//! `processor slurm fetch`: results come back.

use std::path::Path;
use std::sync::Arc;

use biomero_events::json::Value;
use biomero_slurm::data::{Download, Layout, download};

use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::progress::Bytes;
use crate::slurm::Context;

pub(crate) async fn run(
    context: &Context<'_>,
    run: &str,
    output: &Path,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let layout = Layout::new(&context.biomero.slurm.data_path, run)?;
    let bar = Arc::new(Bytes::new("fetching"));
    let watched = Arc::clone(&bar);
    let mut asked = Download::new(layout.output(), output);
    asked.settle = true;
    asked.watcher = Some(Arc::new(move |progress| watched.at(progress.bytes, progress.of_bytes)));
    let done = download(&context.cluster, &asked).await;
    bar.clear();
    let done = done?;
    if answer.is_json() {
        let skipped = done.skipped.iter().map(|path| Value::from(path.to_string_lossy().into_owned()));
        answer.object(
            [
                ("run", run.into()),
                ("entries", done.entries.cast_signed().into()),
                ("bytes", done.bytes.cast_signed().into()),
                ("fetched", done.fetched.cast_signed().into()),
                ("skipped", Value::Array(skipped.collect())),
            ]
            .into(),
        )?;
    } else {
        let (entries, bytes, fetched) = (done.entries, done.bytes, done.fetched);
        answer.line(format!("{entries} entries, {bytes} bytes, {fetched} of them fetched now"))?;
        for path in &done.skipped {
            answer
                .line(format!("left there, neither file nor folder: {}", inert(&path.to_string_lossy())))?;
        }
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}
