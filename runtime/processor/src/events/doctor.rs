//! `processor events doctor`: everything that can be wrong with a history, a line each, and what to do.
//!
//! It changes nothing. What it finds is a value first, so that people and programs are told the same.

use biomero_events::Error;
use biomero_events::json::Value;
use biomero_events::query::{Repetition, Standing};
use biomero_events::rebuild::{Compared, TOLD};
use biomero_events::schema::TABLES;
use biomero_events::stored::Corrupt;
use biomero_events::timestamp::Timestamp;
use biomero_events::worker::PROJECTED_BY_PYTHON;
use time::{Duration, OffsetDateTime};

use super::Opened;
use super::row::{seconds, short};
use super::stats::behind;
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::progress::Bar;
use crate::table::Tone;

/// How many rows are told one by one.
const MOST: u32 = TOLD as u32;

/// How many of our own events are read at a time.
const PORTION: u32 = 1_000;

/// What was seen less long ago is likely to go on.
const RECENT: Duration = Duration::days(1);

/// What is to be done about a row.
const ROW: &str = "keep a copy of the row of workflowtracker_events, then correct it, or delete it with the later ones of its originator; then `processor events rebuild`";
const REBUILD: &str = "`processor events rebuild`";
const LISTENERS_OFF: &str = "in [ANALYTICS] of the slurm-config.ini that Python reads: enable_job_accounting = false, enable_job_progress = false, enable_workflow_analytics = false; restart what runs Python; then `processor events rebuild`";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// As it should be.
    Ok,
    /// To be known, and no harm yet.
    Note,
    /// To be put right.
    Wrong,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Note => Tone::Busy,
            Self::Wrong => Tone::Bad,
        }
    }
}

/// What was looked at and found.
#[derive(Debug)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    told: String,
    remedy: Option<&'static str>,
    details: Vec<String>,
}

impl Finding {
    fn ok(check: &'static str, told: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, told: told.into(), remedy: None, details: Vec::new() }
    }

    fn new(
        check: &'static str,
        verdict: Verdict,
        told: impl Into<String>,
        remedy: &'static str,
        details: Vec<String>,
    ) -> Self {
        Self { check, verdict, told: told.into(), remedy: Some(remedy), details }
    }
}

/// Looks at everything.
pub(super) async fn run(
    opened: &Opened,
    configuration: &Configuration<'_>,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let findings = look(opened, configuration).await?;
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    if answer.is_json() {
        answer.object(object(opened, &findings, verdict))?;
    } else {
        write(opened, &findings, verdict, answer)?;
    }
    answer.flush()?;
    Ok(if verdict == Verdict::Wrong { exit_code::FINDINGS } else { exit_code::SUCCESS })
}

async fn look(opened: &Opened, configuration: &Configuration<'_>) -> Result<Vec<Finding>, Ended> {
    let log = &opened.log;
    match log.verify().await {
        Ok(()) => {}
        Err(error @ (Error::NotInitialised { .. } | Error::Schema { .. })) => {
            return Ok(vec![of_tables(error)]);
        }
        Err(error) => return opened.told(Err(error)).await,
    }
    let mut findings = vec![Finding::ok("tables", format!("all {} are as they have to be", TABLES.len()))];
    let standing = opened.told(log.standing().await).await?;
    findings.push(Finding::ok(
        "log",
        format!("{} events, the last with id {}", standing.events, standing.last_id),
    ));
    let bar = Bar::new("comparing the views with the log");
    let compared = log.compare(&|progress| bar.at(progress)).await;
    drop(bar);
    let compared = opened.told(compared).await?;
    findings.push(of_corrupt(&compared));
    findings.push(of_gaps(&opened.told(log.gaps(MOST).await).await?));
    findings.push(of_repetitions(&opened.told(log.repetitions(MOST).await).await?));
    findings.extend(compared.views.iter().map(of_view));
    findings.push(of_lag(&standing));
    findings.extend(of_listeners(&standing));
    findings.extend(of_witness(last_witness(opened).await?));
    findings.push(of_python(configuration));
    Ok(findings)
}

fn of_tables(error: Error) -> Finding {
    match error {
        Error::Schema { differences, .. } => Finding::new(
            "tables",
            Verdict::Wrong,
            "they are not those that biomero 2.8 creates",
            "put each difference right by hand; tables that are there are never altered",
            differences,
        ),
        other => {
            Finding::new("tables", Verdict::Wrong, other.to_string(), "`processor events init`", Vec::new())
        }
    }
}

fn of_corrupt(compared: &Compared) -> Finding {
    if compared.corrupt_events == 0 {
        return Finding::ok("events", format!("all {} that are projected can be read", compared.events));
    }
    let details = compared.corrupt.iter().map(place_and_reason).collect();
    let told =
        format!("{} rows of the log are no events; the views are made without them", compared.corrupt_events);
    Finding::new("events", Verdict::Wrong, told, ROW, details)
}

fn of_gaps(gaps: &[Corrupt]) -> Finding {
    if gaps.is_empty() {
        return Finding::ok("versions", "contiguous for every workflow run and task");
    }
    let details: Vec<String> = gaps.iter().map(place_and_reason).collect();
    let told = format!(
        "{} rows stand behind a missing version: Python's repository.get refuses their originators",
        at_most(gaps.len())
    );
    Finding::new(
        "versions",
        Verdict::Wrong,
        told,
        "put the missing rows back from a backup, or number the later ones of the originator anew",
        details,
    )
}

fn place_and_reason(corrupt: &Corrupt) -> String {
    format!(
        "event {} of {}, version {}: {}",
        corrupt.id, corrupt.originator_id, corrupt.originator_version, corrupt.reason
    )
}

fn of_repetitions(repetitions: &[Repetition]) -> Finding {
    if repetitions.is_empty() {
        return Finding::ok("repetitions", "no event was recorded twice");
    }
    let details = repetitions
        .iter()
        .map(|repetition| {
            format!(
                "event {} repeats {}: {} of {}",
                repetition.id,
                repetition.first_id,
                short(&repetition.topic),
                repetition.originator_id
            )
        })
        .collect();
    let told = format!(
        "{} events were recorded again, as Python workers with listeners do when several write at once",
        at_most(repetitions.len())
    );
    Finding::new("repetitions", Verdict::Note, told, LISTENERS_OFF, details)
}

fn at_most(number: usize) -> String {
    if number < TOLD { number.to_string() } else { format!("{number} or more") }
}

fn of_view(view: &biomero_events::rebuild::ViewDifference) -> Finding {
    if view.is_none() {
        return Finding::ok("view", format!("{} is what the log makes of it", view.table));
    }
    let told = format!(
        "{}: {} rows are missing, {} too many, {} different",
        view.table, view.missing, view.superfluous, view.different
    );
    let details = view.examples.iter().map(|key| format!("for example {key}")).collect();
    Finding::new("view", Verdict::Wrong, told, REBUILD, details)
}

fn of_lag(standing: &Standing) -> Finding {
    match behind(standing, standing.projected) {
        0 => Finding::ok("lag", "the views are up to date"),
        ids => Finding::new(
            "lag",
            Verdict::Note,
            format!("the views are behind by up to {ids} events that others have recorded"),
            "nothing: the next event that is recorded here brings them up to date, `processor events init` does it now",
            Vec::new(),
        ),
    }
}

/// Whether somebody else projects as well: we move all positions together, and never beyond our own.
fn of_listeners(standing: &Standing) -> Vec<Finding> {
    let ours = standing.projected;
    let (ahead, others): (Vec<_>, Vec<_>) =
        standing.tracking.iter().partition(|(_, position)| position.is_some_and(|position| position > ours));
    let mut findings = Vec::new();
    if !ahead.is_empty() {
        let details = ahead
            .iter()
            .map(|(table, position)| {
                format!("{table} is at event {}, we are at {ours}", position.unwrap_or_default())
            })
            .collect();
        findings.push(Finding::new(
            "listeners",
            Verdict::Wrong,
            "a Python worker projects beside us: each leaves out what the other has done",
            LISTENERS_OFF,
            details,
        ));
    }
    let late: Vec<String> = others
        .iter()
        .filter(|(_, position)| position.unwrap_or_default() < ours)
        .map(|(table, position)| {
            format!("{table} is at event {}, we are at {ours}", position.unwrap_or_default())
        })
        .collect();
    if !late.is_empty() {
        findings.push(Finding::new(
            "listeners",
            Verdict::Wrong,
            "somebody has set Python's positions back, as initialize_analytics_system(True) does",
            REBUILD,
            late,
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "listeners",
            format!("all {} stand where our views do", standing.tracking.len()),
        ));
    }
    findings
}

/// When somebody else was last seen to project.
async fn last_witness(opened: &Opened) -> Result<Option<OffsetDateTime>, Ended> {
    let (mut last, mut start) = (None, 1);
    loop {
        let events = opened.told(opened.log.worker_events(start, PORTION).await).await?;
        let witness = events.iter().rfind(|recorded| recorded.event.topic == PROJECTED_BY_PYTHON);
        last = witness.map(|recorded| recorded.recorded).or(last);
        match events.last() {
            Some(event) => start = event.id.saturating_add(1),
            None => return Ok(last),
        }
    }
}

fn of_witness(witness: Option<OffsetDateTime>) -> Option<Finding> {
    let seen = witness?;
    let is_recent = OffsetDateTime::now_utc() - seen < RECENT;
    let told = format!(
        "a Python worker was seen to project beside us, last on {} UTC",
        seconds(Timestamp::from_time(seen))
    );
    let verdict = if is_recent { Verdict::Wrong } else { Verdict::Note };
    Some(Finding::new("witness", verdict, told, LISTENERS_OFF, Vec::new()))
}

/// What a Python worker that reads the same configuration would do.
fn of_python(configuration: &Configuration<'_>) -> Finding {
    let analytics = match configuration.of_python() {
        Ok(Some(analytics)) => analytics,
        Ok(None) | Err(_) => {
            return Finding::new(
                "Python",
                Verdict::Note,
                "slurm-config.ini makes no sense, so that nobody can tell what a Python worker does",
                "`init slurm-config` says what is wrong",
                Vec::new(),
            );
        }
    };
    let on: Vec<&str> = [
        (analytics.enable_job_accounting, "enable_job_accounting"),
        (analytics.enable_job_progress, "enable_job_progress"),
        (analytics.enable_workflow_analytics, "enable_workflow_analytics"),
    ]
    .into_iter()
    .filter(|(on, _)| *on && analytics.track_workflows)
    .map(|(_, key)| key)
    .collect();
    if on.is_empty() {
        return Finding::ok("Python", "a Python worker with this slurm-config.ini leaves the views to us");
    }
    let told = format!(
        "a Python worker with this slurm-config.ini would project beside us ({} on): unsafe as soon as one runs",
        on.join(", ")
    );
    Finding::new("Python", Verdict::Note, told, LISTENERS_OFF, Vec::new())
}

fn write(opened: &Opened, findings: &[Finding], verdict: Verdict, answer: &mut Answer) -> Result<(), Ended> {
    let colour = answer.colour();
    answer.line(format!("{}, named by {}", opened.log.place(), opened.origin))?;
    for finding in findings {
        let word = finding.verdict.tone().paint(&format!("{:5}", finding.verdict.word()), colour);
        answer.line(format!("{word}  {:11}  {}", finding.check, inert(&finding.told)))?;
        for detail in &finding.details {
            answer.line(format!("{:20}{}", "", inert(detail)))?;
        }
        if let Some(remedy) = finding.remedy {
            answer.line(format!("{:20}to do: {remedy}", ""))?;
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    answer.line(match verdict {
        Verdict::Ok => "all is well".to_owned(),
        Verdict::Note => format!("all is well; {} to be known", count(Verdict::Note)),
        Verdict::Wrong => {
            format!("{} to be put right, {} to be known", count(Verdict::Wrong), count(Verdict::Note))
        }
    })
}

fn object(opened: &Opened, findings: &[Finding], verdict: Verdict) -> Value {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let details: Vec<Value> = finding.details.iter().map(|detail| detail.as_str().into()).collect();
            [
                ("check", finding.check.into()),
                ("verdict", finding.verdict.word().into()),
                ("told", finding.told.as_str().into()),
                ("remedy", finding.remedy.map(str::to_owned).into()),
                ("details", details.into()),
            ]
            .into()
        })
        .collect();
    [
        ("database", opened.log.place().into()),
        ("named_by", opened.origin.as_str().into()),
        ("verdict", verdict.word().into()),
        ("findings", findings.into()),
    ]
    .into()
}
