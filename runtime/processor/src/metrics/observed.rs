//! What is counted as it happens: how long steps took, how workflows ended, how late we hear of it.
//!
//! Invariants: it is fed by the one reader of our own events, so that a worker that does not act counts the same; it holds a
//! moment for each workflow that is under way, and no more of them than [`MOST`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use biomero_events::json::Value;
use biomero_workflow::{End, Happened, Step};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use uuid::Uuid;

use super::exposition::{Exposition, Histogram, Kind};

/// Of how many workflows it is known since when they do what they do. A queue may be as long.
const MOST: usize = 100_000;

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// When the step began that a workflow is in.
    since: HashMap<Uuid, OffsetDateTime>,
    /// When a workflow began.
    started: HashMap<Uuid, OffsetDateTime>,
    /// By step.
    steps: BTreeMap<Step, Histogram>,
    /// By step: how often it failed, and how often it was tried again.
    failed: BTreeMap<Step, u64>,
    /// By end.
    workflows: BTreeMap<&'static str, Histogram>,
    ended: BTreeMap<&'static str, u64>,
    resubmitted: u64,
    paused: u64,
    /// How long ago the last event had been recorded when it was read.
    lag: Option<f64>,
    last: i64,
}

impl Observed {
    /// What has happened, in its order.
    pub(crate) fn take(&self, events: &[Happened], now: OffsetDateTime) {
        let mut counted = self.counted();
        for happened in events {
            counted.take(happened);
        }
        if let Some(last) = events.last() {
            counted.lag = Some((now - last.recorded).as_seconds_f64().max(0.0));
            counted.last = last.id;
        }
    }

    /// Tells it.
    pub(super) fn tell(&self, told: &mut Exposition) {
        let counted = self.counted();
        let mut family = told.family(
            "biomero_workflow_step_duration_seconds",
            "How long steps took that were done, pauses between tries included.",
            Kind::Histogram,
        );
        for (step, histogram) in &counted.steps {
            family.histogram(&[("step", &word(step))], histogram);
        }
        let mut family =
            told.family("biomero_workflow_step_failures_total", "Steps that were given up.", Kind::Counter);
        for (step, count) in &counted.failed {
            family.sample(&[("step", &word(step))], *count as f64);
        }
        let mut family = told.family(
            "biomero_workflow_duration_seconds",
            "How long workflows took from their turn to their end.",
            Kind::Histogram,
        );
        for (end, histogram) in &counted.workflows {
            family.histogram(&[("end", end)], histogram);
        }
        let mut family = told.family("biomero_workflows_ended_total", "Workflows that ended.", Kind::Counter);
        for end in [End::Done, End::Failed, End::Cancelled].map(name) {
            family.sample(&[("end", end)], counted.ended.get(end).copied().unwrap_or(0) as f64);
        }
        let mut counter = |name, help, value: u64| {
            told.family(name, help, Kind::Counter).sample(&[], value as f64);
        };
        counter("biomero_jobs_resubmitted_total", "Jobs that were submitted anew.", counted.resubmitted);
        counter(
            "biomero_workflow_pauses_total",
            "Times that a step waited for its next try.",
            counted.paused,
        );
        let mut family = told.family(
            "biomero_event_lag_seconds",
            "How long before it was read the last event had been recorded.",
            Kind::Gauge,
        );
        if let Some(lag) = counted.lag {
            family.sample(&[], lag);
        }
        told.family("biomero_event_last_id", "The place of the last event that was read.", Kind::Gauge)
            .sample(&[], counted.last as f64);
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn take(&mut self, happened: &Happened) {
        let state = &happened.event.state;
        let Some(id) = happened.event.workflow_id else { return };
        match happened.event.topic.as_str() {
            "workflow.started" if self.started.len() < MOST => {
                self.started.insert(id, happened.recorded);
                self.since.insert(id, happened.recorded);
            }
            "workflow.step-done" => {
                let since = self.since.insert(id, happened.recorded);
                if let (Some(since), Some(step)) = (since, member(state, "step")) {
                    let took = (happened.recorded - since).as_seconds_f64().max(0.0);
                    self.steps.entry(step).or_default().observe(took);
                } else if !self.started.contains_key(&id) {
                    // It began before we listened, or there are too many.
                    self.since.remove(&id);
                }
            }
            "workflow.step-failed" => {
                if let Some(step) = member(state, "step") {
                    *self.failed.entry(step).or_default() += 1;
                }
            }
            "workflow.resubmitted" => self.resubmitted += 1,
            "workflow.paused" => self.paused += 1,
            "workflow.over" => {
                self.since.remove(&id);
                let started = self.started.remove(&id);
                let Some(end) = member(state, "end").map(name) else { return };
                *self.ended.entry(end).or_default() += 1;
                if let Some(started) = started {
                    let took = (happened.recorded - started).as_seconds_f64().max(0.0);
                    self.workflows.entry(end).or_default().observe(took);
                }
            }
            _ => {}
        }
    }
}

/// A word of an event's state, where it is one that we know.
fn member<T: DeserializeOwned>(state: &Value, key: &str) -> Option<T> {
    let word = state.get(key)?.as_str()?;
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

/// As events have it.
fn word(step: &impl Serialize) -> String {
    match serde_json::to_value(step) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

const fn name(end: End) -> &'static str {
    match end {
        End::Done => "done",
        End::Failed => "failed",
        End::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use biomero_events::worker::WorkerEvent;

    use super::*;

    fn happened(seconds: i64, workflow: u128, topic: &str, state: &str) -> Happened {
        let event = WorkerEvent {
            topic: topic.to_owned(),
            workflow_id: Some(Uuid::from_u128(workflow)),
            task_id: None,
            state: Value::read(state).expect("a state"),
        };
        let recorded = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        Happened { id: seconds, recorded, event }
    }

    fn told(observed: &Observed) -> String {
        let mut told = Exposition::default();
        observed.tell(&mut told);
        told.text()
    }

    #[test]
    fn a_step_took_from_the_end_of_the_one_before_it() {
        let observed = Observed::default();
        let events = [
            happened(10, 1, "workflow.started", "{}"),
            happened(12, 1, "workflow.step-done", r#"{"step": "export"}"#),
            happened(13, 1, "workflow.paused", r#"{"tried": 1}"#),
            happened(52, 1, "workflow.step-done", r#"{"step": "run"}"#),
            happened(53, 1, "workflow.over", r#"{"end": "done"}"#),
        ];
        observed.take(&events, OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(53_250));
        let text = told(&observed);
        for line in [
            "biomero_workflow_step_duration_seconds_sum{step=\"export\"} 2",
            "biomero_workflow_step_duration_seconds_sum{step=\"run\"} 40",
            "biomero_workflow_step_duration_seconds_bucket{step=\"run\",le=\"60\"} 1",
            "biomero_workflow_duration_seconds_sum{end=\"done\"} 43",
            "biomero_workflows_ended_total{end=\"done\"} 1",
            "biomero_workflows_ended_total{end=\"failed\"} 0",
            "biomero_workflow_pauses_total 1",
            "biomero_event_lag_seconds 0.25",
            "biomero_event_last_id 53",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is missing in\n{text}");
        }
        assert!(observed.counted().since.is_empty() && observed.counted().started.is_empty());
    }

    #[test]
    fn of_what_began_before_we_listened_the_end_is_counted_and_no_length() {
        let observed = Observed::default();
        let events = [
            happened(12, 1, "workflow.step-done", r#"{"step": "fetch"}"#),
            happened(13, 1, "workflow.step-failed", r#"{"step": "deliver"}"#),
            happened(14, 1, "workflow.over", r#"{"end": "failed"}"#),
            happened(15, 1, "workflow.over", r#"{"end": "a word of the future"}"#),
        ];
        observed.take(&events, OffsetDateTime::UNIX_EPOCH);
        let text = told(&observed);
        assert!(text.contains("biomero_workflows_ended_total{end=\"failed\"} 1\n"), "{text}");
        assert!(text.contains("biomero_workflow_step_failures_total{step=\"deliver\"} 1\n"), "{text}");
        assert!(!text.contains("_bucket"), "{text}");
        assert!(observed.counted().since.is_empty(), "nothing is kept of it");
    }
}
