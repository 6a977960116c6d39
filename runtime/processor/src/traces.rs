//! Workflows as traces, for whoever collects them: OTLP over HTTP as JSON, a trace for each round of a workflow and a span for
//! each step (OpenTelemetry Protocol 1.x, "OTLP/HTTP", JSON encoding).
//!
//! Invariants: the worker never waits for a collector; what is held for it is bounded, and what is lost is told; of several
//! workers on one database the one that acts sends; ids follow from the workflow, so that a trace sent twice is one.

mod span;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use biomero_config::{Secret, TraceExport, mask_urls};
use biomero_workflow::Happened;
use rustls_native_certs::load_native_certs;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use uuid::Uuid;

use crate::ended::Ended;
use span::{Round, exported};

/// How many workflows are followed at a time; of more, the traces are left out.
const FOLLOWED: usize = 20_000;
/// How many rounds wait for the collector.
const WAITING: usize = 512;
/// How many are sent at a time.
const TOGETHER: usize = 64;
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pauses between tries.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];
/// How often it is told that traces are lost.
const TELL: Duration = Duration::from_secs(60);

/// Where traces go.
#[derive(Debug)]
pub(crate) struct Traces {
    followed: Mutex<HashMap<Uuid, Round>>,
    finished: SyncSender<Round>,
}

impl Traces {
    /// To the collector of the settings; none where there is none.
    pub(crate) fn start(export: &TraceExport, worker: &str) -> Result<Option<Self>, Ended> {
        let Some(endpoint) = &export.endpoint else { return Ok(None) };
        let address = address(endpoint).ok_or_else(|| Ended::TracesEndpoint(mask_urls(endpoint)))?;
        let (finished, waiting) = sync_channel(WAITING);
        let collector = Collector {
            agent: agent(endpoint),
            address,
            token: export.bearer_token.clone(),
            worker: worker.to_owned(),
            lost: 0,
            told: None,
        };
        let sending = std::thread::Builder::new().name("traces".to_owned());
        sending.spawn(move || collector.send_all(&waiting)).map_err(Ended::System)?;
        Ok(Some(Self { followed: Mutex::default(), finished }))
    }

    /// What has happened, in its order; what ends is sent where this worker acts.
    pub(crate) fn take(&self, events: &[Happened], acts: bool) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for happened in events {
            let Some(id) = happened.event.workflow_id else { continue };
            if !followed.contains_key(&id) {
                if followed.len() >= FOLLOWED || happened.event.topic != span::REQUESTED {
                    continue;
                }
                followed.insert(id, Round::new(id));
            }
            let Some(round) = followed.get_mut(&id) else { continue };
            let Some(finished) = round.take(happened) else { continue };
            // A retry begins another round of the same workflow, which may come or not: it is heard of anew.
            followed.remove(&id);
            if !acts {
                continue;
            }
            if let Err(TrySendError::Full(_)) = self.finished.try_send(finished) {
                tracing::debug!(workflow = %id, "its trace is left out: too many wait for the collector");
            }
        }
    }
}

/// Sends, on a thread of its own.
struct Collector {
    agent: Agent,
    address: String,
    token: Option<Secret<String>>,
    worker: String,
    lost: u64,
    told: Option<Instant>,
}

impl Collector {
    fn send_all(mut self, waiting: &Receiver<Round>) {
        while let Ok(first) = waiting.recv() {
            let mut rounds = vec![first];
            rounds.extend(waiting.try_iter().take(TOGETHER - 1));
            let body = exported(&rounds, &self.worker).to_string();
            if let Err(reason) = self.deliver(&body) {
                self.lost += rounds.len() as u64;
                self.tell(&reason);
            }
        }
    }

    fn deliver(&self, body: &str) -> Result<(), String> {
        let mut pauses = PAUSES.iter();
        loop {
            let reason = match self.once(body) {
                Ok(()) => return Ok(()),
                Err((reason, false)) => return Err(reason),
                Err((reason, true)) => reason,
            };
            match pauses.next() {
                Some(pause) => std::thread::sleep(*pause),
                None => return Err(reason),
            }
        }
    }

    /// Why not, and whether it may pass: by the specification, 429, 502, 503 and 504 may.
    fn once(&self, body: &str) -> Result<(), (String, bool)> {
        let mut request = self.agent.post(&self.address).header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {}", token.reveal()));
        }
        match request.send(body) {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => {
                let status = response.status().as_u16();
                Err((format!("it answers {status}"), matches!(status, 429 | 502 | 503 | 504)))
            }
            Err(error) => Err((error.to_string(), true)),
        }
    }

    fn tell(&mut self, reason: &str) {
        if self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        tracing::warn!(
            "traces are not taken by {}: {reason}; {} are lost so far: see whether the collector runs, or unset traces.endpoint",
            self.address,
            self.lost
        );
    }
}

fn agent(endpoint: &str) -> Agent {
    // What cannot be read is passed over: a machine's store may hold relics.
    let found = if endpoint.starts_with("https:") { load_native_certs().certs } else { Vec::new() };
    let roots = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let configuration = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .user_agent(concat!("biomero-processor/", env!("CARGO_PKG_VERSION")));
    configuration.tls_config(tls).build().new_agent()
}

/// Where spans are posted below what collectors call their endpoint.
fn address(endpoint: &str) -> Option<String> {
    let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"))?;
    let host = rest.split('/').next().filter(|host| !host.is_empty() && !host.contains('@'))?;
    let is_plain = |letter: char| letter.is_ascii_graphic();
    (host.chars().all(is_plain) && rest.chars().all(is_plain))
        .then(|| format!("{}/v1/traces", endpoint.trim_end_matches('/')))
}

/// Nanoseconds since 1970, as OTLP has them.
fn nanoseconds(moment: time::OffsetDateTime) -> String {
    moment.unix_timestamp_nanos().max(0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_below_the_endpoint() {
        let of = |endpoint| address(endpoint);
        assert_eq!(of("http://collector:4318").as_deref(), Some("http://collector:4318/v1/traces"));
        assert_eq!(
            of("https://c.example.org/otlp/").as_deref(),
            Some("https://c.example.org/otlp/v1/traces")
        );
        for wrong in ["collector:4318", "http://", "grpc://collector:4317", "http://u:p@c:4318", "http://a b"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
