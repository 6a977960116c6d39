//! `GET /metrics`: what the worker does, as Prometheus asks.
//!
//! Invariants: a scrape costs one question to the database and one to `init`, each with a deadline, and none to the cluster;
//! what cannot be told is left out, never told as zero; no label holds what a user wrote but the names that the settings give.

mod exposition;
mod observed;

use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use biomero_workflow::{Standing, Steps};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use tokio::time::timeout;

use crate::api::Shared;
use crate::page::init;
use exposition::{Exposition, Kind};
pub(crate) use observed::Observed;

/// How long the database may take: a scrape has ten seconds where nobody changed it.
const DATABASE: Duration = Duration::from_secs(4);

/// When this process began, as near as matters.
#[derive(Debug)]
pub(crate) struct Began(SystemTime);

impl Began {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(SystemTime::now())
    }
}

/// Metrics of the worker.
///
/// The text format of Prometheus, 0.0.4. Counters begin anew with the process.
#[utoipa::path(
    get, path = "/metrics", tag = "worker", operation_id = "metrics",
    responses((status = 200, description = "Families and samples.", content_type = "text/plain", body = String)),
)]
pub(crate) async fn show<S: Steps>(State(api): State<Shared<S>>) -> impl IntoResponse {
    let mut told = Exposition::default();
    told.family("biomero_build_info", "The version that runs.", Kind::Gauge)
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let (phases, services) =
        tokio::join!(phases(&api), async { init::status(&api.page.places.init).await.ok() });
    standing(&mut told, *api.standing.borrow());
    told.family("biomero_database_up", "Whether the database answers.", Kind::Gauge)
        .sample(&[], f64::from(u8::from(phases.is_some())));
    if let Some(phases) = phases {
        let mut family =
            told.family("biomero_workflows", "Workflows that have not ended, by phase.", Kind::Gauge);
        for (phase, count) in &phases {
            family.sample(&[("phase", phase)], *count as f64);
        }
    }
    api.observed.tell(&mut told);
    cluster(&mut told, &api);
    if let Some(status) = services {
        let restarts = "How often a service was started again since the container was.";
        let mut family = told.family("biomero_service_restarts_total", restarts, Kind::Counter);
        for service in &status.services {
            family.sample(&[("service", &service.name)], service.restarts as f64);
        }
        let mut family = told.family("biomero_service_ready", "Whether a service is ready.", Kind::Gauge);
        for service in &status.services {
            family.sample(&[("service", &service.name)], f64::from(u8::from(service.ready)));
        }
    }
    process(&mut told, &api.began);
    ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], told.text())
}

/// How many workflows are open, by phase; none where the database does not answer in time.
async fn phases<S: Steps>(api: &Shared<S>) -> Option<Vec<(String, u64)>> {
    let log = api.workflows.log();
    timeout(DATABASE, log.open_phases()).await.ok()?.ok()
}

fn standing(told: &mut Exposition, standing: Standing) {
    let (acting, under_way) = match standing {
        Standing::Acting { under_way } => (1.0, under_way as f64),
        Standing::Starting | Standing::Waiting => (0.0, 0.0),
    };
    told.family("biomero_acting", "Whether this worker acts, of those on one database.", Kind::Gauge)
        .sample(&[], acting);
    told.family("biomero_workflows_under_way", "Workflows that this worker carries now.", Kind::Gauge)
        .sample(&[], under_way);
}

fn cluster<S: Steps>(told: &mut Exposition, api: &Shared<S>) {
    let counts = api.cluster.counts();
    let name = [("cluster", api.cluster.name())];
    let mut counter = |family, help, value: u64| {
        told.family(family, help, Kind::Counter).sample(&name, value as f64);
    };
    counter(
        "biomero_cluster_commands_total",
        "Commands that were run on the cluster: round trips to Slurm and its files.",
        counts.commands,
    );
    counter(
        "biomero_ssh_connections_total",
        "Connections to the cluster that were made.",
        counts.connections,
    );
    counter("biomero_ssh_connections_lost_total", "Connections to the cluster that were lost.", counts.lost);
}

/// By the names that Prometheus's own clients use.
fn process(told: &mut Exposition, began: &Began) {
    if let Some(bytes) = resident() {
        told.family("process_resident_memory_bytes", "Resident memory.", Kind::Gauge).sample(&[], bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        told.family("process_open_fds", "Open file descriptors.", Kind::Gauge)
            .sample(&[], open.count() as f64);
    }
    if let Ok(used) = getrusage(UsageWho::RUSAGE_SELF) {
        let microseconds = used.user_time().num_microseconds() + used.system_time().num_microseconds();
        told.family("process_cpu_seconds_total", "Time on processors.", Kind::Counter)
            .sample(&[], microseconds as f64 / 1e6);
    }
    if let Ok(since) = began.0.duration_since(SystemTime::UNIX_EPOCH) {
        told.family("process_start_time_seconds", "When the process began, since 1970.", Kind::Gauge)
            .sample(&[], since.as_secs_f64());
    }
}

/// In bytes; `proc_pid_status(5)` tells it in units of 1,024.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}
