//! `processor slurm workflows`: what can be run, and what it can be told.

use std::time::Duration;

use biomero_config::slurm_config::Workflow;
use biomero_events::json::Value;
use biomero_slurm::descriptor::{Parameter, Scalar};
use biomero_slurm::workflow::catalogue::{Entry, Found, Origin};
use biomero_slurm::workflow::{Image, variable};

use crate::ended::Ended;
use crate::exit_code;
use crate::output::{self, Answer, inert};
use crate::slurm::Context;
use crate::table::{Cell, Table, Tone};

pub(crate) async fn run(
    context: &Context<'_>,
    name: Option<&str>,
    refresh: bool,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let catalogue = context.catalogue()?;
    let Some(name) = name else {
        let workflows = &context.biomero.workflows;
        let entries = catalogue.all(workflows, refresh).await;
        return list(workflows, &entries, answer);
    };
    let workflow = context.workflow(name)?;
    let found = catalogue.one(workflow, refresh).await;
    let found = found.map_err(|source| Ended::Descriptor { name: name.to_owned(), source })?;
    if answer.is_json() {
        answer.object(object(workflow, &found))?;
    } else {
        show(workflow, &found, answer)?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// All workflows, each with its own status: one that is broken hides no other.
fn list(workflows: &[Workflow], entries: &[Entry], answer: &mut Answer) -> Result<u8, Ended> {
    let mut rows = Vec::new();
    for (workflow, entry) in workflows.iter().zip(entries) {
        if answer.is_json() {
            answer.object(match &entry.found {
                Ok(found) => object(workflow, found),
                Err(error) => [
                    ("name", Value::from(workflow.name.as_str())),
                    ("repository", text(workflow.repository.as_deref())),
                    ("error", error.to_string().into()),
                ]
                .into(),
            })?;
            continue;
        }
        rows.push(match &entry.found {
            Ok(found) => vec![
                workflow.name.as_str().into(),
                version(workflow, found).into(),
                found.descriptor.parameters().count().to_string().into(),
                found.descriptor.image.as_str().into(),
                Cell::new(origin(&found.origin), tone(&found.origin)),
            ],
            Err(_) => vec![
                workflow.name.as_str().into(),
                "".into(),
                "".into(),
                "".into(),
                Cell::new("no descriptor", Tone::Bad),
            ],
        });
    }
    if !answer.is_json() {
        if rows.is_empty() {
            answer.line("no workflows: add some below [WORKFLOWS] of slurm-config.ini")?;
        } else {
            Table::new(&["WORKFLOW", "VERSION", ">PARAMETERS", "IMAGE", "DESCRIPTOR"])
                .write(&rows, answer)?;
        }
    }
    answer.flush()?;
    let mut is_broken = false;
    for entry in entries {
        match &entry.found {
            Ok(found) => {
                if let Some(warning) = &found.warning {
                    output::hint(format!("{}: {warning}", entry.name));
                }
            }
            Err(error) => {
                is_broken = true;
                output::error(format!("{}: {error}", entry.name));
            }
        }
    }
    Ok(if is_broken { exit_code::FINDINGS } else { exit_code::SUCCESS })
}

/// One workflow, and a line for each parameter.
fn show(workflow: &Workflow, found: &Found, answer: &mut Answer) -> Result<(), Ended> {
    let descriptor = &found.descriptor;
    let facts = [
        ("workflow", workflow.name.as_str()),
        ("what it does", descriptor.description.trim()),
        ("image", &descriptor.image),
        ("version", &version(workflow, found)),
        ("descriptor", &format!("{}, {}", found.place, origin(&found.origin))),
        ("job script", workflow.job.as_deref().unwrap_or_default()),
    ];
    for (what, text) in facts {
        if !text.is_empty() {
            answer.line(format!("{what:<13} {}", inert(text)))?;
        }
    }
    let rows: Vec<Vec<Cell>> = descriptor
        .parameters()
        .map(|parameter| {
            vec![
                parameter.id.as_str().into(),
                if parameter.attachment { "file to attach" } else { parameter.kind.name() }.into(),
                match &parameter.default {
                    Some(default) => default.to_string().into(),
                    None if parameter.optional == Some(true) => Cell::new("may be left out", Tone::Faint),
                    None => Cell::new("has to be given", Tone::Busy),
                },
                choices(parameter).into(),
                parameter
                    .description
                    .as_deref()
                    .or(parameter.name.as_deref())
                    .unwrap_or_default()
                    .trim()
                    .into(),
            ]
        })
        .collect();
    if rows.is_empty() {
        answer.line("it has no parameters")?;
    } else {
        Table::new(&["PARAMETER", "TYPE", "DEFAULT", "CHOICES", "WHAT"]).write(&rows, answer)?;
    }
    if let Some(warning) = &found.warning {
        answer.flush()?;
        output::hint(warning);
    }
    Ok(())
}

fn choices(parameter: &Parameter) -> String {
    let choices: Vec<String> = parameter.choices.iter().map(|choice| choice.value.to_string()).collect();
    choices.join(", ")
}

fn version(workflow: &Workflow, found: &Found) -> String {
    Image::of(&found.descriptor.image).version(workflow.repository.as_deref())
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Local => "a file of the site".to_owned(),
        Origin::Fetched => "fetched now".to_owned(),
        Origin::Kept { age } if age.is_zero() => "unchanged".to_owned(),
        Origin::Kept { age } => format!("fetched {} ago", since(*age)),
        Origin::Stale { age } => format!("fetched {} ago, and not reachable now", since(*age)),
    }
}

const fn tone(origin: &Origin) -> Tone {
    match origin {
        Origin::Stale { .. } => Tone::Busy,
        _ => Tone::Plain,
    }
}

fn since(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A workflow for a program.
fn object(workflow: &Workflow, found: &Found) -> Value {
    let descriptor = &found.descriptor;
    let variables = variable::names(descriptor.parameters());
    let parameters = descriptor.parameters().zip(variables).map(|(one, variable)| parameter(one, &variable));
    let (how, age) = match &found.origin {
        Origin::Local => ("local", None),
        Origin::Fetched => ("fetched", None),
        Origin::Kept { age } => ("kept", Some(age)),
        Origin::Stale { age } => ("stale", Some(age)),
    };
    let age = age.and_then(|age| i64::try_from(age.as_secs()).ok());
    [
        ("name", Value::from(workflow.name.as_str())),
        ("repository", text(workflow.repository.as_deref())),
        ("description", descriptor.description.as_str().into()),
        ("format", descriptor.format.to_string().into()),
        ("image", descriptor.image.as_str().into()),
        ("version", version(workflow, found).into()),
        ("job_script", text(workflow.job.as_deref())),
        ("descriptor", found.place.as_str().into()),
        ("origin", how.into()),
        ("age", age.map_or(Value::Null, Into::into)),
        ("warning", text(found.warning.as_deref())),
        ("parameters", parameters.collect::<Vec<Value>>().into()),
    ]
    .into()
}

fn parameter(parameter: &Parameter, variable: &str) -> Value {
    let choices = parameter
        .choices
        .iter()
        .map(|choice| [("value", scalar(&choice.value)), ("label", text(choice.label.as_deref()))].into());
    [
        ("id", Value::from(parameter.id.as_str())),
        ("name", text(parameter.name.as_deref())),
        ("description", text(parameter.description.as_deref())),
        ("type", parameter.kind.name().into()),
        ("default", parameter.default.as_ref().map_or(Value::Null, scalar)),
        ("optional", (parameter.optional == Some(true)).into()),
        ("choices", choices.collect::<Vec<Value>>().into()),
        ("file_attachment", parameter.attachment.into()),
        (
            "format",
            parameter.format.iter().map(|format| format.as_str().into()).collect::<Vec<Value>>().into(),
        ),
        ("flag", parameter.command_flag().into()),
        ("variable", variable.into()),
    ]
    .into()
}

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Into::into)
}

fn scalar(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Boolean(value) => (*value).into(),
        Scalar::Integer(number) => (*number).into(),
        Scalar::Float(number) => (*number).into(),
        Scalar::Text(text) => text.as_str().into(),
    }
}
