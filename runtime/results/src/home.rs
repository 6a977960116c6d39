//! Bringing results home: asking OMERO what of a plan is done, and doing what is not.
//!
//! What makes a thing is one call that OMERO does whole or not at all, and the thing has a name by which it is found before it is
//! made again: a file its folder and name, an annotation its file, a table its name and how many rows it has, a region of interest
//! its name and description, keys and values the id of the workflow, an imported image the mark that it was imported with.

mod attach;
mod cli;
mod describe;
mod draw;
mod error;
mod import;
mod known;
mod link;
mod table;

use std::time::Duration;

use biomero_omero::api::{IQuery, IUpdate};
use biomero_omero::{Error as OmeroError, Remote as _, Session};
use serde::Serialize;

pub use cli::{Importer, ImporterError, find};
pub use error::Error;

use crate::folder::Folder;
use crate::object::Object;
use crate::plan::{Known, Plan, Step};

/// How long saving may take, or making a table: a batch is thousands of rows of a database.
const PATIENCE: Duration = Duration::from_secs(300);

/// What of a step OMERO has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing.
    Missing,
    /// A part: it was interrupted.
    Partly,
    /// All of it.
    There,
    /// All of it, made just now.
    Made,
    /// It could not be made.
    Failed,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Which, as the plan has it.
    #[serde(flatten)]
    pub step: Step,
    /// What of it OMERO has.
    pub state: State,
    /// What it is there, `FileAnnotation:7`.
    pub objects: Vec<String>,
    /// How many regions of interest were drawn, or rows stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a step has made, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    state: State,
    objects: Vec<String>,
    count: Option<u64>,
}

impl Made {
    const fn new(state: State, objects: Vec<String>) -> Self {
        Self { state, objects, count: None }
    }
}

/// Who looks on while steps are carried out, and may stop them.
pub trait Witness: Sync {
    /// A step begins, of so many.
    fn begins(&self, number: usize, of: usize, step: &Step);

    /// So far of the step: bytes, rows or objects.
    fn at(&self, done: u64, of: u64);

    /// Whether to end early. What is done stays, and is found again.
    fn is_cancelled(&self) -> bool;
}

/// A session of somebody, and the group that the results go to.
pub struct Home<'s> {
    session: &'s Session,
    query: IQuery,
    update: IUpdate,
    group: i64,
    group_name: String,
    user: i64,
}

impl std::fmt::Debug for Home<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Home")
            .field("group", &self.group)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl<'s> Home<'s> {
    /// Looks the targets up: they have to be there, in one group, and such that this user may annotate them. What is known of the
    /// images in them goes with it.
    ///
    /// # Errors
    /// They are not, or OMERO says no.
    pub async fn open(session: &'s Session, targets: &[Object]) -> Result<(Self, Known), Error> {
        let query = session.query().await.map_err(asked("for its query service"))?;
        let group = known::group(&query, targets).await?;
        let admin = session.admin().await.map_err(asked("for its admin service"))?.in_group(group);
        let context = admin.get_event_context().await.map_err(asked("who this session belongs to"))?;
        let context = context.root().ok_or(Error::Nobody)?;
        let (user, group_name) = (context.user_id, context.group_name.clone());
        let query = query.in_group(group);
        let update = session.update().await.map_err(asked("for its update service"))?;
        let update = update.in_group(group).with_timeout(PATIENCE);
        let known = known::read(&query, targets).await?;
        Ok((Self { session, query, update, group, group_name, user }, known))
    }

    /// What of a plan OMERO has, asked and nothing else.
    ///
    /// # Errors
    /// OMERO does not answer any more.
    pub async fn look(&self, plan: &Plan) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let made = match step {
                Step::Describe(step) => self.look_description(step).await,
                Step::Attach(step) => self.look_attachment(step).await,
                Step::Table(step) => self.look_table(step).await,
                Step::Draw(step) => self.look_drawing(step).await,
                Step::Import(step) => self.look_import(step).await,
            };
            outcomes.push(outcome(step, made)?);
        }
        Ok(outcomes)
    }

    /// Carries a plan out, one step after the other. One that fails keeps no other from it. Without an importer images are not
    /// imported, and told as failed.
    ///
    /// # Errors
    /// OMERO does not answer any more, or the witness has stopped it: the same plan goes on where it was.
    pub async fn carry_out(
        &self,
        folder: &Folder,
        plan: &Plan,
        known: &Known,
        importer: Option<&Importer>,
        witness: &dyn Witness,
    ) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::with_capacity(plan.steps.len());
        for (number, step) in plan.steps.iter().enumerate() {
            if witness.is_cancelled() {
                return Err(Error::Cancelled);
            }
            witness.begins(number, plan.steps.len(), step);
            let made = match step {
                Step::Describe(step) => self.describe(step).await,
                Step::Attach(step) => self.attach(folder, step, witness).await,
                Step::Table(step) => self.table(folder, step, known, witness).await,
                Step::Draw(step) => self.draw(folder, step, witness).await,
                Step::Import(step) => self.import(folder, step, &plan.steps, importer, witness).await,
            };
            outcomes.push(outcome(step, made)?);
        }
        Ok(outcomes)
    }
}

/// A failed step is an outcome, unless none of the others could do better.
fn outcome(step: &Step, made: Result<Made, Error>) -> Result<Outcome, Error> {
    let step = step.clone();
    match made {
        Ok(Made { state, objects, count }) => Ok(Outcome { step, state, objects, count, error: None }),
        Err(error) if error.is_final() => Err(error),
        Err(error) => {
            let error = Some(error.to_string());
            Ok(Outcome { step, state: State::Failed, objects: Vec::new(), count: None, error })
        }
    }
}

/// What was asked, with what came of it.
fn asked(what: &str) -> impl FnOnce(OmeroError) -> Error + '_ {
    move |source| Error::omero(format!("asking OMERO {what}"), source)
}

/// Work on files and samples, which would keep others waiting.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done: Result<T, tokio::task::JoinError> = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Thread(error.to_string()))
}
