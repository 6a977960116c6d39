//! `processor import`: results come home into OMERO.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use biomero_config::{Environment, Secret};
use biomero_convert::work::Interruption;
use biomero_omero::Credentials;
use biomero_results::folder::{Folder, LeftOut};
use biomero_results::home::{self, Home, Importer, Outcome, State, Witness};
use biomero_results::plan::{self, Dataset, Images, Plan, Request, Rois, Step};
use biomero_results::{Class, Object, Workflow};
use serde::Serialize;
use uuid::Uuid;

use crate::command_line::import::{Attached, Import};
use crate::ended::Ended;
use crate::exit_code;
use crate::omero::{self, Access};
use crate::output::{self, Answer, inert};
use crate::progress::Bytes;
use crate::table::Tone;

/// The answer for a program.
#[derive(Serialize)]
struct Told<'a> {
    workflow: &'a str,
    dry_run: bool,
    steps: &'a [Outcome],
    left_out: &'a [LeftOut],
    seconds: f64,
}

/// Runs it; returns the exit code.
pub(crate) fn run(asked: &Import, environment: &Environment) -> Result<u8, Ended> {
    let mut answer = Answer::new(asked.shape.json, environment);
    let began = Instant::now();
    let interruption = Interruption::new()?;
    let folder = Folder::read(&asked.folder)?;
    let request = request(asked, &folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Ended::System)?;
    let credentials = Credentials::Session(Secret::new(asked.session.clone()));
    let address = omero::address(&asked.server, None)?;
    let access = Access { address, credentials, trust: asked.trust.clone() };
    let importer = if asked.dry_run { None } else { importer(asked, &access, environment)? };
    let work = bring(asked, &folder, &request, &access, importer.as_ref(), &interruption);
    let (plan, outcomes) = runtime.block_on(work)?;
    runtime.shutdown_background();
    if answer.is_json() {
        let told = Told {
            workflow: &plan.workflow,
            dry_run: asked.dry_run,
            steps: &outcomes,
            left_out: &plan.left_out,
            seconds: began.elapsed().as_secs_f64(),
        };
        answer.line(serde_json::to_string(&told).map_err(std::io::Error::other)?)?;
    } else {
        tell(&plan, &outcomes, asked.dry_run, &mut answer)?;
    }
    answer.flush()?;
    let failed = outcomes.iter().filter(|outcome| outcome.state == State::Failed);
    let failed =
        failed.inspect(|outcome| output::error(outcome.error.as_deref().unwrap_or("it failed"))).count();
    Ok(if failed == 0 { exit_code::SUCCESS } else { exit_code::FAILURE })
}

/// What is asked for, from the command line.
fn request(asked: &Import, folder: &Folder) -> Result<Request, Ended> {
    let targets = asked.targets.iter().map(|text| text.parse::<Object>()).collect::<Result<_, _>>()?;
    let workflow = Workflow {
        id: asked.workflow.unwrap_or_else(|| of_folder(&folder.root)),
        name: asked.name.clone(),
        version: asked.tag.clone(),
        job: asked.job.clone(),
        parameters: asked.parameters.clone(),
    };
    let rois = asked.rois.as_ref().map(|pattern| Rois {
        pattern: (!pattern.is_empty()).then(|| pattern.clone()),
        form: asked.roi_shape.form(),
    });
    Ok(Request {
        targets,
        workflow,
        attach: asked.attach.iter().copied().filter_map(Attached::kind).collect(),
        tables: !asked.no_tables,
        rois,
        images: images(asked)?,
    })
}

/// Where images are imported to, if they are.
fn images(asked: &Import) -> Result<Option<Images>, Ended> {
    let Some(text) = &asked.import_to else { return Ok(None) };
    let dataset = match text.starts_with("omero:").then(|| text.parse::<Object>()).transpose()? {
        Some(Object { class: Class::Dataset, id }) => Dataset::Id(id),
        Some(other) => return Err(Ended::NoDataset(other)),
        None => Dataset::Name(text.clone()),
    };
    Ok(Some(Images { dataset, rename: asked.rename.clone() }))
}

/// What imports them: looked for and checked before anything is done.
fn importer(asked: &Import, access: &Access, environment: &Environment) -> Result<Option<Importer>, Ended> {
    if asked.import_to.is_none() {
        return Ok(None);
    }
    let program = home::find(&asked.omero, environment.get_os("PATH").map(AsRef::as_ref));
    let program = program.unwrap_or_else(|| asked.omero.clone());
    let importer = Importer { program, transfer: asked.transfer.clone(), address: access.address.clone() };
    importer.version().map_err(Ended::Importer)?;
    Ok(Some(importer))
}

/// The id of results of which nobody has said whose they are: the same for the same folder.
fn of_folder(folder: &Path) -> Uuid {
    let path = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    Uuid::new_v5(&Uuid::NAMESPACE_URL, path.as_os_str().as_encoded_bytes())
}

/// Decides and does it, over a session that goes on afterwards.
async fn bring(
    asked: &Import,
    folder: &Folder,
    request: &Request,
    access: &Access,
    importer: Option<&Importer>,
    interruption: &Interruption,
) -> Result<(Plan, Vec<Outcome>), Ended> {
    let session = omero::begin(access, "BIOMERO import").await?;
    let brought = {
        let (home, mut known) = Home::open(&session, &request.targets).await?;
        // It reads tables to their end.
        tokio::task::block_in_place(|| plan::look(folder, request, &mut known));
        let plan = plan::plan(folder, request, &known);
        let outcomes = if asked.dry_run {
            home.look(&plan).await?
        } else {
            let bar = Bytes::new("bringing home");
            let watching = Watching { bar, is_bytes: AtomicBool::new(false), interruption };
            let outcomes = home.carry_out(folder, &plan, &known, importer, &watching).await;
            watching.bar.clear();
            outcomes?
        };
        (plan, outcomes)
    };
    if let Err(error) = session.close().await {
        tracing::debug!(error = %error, "the session was not closed in good order");
    }
    Ok(brought)
}

/// A bar, and Ctrl-C.
struct Watching<'a> {
    bar: Bytes,
    /// Whether what goes on is counted in bytes: rows and regions take no time.
    is_bytes: AtomicBool,
    interruption: &'a Interruption,
}

impl Witness for Watching<'_> {
    fn begins(&self, _: usize, _: usize, step: &Step) {
        let what = match step {
            Step::Describe(_) => "describing",
            Step::Attach(_) => "attaching",
            Step::Table(_) => "storing a table",
            Step::Draw(_) => "drawing",
            Step::Import(_) => "importing",
        };
        self.is_bytes.store(matches!(step, Step::Attach(_)), Ordering::Relaxed);
        self.bar.doing(what, 0, 1);
    }

    fn at(&self, done: u64, of: u64) {
        if self.is_bytes.load(Ordering::Relaxed) {
            self.bar.at(done, of);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.interruption.flag().load(Ordering::Relaxed)
    }
}

fn tell(plan: &Plan, outcomes: &[Outcome], dry_run: bool, answer: &mut Answer) -> Result<(), Ended> {
    answer.line(format!("results of workflow {}", plan.workflow))?;
    for outcome in outcomes {
        let line = inert(&line(outcome, dry_run)).into_owned();
        let tone = match outcome.state {
            State::Failed => Tone::Bad.paint(&line, answer.colour()),
            State::Partly => Tone::Busy.paint(&line, answer.colour()),
            _ => line,
        };
        answer.line(tone)?;
    }
    for left in &plan.left_out {
        answer.line(inert(&format!("  left out  {}: {}", left.path, left.reason)))?;
    }
    Ok(())
}

/// What became, or would become, of a step.
fn line(outcome: &Outcome, dry_run: bool) -> String {
    let word = match outcome.state {
        State::Missing if dry_run => "to do",
        State::Missing => "not done",
        State::Partly => "begun",
        State::There => "there",
        State::Made => "done",
        State::Failed => "failed",
    };
    let to = |to: &[Object]| to.iter().map(Object::to_string).collect::<Vec<_>>().join(", ");
    let what = match &outcome.step {
        Step::Describe(step) => format!("key-value pairs {} to {}", step.namespace, to(&step.to)),
        Step::Attach(step) => format!("{} attached to {} as {}", step.path, to(&step.to), step.name),
        Step::Table(step) => {
            let (columns, rows) = (step.shape.columns.len(), step.shape.rows);
            format!("{} as a table of {rows} rows and {columns} columns to {}", step.path, to(&step.to))
        }
        Step::Draw(step) => {
            let label =
                step.label.as_ref().map(|label| format!(", label image {label:?},")).unwrap_or_default();
            let count = outcome.count.map(|count| format!(": {count}")).unwrap_or_default();
            format!("{}{label} as regions of interest on Image:{}{count}", step.path, step.image)
        }
        Step::Import(step) => format!("{} imported as {}", step.path, step.name),
    };
    let objects = match outcome.objects.as_slice() {
        [] => String::new(),
        objects => format!(" ({})", objects.join(", ")),
    };
    format!("  {word:<8}  {what}{objects}")
}
