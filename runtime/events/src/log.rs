//! The event log as its users see it, whichever database it is in.

use std::time::Duration;

use uuid::Uuid;

use crate::aggregate::Replayed;
use crate::command::Command;
use crate::error::Error;
use crate::event::{Fact, uuid_of};
use crate::follow::{Bell, Follower, Wake};
use crate::json::Value;
use crate::postgres;
use crate::query::{
    Census, DayUsage, Job, Listed, Page, Repetition, Standing, TaskStatistics, Whose, WorkflowFilter,
    WorkflowRow,
};
use crate::rebuild::{Compared, Progress, Rebuilt, ViewChange};
use crate::sqlite;
use crate::stored::{Corrupt, Notification, Reason};
use crate::timestamp::Timestamp;
use crate::url::DatabaseUrl;
use crate::worker::{JobUsage, REBUILT, RecordedWorkerEvent, UserUsage, WorkerEvent};

/// How long things may take, and how many connections are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection: name, address, TLS, authentication.
    pub connect: Duration,
    /// For one statement.
    pub statement: Duration,
    /// For a lock that another writer holds.
    pub lock: Duration,
    /// For a command, with all its repetitions: what a restart of the database takes is survived.
    pub command: Duration,
    /// How many connections are held at most.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            statement: Duration::from_secs(30),
            lock: Duration::from_secs(15),
            command: Duration::from_secs(60),
            connections: 4,
        }
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its events, where they stand in the log.
    pub events: Vec<Recorded>,
    /// Whether it was recorded before, under the same id: then these are the events of that time.
    pub repeated: bool,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the log.
    pub id: i64,
    /// What it happened to.
    pub originator_id: Uuid,
    /// Its place among the events of that.
    pub originator_version: i64,
}

/// What setting a database up has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Initialised {
    /// The tables that were created.
    pub created: Vec<String>,
    /// How many events were projected.
    pub projected: u64,
}

/// A part of the log, and where it goes on: Python's `Section`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The ids of its first and last event.
    pub id: Option<(i64, i64)>,
    /// Its events.
    pub items: Vec<Notification>,
    /// The section behind it; none when this one holds fewer events than were asked for.
    pub next_id: Option<(i64, i64)>,
}

impl Section {
    fn of(items: Vec<Notification>, limit: u32) -> Self {
        let id = items.first().zip(items.last()).map(|(first, last)| (first.id, last.id));
        let is_full = limit > 0 && items.len() as u64 == u64::from(limit);
        let next_id = id.filter(|_| is_full).map(|(_, last)| (last + 1, last + i64::from(limit)));
        Self { id, items, next_id }
    }
}

/// Asks the store, whichever it is.
macro_rules! on {
    ($log:ident, $store:ident => $answer:expr) => {
        match &$log.store {
            Store::Postgres($store) => $answer,
            Store::Sqlite($store) => $answer,
        }
    };
}

/// The log of all workflow runs and tasks.
#[derive(Debug)]
pub struct EventLog {
    store: Store,
}

/// Where it is.
#[derive(Debug)]
pub(crate) enum Store {
    Postgres(Box<postgres::Store>),
    Sqlite(sqlite::Store),
}

impl EventLog {
    /// Opens the log that a URL names. Nothing is asked of the database yet.
    ///
    /// # Errors
    /// What the URL says cannot be done, as a certificate that cannot be read.
    pub async fn open(url: &DatabaseUrl, limits: Limits) -> Result<Self, Error> {
        let store = match url {
            DatabaseUrl::Postgres(url) => Store::Postgres(Box::new(postgres::Store::open(url, limits)?)),
            DatabaseUrl::Sqlite(path) => Store::Sqlite(sqlite::Store::open(path, limits)),
        };
        Ok(Self { store })
    }

    /// Records a command: its events, and what they do to the views, in one transaction.
    ///
    /// Exactly once: repeated under the same id, by whoever does not know whether it was recorded, it answers with the
    /// events of the first time.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Exists`], or the database's; nothing was recorded then, except after
    /// [`Error::GivenUp`], when the last attempt may have been: repeat it under the same id.
    pub async fn append(&self, command: &Command) -> Result<Appended, Error> {
        let mut appended = self.append_all(std::slice::from_ref(command)).await?;
        Ok(appended.pop().unwrap_or(Appended { events: Vec::new(), repeated: false }))
    }

    /// Records commands in one transaction: all of them or none.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub async fn append_all(&self, commands: &[Command]) -> Result<Vec<Appended>, Error> {
        on!(self, store => store.append(commands).await)
    }

    /// Creates the tables that are missing and brings the views up to date. Tables that are there are never altered.
    ///
    /// # Errors
    /// [`Error::Schema`] when a table differs from what Python creates.
    pub async fn initialise(&self) -> Result<Initialised, Error> {
        on!(self, store => store.initialise().await)
    }

    /// Checks that all tables are there, with the columns they need.
    ///
    /// # Errors
    /// [`Error::NotInitialised`], [`Error::Schema`].
    pub async fn verify(&self) -> Result<(), Error> {
        on!(self, store => store.verify().await)
    }

    /// Projects what others have written since the last time. Returns how many events that were.
    ///
    /// # Errors
    /// The database's.
    pub async fn catch_up(&self) -> Result<u64, Error> {
        on!(self, store => store.catch_up().await)
    }

    /// Writes the views anew from the log, changes in one transaction what differs, and records that in our own stream.
    ///
    /// With a date, rows that no event since then has written are left out; each row that stays is what all its events make
    /// it. Python's own rebuild forgets what such rows were before the date.
    ///
    /// # Errors
    /// The database's.
    pub async fn rebuild(
        &self,
        since: Option<Timestamp>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Rebuilt, Error> {
        let rebuilt = on!(self, store => store.rebuild(since, progress).await)?;
        let rows =
            |of: fn(&ViewChange) -> u64| Value::from(rebuilt.views.iter().map(of).sum::<u64>().cast_signed());
        let state = [
            ("events", rebuilt.events.cast_signed().into()),
            ("since", since.map(|since| since.to_string()).into()),
            ("deleted", rows(|view| view.deleted)),
            ("written", rows(|view| view.written)),
        ];
        let topic = REBUILT.to_owned();
        self.record(&WorkerEvent { topic, workflow_id: None, task_id: None, state: state.into() }).await?;
        Ok(rebuilt)
    }

    /// Compares the views with what the log makes of them, and changes nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn compare(&self, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<Compared, Error> {
        on!(self, store => store.compare(progress).await)
    }

    /// `notification_log.select(start, limit)`: events from the id `start` on, that one too, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn select(&self, start: i64, limit: u32) -> Result<Vec<Notification>, Error> {
        on!(self, store => store.select(start, limit.into()).await)
    }

    /// A section of the log, as `notification_log["1,10"]`: events from `first` to `last` by id, at most `limit`, and where
    /// the next section begins.
    ///
    /// # Errors
    /// The database's.
    pub async fn section(&self, first: i64, last: i64, limit: u32) -> Result<Section, Error> {
        let first = first.max(1);
        let limit =
            u32::try_from(last.saturating_sub(first).saturating_add(1).max(0)).unwrap_or(u32::MAX).min(limit);
        let items = if limit == 0 { Vec::new() } else { self.select(first, limit).await? };
        Ok(Section::of(items, limit))
    }

    /// Goes on with the events behind the id `after` as they are recorded, by whomever.
    pub const fn follow(&self, after: i64) -> Follower<'_> {
        Follower::new(self, after)
    }

    /// Rings when something was recorded, by whomever.
    pub const fn bell(&self) -> Bell<'_> {
        Bell::new(self)
    }

    pub(crate) async fn wake(&self) -> Result<Wake, Error> {
        match &self.store {
            Store::Postgres(store) => store.listen().await.map(Wake::Postgres),
            Store::Sqlite(store) => Ok(Wake::Sqlite(store.watch())),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        on!(self, store => store.limits())
    }

    /// All events of a workflow run or a task, in their order.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none.
    pub async fn history(&self, id: Uuid) -> Result<Vec<Notification>, Error> {
        let history = on!(self, store => store.history(id).await?);
        if history.is_empty() {
            return Err(Error::Unknown { id, place: self.place() });
        }
        Ok(history)
    }

    /// `repository.get(id)`: the workflow run or the task that its events make.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Corrupt`] when a row of it is no event, or one is missing, as Python refuses too.
    pub async fn get(&self, id: Uuid) -> Result<Replayed, Error> {
        replay(&self.history(id).await?)
            .map_err(|corrupt| Error::from(Box::new(corrupt)))?
            .ok_or(Error::Unknown { id, place: self.place() })
    }

    /// Jobs, those of `ids` or all: `get_jobs`.
    ///
    /// # Errors
    /// The database's.
    pub async fn jobs(&self, whose: Whose, ids: &[i32]) -> Result<Vec<Job>, Error> {
        on!(self, store => store.jobs(whose, ids).await)
    }

    /// The task that submitted a job: `get_task_id`.
    ///
    /// # Errors
    /// The database's.
    pub async fn task_of_job(&self, slurm_job_id: i32) -> Result<Option<Uuid>, Error> {
        Ok(self.jobs(Whose::default(), &[slurm_job_id]).await?.pop().and_then(|job| job.task_id))
    }

    /// Counts, durations and failures by task and version: `get_task_counts`, `get_average_task_duration`,
    /// `get_task_failures`.
    ///
    /// # Errors
    /// The database's.
    pub async fn task_statistics(&self, whose: Whose) -> Result<Vec<TaskStatistics>, Error> {
        on!(self, store => store.task_statistics(whose).await)
    }

    /// How often a task was run, by day: `get_task_usage_over_time`.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage_over_time(&self, task_name: &str, whose: Whose) -> Result<Vec<DayUsage>, Error> {
        on!(self, store => store.usage_over_time(task_name, whose).await)
    }

    /// How many workflow runs there are by status, and jobs by user.
    ///
    /// # Errors
    /// The database's.
    pub async fn census(&self, whose: Whose) -> Result<Census, Error> {
        on!(self, store => store.census(whose).await)
    }

    /// Workflow runs, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn workflows(&self, filter: &WorkflowFilter, page: Page) -> Result<Listed<WorkflowRow>, Error> {
        on!(self, store => store.workflows(filter, page).await)
    }

    /// A workflow run as the view has it.
    ///
    /// # Errors
    /// The database's.
    pub async fn workflow_row(&self, id: Uuid) -> Result<Option<WorkflowRow>, Error> {
        on!(self, store => store.workflow_row(id).await)
    }

    /// All events of a workflow run and of its tasks, in the order in which they were recorded.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none.
    pub async fn timeline(&self, workflow: Uuid) -> Result<Vec<Notification>, Error> {
        let mut events = self.history(workflow).await?;
        let tasks: Vec<Uuid> = events
            .iter()
            .filter_map(|notification| match notification.event().ok()?.fact {
                Fact::TaskAdded { task_id } => uuid_of(&task_id),
                _ => None,
            })
            .collect();
        for task in tasks {
            match self.history(task).await {
                Ok(history) => events.extend(history),
                Err(Error::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        events.sort_by_key(|notification| notification.id);
        events.dedup_by_key(|notification| notification.id);
        Ok(events)
    }

    /// The id of the last event; 0 when there is none.
    ///
    /// # Errors
    /// The database's.
    pub async fn last_id(&self) -> Result<i64, Error> {
        on!(self, store => store.last_id().await)
    }

    /// How far the log, the views and Python's listeners are, and what the log holds.
    ///
    /// # Errors
    /// The database's.
    pub async fn standing(&self) -> Result<Standing, Error> {
        on!(self, store => store.counts().await)
    }

    /// Events that were recorded again, as concurrent Python workers do; at most `limit` of them. Reads the whole log.
    ///
    /// # Errors
    /// The database's.
    pub async fn repetitions(&self, limit: u32) -> Result<Vec<Repetition>, Error> {
        on!(self, store => store.repetitions(limit.into()).await)
    }

    /// Rows before which versions are missing; at most `limit` of them. Reads the whole log.
    ///
    /// # Errors
    /// The database's.
    pub async fn gaps(&self, limit: u32) -> Result<Vec<Corrupt>, Error> {
        let gaps = on!(self, store => store.gaps(limit.into()).await?);
        Ok(gaps
            .into_iter()
            .map(|(notification, expected)| notification.corrupt(Reason::Gap { expected }))
            .collect())
    }

    /// Records an event of our own. Returns its place in the stream.
    ///
    /// # Errors
    /// The database's.
    pub async fn record(&self, event: &WorkerEvent) -> Result<i64, Error> {
        on!(self, store => store.record(event).await)
    }

    /// Events of our own, from the id `start` on, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn worker_events(&self, start: i64, limit: u32) -> Result<Vec<RecordedWorkerEvent>, Error> {
        on!(self, store => store.worker_events(start, limit.into()).await)
    }

    /// The id of the last event of our own, 0 before the first.
    ///
    /// # Errors
    /// The database's.
    pub async fn last_worker_event(&self) -> Result<i64, Error> {
        on!(self, store => store.last_worker_event().await)
    }

    /// Records what jobs have used, over what was recorded of them before.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_job_usage(&self, usage: &[JobUsage]) -> Result<(), Error> {
        on!(self, store => store.record_job_usage(usage).await)
    }

    /// What jobs have used, the last submitted first, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn job_usage(&self, whose: Whose, limit: u32) -> Result<Vec<JobUsage>, Error> {
        on!(self, store => store.job_usage(whose, limit.into()).await)
    }

    /// What the jobs of each user have used together.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage_by_user(&self, whose: Whose) -> Result<Vec<UserUsage>, Error> {
        on!(self, store => store.usage_by_user(whose).await)
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Which database, for messages: without its password.
    pub fn place(&self) -> String {
        on!(self, store => store.place())
    }
}

/// What events make; nothing, when there are none.
fn replay(history: &[Notification]) -> Result<Option<Replayed>, Corrupt> {
    let mut replayed: Option<Replayed> = None;
    for notification in history {
        let event = notification.event()?;
        // Python takes a first version of 1 as well.
        let first = notification.originator_version.clamp(0, 1);
        let expected = replayed.as_ref().map_or(first, |replayed| replayed.header().version + 1);
        if notification.originator_version != expected {
            return Err(notification.corrupt(Reason::Gap { expected }));
        }
        match &mut replayed {
            None => {
                let created = Replayed::created(notification.originator_id, expected, &event);
                let no_creation =
                    || notification.corrupt(Reason::NoCreation { topic: notification.topic.clone() });
                replayed = Some(created.ok_or_else(no_creation)?);
            }
            Some(_) if event.fact.creates() => return Err(notification.corrupt(Reason::CreatedAgain)),
            Some(replayed) => replayed.apply(&event),
        }
    }
    Ok(replayed)
}
