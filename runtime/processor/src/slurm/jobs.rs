//! `processor slurm jobs`: how jobs stand.

use std::time::Duration;

use biomero_events::json::Value;
use biomero_slurm::job::{Group, Job, JobId};
use biomero_slurm::scheduler::watch::{Change, Pace, Watch, WatchOptions};
use biomero_slurm::scheduler::{Failure, Whose};

use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, error, hint};
use crate::slurm::Context;
use crate::table::{Cell, Table, Tone};

/// Of a list without ids, jobs that ended within so many hours are shown too with `--all`.
const HOURS: u32 = 24;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) jobs: &'a [String],
    pub(crate) all: bool,
    pub(crate) watch: bool,
}

const COLUMNS: &[&str] = &["JOB", "STATE", ">EXIT", ">TIME", "PARTITION", "NODES", "NAME", "WHY"];

/// Shows them; ends with 2 where one of those asked for by name has failed.
pub(crate) async fn run(context: &Context<'_>, asked: Asked<'_>, answer: &mut Answer) -> Result<u8, Ended> {
    let engine = context.engine()?;
    let named = ids(asked.jobs)?;
    let mut jobs = if named.is_empty() {
        let mut jobs = engine.list(Whose::Mine, HOURS).await?;
        if !asked.all {
            jobs.retain(|job| !job.state.is_ended() && job.comment.as_deref().is_some_and(is_ours));
        }
        jobs
    } else {
        engine.states(&named).await?
    };
    if asked.watch {
        let followed = if named.is_empty() { jobs.iter().map(|job| job.id).collect() } else { named };
        return follow(context, engine, &followed, answer).await;
    }
    engine.add_usage(&mut jobs).await?;
    if answer.is_json() {
        for job in &jobs {
            answer.object(object(job))?;
        }
    } else if jobs.is_empty() {
        answer.line("no jobs")?;
    } else {
        let rows: Vec<Vec<Cell>> = jobs.iter().map(cells).collect();
        Table::new(COLUMNS).write(&rows, answer)?;
    }
    answer.flush()?;
    Ok(outcome(!asked.jobs.is_empty() && jobs.iter().any(|job| job.state.group() == Group::Failed)))
}

/// Each change, until all have ended.
async fn follow(
    context: &Context<'_>,
    engine: biomero_slurm::engine::Engine,
    ids: &[JobId],
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let pace = Pace { longest: context.settings.slurm.poll.max(Duration::from_secs(2)), ..Pace::default() };
    let (mut watch, adder) = Watch::new(engine, ids, WatchOptions { pace, ..WatchOptions::default() });
    drop(adder);
    let mut table = Table::new(COLUMNS);
    let mut failed = false;
    let mut begun = false;
    while let Some(change) = watch.next().await {
        match change {
            Change::Job(job) => {
                failed |= job.state.group() == Group::Failed;
                if answer.is_json() {
                    answer.object(object(&job))?;
                } else {
                    let row = cells(&job);
                    table.fit([&row]);
                    if !std::mem::replace(&mut begun, true) {
                        table.write_head(answer)?;
                    }
                    table.write_row(&row, answer)?;
                }
            }
            Change::Silent { reason, .. } => hint(format!("{reason}; going on")),
            Change::Back => hint("everybody answers again"),
            Change::Gone { id, reason } => {
                failed = true;
                error(format!("{id}: {reason}"));
            }
        }
        answer.flush()?;
    }
    Ok(outcome(failed))
}

const fn outcome(failed: bool) -> u8 {
    if failed { exit_code::FINDINGS } else { exit_code::SUCCESS }
}

/// The ids that were given.
pub(crate) fn ids(texts: &[String]) -> Result<Vec<JobId>, Ended> {
    texts.iter().map(|text| Ok(text.parse()?)).collect()
}

/// Whether a run of this program has submitted it, by the comment that it gives its jobs.
fn is_ours(comment: &str) -> bool {
    comment.starts_with("biomero-")
}

/// Why it stands so, for people.
fn why(job: &Job) -> Option<String> {
    let failure = || Failure::of(job, b"").map(|failure| failure.to_string());
    let never = job.never.as_ref().map(|never| format!("never: {never}"));
    never.or_else(failure).or_else(|| job.reason.clone())
}

fn cells(job: &Job) -> Vec<Cell> {
    let tone = match job.state.group() {
        Group::Succeeded => Tone::Good,
        Group::Failed => Tone::Bad,
        Group::Running => Tone::Busy,
        Group::Waiting if job.never.is_some() => Tone::Bad,
        Group::Waiting | Group::Unknown => Tone::Plain,
    };
    let text = |text: Option<String>| Cell::from(text.unwrap_or_default());
    vec![
        job.id.to_string().into(),
        Cell::new(job.state.name(), tone),
        text(job.exit.map(|exit| match exit.signal {
            0 => exit.code.to_string(),
            signal => format!("signal {signal}"),
        })),
        text(job.elapsed.map(clock)),
        text(job.partition.clone()),
        text(job.nodes.clone()),
        job.name.clone().into(),
        text(why(job)),
    ]
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn object(job: &Job) -> Value {
    let number = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok());
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    [
        ("job", job.id.to_string().into()),
        ("name", job.name.clone().into()),
        ("state", job.state.name().into()),
        ("group", job.state.group().to_string().into()),
        ("reason", job.reason.clone().into()),
        ("never", job.never.clone().into()),
        ("exit_code", job.exit.map(|exit| i64::from(exit.code)).into()),
        ("signal", job.exit.map(|exit| i64::from(exit.signal)).into()),
        ("partition", job.partition.clone().into()),
        ("nodes", job.nodes.clone().into()),
        ("comment", job.comment.clone().into()),
        ("submitted", job.submitted.into()),
        ("started", job.started.into()),
        ("ended", job.ended.into()),
        ("elapsed_seconds", seconds(job.elapsed).into()),
        ("limit_seconds", seconds(job.limit).into()),
        ("processors", number(job.processors.map(u64::from)).into()),
        ("peak_memory_bytes", number(job.peak_memory).into()),
        ("processor_seconds", seconds(job.processor_time).into()),
        ("folder", job.folder.as_ref().map(|folder| folder.to_string_lossy().into_owned()).into()),
    ]
    .into()
}
