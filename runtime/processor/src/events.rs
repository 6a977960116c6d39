//! `processor events`: the workflow history. Each verb is a module, which asks the log and writes the answer.

use biomero_config::Environment;
use biomero_events::{EventLog, Limits};

use crate::command_line::{Events, Verb};
use crate::database::{self, Database};
use crate::ended::Ended;
use crate::output::Answer;

mod init;
mod record;
mod select;
mod show;
mod timeline;

/// A log and who named it.
pub(crate) struct Opened {
    log: EventLog,
    origin: String,
}

impl Opened {
    async fn open(database: Database) -> Result<Self, Ended> {
        let Database { url, origin } = database;
        match EventLog::open(&url, Limits::default()).await {
            Ok(log) => Ok(Self { log, origin }),
            Err(source) => Err(Ended::Log { origin, source }),
        }
    }

    /// What the log said, with who named it where that was no.
    fn told<T>(&self, outcome: Result<T, biomero_events::Error>) -> Result<T, Ended> {
        outcome.map_err(|source| Ended::Log { origin: self.origin.clone(), source })
    }
}

/// Runs a verb; returns the exit code.
pub(crate) fn run(line: &Events, environment: &Environment) -> Result<u8, Ended> {
    let database = database::choose(line.database.as_deref(), environment)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Ended::System)?;
    runtime.block_on(async {
        let opened = Opened::open(database).await?;
        match &line.verb {
            Verb::Init { shape } => init::run(&opened, &mut Answer::new(shape.json, environment)).await,
            Verb::Select { start, limit, topic, shape } => {
                let asked = select::Asked { start: *start, limit: *limit, topics: topic };
                select::run(&opened, asked, &mut Answer::new(shape.json, environment)).await
            }
            Verb::Show { id, shape } => {
                show::run(&opened, *id, &mut Answer::new(shape.json, environment)).await
            }
        }
    })
}
