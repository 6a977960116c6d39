//! Carrying a plan out.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::Duration;

use biomero_config::LogFormat;
use biomero_grid::environment::Place;
use biomero_grid::processor::{self, Activation};
use biomero_grid::script::{self, Found, Keeper, Scripts};
use tokio::signal::unix::{SignalKind, signal};

use super::history::Recorder;
use super::plan::{self, Plan};
use super::{Unable, archives, route};
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::{database, exit_code};

/// The hidden command that keeps a script, and its flag: what a script writes is in one log with what we say.
const KEEPER: &str = "grid-keeper";
const AS_JSON: &str = "--json";
/// How long the history has for what it has not recorded when the processor ends: a node waits for us.
const FLUSH: Duration = Duration::from_millis(300);

/// Writes what we say where IceGrid's node wants it, as Ice does it for programs that are made with it.
pub(super) fn redirect(activation: &Activation) -> Result<(), Unable> {
    let open = |property: &str| {
        let Some(path) = activation.property(property).filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map(Some).map_err(|source| Unable::Output { path: path.to_owned(), source })
    };
    let failed = |path: &str| {
        let path = path.to_owned();
        move |error: nix::errno::Errno| Unable::Output { path, source: error.into() }
    };
    if let Some(file) = open("Ice.StdOut")? {
        nix::unistd::dup2_stdout(file).map_err(failed("the standard output"))?;
    }
    if let Some(file) = open("Ice.StdErr")? {
        nix::unistd::dup2_stderr(file).map_err(failed("the standard error"))?;
    }
    Ok(())
}

/// Is the processor until somebody tells it to end.
pub(super) fn serve(plan: Plan, configuration: &Configuration<'_>) -> Result<u8, Ended> {
    let program = std::env::current_exe().map_err(Ended::System)?;
    let is_json = configuration.settings()?.log.format == LogFormat::Json;
    let arguments = [Some(KEEPER), is_json.then_some(AS_JSON)].into_iter().flatten();
    let keeper = Keeper { program, arguments: arguments.map(OsString::from).collect() };
    // A history that cannot even be named is no reason to run no scripts.
    let database = database::configured(configuration).unwrap_or_else(|error| {
        tracing::warn!("what scripts do is not recorded: {error}");
        None
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Ended::System)?;
    let served = runtime.block_on(async {
        let recorder = Recorder::start(database);
        let served = until_told(plan, keeper, &recorder).await;
        recorder.flush(FLUSH).await;
        served
    });
    // What still waits for somebody must not keep us.
    runtime.shutdown_background();
    served.map(|()| exit_code::SUCCESS)
}

async fn until_told(plan: Plan, keeper: Keeper, recorder: &Arc<Recorder>) -> Result<(), Ended> {
    let mut told = std::pin::pin!(stop()?);
    // A name that does not resolve, or a folder that another processor still has, is not waited for when it is to end.
    let (options, scripts, found) = tokio::select! {
        prepared = prepare(plan, keeper) => prepared?,
        () = &mut told => return Ok(()),
    };
    let witness = Arc::clone(recorder);
    processor::run(options, scripts, found, witness, told).await.map_err(Unable::from)?;
    Ok(())
}

/// Finds what the plan leaves to be found, and takes the folder of runs.
async fn prepare(plan: Plan, keeper: Keeper) -> Result<(processor::Options, Scripts, Found), Unable> {
    let published = match (plan.published, plan.endpoint.host.as_str(), plan::network(&plan.locator)) {
        (None, "", Some(registry)) => {
            Some(route::towards(&registry.host, registry.port, plan.resolve).await?)
        }
        (published, ..) => published,
    };
    let home = plan.place.home.clone();
    let archives = tokio::task::spawn_blocking(move || archives::archives(&home)).await.unwrap_or_default();
    let options = script::Options {
        root: plan.runs,
        at_once: plan.at_once,
        waiting: plan.waiting,
        keeper,
        limits: plan.limits,
        policy: plan.policy,
        variables: plan.variables,
        place: Place { archives, ..plan.place },
    };
    let (scripts, found) = Scripts::open(options).await?;
    let options = processor::Options {
        locator: plan.locator,
        activation: plan.activation,
        endpoint: plan.endpoint,
        published,
        router: plan.router,
        launcher: plan.launcher,
        launchers: plan.launchers,
        linger: plan::LINGER,
        look: plan::LOOK,
        end_scripts: plan.end_scripts,
        // It is tried for ever, with a pause in between that is the processor's.
        session: biomero_omero::Options { attempts: 1, ..biomero_omero::Options::default() },
    };
    Ok((options, scripts, found))
}

/// When a signal says so.
fn stop() -> Result<impl Future<Output = ()>, Ended> {
    let mut signals = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()] {
        signals.push(signal(kind).map_err(Ended::System)?);
    }
    Ok(async move {
        let first = std::future::poll_fn(|context| {
            if signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
                return std::task::Poll::Ready(());
            }
            std::task::Poll::Pending
        });
        first.await;
        tracing::info!("a signal tells the processor to end");
    })
}
