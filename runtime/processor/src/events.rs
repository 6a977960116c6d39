//! `processor events`: the workflow history. Each verb is a module, which asks the log and writes the answer.

use std::time::Duration;

use biomero_config::Environment;
use biomero_events::query::{Page, Whose, WorkflowFilter};
use biomero_events::timestamp::Timestamp;
use biomero_events::{Class, Error, EventLog, Limits};

use crate::command_line::{Events, Recorded, Verb};
use crate::configuration::Configuration;
use crate::database::{self, Database};
use crate::ended::Ended;
use crate::output::Answer;

mod copy;
mod doctor;
mod export;
mod follow;
mod init;
mod lines;
mod list;
mod moment;
mod own;
mod rebuild;
mod record;
mod row;
mod select;
mod show;
mod stats;
mod timeline;

pub(crate) use lines::LineError;

/// For a statement that reads the whole log: a second for a million events here, on a slow server more, and whoever asks is
/// there to interrupt it.
const WHOLE_LOG: Duration = Duration::from_secs(600);

/// A log and who named it.
struct Opened {
    log: EventLog,
    origin: String,
}

impl Opened {
    async fn open(database: Database, limits: Limits) -> Result<Self, Ended> {
        let Database { url, origin } = database;
        match EventLog::open(&url, limits).await {
            Ok(log) => Ok(Self { log, origin }),
            Err(source) => Err(Ended::Log { origin, source: Box::new(source) }),
        }
    }

    /// What the log answered; an error with who named the log. What a database says where its tables are missing or
    /// different is of no help: then those are told instead.
    async fn told<T>(&self, outcome: Result<T, Error>) -> Result<T, Ended> {
        let source = match outcome {
            Ok(answer) => return Ok(answer),
            Err(error) if error.class() == Class::Other => match self.log.verify().await {
                Err(tables @ (Error::NotInitialised { .. } | Error::Schema { .. })) => tables,
                _ => error,
            },
            Err(error) => error,
        };
        Err(Ended::Log { origin: self.origin.clone(), source: Box::new(source) })
    }
}

/// Runs a verb; returns the exit code.
pub(crate) fn run(line: &Events, environment: &Environment) -> Result<u8, Ended> {
    let configuration = Configuration::new(environment);
    let database = database::choose(line.database.as_deref(), &configuration)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Ended::System)?;
    runtime.block_on(verb(&line.verb, database, &configuration))
}

async fn verb(verb: &Verb, database: Database, configuration: &Configuration<'_>) -> Result<u8, Ended> {
    let answer = |json| Answer::new(json, configuration.environment());
    let limits = match verb {
        Verb::Doctor { .. } | Verb::Stats { .. } => Limits { statement: WHOLE_LOG, ..Limits::default() },
        _ => Limits::default(),
    };
    let opened = Opened::open(database, limits).await?;
    match verb {
        Verb::Init { rebuild: also, since, shape } => {
            let since = if *also { Some(rebuild::since(since.as_deref(), configuration)?) } else { None };
            init::run(&opened, since, &mut answer(shape.json)).await
        }
        Verb::Doctor { shape } => doctor::run(&opened, configuration, &mut answer(shape.json)).await,
        Verb::Select { start, limit, own: true, shape, .. } => {
            own::run(&opened, *start, *limit, &mut answer(shape.json)).await
        }
        Verb::Select { start, limit, topic, shape, .. } => {
            let asked = select::Asked { start: *start, limit: *limit, topics: topic };
            select::run(&opened, asked, &mut answer(shape.json)).await
        }
        Verb::Follow { from, new, topic, project, shape } => {
            let asked = follow::Asked { from: *from, new: *new, topics: topic, project: *project };
            follow::run(&opened, asked, &mut answer(shape.json)).await
        }
        Verb::List { user, group, status, name, since, until, limit, offset, shape } => {
            let moment = |text: &Option<String>, option| {
                let moment = text.as_deref().map(|text| moment::moment(text, option)).transpose()?;
                Ok::<_, Ended>(moment.map(Timestamp::as_time))
            };
            let filter = WorkflowFilter {
                whose: Whose { user: *user, group: *group },
                status: status.clone(),
                name: name.clone(),
                since: moment(since, "--since")?,
                until: moment(until, "--until")?,
            };
            let page = Page { offset: *offset, limit: *limit };
            list::run(&opened, &filter, page, &mut answer(shape.json)).await
        }
        Verb::Show { id, shape } => show::run(&opened, *id, &mut answer(shape.json)).await,
        Verb::Rebuild { since, shape } => {
            let since = rebuild::since(since.as_deref(), configuration)?;
            rebuild::run(&opened, since, &mut answer(shape.json)).await
        }
        Verb::Record { command_id: Some(_), recorded: Recorded::Lines, .. } => Err(Ended::EachItsOwn),
        Verb::Record { recorded: Recorded::Lines, .. } => lines::run(&opened, &mut answer(true)).await,
        Verb::Record { command_id, shape, recorded: Recorded::One(tracked) } => {
            record::run(&opened, tracked.asked(), *command_id, &mut answer(shape.json)).await
        }
        Verb::Export { format } => export::run(&opened, *format, &mut answer(false)).await,
        Verb::Copy { to, shape } => {
            let to = database::named(to, "--to", configuration.environment())?;
            copy::run(&opened, &Opened::open(to, limits).await?, &mut answer(shape.json)).await
        }
        Verb::Stats { user, group, task, shape } => {
            let whose = Whose { user: *user, group: *group };
            let asked = stats::Asked { whose, task: task.as_deref() };
            stats::run(&opened, asked, &mut answer(shape.json)).await
        }
    }
}
