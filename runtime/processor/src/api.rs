//! `processor serve` as others ask it: HTTP and JSON on a Unix socket always, over TCP where the settings say so.
//!
//! Invariants: nothing here acts, it asks [`Workflows`], as any other process on the database may; over TCP nobody is heard
//! without a token, and no token travels to another machine without TLS; whatever a peer sends or leaves unsent, it costs
//! bounded memory and bounded time; what is answered is described by the document that is made from the same types.

mod address;
pub(crate) mod configuration;
mod connection;
mod document;
pub(crate) mod event;
pub(crate) mod extract;
pub(crate) mod guard;
pub(crate) mod health;
pub(crate) mod job;
mod log;
pub(crate) mod problem;
mod rate;
mod socket;
mod stream;
pub(crate) mod task;
mod tls;
pub(crate) mod token;
mod workflow;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use biomero_config::{ApiAccess, Environment, Row};
use biomero_events::json::Value;
use biomero_slurm::Cluster;
use biomero_slurm::engine::Engine;
use biomero_workflow::{Happened, Standing, Steps, Workflows};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

pub(crate) use address::{AddressError, socket as socket_of};
pub(crate) use document::document;
pub(crate) use socket::SocketError;

use crate::metrics::{self, Began, Observed};
use crate::page::{self, Page, Places};
use crate::serve::Lending;
use crate::traces::Traces;
use address::Tcp;
use event::Recent;
use guard::Door;
use health::Heard;
use problem::{Kind, Problem};
use rate::Rate;
use socket::Socket;

/// How many follow events at a time.
const STREAMS: usize = 1_500;
/// How many logs are read at a time: each asks the cluster.
const LOGS: usize = 32;
/// How many descriptors there may be: all connections, and what work needs.
const DESCRIPTORS: u64 = 8_192;
/// How long answers under way may take at the end.
const ENDING: Duration = Duration::from_secs(2);

/// Why nothing is served.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    /// The settings are refused.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// TCP.
    #[error("cannot listen on {address}: {source}; name another address in the setting api.listen")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Api<S> {
    pub(crate) workflows: Workflows<S>,
    lending: Arc<Lending>,
    pub(crate) standing: watch::Receiver<Standing>,
    engine: Engine,
    pub(crate) cluster: Cluster,
    pub(crate) configuration: Vec<Row>,
    pub(crate) recent: Recent,
    pub(crate) observed: Observed,
    pub(crate) began: Began,
    traces: Option<Traces>,
    pub(crate) heard: Heard,
    pub(crate) page: Page,
    streams: Arc<Semaphore>,
    logs: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl<S> Api<S> {
    /// Counts what has happened, and traces it.
    fn heard_of(&self, events: &[Happened]) {
        self.observed.take(events, OffsetDateTime::now_utc());
        if let Some(traces) = &self.traces {
            traces.take(events, matches!(*self.standing.borrow(), Standing::Acting { .. }));
        }
    }
}

/// The same for whoever answers.
pub(crate) type Shared<S> = Arc<Api<S>>;

/// What is served, by whoever runs it.
#[derive(Debug)]
pub(crate) struct Served<S> {
    /// The workflows of the database.
    pub(crate) workflows: Workflows<S>,
    /// What they are lent in OMERO.
    pub(crate) lending: Arc<Lending>,
    /// Whether this worker acts.
    pub(crate) standing: watch::Receiver<Standing>,
    /// Who runs jobs.
    pub(crate) engine: Engine,
    /// Where their logs are.
    pub(crate) cluster: Cluster,
    /// The settings, secrets masked.
    pub(crate) configuration: Vec<Row>,
    /// Where the page finds what it shows.
    pub(crate) places: Places,
    /// Where traces go.
    pub(crate) traces: Option<Traces>,
}

/// The ways in, open already: what is wrong with them is told before anything is carried.
#[derive(Debug)]
pub(crate) struct Listening {
    socket: Socket,
    tcp: Vec<(TcpListener, Tcp)>,
    rate: u32,
}

impl Listening {
    /// Opens them.
    pub(crate) async fn open(access: &ApiAccess, environment: &Environment) -> Result<Self, ApiError> {
        let tcp = address::tcp(access)?;
        room();
        let socket = Socket::open(&socket_of(access, environment)?)?;
        let mut listeners = Vec::new();
        if let Some(tcp) = tcp {
            for address in &tcp.addresses {
                let failed = |source| ApiError::Listen { address: address.to_string(), source };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                tracing::info!("asked at {} over TCP", listener.local_addr().map_err(failed)?);
                listeners.push((listener, tcp.clone()));
            }
        }
        Ok(Self { socket, tcp: listeners, rate: access.rate })
    }

    /// Answers until `stop`, and a little longer.
    pub(crate) async fn serve<S: Steps>(self, served: Served<S>, stop: impl Future<Output = ()> + Send) {
        let (tell, told) = watch::channel(false);
        let Served { workflows, lending, standing, engine, cluster, configuration, places, traces } = served;
        let page = Page::new(places);
        let door = Door { rate: Rate::new(self.rate), sessions: Arc::clone(&page.sessions) };
        let api = Arc::new(Api {
            workflows,
            lending,
            standing,
            engine,
            cluster,
            configuration,
            recent: Recent::new(),
            observed: Observed::default(),
            began: Began::now(),
            traces,
            heard: Heard::default(),
            page,
            streams: Arc::new(Semaphore::new(STREAMS)),
            logs: Arc::new(Semaphore::new(LOGS)),
            stop: told.clone(),
        });
        let router = router(Arc::clone(&api), Arc::new(door));
        let mut ways = tokio::task::JoinSet::new();
        for (listener, tcp) in self.tcp {
            ways.spawn(connection::over_tcp(listener, tcp, router.clone(), told.clone()));
        }
        let serving = async {
            tokio::join!(connection::over_socket(&self.socket, router, told.clone()), async {
                while ways.join_next().await.is_some() {}
            });
        };
        tokio::pin!(serving);
        tokio::select! {
            () = stop => {}
            () = api.recent.read(&api.workflows, |events| api.heard_of(events)) => {}
            () = &mut serving => {}
        }
        let _ = tell.send(true);
        let _ = timeout(ENDING, serving).await;
    }
}

/// Makes room for as many descriptors as connections may be: 1,024 is what many systems begin with.
fn room() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = DESCRIPTORS.min(hard);
        if soft < wanted { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!("the number of open files stays as it is: {error}; fewer can be connected at a time");
    }
}

/// All that can be asked.
fn router<S: Steps>(api: Shared<S>, door: Arc<Door>) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready::<S>))
        .route("/metrics", get(metrics::show::<S>))
        .route("/openapi.json", get(document::served))
        .route("/v1/workflows", get(workflow::list::<S>).post(workflow::submit::<S>))
        .route("/v1/batches", post(workflow::submit_batch::<S>))
        .route("/v1/workflows/{id}", get(workflow::show::<S>))
        .route("/v1/workflows/{id}/cancel", post(workflow::cancel::<S>))
        .route("/v1/workflows/{id}/retry", post(workflow::retry::<S>))
        .route("/v1/workflows/{id}/tasks", get(task::list::<S>))
        .route("/v1/tasks/{id}", get(task::show::<S>))
        .route("/v1/jobs/{job}", get(job::show::<S>))
        .route("/v1/jobs/{job}/log", get(log::read::<S>))
        .route("/v1/events", get(event::follow::<S>))
        .route("/v1/configuration", get(configuration::list::<S>))
        .merge(page::routes())
        .method_not_allowed_fallback(not_allowed)
        .fallback(absent)
        .with_state(api)
        .layer(from_fn_with_state(door, guard::guard))
}

async fn absent() -> Problem {
    Problem::new(Kind::Absent, "there is nothing at this path", "the paths that there are: GET /openapi.json")
}

async fn not_allowed() -> Problem {
    Problem::new(Kind::Method, "this path takes other methods", "the header Allow names them")
}

/// A value of the log, which may hold what JSON has not: that becomes a string.
fn json(value: &Value) -> serde_json::Value {
    let strict = crate::output::strict(value.clone());
    serde_json::from_str(&strict.to_string()).unwrap_or_else(|_| serde_json::Value::String(value.to_string()))
}
