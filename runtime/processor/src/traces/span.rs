//! A round of a workflow, and the spans it becomes.

use biomero_events::json::Value;
use biomero_workflow::Happened;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::nanoseconds;

/// What is heard of a workflow first.
pub(super) const REQUESTED: &str = "workflow.requested";
/// How many spans a round has at most: steps that were tried again are spans of their own.
const MOST: usize = 200;
/// How long a reason may be, in letters.
const REASON: usize = 500;
/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u8 = 1;
/// `STATUS_CODE_OK`, `STATUS_CODE_ERROR`.
const OK: u8 = 1;
const ERROR: u8 = 2;

/// One round of a workflow, from its request to its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Round {
    id: Uuid,
    workflow: String,
    number: i64,
    asked: Option<OffsetDateTime>,
    since: Option<OffsetDateTime>,
    steps: Vec<Step>,
    end: Option<(String, OffsetDateTime)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    name: String,
    from: OffsetDateTime,
    to: OffsetDateTime,
    /// Why it failed.
    failure: Option<String>,
}

impl Round {
    pub(super) const fn new(id: Uuid) -> Self {
        Self {
            id,
            workflow: String::new(),
            number: 0,
            asked: None,
            since: None,
            steps: Vec::new(),
            end: None,
        }
    }

    /// What has happened; all of it, once it has ended.
    pub(super) fn take(&mut self, happened: &Happened) -> Option<Self> {
        let state = &happened.event.state;
        let now = happened.recorded;
        match happened.event.topic.as_str() {
            REQUESTED => {
                self.asked = Some(now);
                self.workflow = text(state, "workflow").unwrap_or_default().to_owned();
            }
            "workflow.started" => {
                self.step("queue", now, self.asked, None);
                self.since = Some(now);
            }
            "workflow.step-done" => self.ended(text(state, "step"), now, None),
            "workflow.step-failed" => {
                let reason = text(state, "reason").unwrap_or_default().chars().take(REASON).collect();
                self.ended(text(state, "step"), now, Some(reason));
            }
            "workflow.over" => {
                self.number = number(state, "round");
                self.end = Some((text(state, "end").unwrap_or_default().to_owned(), now));
                return Some(self.clone());
            }
            _ => {}
        }
        None
    }

    fn ended(&mut self, step: Option<&str>, now: OffsetDateTime, failure: Option<String>) {
        if let Some(step) = step {
            self.step(step, now, self.since, failure);
        }
        self.since = Some(now);
    }

    fn step(
        &mut self,
        name: &str,
        to: OffsetDateTime,
        from: Option<OffsetDateTime>,
        failure: Option<String>,
    ) {
        if let Some(from) = from
            && self.steps.len() < MOST
        {
            self.steps.push(Step { name: name.to_owned(), from, to, failure });
        }
    }

    fn spans(&self) -> Vec<serde_json::Value> {
        let Some((end, over)) = &self.end else { return Vec::new() };
        let root = self.span_id("workflow");
        let begun = self.asked.or_else(|| self.steps.first().map(|step| step.from)).unwrap_or(*over);
        let failure = self.steps.iter().rev().find_map(|step| step.failure.as_deref());
        let mut status = json!({ "code": if end == "done" { OK } else { ERROR } });
        if end != "done" {
            status["message"] = failure.unwrap_or(end).into();
        }
        let mut spans = vec![json!({
            "traceId": self.id.simple().to_string(),
            "spanId": root,
            "name": format!("workflow {}", self.workflow),
            "kind": INTERNAL,
            "startTimeUnixNano": nanoseconds(begun),
            "endTimeUnixNano": nanoseconds(*over),
            "attributes": [
                attribute("biomero.workflow.id", &self.id.to_string()),
                attribute("biomero.workflow.name", &self.workflow),
                attribute("biomero.workflow.end", end),
                { "key": "biomero.workflow.round", "value": { "intValue": self.number.to_string() } },
            ],
            "status": status,
        })];
        for (place, step) in self.steps.iter().enumerate() {
            let mut status = json!({ "code": OK });
            if let Some(reason) = &step.failure {
                status = json!({ "code": ERROR, "message": reason });
            }
            spans.push(json!({
                "traceId": self.id.simple().to_string(),
                "spanId": self.span_id(&format!("{}/{place}", step.name)),
                "parentSpanId": root,
                "name": step.name,
                "kind": INTERNAL,
                "startTimeUnixNano": nanoseconds(step.from),
                "endTimeUnixNano": nanoseconds(step.to),
                "attributes": [attribute("biomero.step", &step.name)],
                "status": status,
            }));
        }
        spans
    }

    /// Eight bytes that follow from the round and from what it is for.
    fn span_id(&self, what: &str) -> String {
        let id = Uuid::new_v5(&self.id, format!("trace/{}/{what}", self.number).as_bytes());
        id.simple().to_string().chars().take(16).collect()
    }
}

/// `ExportTraceServiceRequest`.
pub(super) fn exported(rounds: &[Round], worker: &str) -> serde_json::Value {
    let spans: Vec<_> = rounds.iter().flat_map(Round::spans).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            attribute("service.name", "biomero-processor"),
            attribute("service.instance.id", worker),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
        ]},
        "scopeSpans": [{
            "scope": { "name": "biomero", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }]})
}

fn attribute(key: &str, value: &str) -> serde_json::Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn text<'a>(state: &'a Value, key: &str) -> Option<&'a str> {
    state.get(key)?.as_str()
}

fn number(state: &Value, key: &str) -> i64 {
    match state.get(key) {
        Some(Value::Number(number)) => number.as_i64().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use biomero_events::worker::WorkerEvent;

    use super::*;

    fn happened(seconds: i64, topic: &str, state: &str) -> Happened {
        let event = WorkerEvent {
            topic: topic.to_owned(),
            workflow_id: Some(Uuid::from_u128(7)),
            task_id: None,
            state: Value::read(state).expect("a state"),
        };
        let recorded = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        Happened { id: seconds, recorded, event }
    }

    #[test]
    fn a_workflow_is_a_trace_and_its_steps_are_spans_below_it() {
        let mut round = Round::new(Uuid::from_u128(7));
        let events = [
            happened(1, REQUESTED, r#"{"workflow": "cellpose", "parameters": {"diameter": 30}}"#),
            happened(3, "workflow.started", r#"{"round": 0}"#),
            happened(5, "workflow.step-done", r#"{"step": "export"}"#),
            happened(9, "workflow.step-failed", r#"{"step": "run", "reason": "it ended with 7"}"#),
        ];
        assert!(events.iter().all(|event| round.take(event).is_none()));
        let over = round.take(&happened(10, "workflow.over", r#"{"end": "failed", "round": 0}"#));
        let told = exported(&[over.expect("it is over")], "worker");
        let spans = told["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans");
        let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap_or_default()).collect();
        assert_eq!(names, ["workflow cellpose", "queue", "export", "run"]);
        assert!(spans.iter().all(|span| span["traceId"] == "00000000000000000000000000000007"));
        assert!(spans[1..].iter().all(|span| span["parentSpanId"] == spans[0]["spanId"]), "{spans:#?}");
        assert_eq!(spans[0]["startTimeUnixNano"], "1000000000");
        assert_eq!(spans[0]["endTimeUnixNano"], "10000000000");
        assert_eq!(spans[0]["status"], json!({ "code": 2, "message": "it ended with 7" }));
        assert_eq!(
            (&spans[3]["startTimeUnixNano"], &spans[3]["endTimeUnixNano"]),
            (&json!("5000000000"), &json!("9000000000"))
        );
        let mut ids: Vec<_> = spans.iter().map(|span| span["spanId"].as_str().unwrap_or_default()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4, "each has an id of its own");
        assert!(!told.to_string().contains("diameter"), "parameters are the history's");
    }
}
