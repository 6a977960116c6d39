//! What goes over the control socket.

use serde::{Deserialize, Serialize};

/// The longest request.
pub(super) const MOST_REQUEST: usize = 4 * 1024;

/// The longest answer that a client takes: some thousands of services.
pub(super) const MOST_ANSWER: u64 = 1024 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// What to do.
    pub(crate) verb: Verb,
    /// With which service; not for `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verb {
    /// How is everything?
    Status,
    /// Stop a service and start it again.
    Restart,
    /// Stop a service until it is started again.
    Stop,
    /// Start a service that does not run.
    Start,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// To `status`.
    Status(Box<Status>),
    /// It is being done.
    Done(String),
    /// It is not; why, and what to type.
    Refused(String),
}

/// How everything is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Of `init`.
    pub(crate) version: String,
    /// Process id of `init`, as it sees itself.
    pub(crate) pid: u32,
    /// What `init` is doing.
    pub(crate) phase: Phase,
    /// From `init`'s start to the start of the first service, in milliseconds.
    pub(crate) start_up_ms: f64,
    /// Since the services were first started, in seconds.
    pub(crate) uptime_s: f64,
    /// Hooks that failed and were passed over.
    pub(crate) hook_warnings: Vec<String>,
    /// In the order of starting.
    pub(crate) services: Vec<ServiceStatus>,
}

/// What `init` is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Keeping services running.
    Running,
    /// Stopping them.
    Stopping,
}

/// How a service is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceStatus {
    /// As in `[services.NAME]`.
    pub(crate) name: String,
    /// `waiting`, `starting`, `ready`, `stopping`, `backing-off`, `stopped`, `completed`, `failed` or `gave-up`.
    pub(crate) state: String,
    /// It is up, or has done its work.
    pub(crate) ready: bool,
    /// Its end ends the worker.
    pub(crate) main: bool,
    /// Of the leader of its process group, when it runs.
    pub(crate) pid: Option<i32>,
    /// How long it has been running, in seconds.
    pub(crate) running_s: Option<f64>,
    /// Starts after the first.
    pub(crate) restarts: u64,
    /// How its last run ended.
    pub(crate) last_exit: Option<String>,
    /// What it last said of itself (`STATUS=` of `sd_notify`).
    pub(crate) says: Option<String>,
}
