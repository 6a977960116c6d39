//! Asking for workflows, looking at them, ending them: what an HTTP interface and a command line stand on. Everything here
//! may be done by any process on the database, also one that does not act.

use std::sync::Arc;
use std::time::Duration;

use biomero_events::json::Value;
use biomero_events::query::{Listed, Page};
use biomero_events::worker::{RecordedWorkerEvent, WorkerEvent};
use biomero_events::workflow::{Change, RecordFilter};
use biomero_events::{Bell, EventLog};
use uuid::Uuid;

use crate::error::Error;
use crate::history;
use crate::input::Input;
use crate::limits::Limits;
use crate::machine::{Event, Machine, OutOfPlace};
use crate::record::{Workflow, milliseconds};
use crate::request::{INPUTS, Problem, Request, Results};
use crate::steps::{Refusal, Steps};

/// How often a row is read again that others have changed meanwhile.
const TRIES: usize = 20;
/// How many workflows a batch has at most.
const BATCH: usize = 1_000;

/// Which workflows, newest first.
pub type Filter = RecordFilter;

/// Workflows of a database.
#[derive(Debug)]
pub struct Workflows<S> {
    pub(crate) log: Arc<EventLog>,
    pub(crate) steps: Arc<S>,
    pub(crate) limits: Limits,
    /// Where a test ends what acts.
    #[cfg(test)]
    pub(crate) end: Option<Arc<crate::orchestrator::tests::End>>,
}

impl<S> Clone for Workflows<S> {
    fn clone(&self) -> Self {
        Self {
            log: Arc::clone(&self.log),
            steps: Arc::clone(&self.steps),
            limits: self.limits,
            #[cfg(test)]
            end: self.end.clone(),
        }
    }
}

impl<S> Workflows<S> {
    /// A moment at which whoever acts may be killed: before and behind everything that is written. Tests do it.
    #[cfg_attr(not(test), expect(clippy::unused_async, reason = "only a test waits here"))]
    pub(crate) async fn may_end_here(&self) {
        #[cfg(test)]
        if let Some(end) = &self.end {
            end.passed().await;
        }
    }
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The workflow, or the batch.
    pub id: Uuid,
    /// Of a batch: its workflows, in the order of their inputs.
    pub children: Vec<Uuid>,
    /// Whether the same was asked for before, under the same id.
    pub repeated: bool,
}

/// Something that happened to a workflow.
pub type Happened = RecordedWorkerEvent;

impl<S: Steps> Workflows<S> {
    /// Those of a log. `limits.queue` holds for what is asked for here.
    #[must_use]
    pub const fn new(log: Arc<EventLog>, steps: Arc<S>, limits: Limits) -> Self {
        Self {
            log,
            steps,
            limits,
            #[cfg(test)]
            end: None,
        }
    }

    /// The log that they are in.
    #[must_use]
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// Asks for a workflow. Once this returns it is kept, and whatever ends, it comes to an end.
    ///
    /// The id is the caller's choice, usually `Uuid::now_v7()`: asked for again under the same id, as after an answer that was
    /// lost, it is taken once.
    ///
    /// # Errors
    /// [`Error::Senseless`], [`Error::Untold`], [`Error::Full`]: nothing was kept. [`Error::Exists`]. The database's: it may
    /// have been kept, and may be asked for again under the same id.
    pub async fn submit(&self, id: Uuid, request: Request) -> Result<Submitted, Error> {
        if let Some(submitted) = self.submitted(id, &request).await? {
            return Ok(submitted);
        }
        let machine = self.admitted(&request).await?;
        self.room(1).await?;
        let workflow = Workflow::new(id, None, request.clone(), machine);
        let requested = told(id, "workflow.requested", &serde_json::json!(workflow.request))?;
        let row = workflow.row()?;
        if !self.log.keep(&[Change { record: &row, term: None }], &[requested]).await? {
            return self.submitted(id, &request).await?.ok_or(Error::Contended { id });
        }
        self.announce(&workflow).await;
        Ok(Submitted { id, children: Vec::new(), repeated: false })
    }

    /// Asks for a batch: a workflow for each group of inputs, alike but for those. `request.inputs` are not looked at. Results
    /// go into folders `1`, `2` … of the one that is named. All are kept, or none.
    ///
    /// # Errors
    /// As [`Workflows::submit`].
    pub async fn submit_batch(
        &self,
        id: Uuid,
        request: Request,
        groups: Vec<Vec<Input>>,
    ) -> Result<Submitted, Error> {
        if groups.is_empty() || groups.len() > BATCH || groups.iter().map(Vec::len).sum::<usize>() > INPUTS {
            let problem =
                format!("a batch has 1 to {BATCH} groups of inputs, and {INPUTS} inputs in all at most");
            return Err(Error::Senseless(vec![Problem::new("inputs", problem)]));
        }
        let whole = Request { inputs: groups.iter().flatten().cloned().collect(), ..request.clone() };
        if let Some(submitted) = self.submitted(id, &whole).await? {
            return Ok(submitted);
        }
        let mut kept = Vec::new();
        let mut version = String::new();
        for (place, inputs) in groups.into_iter().enumerate() {
            let results = match &request.results {
                Results::Directory(path) => Results::Directory(path.join((place + 1).to_string())),
                Results::Omero(results) => Results::Omero(results.clone()),
            };
            let child = Request { inputs, results, ..request.clone() };
            let machine = self.admitted(&child).await?;
            version.clone_from(&machine.version);
            kept.push(Workflow::new(child_id(id, place), Some(id), child, machine));
        }
        self.room(kept.len() as u64).await?;
        let of = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let children: Vec<Uuid> = kept.iter().map(|child| child.id).collect();
        kept.insert(0, Workflow::new(id, None, whole.clone(), Machine::batch(version, of)));
        let rows = kept.iter().map(Workflow::row).collect::<Result<Vec<_>, _>>()?;
        let changes: Vec<Change<'_>> = rows.iter().map(|record| Change { record, term: None }).collect();
        let mut events = Vec::new();
        for workflow in &kept {
            events.push(told(workflow.id, "workflow.requested", &serde_json::json!(workflow.request))?);
        }
        if !self.log.keep(&changes, &events).await? {
            return self.submitted(id, &whole).await?.ok_or(Error::Contended { id });
        }
        for workflow in &kept {
            self.announce(workflow).await;
        }
        Ok(Submitted { id, children, repeated: false })
    }

    /// Workflows, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<Listed<Workflow>, Error> {
        let rows = self.page(filter, page).await?;
        let shown = rows.len() as u64;
        // The last page tells how many there are: they need not be counted.
        let is_last = shown < u64::from(page.limit) && (shown > 0 || page.offset == 0);
        let total = match is_last {
            true => u64::from(page.offset) + shown,
            false => self.log.count_records(filter).await?,
        };
        Ok(Listed { rows, total })
    }

    async fn page(&self, filter: &Filter, page: Page) -> Result<Vec<Workflow>, Error> {
        let records = self.log.records(filter, page).await?;
        records.into_iter().map(Workflow::of).collect()
    }

    /// A workflow.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Damaged`], the database's.
    pub async fn show(&self, id: Uuid) -> Result<Workflow, Error> {
        Workflow::of(self.log.record_of(id).await?.ok_or(Error::Absent { id })?)
    }

    /// Asks that a workflow, or all of a batch, ends. It is kept at once; the worker that acts ends its jobs.
    ///
    /// # Errors
    /// [`Error::Absent`]; [`Error::OutOfPlace`] where it is over or its results are home; the database's.
    pub async fn cancel(&self, id: Uuid, by: &str) -> Result<Workflow, Error> {
        let event = Event::CancelAsked(by.to_owned());
        let remedy = "there is nothing left to cancel";
        let workflow = self.change(id, &event, remedy).await?;
        for child in self.children(&workflow).await? {
            match self.change(child.id, &event, remedy).await {
                Ok(_) | Err(Error::OutOfPlace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(workflow)
    }

    /// Asks for a workflow once more that has failed or was cancelled, or for those of a batch that have: under the same id,
    /// from where it failed, or from its beginning where what it needs was cleared away.
    ///
    /// # Errors
    /// [`Error::Absent`]; [`Error::OutOfPlace`] where it is not over, or has succeeded; the database's.
    pub async fn retry(&self, id: Uuid, by: &str) -> Result<Workflow, Error> {
        let event = Event::RetryAsked(by.to_owned());
        let remedy = "only what has failed or was cancelled is done once more";
        let workflow = self.show(id).await?;
        // Children first: a batch whose children have all ended ends.
        let mut retried = false;
        for child in self.children(&workflow).await? {
            match self.change(child.id, &event, remedy).await {
                Ok(_) => retried = true,
                Err(Error::OutOfPlace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let workflow = match self.change(id, &event, remedy).await {
            // Others of the batch are under way still.
            Err(Error::OutOfPlace { .. }) if retried => self.show(id).await?,
            changed => changed?,
        };
        if let Some(parent) = workflow.parent {
            match self.change(parent, &event, remedy).await {
                Ok(_) | Err(Error::OutOfPlace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(workflow)
    }

    /// What happens to workflows, from behind a place in our own stream on: 0 for all of it.
    #[must_use]
    pub fn follow(&self, after: i64) -> Follower<'_> {
        Follower { log: &self.log, bell: self.log.bell(), after }
    }

    /// The workflows of a batch; none where it is a workflow.
    ///
    /// # Errors
    /// The database's.
    pub async fn children(&self, batch: &Workflow) -> Result<Vec<Workflow>, Error> {
        if batch.machine.children.is_none() {
            return Ok(Vec::new());
        }
        let filter = Filter { parent: Some(batch.id), ..Filter::default() };
        self.page(&filter, Page { offset: 0, limit: u32::try_from(BATCH).unwrap_or(u32::MAX) }).await
    }

    /// What was taken under this id before.
    async fn submitted(&self, id: Uuid, request: &Request) -> Result<Option<Submitted>, Error> {
        let Some(row) = self.log.record_of(id).await? else { return Ok(None) };
        let workflow = Workflow::of(row)?;
        if workflow.request != *request {
            return Err(Error::Exists { id });
        }
        let children = workflow.machine.children.map_or(0, |children| children.of);
        let children = child_ids(id, children as usize);
        Ok(Some(Submitted { id, children, repeated: true }))
    }

    async fn admitted(&self, request: &Request) -> Result<Machine, Error> {
        request.check().map_err(Error::Senseless)?;
        match self.steps.admit(request).await {
            Ok(admitted) => Ok(Machine::new(admitted.version, admitted.steps)),
            Err(Refusal::Senseless(problems)) => Err(Error::Senseless(problems)),
            Err(Refusal::Untold(reason)) => Err(Error::Untold(reason)),
        }
    }

    async fn room(&self, wanted: u64) -> Result<(), Error> {
        let filter = Filter { open: true, ..Filter::default() };
        let open = self.log.count_records(&filter).await?;
        if open.saturating_add(wanted) > self.limits.queue {
            return Err(Error::Full { waiting: open });
        }
        Ok(())
    }

    /// Into the history at once. Where that fails the worker that acts does it: the row tells that it is owed.
    async fn announce(&self, workflow: &Workflow) {
        if let Err(error) = history::tell(&self.log, workflow, &workflow.owed).await {
            tracing::debug!("workflow {} is told of later: {error}", workflow.id);
        }
    }

    /// What somebody asks of a workflow, who does not act for it.
    async fn change(&self, id: Uuid, event: &Event, remedy: &'static str) -> Result<Workflow, Error> {
        for _ in 0..TRIES {
            let workflow = self.show(id).await?;
            let transition = workflow.machine.apply(&workflow.request, event, milliseconds());
            let transition = transition.map_err(|OutOfPlace { phase }| Error::OutOfPlace {
                id,
                phase: phase.to_owned(),
                remedy,
            })?;
            // It has been asked for before.
            if transition.told.is_empty() {
                return Ok(workflow);
            }
            let events = all_told(id, &transition.told)?;
            let changed = workflow.after(transition);
            let row = changed.row()?;
            if self.log.keep(&[Change { record: &row, term: None }], &events).await? {
                return Ok(changed);
            }
        }
        Err(Error::Contended { id })
    }
}

/// What happens to workflows, as it is recorded; made by [`Workflows::follow`].
#[derive(Debug)]
pub struct Follower<'a> {
    log: &'a EventLog,
    bell: Bell<'a>,
    after: i64,
}

/// How many events are read at a time.
const STEP: u32 = 500;
/// Several events that come together are read together.
const GATHER: Duration = Duration::from_millis(20);

impl Follower<'_> {
    /// The place of the last event that was returned, or where it began.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.after
    }

    /// The next events, in their order, never none. Dropped while it waits, it loses none.
    ///
    /// # Errors
    /// The database cannot be reached; calling again goes on from the same event.
    pub async fn next(&mut self) -> Result<Vec<Happened>, Error> {
        loop {
            let events = self.log.worker_events(self.after.saturating_add(1), STEP).await?;
            if let Some(last) = events.last() {
                self.after = last.id;
                return Ok(events);
            }
            self.bell.rung().await?;
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// The id of a workflow of a batch, by its place: asked for again, it is the same.
fn child_id(batch: Uuid, place: usize) -> Uuid {
    history::command_id(batch, &format!("child/{place}"))
}

/// The ids that the workflows of a batch will have, in the order of their inputs.
#[must_use]
pub fn child_ids(batch: Uuid, count: usize) -> Vec<Uuid> {
    (0..count).map(|place| child_id(batch, place)).collect()
}

/// Events of our own stream.
pub(crate) fn all_told(id: Uuid, events: &[(&str, serde_json::Value)]) -> Result<Vec<WorkerEvent>, Error> {
    events.iter().map(|(topic, state)| told(id, topic, state)).collect()
}

/// An event of our own stream.
pub(crate) fn told(id: Uuid, topic: &str, state: &serde_json::Value) -> Result<WorkerEvent, Error> {
    let state =
        Value::read(&state.to_string()).map_err(|error| Error::Damaged { id, reason: error.to_string() })?;
    Ok(WorkerEvent { topic: topic.to_owned(), workflow_id: Some(id), task_id: None, state })
}
