//! Processor-0: what OMERO asks for scripts to be run.
//!
//! Invariants:
//! - There is one for a folder of runs ([`Scripts`] holds its lock), and whoever comes later takes over what runs.
//! - A job that was accepted has a status at the end: what cannot be told now is told later, or by the next processor.
//! - Who calls back is told nothing of our session: references come from outside, and may lead anywhere.

mod account;
mod activation;
mod call_back;
mod config_file;
mod inputs;
mod internal;
mod job;
mod note;
mod process;
mod register;
mod run;
mod servant;
mod stop;
mod witness;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use biomero_ice::{Adapter, Communicator, Identity, NetworkEndpoint, Reference};
use biomero_omero::Address;
use biomero_omero::grid::ProcessorDispatch;
use tokio::sync::Notify;

use crate::script::{Found, ScriptProcess, Scripts};
use internal::Internal;
use run::Runs;

pub use activation::{Activation, ActivationError, asks_for_processor};
pub use witness::{Run, Witness};

/// The object that OMERO calls.
const NAME: &str = "Processor";
/// How long connections are closed in good order: a node waits for us.
const CLOSE: Duration = Duration::from_millis(500);

/// How a processor is reached, and what it works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The grid's registry.
    pub locator: Reference,
    /// By whom we were started; none: by somebody who is not IceGrid's node.
    pub activation: Option<Activation>,
    /// Where to listen; port 0 is any.
    pub endpoint: NetworkEndpoint,
    /// The host that is told to others, where it is not the endpoint's.
    pub published: Option<String>,
    /// The router by which scripts reach OMERO, and we on their behalf.
    pub router: Address,
    /// What runs a script, unless OMERO names something else.
    pub launcher: PathBuf,
    /// What else OMERO may name (`omero.launcher`), and which program that is.
    pub launchers: BTreeMap<String, PathBuf>,
    /// How long a script's session is left to those who want its results.
    pub linger: Duration,
    /// How long scripts have to end, and OMERO to be told of it, when the processor ends. None: they go on, and the next processor
    /// takes them over, for which it needs the folder of their runs.
    pub end_scripts: Option<Duration>,
    /// How often it is seen whether a script's session is still there.
    pub look: Duration,
    /// How often OMERO is told that our own session is wanted, and how soon it is tried again to have one.
    pub session: biomero_omero::Options,
}

/// Why there is no processor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot listen.
    #[error("the processor cannot listen on {endpoint}: {source}")]
    Listen {
        /// Where.
        endpoint: String,
        /// Why not.
        source: biomero_ice::adapter::ListenError,
    },
}

/// What all parts of a processor have in common.
struct Shared {
    options: Options,
    communicator: Communicator,
    adapter: Adapter,
    scripts: Scripts,
    internal: Internal,
    runs: Runs,
    witness: Arc<dyn Witness>,
}

impl Shared {
    /// What OMERO knows an object of ours by.
    fn reference(&self, identity: Identity) -> Reference {
        match self.options.activation {
            Some(_) => self.adapter.indirect(identity),
            None => self.adapter.direct(identity),
        }
    }
}

/// Runs a processor until `stop`, or until it is told to by IceGrid's node. What becomes of the scripts that run then,
/// [`Options::end_scripts`] says.
///
/// # Errors
/// It cannot listen. That neither the registry nor OMERO is there is none: they are waited for.
pub async fn run(
    options: Options,
    scripts: Scripts,
    found: Found,
    witness: Arc<dyn Witness>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let communicator = Communicator::new(biomero_ice::Options {
        registry: biomero_omero::registry(),
        locator: Some(options.locator.clone()),
        ..biomero_ice::Options::default()
    });
    let id = options.activation.as_ref().map(|activation| activation.adapter.clone()).unwrap_or_default();
    let adapter = communicator.adapter(id);
    let told = Arc::new(Notify::new());
    let shared = Arc::new(Shared {
        communicator,
        adapter,
        scripts,
        internal: Internal::default(),
        runs: Runs::default(),
        witness,
        options,
    });
    let process = Identity::new(uuid::Uuid::new_v4().to_string(), "process");
    shared
        .adapter
        .add(Identity::named(NAME), Arc::new(ProcessorDispatch(servant::Processor(Arc::clone(&shared)))));
    shared.adapter.add(process.clone(), Arc::new(stop::StopServant(Arc::clone(&told))));
    let endpoint = &shared.options.endpoint;
    let listening = shared.adapter.listen(endpoint, shared.options.published.as_deref()).await;
    listening.map_err(|source| Error::Listen { endpoint: format!("{endpoint:?}"), source })?;
    for process in found.scripts {
        take_over(&shared, process);
    }
    let work = async {
        tokio::join!(register::for_ever(&shared, &process), internal::for_ever(&shared));
    };
    let end = async {
        tokio::select! {
            () = told.notified() => tracing::info!("IceGrid's node tells the processor to end"),
            () = stop => {}
        }
        if let Some(patience) = shared.options.end_scripts
            && tokio::time::timeout(patience, shared.runs.end()).await.is_err()
        {
            tracing::warn!("jobs {:?} have not ended in {} s", shared.runs.jobs(), patience.as_secs());
        }
    };
    tokio::select! {
        () = work => {}
        () = end => {}
    }
    let leave = async {
        register::leave(&shared).await;
        internal::leave(&shared).await;
    };
    // What does not answer now is not waited for: a registry forgets who is gone, and OMERO who does not answer.
    let _ = tokio::time::timeout(CLOSE, leave).await;
    shared.adapter.close(CLOSE).await;
    Ok(())
}

/// Goes on with a script that an earlier processor has started.
fn take_over(shared: &Arc<Shared>, process: ScriptProcess) {
    match note::Note::of(&process) {
        Ok(note) => {
            tracing::info!("job {}: its script is found again", process.job());
            run::follow(shared, process, note);
        }
        Err(error) => {
            tracing::warn!(
                "job {}: {}: its note cannot be read: {error}",
                process.job(),
                process.folder().path().display()
            );
        }
    }
}
