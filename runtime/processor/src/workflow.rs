//! `processor workflow`: asking for workflows, looking at them, ending them, whether or not a server runs.

use std::io::Read as _;
use std::path::Path;

use biomero_config::Environment;
use biomero_events::json::Value;
use biomero_workflow::{Error, Failure, Input, Problem, Request, Workflow};
use uuid::Uuid;

use crate::command_line::workflow::{Verb, Workflow as Asked};
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::serve;

/// A request is never larger.
const LARGEST: u64 = 2 << 20;

/// Runs a verb; returns the exit code.
pub(crate) fn run(asked: &Asked, environment: &Environment) -> Result<u8, Ended> {
    let configuration = Configuration::new(environment);
    let runtime = serve::runtime()?;
    let outcome = runtime.block_on(verb(asked, &configuration));
    runtime.shutdown_background();
    outcome
}

async fn verb(asked: &Asked, configuration: &Configuration<'_>) -> Result<u8, Ended> {
    let workflows = serve::workflows(configuration, asked.database.as_deref()).await?;
    let environment = configuration.environment();
    let answer = |json| Answer::new(json, environment);
    let by = environment.get("USER").filter(|name| !name.is_empty()).unwrap_or("somebody");
    match &asked.verb {
        Verb::Submit { request, id, batch, shape } => {
            let request = read(request)?;
            if request.is_of_omero() {
                return Err(unlent(&request).into());
            }
            let id = id.unwrap_or_else(Uuid::now_v7);
            let submitted = if *batch {
                let groups = request.inputs.iter().map(|input| vec![input.clone()]).collect();
                workflows.submit_batch(id, request, groups).await?
            } else {
                workflows.submit(id, request).await?
            };
            let mut answer = answer(shape.json);
            if answer.is_json() {
                let children = submitted.children.iter().map(|id| Value::from(id.to_string())).collect();
                let repeated = submitted.repeated.into();
                let id = submitted.id.to_string().into();
                answer.object(
                    [("id", id), ("children", Value::Array(children)), ("repeated", repeated)].into(),
                )?;
            } else {
                answer.line(submitted.id.to_string())?;
            }
            answer.flush()?;
        }
        Verb::Show { id, shape } => show(&workflows.show(*id).await?, &mut answer(shape.json))?,
        Verb::Cancel { id, shape } => show(&workflows.cancel(*id, by).await?, &mut answer(shape.json))?,
        Verb::Retry { id, shape } => show(&workflows.retry(*id, by).await?, &mut answer(shape.json))?,
    }
    Ok(exit_code::SUCCESS)
}

/// What is in OMERO is read and written over a session, which a running worker alone takes.
fn unlent(request: &Request) -> Error {
    let is_there = |input: &&Input| matches!(input, Input::Omero(_));
    let what = request.inputs.iter().find(is_there).map_or_else(|| "results".to_owned(), ToString::to_string);
    let told = format!(
        "{what}: a session of OMERO is needed, which is lent to a worker that serves: ask by `processor run --session ID`"
    );
    Error::Senseless(vec![Problem::new("inputs", told)])
}

fn read(path: &Path) -> Result<Request, Ended> {
    let mut text = Vec::new();
    let reading = if path == Path::new("-") {
        std::io::stdin().take(LARGEST).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text))
    };
    reading.map_err(|source| Ended::Request { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| Ended::NoRequest { path: path.to_owned(), source })
}

fn show(workflow: &Workflow, answer: &mut Answer) -> Result<(), Ended> {
    let machine = &workflow.machine;
    if answer.is_json() {
        let json = serde_json::json!({
            "id": workflow.id,
            "parent": workflow.parent,
            "phase": machine.phase(),
            "request": workflow.request,
            "version": machine.version,
            "round": machine.round,
            "attempts": machine.attempts,
            "tries": machine.tries,
            "excluded": machine.excluded,
            "cancelled_by": machine.cancelled_by,
            "children": machine.children,
            "failure": machine.failure,
            "created": workflow.created.unix_timestamp(),
            "changed": workflow.changed.unix_timestamp(),
        });
        answer.object(Value::read(&json.to_string()).unwrap_or_default())?;
    } else {
        let name = &workflow.request.workflow;
        answer.line(format!(
            "{}  {} {}: {}",
            workflow.id,
            inert(name),
            inert(&machine.version),
            machine.phase()
        ))?;
        if let Some(children) = machine.children {
            answer.line(format!(
                "  {} of {} have ended: {} done, {} failed, {} cancelled",
                children.ended(),
                children.of,
                children.done,
                children.failed,
                children.cancelled
            ))?;
        }
        if let Some(failure) = &machine.failure {
            show_failure(failure, answer)?;
        }
    }
    answer.flush()
}

fn show_failure(failure: &Failure, answer: &mut Answer) -> Result<(), Ended> {
    answer.line(format!("  {}", inert(&failure.to_string())))?;
    for line in &failure.log {
        answer.line(format!("  its log: {}", inert(line)))?;
    }
    Ok(())
}
