//! The history: which database, whether it answers, whether its tables are there and its views up to date.

use std::time::Instant;

use biomero_events::{EventLog, Limits};
use biomero_slurm::setup::finding::Finding;

use crate::configuration::Configuration;
use crate::database;
use crate::events::stats::behind;

/// Looks at it; nothing is written.
pub(super) async fn look(configuration: &Configuration<'_>) -> Vec<Finding> {
    let step = "database";
    let chosen = match database::choose(None, configuration) {
        Ok(chosen) => chosen,
        Err(error) => {
            return vec![Finding::failed(step, error.to_string(), "correct the URL where it is named")];
        }
    };
    let begun = Instant::now();
    let log = match EventLog::open(&chosen.url, Limits::default()).await {
        Ok(log) => log,
        Err(error) => return vec![unreached(step, &error.to_string(), &chosen.origin)],
    };
    if let Err(error) = log.verify().await {
        let remedy = "`processor events init`, and where tables differ what it says";
        return match error {
            error @ (biomero_events::Error::NotInitialised { .. } | biomero_events::Error::Schema { .. }) => {
                vec![Finding::failed("tables", error.to_string(), remedy)]
            }
            error => vec![unreached(step, &error.to_string(), &chosen.origin)],
        };
    }
    let told = format!("{}, named by {}", log.place(), chosen.origin);
    let mut findings =
        vec![Finding::ok(step, format!("{told}; answered in {} ms", begun.elapsed().as_millis()))];
    match log.standing().await {
        Ok(standing) => {
            findings.push(Finding::ok(
                "events",
                format!("{}, the last with id {}", standing.events, standing.last_id),
            ));
            findings.push(match behind(&standing, standing.projected) {
                0 => Finding::ok("views", "up to date; `processor events doctor` compares them with the log"),
                ids => Finding::warning(
                    "views",
                    format!("behind by up to {ids} events that others have recorded"),
                    "`processor events init` brings them up to date",
                ),
            });
        }
        Err(error) => findings.push(unreached("events", &error.to_string(), &chosen.origin)),
    }
    findings
}

fn unreached(step: &str, told: &str, origin: &str) -> Finding {
    Finding::failed(
        step,
        format!("{told}; it is named by {origin}"),
        "do what it says; of a server check its address and the network",
    )
}
