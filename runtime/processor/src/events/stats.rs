//! `processor events stats`: the questions that Python's listeners answer, and how far the views are.

use biomero_events::json::Value;
use biomero_events::query::{Census, DayUsage, Standing, TaskStatistics, Whose};
use biomero_events::worker::UserUsage;

use super::Opened;
use super::init::count;
use super::row::{of_state, short};
use super::timeline::took;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;
use crate::table::{Cell, Table, Tone};

/// How long the longest bar of the days is.
const LONGEST: u64 = 40;

/// Whose, and of which task the days.
pub(super) struct Asked<'a> {
    pub(super) whose: Whose,
    pub(super) task: Option<&'a str>,
}

/// What was answered.
struct Statistics {
    standing: Standing,
    census: Census,
    tasks: Vec<TaskStatistics>,
    usage: Vec<UserUsage>,
    days: Option<Vec<DayUsage>>,
}

/// Shows what there is.
pub(super) async fn run(opened: &Opened, asked: Asked<'_>, answer: &mut Answer) -> Result<u8, Ended> {
    let Asked { whose, task } = asked;
    let days = match task {
        Some(task) => Some(opened.told(opened.log.usage_over_time(task, whose).await).await?),
        None => None,
    };
    let statistics = Statistics {
        standing: opened.told(opened.log.standing().await).await?,
        census: opened.told(opened.log.census(whose).await).await?,
        tasks: opened.told(opened.log.task_statistics(whose).await).await?,
        usage: opened.told(opened.log.usage_by_user(whose).await).await?,
        days,
    };
    if answer.is_json() {
        answer.object(object(&statistics, &opened.log.place()))?;
    } else {
        write(&statistics, &opened.log.place(), answer)?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// How many ids something is behind the log.
pub(crate) const fn behind(standing: &Standing, position: i64) -> i64 {
    let behind = standing.last_id.saturating_sub(position);
    if behind > 0 { behind } else { 0 }
}

fn write(statistics: &Statistics, place: &str, answer: &mut Answer) -> Result<(), Ended> {
    let Statistics { standing, census, tasks, usage, days } = statistics;
    answer.line(format!("{} events in {place}", standing.events))?;
    let lag = match behind(standing, standing.projected) {
        0 => "the views are up to date".to_owned(),
        ids => format!("the views are behind by up to {ids} events, until the next one is recorded here"),
    };
    answer.line(lag)?;

    section(
        answer,
        "EVENT",
        &[">COUNT"],
        standing.topics.iter().map(|(topic, count)| vec![short(topic).into(), count.to_string().into()]),
    )?;
    section(
        answer,
        "WORKFLOW RUNS",
        &[">COUNT"],
        census.workflows.iter().map(|(status, count)| {
            let status = status.as_deref().unwrap_or("unknown");
            vec![Cell::new(status, of_state(status)), count.to_string().into()]
        }),
    )?;
    section(
        answer,
        "TASK",
        &["VERSION", ">COUNT", ">ENDED", ">AVERAGE", ">FAILURES"],
        tasks.iter().map(|task| {
            let failures = task.failures.len();
            vec![
                task.task.name.clone().into(),
                task.task.version.clone().unwrap_or_default().into(),
                task.count.to_string().into(),
                task.ended.to_string().into(),
                task.average_seconds.map(took).unwrap_or_default().into(),
                Cell::new(failures.to_string(), if failures == 0 { Tone::Faint } else { Tone::Bad }),
            ]
        }),
    )?;
    section(
        answer,
        "FAILURE",
        &["TASK"],
        tasks.iter().flat_map(|task| {
            task.failures
                .iter()
                .map(|failure| vec![Cell::new(failure, Tone::Bad), task.task.name.clone().into()])
        }),
    )?;
    section(
        answer,
        ">USER",
        &[">JOBS", ">COMPLETED"],
        census.jobs.iter().map(|jobs| {
            vec![
                jobs.user.to_string().into(),
                jobs.jobs.to_string().into(),
                jobs.completed.to_string().into(),
            ]
        }),
    )?;
    section(
        answer,
        ">USER",
        &[">JOBS", ">ELAPSED", ">CPU TIME", ">ALLOCATED", ">LARGEST MEMORY"],
        usage.iter().map(|usage| {
            vec![
                usage.user.map_or_else(|| "unknown".to_owned(), |user| user.to_string()).into(),
                usage.jobs.to_string().into(),
                took(usage.elapsed_seconds as f64).into(),
                took(usage.cpu_seconds).into(),
                took(usage.allocated_cpu_seconds as f64).into(),
                usage.max_rss_bytes.map(memory).unwrap_or_default().into(),
            ]
        }),
    )?;
    let days = days.as_deref().unwrap_or_default();
    let most = days.iter().map(|day| day.count).max().unwrap_or(1).max(1);
    section(
        answer,
        "DAY",
        &[">COUNT", ""],
        days.iter().map(|day| {
            // At least one, so that no day with tasks looks like one without.
            let length = (day.count * LONGEST / most).max(1);
            vec![
                day.date.to_string().into(),
                day.count.to_string().into(),
                "#".repeat(length as usize).into(),
            ]
        }),
    )
}

/// A table of its own, left out where it has no rows.
fn section(
    answer: &mut Answer,
    first: &'static str,
    others: &[&'static str],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> Result<(), Ended> {
    let rows: Vec<Vec<Cell>> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    answer.line("")?;
    Table::new(&[&[first], others].concat()).write(&rows, answer)
}

fn memory(bytes: i64) -> String {
    match bytes {
        ..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.0} MiB", bytes as f64 / 1_048_576.0),
        1_073_741_824.. => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

fn object(statistics: &Statistics, place: &str) -> Value {
    let Statistics { standing, census, tasks, usage, days } = statistics;
    let list = |values: Vec<Value>| Value::from(values);
    Value::from([
        ("database", place.into()),
        ("events", count(standing.events)),
        ("last_id", standing.last_id.into()),
        ("projected_id", standing.projected.into()),
        ("behind", behind(standing, standing.projected).into()),
        (
            "listeners",
            list(
                standing
                    .tracking
                    .iter()
                    .map(|(table, id)| {
                        [("table", table.as_str().into()), ("notification_id", (*id).into())].into()
                    })
                    .collect(),
            ),
        ),
        (
            "topics",
            list(
                standing
                    .topics
                    .iter()
                    .map(|(topic, number)| {
                        [("topic", topic.as_str().into()), ("count", count(*number))].into()
                    })
                    .collect(),
            ),
        ),
        (
            "workflows",
            list(
                census
                    .workflows
                    .iter()
                    .map(|(status, number)| {
                        [("status", status.clone().into()), ("count", count(*number))].into()
                    })
                    .collect(),
            ),
        ),
        (
            "tasks",
            list(
                tasks
                    .iter()
                    .map(|task| {
                        [
                            ("task_name", task.task.name.clone().into()),
                            ("task_version", task.task.version.clone().into()),
                            ("count", count(task.count)),
                            ("ended", count(task.ended)),
                            ("average_seconds", task.average_seconds.into()),
                            (
                                "failures",
                                list(task.failures.iter().map(|failure| failure.as_str().into()).collect()),
                            ),
                        ]
                        .into()
                    })
                    .collect(),
            ),
        ),
        (
            "jobs",
            list(
                census
                    .jobs
                    .iter()
                    .map(|jobs| {
                        [
                            ("user", jobs.user.into()),
                            ("jobs", count(jobs.jobs)),
                            ("completed", count(jobs.completed)),
                        ]
                        .into()
                    })
                    .collect(),
            ),
        ),
        (
            "usage",
            list(
                usage
                    .iter()
                    .map(|usage| {
                        [
                            ("user", usage.user.into()),
                            ("jobs", count(usage.jobs)),
                            ("elapsed_seconds", usage.elapsed_seconds.into()),
                            ("cpu_seconds", usage.cpu_seconds.into()),
                            ("allocated_cpu_seconds", usage.allocated_cpu_seconds.into()),
                            ("max_rss_bytes", usage.max_rss_bytes.into()),
                        ]
                        .into()
                    })
                    .collect(),
            ),
        ),
        (
            "days",
            days.as_ref()
                .map(|days| {
                    list(
                        days.iter()
                            .map(|day| {
                                [("date", day.date.to_string().into()), ("count", count(day.count))].into()
                            })
                            .collect(),
                    )
                })
                .into(),
        ),
    ])
}
