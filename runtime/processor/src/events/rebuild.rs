//! `processor events rebuild`: what `initialize_analytics_system(True)` does beside creating the tables.

use super::Opened;
use super::init::count;
use super::moment::moment;
use super::timeline::took;
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{self, Answer};
use crate::progress::Bar;
use crate::table::{Cell, Table};
use biomero_events::json::Value;
use biomero_events::rebuild::{Rebuilt, TOLD};
use biomero_events::stored::Corrupt;
use biomero_events::timestamp::Timestamp;

/// From when on, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Since {
    pub(super) moment: Option<Timestamp>,
    pub(super) origin: Option<String>,
}

/// The first that is given: the option, the days of the configuration, its date.
pub(super) fn since(option: Option<&str>, configuration: &Configuration<'_>) -> Result<Since, Ended> {
    if let Some(text) = option {
        let origin = "--since".to_owned();
        return match text {
            "all" => Ok(Since::default()),
            text => read(text, origin),
        };
    }
    if let Some((days, origin)) = configuration.analytics("analytics_rebuild_days_ago")? {
        let days = days.reveal().trim();
        return read(&format!("{days}d"), format!("analytics_rebuild_days_ago ({origin})"));
    }
    match configuration.analytics("analytics_rebuild_start_time")? {
        Some((text, origin)) => read(text.reveal(), format!("analytics_rebuild_start_time ({origin})")),
        None => Ok(Since::default()),
    }
}

fn read(text: &str, origin: String) -> Result<Since, Ended> {
    let moment = moment(text, &origin)?;
    Ok(Since { moment: Some(moment), origin: Some(origin) })
}

/// Writes the views anew.
pub(super) async fn run(opened: &Opened, since: Since, answer: &mut Answer) -> Result<u8, Ended> {
    let bar = Bar::new("rebuilding the views");
    let rebuilt = opened.log.rebuild(since.moment, &|progress| bar.at(progress)).await;
    let seconds = bar.elapsed().as_secs_f64();
    drop(bar);
    let rebuilt = opened.told(rebuilt).await?;
    if answer.is_json() {
        answer.object(object(&rebuilt, &since, seconds))?;
    } else {
        let from = match (&since.moment, &since.origin) {
            (Some(moment), Some(origin)) => format!(", rows since {moment} by {origin}"),
            _ => String::new(),
        };
        answer.line(format!(
            "rebuilt the views of {} from {} events in {}{from}",
            opened.log.place(),
            rebuilt.events,
            took(seconds)
        ))?;
        let rows: Vec<Vec<Cell>> = rebuilt
            .views
            .iter()
            .map(|view| {
                vec![view.table.into(), view.deleted.to_string().into(), view.written.to_string().into()]
            })
            .collect();
        Table::new(&["VIEW", ">DELETED", ">WRITTEN"]).write(&rows, answer)?;
    }
    answer.flush()?;
    complain(&rebuilt.corrupt, rebuilt.corrupt_events);
    Ok(if rebuilt.corrupt_events == 0 { exit_code::SUCCESS } else { exit_code::CORRUPT })
}

/// Tells of rows that are no events: they were left out.
fn complain(corrupt: &[Corrupt], all: u64) {
    for corrupt in corrupt {
        output::error(corrupt);
    }
    if let Some(more) = all.checked_sub(TOLD as u64).filter(|more| *more > 0) {
        output::error(format!("and {more} more rows that are no events"));
    }
}

fn object(rebuilt: &Rebuilt, since: &Since, seconds: f64) -> Value {
    let views: Vec<Value> = rebuilt
        .views
        .iter()
        .map(|view| {
            [("table", view.table.into()), ("deleted", count(view.deleted)), ("written", count(view.written))]
                .into()
        })
        .collect();
    [
        ("events", count(rebuilt.events)),
        ("since", since.moment.map(|moment| moment.to_string()).into()),
        ("since_from", since.origin.clone().into()),
        ("views", views.into()),
        ("corrupt_events", count(rebuilt.corrupt_events)),
        ("corrupt", rebuilt.corrupt.iter().map(corrupt_object).collect::<Vec<_>>().into()),
        ("seconds", seconds.into()),
    ]
    .into()
}

/// A row that is no event, for programs.
pub(super) fn corrupt_object(corrupt: &Corrupt) -> Value {
    [
        ("id", corrupt.id.into()),
        ("originator_id", corrupt.originator_id.to_string().into()),
        ("originator_version", corrupt.originator_version.into()),
        ("corrupt", corrupt.reason.to_string().into()),
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use biomero_config::Environment;

    use super::*;

    fn told(option: Option<&str>, variables: &[(&str, &str)]) -> Result<Since, Ended> {
        let mut environment: Environment = variables.iter().copied().collect();
        environment.set("BIOMERO_INIT_SLURM_CONFIG__FILES", "[]");
        since(option, &Configuration::new(&environment))
    }

    #[test]
    fn the_option_wins_over_the_days_and_the_days_over_the_date() {
        let date = ("BIOMERO_ANALYTICS_REBUILD_START_TIME", "2026-11-01");
        let days = ("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO", "7");
        let origin = |option, variables: &[(&str, &str)]| told(option, variables).expect("sense").origin;
        assert_eq!(origin(None, &[]), None);
        assert!(origin(None, &[date]).is_some_and(|origin| origin.contains("START_TIME")));
        assert!(origin(None, &[date, days]).is_some_and(|origin| origin.contains("DAYS_AGO")));
        assert_eq!(origin(Some("2026-01-01"), &[date, days]).as_deref(), Some("--since"));
        assert_eq!(told(Some("all"), &[date, days]).expect("sense"), Since::default());
    }

    #[test]
    fn a_date_without_sense_is_told_with_who_said_it() {
        let told = told(None, &[("BIOMERO_ANALYTICS_REBUILD_START_TIME", "soon")]);
        let message = told.expect_err("no date").to_string();
        assert!(
            message.contains("BIOMERO_ANALYTICS_REBUILD_START_TIME") && message.contains("\"soon\""),
            "{message}"
        );
    }
}
