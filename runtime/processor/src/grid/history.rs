//! What scripts did, in the worker's own event stream. Nobody waits for it: a database that is away costs lines of the log
//! and, when it stays away, events.

use std::sync::Arc;
use std::time::Duration;

use biomero_events::json::{Number, Value};
use biomero_events::worker::WorkerEvent;
use biomero_events::{Class, Error, EventLog, Limits};
use biomero_grid::processor::{Run, Witness};
use biomero_grid::script::Why;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::database::Database;

/// The topic of a script that has run.
const RAN: &str = "script.ran";
/// So many wait to be recorded; of more it is said that they are not.
const MOST: usize = 1000;
/// Between two tries, the first and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long one is tried.
const PATIENCE: Duration = Duration::from_secs(3600);
/// One connection, and no try of its own that takes long: it is tried again here.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    statement: Duration::from_secs(30),
    lock: Duration::from_secs(15),
    command: Duration::from_secs(30),
    connections: 1,
};

/// Takes what is to be recorded.
#[derive(Debug)]
pub(super) struct Recorder {
    runs: Option<mpsc::Sender<Run>>,
    /// How many are not recorded yet.
    open: Arc<watch::Sender<usize>>,
}

impl Recorder {
    /// Into this database, or nowhere.
    pub(super) fn start(database: Option<Database>) -> Arc<Self> {
        let open = Arc::new(watch::Sender::new(0));
        let runs = database.map(|database| {
            let (runs, taken) = mpsc::channel(MOST);
            tokio::spawn(record_all(database, taken, Arc::clone(&open)));
            runs
        });
        Arc::new(Self { runs, open })
    }

    /// Waits until all is recorded, but not for long.
    pub(super) async fn flush(&self, patience: Duration) {
        let mut open = self.open.subscribe();
        if tokio::time::timeout(patience, open.wait_for(|open| *open == 0)).await.is_err() {
            tracing::warn!("{} scripts that have run are not recorded in the history", *self.open.borrow());
        }
    }
}

impl Witness for Recorder {
    fn ran(&self, run: &Run) {
        let Some(runs) = &self.runs else { return };
        self.open.send_modify(|open| *open += 1);
        if runs.try_send(run.clone()).is_err() {
            self.open.send_modify(|open| *open -= 1);
            tracing::warn!(
                "job {}: that it ran is not recorded: {MOST} others wait for the database",
                run.job
            );
        }
    }
}

async fn record_all(database: Database, mut runs: mpsc::Receiver<Run>, open: Arc<watch::Sender<usize>>) {
    let mut log = None;
    while let Some(run) = runs.recv().await {
        record(&database, &mut log, &run).await;
        open.send_modify(|open| *open -= 1);
    }
}

/// Records one, however often it takes.
async fn record(database: &Database, log: &mut Option<EventLog>, run: &Run) {
    let event = event(run);
    let give_up = Instant::now() + PATIENCE;
    let mut pause = AGAIN.0;
    loop {
        let Err(error) = try_to_record(database, log, &event).await else { return };
        if error.class() != Class::Unavailable || Instant::now() > give_up {
            tracing::warn!(
                "job {}: that it ran is not recorded in the database that {} names: {error}",
                run.job,
                database.origin
            );
            return;
        }
        if pause == AGAIN.0 {
            tracing::warn!("job {}: that it ran is recorded later: {error}", run.job);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}

async fn try_to_record(
    database: &Database,
    log: &mut Option<EventLog>,
    event: &WorkerEvent,
) -> Result<(), Error> {
    let log = match log {
        Some(log) => log,
        None => {
            let opened = EventLog::open(&database.url, LIMITS).await?;
            // Where nobody has made the tables yet; those that are there are not altered.
            opened.initialise().await?;
            log.insert(opened)
        }
    };
    log.record(event).await.map(drop)
}

fn event(run: &Run) -> WorkerEvent {
    let state = [
        ("job", run.job.into()),
        ("parse", run.parse.into()),
        ("user", run.user.as_str().into()),
        ("group", run.group.as_str().into()),
        ("script", run.script.as_str().into()),
        ("file", run.file.into()),
        ("sha1", run.sha1.as_str().into()),
        ("seconds", Value::Number(Number::from_f64(run.duration.as_secs_f64()))),
        ("exit_code", i64::from(run.code).into()),
        ("why", why(run.why).into()),
    ];
    WorkerEvent { topic: RAN.to_owned(), workflow_id: None, task_id: None, state: state.into() }
}

const fn why(why: Why) -> &'static str {
    match why {
        Why::Over => "over",
        Why::Time => "time",
        Why::Memory => "memory",
        Why::Cancelled => "cancelled",
        Why::Killed => "killed",
        Why::Told => "told",
        Why::NotStarted => "not-started",
        Why::Lost => "lost",
    }
}
