//! `processor slurm run`: images to results, each step recorded in the workflow history.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use biomero_config::slurm_config::Workflow;
use biomero_events::json::Value;
use biomero_events::{EventLog, Limits};
use biomero_slurm::descriptor::Descriptor;
use biomero_slurm::run::{self, Beat, Happened, Held, Outcome, Request, Runs, Step, Worker};
use biomero_slurm::workflow::{Image, JobPlan, arguments};
use uuid::Uuid;

use crate::command_line::slurm::Run;
use crate::database;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{self, Answer};
use crate::progress::Transfer;
use crate::slurm::Context;
use crate::slurm::history::{Recorder, Show};

pub(crate) async fn run(context: &Context<'_>, asked: &Run, answer: &mut Answer) -> Result<u8, Ended> {
    let runs = || Ok::<_, Ended>(Runs::open(&context.state("runs")?)?);
    let resumed = asked.resume.map(|id| Ok::<_, Ended>(runs()?.resume(id)?)).transpose()?;
    let name = resumed.as_ref().map(|(request, _)| &request.workflow).or(asked.name.as_ref());
    let workflow = context.workflow(name.map_or("", String::as_str))?;
    let descriptor = descriptor(context, workflow).await?;
    let (request, held) = match resumed {
        Some((request, held)) => (request, Some(held)),
        None => (new_request(asked, workflow, &descriptor)?, None),
    };
    let template = context.template()?;
    let program = context.program()?;
    let engine = context.engine()?;
    let beat = Beat::new(engine.clone(), context.settings.slurm.poll);
    let worker = Worker {
        cluster: &context.cluster,
        engine: &engine,
        beat: &beat,
        settings: &context.biomero,
        site: context.site(template.as_deref(), program.as_ref()),
        workflow,
        descriptor: &descriptor,
        poll: context.settings.slurm.poll,
    };
    let failed = |failure| Ended::Run { id: request.id, failure: Box::new(failure) };
    // Before anything is kept or recorded: what makes no sense leaves nothing behind.
    let plan = run::planned(&worker, &request).map_err(failed)?;
    if asked.dry_run {
        return show_plan(&plan, &request, answer);
    }
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let runs = runs()?;
    let mut held = match held {
        Some(held) => held,
        None => runs.begin(&request)?,
    };
    show_beginning(&request, &plan, answer)?;
    let outcome = recorded(context, &worker, &request, &mut held, answer).await;
    match &outcome {
        Ok(_) => runs.end(request.id)?,
        Err(Ended::Run { failure, .. }) if !failure.is_passing() => runs.end(request.id)?,
        Err(_) => {}
    }
    show_outcome(&request, &outcome?, answer)
}

/// Runs it; the history has its beginning and its end.
async fn recorded(
    context: &Context<'_>,
    worker: &Worker<'_>,
    request: &Request,
    held: &mut Held,
    answer: &mut Answer,
) -> Result<Outcome, Ended> {
    let database = database::choose(None, context.configuration)?;
    let told = |source| Ended::Log { origin: database.origin.clone(), source: Box::new(source) };
    let log = EventLog::open(&database.url, Limits::default()).await.map_err(told)?;
    // Where nobody has made the tables yet; those that are there are not altered.
    log.initialise().await.map_err(told)?;
    let shown = Shown::new(answer);
    let mut recorder = Recorder::new(&log, context.cluster.name().to_owned(), shown);
    recorder.begun(request).await.map_err(told)?;
    match run::run(worker, request, held, &mut recorder).await {
        Ok(outcome) => {
            recorder.ended(request, None).await.map_err(told)?;
            Ok(outcome)
        }
        Err(failure) => {
            if !failure.is_passing() {
                recorder.ended(request, Some(&failure.to_string())).await.map_err(told)?;
            }
            Err(Ended::Run { id: request.id, failure: Box::new(failure) })
        }
    }
}

fn new_request(asked: &Run, workflow: &Workflow, descriptor: &Descriptor) -> Result<Request, Ended> {
    let mut parameters =
        asked.param.iter().map(|text| arguments::assignment(text)).collect::<Result<Vec<_>, _>>()?;
    for (name, value) in &mut parameters {
        if descriptor.parameters().any(|parameter| parameter.id == *name && parameter.attachment) {
            *value = attachable(name, value)?;
        }
    }
    let options = asked
        .sbatch
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        })
        .collect();
    let input = asked.input.clone().unwrap_or_default();
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| Ended::Input { path: path.to_owned(), source })
    };
    let input = absolute(&input)?;
    std::fs::metadata(&input).map_err(|source| Ended::Input { path: input.clone(), source })?;
    let version = || Image::of(&descriptor.image).version(workflow.repository.as_deref());
    Ok(Request {
        id: Uuid::now_v7(),
        workflow: workflow.name.clone(),
        version: asked.version.clone().unwrap_or_else(version),
        parameters,
        input,
        output: asked.output.as_deref().map(absolute).transpose()?,
        convert: !asked.no_conversion,
        clean: asked.clean,
        time: asked.time.clone(),
        email: asked.email.clone(),
        options,
        user: asked.user,
        group: asked.group,
        attempts: BTreeMap::new(),
    })
}

/// The path of a file to attach, as it holds wherever the run is taken up again; none where it cannot be read.
fn attachable(parameter: &str, path: &str) -> Result<String, Ended> {
    // As if it had not been said.
    if path.is_empty() {
        return Ok(String::new());
    }
    let readable = || -> io::Result<String> {
        let absolute = std::path::absolute(path)?;
        let kind = std::fs::metadata(&absolute)?.file_type();
        if kind.is_dir() {
            std::fs::read_dir(&absolute)?;
        } else if kind.is_file() {
            std::fs::File::open(&absolute)?;
        } else {
            return Err(io::Error::other("it is neither a file nor a folder"));
        }
        absolute.into_os_string().into_string().map_err(|_| io::Error::other("its path is not UTF-8"))
    };
    readable().map_err(|source| Ended::Attachment {
        parameter: parameter.to_owned(),
        path: path.into(),
        source,
    })
}

async fn descriptor(context: &Context<'_>, workflow: &Workflow) -> Result<Descriptor, Ended> {
    let found = context.catalogue()?.one(workflow, false).await;
    let found = found.map_err(|source| Ended::Descriptor { name: workflow.name.clone(), source })?;
    if let Some(warning) = &found.warning {
        tracing::warn!("{warning}");
    }
    Ok(found.descriptor)
}

/// Which run it is, before anything can go wrong with it: it is taken up again and cleaned away by what is said here.
fn show_beginning(request: &Request, plan: &JobPlan, answer: &mut Answer) -> Result<(), Ended> {
    if answer.is_json() {
        let (run, data) = (request.id.to_string(), plan.data.as_str());
        answer.object([("run", run.into()), ("data", data.into())].into())?;
    } else {
        answer.line(format!("run {}", request.id))?;
    }
    answer.flush()
}

fn show_plan(plan: &JobPlan, request: &Request, answer: &mut Answer) -> Result<u8, Ended> {
    let submission = &plan.submission;
    if answer.is_json() {
        let pairs = |pairs: &[(String, String)]| {
            Value::Object(pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
        };
        let options = submission
            .options
            .iter()
            .map(|(name, value)| (name.clone(), value.as_deref().map_or(Value::Null, Into::into)));
        let attached = plan.attached.iter().map(|file| {
            let source = file.source.display().to_string();
            let pairs = [
                ("parameter", file.parameter.as_str().into()),
                ("source", source.into()),
                ("target", file.target.as_str().into()),
            ];
            Value::from(pairs)
        });
        answer.object(
            [
                ("workflow", request.workflow.as_str().into()),
                ("version", request.version.as_str().into()),
                ("image", plan.image.as_str().into()),
                ("data", plan.data.as_str().into()),
                ("script", plan.script.path.as_str().into()),
                ("text", plan.script.text.as_deref().map_or(Value::Null, Into::into)),
                ("options", Value::Object(options.collect())),
                ("environment", pairs(&plan.environment)),
                ("attached", Value::Array(attached.collect())),
                (
                    "warnings",
                    Value::Array(plan.warnings.iter().map(|warning| warning.as_str().into()).collect()),
                ),
            ]
            .into(),
        )?;
        answer.flush()?;
        return Ok(exit_code::SUCCESS);
    }
    for warning in &plan.warnings {
        answer.line(format!("warning      {}", output::inert(warning)))?;
    }
    for (what, text) in [("data", &plan.data), ("image", &plan.image), ("job script", &plan.script.path)] {
        answer.line(format!("{what:<12} {}", output::inert(text)))?;
    }
    for file in &plan.attached {
        let (from, to) = (file.source.display().to_string(), &file.target);
        answer.line(format!("{:<12} {} to {}", "attached", output::inert(&from), output::inert(to)))?;
    }
    answer.line("options of sbatch")?;
    for (name, value) in &submission.options {
        let value = value.as_deref().map(|value| format!("={value}")).unwrap_or_default();
        answer.line(format!("  --{name}{}", output::inert(&value)))?;
    }
    answer.line(format!("  --output={}", submission.output))?;
    answer.line("variables")?;
    for (name, value) in &plan.environment {
        answer.line(format!("  {name}={}", output::inert(value)))?;
    }
    match &plan.script.text {
        Some(text) => {
            answer.line(format!("{}:", plan.script.path))?;
            for line in text.lines() {
                answer.line(format!("  | {}", output::inert(line)))?;
            }
        }
        None => answer.line("the job script is the repository's (slurm_script_repo)")?,
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

fn show_outcome(request: &Request, outcome: &Outcome, answer: &mut Answer) -> Result<u8, Ended> {
    if answer.is_json() {
        answer.object(
            [
                ("run", request.id.to_string().into()),
                ("job", outcome.job.to_string().into()),
                ("data", outcome.data.display().to_string().into()),
                ("results", outcome.results.display().to_string().into()),
                ("cleaned", outcome.cleaned.into()),
            ]
            .into(),
        )?;
    } else {
        let place = match request.output {
            Some(_) => "results are in",
            None => "results are on the cluster, in",
        };
        answer.line(format!("{place} {}", output::inert(&outcome.results.display().to_string())))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}

/// A line for each thing that happens; for a transfer a bar, where somebody looks.
struct Shown {
    quiet: bool,
    bar: Option<Transfer>,
}

impl Shown {
    const fn new(answer: &Answer) -> Self {
        Self { quiet: answer.is_json(), bar: None }
    }
}

impl Show for Shown {
    fn happened(&mut self, what: &Happened<'_>) {
        if let Happened::Moved { bytes, of, .. } = what {
            self.bar.get_or_insert_with(Transfer::new).at(*bytes, *of);
            return;
        }
        self.bar = None;
        if self.quiet {
            return;
        }
        let line = match what {
            Happened::Moved { .. } | Happened::Used { .. } => return,
            Happened::Begun { step: Step::Convert | Step::Workflow, name, version, .. } => {
                format!("{name} {version}")
            }
            Happened::Begun { .. } => return,
            Happened::Submitted { job, .. } => format!("job {job} submitted"),
            Happened::State { job, tasks: (_, 1), .. } => match &job.reason {
                Some(reason) if !job.state.is_ended() => {
                    format!("job {} {} ({reason})", job.id, job.state.name())
                }
                _ => format!("job {} {}", job.id, job.state.name()),
            },
            Happened::State { job, tasks: (ended, all), .. } => {
                format!("job {}: {ended} of {all} tasks have ended", job.id.job)
            }
            Happened::Progress { percent, .. } => format!("{percent}%"),
            Happened::Done { result, .. } => (*result).to_owned(),
            Happened::Failed { reason, .. } => format!("failed: {reason}"),
        };
        let step = match what {
            Happened::Begun { step, .. }
            | Happened::Moved { step, .. }
            | Happened::Submitted { step, .. }
            | Happened::State { step, .. }
            | Happened::Progress { step, .. }
            | Happened::Used { step, .. }
            | Happened::Done { step, .. }
            | Happened::Failed { step, .. } => step.name(),
        };
        output::note(format!("{step:<9} {line}"));
    }
}
