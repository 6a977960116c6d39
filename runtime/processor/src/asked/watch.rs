//! Watching a workflow to its end, also across ends and starts of whoever carries it.

use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::run::Request;
use super::show::{one, text};
use crate::client::{Client, ClientError, Events, Told};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, note};
use crate::progress::Stage;

/// How often it is asked how far its job is, where somebody looks at a bar.
const LOOK: Duration = Duration::from_secs(2);
/// How long it is waited before somebody who was not there is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Asks for it, and shows how it goes on; returns the exit code.
pub(super) async fn run(request: &Request, client: &Client, answer: &mut Answer) -> Result<u8, Ended> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Ended::System)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Ended::System)?;
    let watched = async {
        // Listening comes first, so that nothing is missed of what is asked for then.
        let mut events = Events::new(client.clone(), request.id);
        while let Err(error) = events.next().await {
            passes(error)?;
            sleep(AGAIN).await;
        }
        // Under the same id, so that it is taken once.
        while let Err(error) =
            client.submit(request.path, request.id, &request.body, request.session.as_ref()).await
        {
            match error {
                ClientError::Nobody { .. } | ClientError::Broken { .. } => sleep(AGAIN).await,
                error => return Err(error.into()),
            }
        }
        note(request.id);
        ended(request, client, &mut events).await
    };
    let workflow = tokio::select! {
        workflow = watched => workflow?,
        _ = interrupt.recv() => return Ok(left(request)),
        _ = terminate.recv() => return Ok(left(request)),
    };
    one(&workflow, answer)?;
    Ok(if workflow["phase"] == "DONE" { exit_code::SUCCESS } else { exit_code::FAILURE })
}

fn left(request: &Request) -> u8 {
    note(format!("it goes on whenever `processor serve` runs; to end it: processor cancel {}", request.id));
    exit_code::FAILURE
}

/// Whether it may be answered later.
fn passes(error: ClientError) -> Result<(), Ended> {
    if error.may_pass() { Ok(()) } else { Err(error.into()) }
}

/// How it stands when it has ended.
async fn ended(request: &Request, client: &Client, events: &mut Events) -> Result<Value, Ended> {
    let stage = Stage::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut phase = String::new();
    let mut is_away = false;
    loop {
        match client.get(&format!("/v1/workflows/{}", request.id)).await {
            Ok(workflow) => {
                is_away = false;
                if workflow["over"] == true {
                    return Ok(workflow);
                }
                show(&workflow, &stage, &mut phase);
            }
            Err(error) => {
                let told = error.to_string();
                passes(error)?;
                if !is_away {
                    note(format!("{told}; waiting for it"));
                    is_away = true;
                }
                sleep(AGAIN).await;
            }
        }
        tokio::select! {
            told = events.next() => match told {
                Ok(Told::Connected | Told::Event(_)) => {}
                Err(error) => {
                    passes(error)?;
                    sleep(AGAIN).await;
                }
            },
            _ = look.tick(), if stage.is_seen() => {}
        }
    }
}

fn show(workflow: &Value, stage: &Stage, phase: &mut String) {
    let now = text(&workflow["phase"]);
    let status = text(&workflow["status"]);
    if stage.is_seen() {
        let children = &workflow["children"];
        let of = children["of"].as_u64().unwrap_or(0);
        let over: u64 = ["done", "failed", "cancelled"].iter().filter_map(|key| children[key].as_u64()).sum();
        let percent = match (over * 100).checked_div(of) {
            Some(percent) => Some(percent),
            None => text(&workflow["progress"]).trim_end_matches('%').trim().parse().ok(),
        };
        let detail = if status.starts_with("JOB_") { format!(" ({status})") } else { String::new() };
        stage.at(format!("{now}{detail}"), percent);
    } else if now != *phase {
        let why = text(&workflow["failure"]["reason"]);
        note(if why.is_empty() { now.clone() } else { format!("{now}: {why}") });
    }
    *phase = now;
}
