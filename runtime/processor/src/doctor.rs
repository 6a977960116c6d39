//! `processor doctor`: one report of all that this worker stands on, to act on and to attach to a bug report.
//!
//! Invariants: it changes nothing; every part has a deadline, and one that cannot be looked at is told and costs the others
//! nothing; secrets are masked before they come here ([`biomero_config::Row`]), and what others say is made inert.

mod grid;
mod history;
mod machine;
mod worker;

use std::time::Duration;

use biomero_config::Environment;
use biomero_slurm::setup::finding::{Finding, Outcome};
use serde_json::json;
use tokio::time::timeout;

use crate::command_line::Shape;
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::serve;
use crate::slurm::{self, Context};

/// How long a part may take: a cluster that does not answer is given up by then.
const PART: Duration = Duration::from_secs(90);

/// What belongs together.
#[derive(Debug)]
struct Part {
    name: &'static str,
    findings: Vec<Finding>,
}

/// Looks at everything.
pub(crate) fn run(shape: &Shape, environment: &Environment) -> Result<u8, Ended> {
    let configuration = Configuration::new(environment);
    let runtime = serve::runtime()?;
    let parts = runtime.block_on(look(&configuration));
    // What still waits for a disk or the cluster must not keep us.
    runtime.shutdown_background();
    let mut answer = Answer::new(shape.json, environment);
    let worst = parts.iter().flat_map(|part| &part.findings).map(|finding| finding.outcome).max();
    if answer.is_json() {
        answer.json(&object(&parts, worst.unwrap_or(Outcome::Ok), &configuration))?;
    } else {
        write(&parts, &configuration, &mut answer)?;
    }
    answer.flush()?;
    Ok(if worst == Some(Outcome::Failed) { exit_code::FINDINGS } else { exit_code::SUCCESS })
}

async fn look(configuration: &Configuration<'_>) -> Vec<Part> {
    let versions = Part { name: "versions", findings: machine::versions().await };
    let settings = match configuration.settings() {
        Ok(settings) => settings,
        Err(error) => {
            let remedy = "correct what is named; `init --dry-run` shows what comes of it";
            let findings = vec![Finding::failed("settings", error.to_string(), remedy)];
            return vec![versions, Part { name: "configuration", findings }];
        }
    };
    let (cluster, clock, runs) = match Context::new(configuration) {
        Ok(context) => {
            let cluster = part("cluster", async { slurm::validate::findings(&context, false).await }).await;
            let clock = part("clock", machine::clock(&context)).await;
            context.cluster.close().await;
            (cluster, clock, Some(context.runs))
        }
        Err(error) => {
            let remedy = "correct slurm-config.ini; `init slurm-config` shows what comes of it";
            let findings = vec![Finding::failed("slurm-config.ini", error.to_string(), remedy)];
            let clock = vec![Finding::not_tried("cluster", "the cluster is not known")];
            (Part { name: "cluster", findings }, Part { name: "clock", findings: clock }, None)
        }
    };
    let (worker, history, omero) = tokio::join!(
        part("worker", worker::look(configuration, settings)),
        part("history", history::look(configuration)),
        part("OMERO", grid::look(settings)),
    );
    let disk = Part { name: "disk", findings: machine::disk(configuration, settings, runs) };
    let warned = Part { name: "configuration", findings: machine::settings(configuration) };
    vec![versions, warned, worker, history, cluster, omero, disk, clock]
}

async fn part(name: &'static str, look: impl Future<Output = Vec<Finding>>) -> Part {
    let findings = timeout(PART, look).await.unwrap_or_else(|_| {
        let told = format!("it is not known after {} s", PART.as_secs());
        vec![Finding::failed(name, told, "see what does not answer; the other parts may tell")]
    });
    Part { name, findings }
}

fn write(parts: &[Part], configuration: &Configuration<'_>, answer: &mut Answer) -> Result<(), Ended> {
    for part in parts {
        answer.line(part.name)?;
        slurm::validate::lines(&part.findings, "  ", answer)?;
    }
    answer.line("settings")?;
    for row in configuration.described().unwrap_or_default() {
        answer.line(format!(
            "  {} = {}  ({})",
            inert(&row.key),
            inert(&row.value),
            inert(&row.origin.to_string())
        ))?;
    }
    let count = |outcome| {
        parts.iter().flat_map(|part| &part.findings).filter(|finding| finding.outcome == outcome).count()
    };
    answer.line(match (count(Outcome::Failed), count(Outcome::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("the worker can work; {warnings} to be known"),
        (failures, warnings) => format!("{failures} to be put right, {warnings} to be known"),
    })
}

fn object(parts: &[Part], worst: Outcome, configuration: &Configuration<'_>) -> serde_json::Value {
    let told = |part: &Part| {
        let findings: Vec<_> = part
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "check": finding.step,
                    "verdict": finding.outcome.word(),
                    "told": finding.told,
                    "remedy": finding.remedy,
                })
            })
            .collect();
        json!({ "part": part.name, "findings": findings })
    };
    let rows = configuration.described().unwrap_or_default();
    let settings: Vec<_> = rows
        .iter()
        .map(|row| json!({ "key": row.key, "value": row.value, "origin": row.origin.to_string() }))
        .collect();
    json!({
        "verdict": worst.word(),
        "parts": parts.iter().map(told).collect::<Vec<_>>(),
        "settings": settings,
    })
}
