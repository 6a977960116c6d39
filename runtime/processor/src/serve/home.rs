//! Results into OMERO, over the session that the workflow was lent.
//!
//! Invariant: what is there is found by the workflow's id before it is made, so that a second call makes what is missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use biomero_config::Settings;
use biomero_omero::{Address, Session};
use biomero_results::folder::{Folder, FolderError, Kind};
use biomero_results::home::{self, Error, Home, Importer, Outcome, State, Witness};
use biomero_results::plan::{self, Dataset, Form, Images, Request, Rois};
use biomero_results::{Class, Object, Workflow};
use biomero_workflow::input::OmeroKind;
use biomero_workflow::request::OmeroResults;
use biomero_workflow::{Failure, Input, Problem, Remedy, Results, Step, Work};
use tokio::runtime::Handle;

use super::lent::{self, Lending};
use super::memory::Remembered;
use super::{deliver, images};

/// What is attached.
const ATTACHED: [Kind; 5] = [Kind::Image, Kind::Table, Kind::Log, Kind::Archive, Kind::Other];
/// How many things that failed are told.
const TOLD: usize = 5;

/// Whether results could go there. `omero`: what imports images.
pub(super) fn admit(results: &OmeroResults, lending: &Lending, omero: Option<&Path>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if lending.address().is_none() {
        problems.push(Problem::new(
            "results",
            "this worker knows no OMERO: set master.host, or name a directory",
        ));
    }
    if results.import.is_some() && omero.is_none() {
        let told = "images are imported by OMERO's command line, which is not installed on this worker: install omero-py, or \
                    leave `import` out";
        problems.push(Problem::new("results", told));
    }
    if let Some(Err(told)) = results.import.as_deref().map(dataset) {
        problems.push(Problem::new("results", told));
    }
    problems
}

/// OMERO's command line, where it is installed: that of OMERO's own environment comes first.
pub(super) fn command_line(settings: &Settings, path: Option<&OsStr>) -> Option<PathBuf> {
    let own = settings.omero.virtual_environment.join("bin/omero");
    if own.is_file() { Some(own) } else { home::find(Path::new("omero"), path) }
}

/// Brings what was fetched into OMERO; dropped, it stops.
pub(super) async fn bring(
    work: &Work,
    staged: PathBuf,
    lending: &Lending,
    omero: Option<PathBuf>,
) -> Result<String, Failure> {
    let failed = |reason: String, remedy| Failure::new(Step::Deliver, reason, remedy);
    let Results::Omero(results) = &work.request.results else {
        return Err(failed("its results do not go to OMERO".to_owned(), Remedy::None));
    };
    let request = request(work, results);
    let (access, session) = lending.joined(work, Step::Deliver).await?;
    let importer = importer(results, omero, access.address);
    let stop = images::StopOnDrop(Arc::default());
    let witness = Looker(Arc::clone(&stop.0));
    let handle = Handle::current();
    // What is read is on disks: it would keep others waiting.
    let bringing = tokio::task::spawn_blocking(move || {
        handle.block_on(carry_out(&staged, &request, session, importer, &witness))
    });
    let brought = bringing.await.map_err(|error| failed(error.to_string(), Remedy::None))?;
    let outcomes = brought.map_err(|error| failed(error.to_string(), error.remedy()))?;
    let wrong: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome.error.as_deref()).collect();
    if wrong.is_empty() {
        return Ok(format!("{} things in OMERO", outcomes.len()));
    }
    let more = wrong.len().saturating_sub(TOLD);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let told = wrong.iter().take(TOLD).copied().collect::<Vec<_>>().join("; ");
    Err(failed(format!("{told}{more}; a retry brings home what is missing"), Remedy::None))
}

/// Why nothing more was brought.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Home(#[from] Error),
}

impl Stopped {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Folder(FolderError::Io { source, .. }) => deliver::remedy(source),
            Self::Home(Error::Omero { source, .. }) if lent::may_pass(source) => Remedy::Wait,
            _ => Remedy::None,
        }
    }
}

async fn carry_out(
    staged: &Path,
    request: &Request,
    session: Session,
    importer: Option<Importer>,
    witness: &Looker,
) -> Result<Vec<Outcome>, Stopped> {
    let folder = Folder::read(staged)?;
    let outcomes = {
        let (home, mut known) = Home::open(&session, &request.targets).await?;
        plan::look(&folder, request, &mut known);
        let plan = plan::plan(&folder, request, &known);
        for left in &plan.left_out {
            tracing::info!("workflow {}: {} is left out: {}", plan.workflow, left.path, left.reason);
        }
        home.carry_out(&folder, &plan, &known, importer.as_ref(), witness).await?
    };
    if let Err(error) = session.close().await {
        tracing::debug!(error = %error, "the session was not left in good order");
    }
    for outcome in outcomes.iter().filter(|outcome| outcome.state == State::Failed) {
        tracing::debug!("workflow {}: {outcome:?}", request.workflow.id);
    }
    Ok(outcomes)
}

/// What is asked for, as results are brought home.
fn request(work: &Work, results: &OmeroResults) -> Request {
    let target = |input: &Input| match input {
        Input::Omero(object) => {
            let class = match object.kind {
                OmeroKind::Image => Class::Image,
                OmeroKind::Dataset => Class::Dataset,
                OmeroKind::Plate => Class::Plate,
            };
            Some(Object { class, id: object.id })
        }
        Input::Path(_) => None,
    };
    let images = results.import.as_deref().and_then(|text| dataset(text).ok());
    // What is imported is not attached, too.
    let is_attached = |kind: &Kind| results.attachments && (*kind != Kind::Image || images.is_none());
    Request {
        targets: work.request.inputs.iter().filter_map(target).collect(),
        workflow: Workflow {
            id: work.id,
            name: Some(work.request.workflow.clone()),
            version: Some(work.machine.version.clone()),
            job: Remembered::of(work).job().map(|job| job.to_string()),
            parameters: work.request.parameters.clone(),
        },
        attach: ATTACHED.into_iter().filter(is_attached).collect(),
        tables: results.tables,
        rois: results.regions.then_some(Rois { pattern: None, form: Form::Mask }),
        images: images.map(|dataset| Images { dataset, rename: None }),
    }
}

/// A dataset by its number, or by its name.
fn dataset(text: &str) -> Result<Dataset, String> {
    match text.strip_prefix("omero:").unwrap_or(text).parse::<Object>() {
        Ok(Object { class: Class::Dataset, id }) => Ok(Dataset::Id(id)),
        Ok(other) => {
            Err(format!("{other} is no dataset that images are imported into: write its name, or Dataset:ID"))
        }
        Err(_) => Ok(Dataset::Name(text.to_owned())),
    }
}

fn importer(results: &OmeroResults, omero: Option<PathBuf>, address: Address) -> Option<Importer> {
    results.import.as_ref()?;
    Some(Importer { program: omero?, transfer: None, address })
}

/// Nobody looks on; it may be stopped.
struct Looker(Arc<AtomicBool>);

impl Witness for Looker {
    fn begins(&self, _: usize, _: usize, _: &plan::Step) {}

    fn at(&self, _: u64, _: u64) {}

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
