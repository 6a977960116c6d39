//! `processor serve`: carries workflows, with the steps of [`Site`], until it is told to end.
//!
//! Invariants: it is ready once it knows whether it acts; TERM and INT end it within seconds, and what runs on the cluster
//! goes on.

mod deliver;
mod failure;
mod home;
mod images;
mod lent;
mod memory;
mod names;
mod notify;
mod paths;
mod site;

use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use biomero_config::Environment;
use biomero_events::{EventLog, Limits as LogLimits};
use biomero_workflow::{Limits, Orchestrator, Standing, Workflows};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api::{Listening, Served};
use crate::command_line::workflow::Serve;
use crate::configuration::Configuration;
use crate::database::{self, Database};
use crate::ended::Ended;
use crate::exit_code;
use crate::page::Places;
use crate::slurm::Context;
use crate::traces::Traces;
pub(crate) use lent::Lending;
use notify::Notify;
pub(crate) use site::Site;

/// How long commands that are under way are waited for at the end.
const ENDING: Duration = Duration::from_secs(3);
/// How often a database that is away is asked again at the start.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs it; returns the exit code.
pub(crate) fn run(asked: &Serve, environment: &Environment) -> Result<u8, Ended> {
    let notify = Notify::new(environment);
    let ended = serve(asked, environment, &notify);
    if let Err(reason) = &ended {
        // Whoever asks our supervisor reads why we are not there.
        notify.status(reason);
    }
    ended
}

fn serve(asked: &Serve, environment: &Environment, notify: &Notify) -> Result<u8, Ended> {
    let configuration = Configuration::new(environment);
    let database = database::choose(asked.database.as_deref(), &configuration)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async { carry(&configuration, &database, notify, stop()?).await });
    // What still waits for a disk or the cluster must not keep us.
    runtime.shutdown_background();
    ended.map(|()| exit_code::SUCCESS)
}

/// The same for as long as somebody who asks for a workflow waits for it: until `stop` is true.
pub(crate) async fn carry_until(
    configuration: &Configuration<'_>,
    stop: watch::Receiver<bool>,
) -> Result<(), Ended> {
    let database = database::choose(None, configuration)?;
    carry(configuration, &database, &Notify::nobody(), Stop(stop)).await
}

async fn carry(
    configuration: &Configuration<'_>,
    database: &Database,
    notify: &Notify,
    stop: Stop,
) -> Result<(), Ended> {
    let log = tokio::select! {
        log = opened(database, Some(notify)) => log?,
        () = stop.clone().told() => return Ok(()),
    };
    // Before anything is carried: what is wrong with the ways in is told at once.
    let listening = Listening::open(&configuration.settings()?.api, configuration.environment()).await?;
    let context = Context::new(configuration)?;
    let settings = configuration.settings()?;
    let state = &settings.state;
    let staged = folder(&context)?;
    make(&staged);
    let places =
        Places { manifest: state.directory.join("manifest.json"), init: state.socket.clone(), staged };
    let site = Arc::new(Site::new(context, Arc::clone(&log))?);
    let workflows = Workflows::new(log, Arc::clone(&site), limits(configuration)?);
    let orchestrator = Orchestrator::new(workflows.clone());
    let telling = told(orchestrator.standing(), notify);
    let served = Served {
        workflows: workflows.clone(),
        lending: Arc::clone(site.lending()),
        standing: orchestrator.standing(),
        engine: site.engine().clone(),
        cluster: site.cluster().clone(),
        configuration: configuration.described()?.to_vec(),
        places,
        traces: Traces::start(&settings.traces, &settings.worker.name)?,
    };
    let carried = async {
        tokio::join!(orchestrator.run(stop.clone().told()), listening.serve(served, stop.told()));
    };
    tokio::select! {
        () = carried => {}
        () = telling => {}
        () = site.lending().look_after(&workflows) => {}
    }
    notify.say("STOPPING=1");
    let _ = tokio::time::timeout(ENDING, site.close()).await;
    Ok(())
}

/// The workflows of the configured database, for who asks and does not act.
pub(crate) async fn workflows(
    configuration: &Configuration<'_>,
    database: Option<&str>,
) -> Result<Workflows<Site>, Ended> {
    let database = database::choose(database, configuration)?;
    let log = opened(&database, None).await?;
    let site = Site::new(Context::new(configuration)?, Arc::clone(&log))?;
    Ok(Workflows::new(log, Arc::new(site), limits(configuration)?))
}

/// What runs all of it.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Ended> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Ended::System)
}

fn limits(configuration: &Configuration<'_>) -> Result<Limits, Ended> {
    let workflow = &configuration.settings()?.workflow;
    Ok(Limits {
        at_once: workflow.at_once as usize,
        per_user: workflow.per_user as usize,
        queue: u64::from(workflow.queue),
    })
}

/// The log, with its tables. A database that is away is waited for where somebody is there to be told of it.
async fn opened(database: &Database, patient: Option<&Notify>) -> Result<Arc<EventLog>, Ended> {
    let told = |source| Ended::Log { origin: database.origin.clone(), source: Box::new(source) };
    let log = EventLog::open(&database.url, LogLimits::default()).await.map_err(told)?;
    loop {
        match (log.initialise().await, patient) {
            (Ok(_), _) => return Ok(Arc::new(log)),
            (Err(error), Some(notify)) if error.class() == biomero_events::Class::Unavailable => {
                let waits = format!("the database is not there yet, and is waited for: {error}");
                notify.status(&waits);
                tracing::warn!("{waits}");
                tokio::time::sleep(AGAIN).await;
            }
            (Err(error), _) => return Err(told(error)),
        }
    }
}

/// Tells whoever supervises us when we are ready, and what we do; never ends.
async fn told(mut standing: watch::Receiver<Standing>, notify: &Notify) {
    let mut is_ready = false;
    loop {
        let now = *standing.borrow_and_update();
        let status = match now {
            Standing::Starting => "the database does not answer".to_owned(),
            Standing::Waiting => "another worker acts".to_owned(),
            Standing::Acting { under_way } => format!("{under_way} workflows under way"),
        };
        notify.status(&status);
        if !is_ready && now != Standing::Starting {
            is_ready = true;
            notify.say("READY=1");
            tracing::info!("ready: {status}");
        }
        if standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// That it was told to end.
#[derive(Debug, Clone)]
struct Stop(watch::Receiver<bool>);

impl Stop {
    fn told(self) -> impl Future<Output = ()> + Send {
        let Self(mut stop) = self;
        async move {
            // Whoever tells lives as long as the runtime.
            if stop.wait_for(|told| *told).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn stop() -> Result<Stop, Ended> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Ended::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Ended::System)?;
    let (tell, stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to end; what runs on the cluster goes on");
        let _ = tell.send(true);
        std::future::pending::<()>().await;
    });
    Ok(Stop(stop))
}

/// Makes the folder in which images are staged: whatever the `umask` is, nobody else reads or changes what is on its way.
fn make(folder: &Path) {
    if let Err(error) = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        // Whoever needs it tells it with the workflow that fails.
        tracing::warn!("cannot make {}, where images are staged: {error}", folder.display());
    }
}

/// The folder in which images are staged.
fn folder(context: &Context<'_>) -> Result<PathBuf, Ended> {
    match &context.settings.workflow.folder {
        Some(folder) => Ok(folder.clone()),
        None => context.state("workflows"),
    }
}
