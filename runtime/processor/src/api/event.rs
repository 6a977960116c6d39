//! What happens to workflows, as server-sent events.
//!
//! Invariants: one reader of the database for all who listen; who was away goes on where it was, from the database where the
//! last few that are remembered do not reach back so far; none is left out, and a listener that is slow costs no memory.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Response};
use biomero_events::timestamp::Timestamp;
use biomero_workflow::{Happened, Steps, Workflows};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use uuid::Uuid;

use super::connection::told;
use super::extract::Asked;
use super::problem::{Kind, Problem};
use super::stream::{self, Gone, Pieces};
use super::{Shared, json};

/// How many are remembered for those who listen.
const REMEMBERED: usize = 1_024;
/// How many are read from the database at a time.
const STEP: u32 = 500;
/// How many listeners that were away read from the database at a time.
const READERS: usize = 4;
/// How long nothing is said; then a comment, so that nobody in between takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After the database was away.
const AGAIN: Duration = Duration::from_secs(2);
/// After how long a listener that was cut off comes again, in milliseconds.
const RETRY: u32 = 1_000;

/// Something that happened to a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// Its place among all: what `Last-Event-ID` names.
    id: i64,
    /// When it was recorded.
    #[schema(format = DateTime)]
    recorded: String,
    /// What kind: workflow.requested, .started, .taken-up, .step-done, .step-failed, .paused, .resubmitted, .cancel-asked,
    /// .withdrawn, .gathered, .over, .retry-asked; others are to be passed over.
    topic: String,
    /// The workflow it belongs to.
    workflow_id: Option<Uuid>,
    /// The task it belongs to.
    task_id: Option<Uuid>,
    /// The rest, which depends on the topic.
    #[schema(value_type = Value)]
    state: serde_json::Value,
}

impl From<&Happened> for EventView {
    fn from(happened: &Happened) -> Self {
        Self {
            id: happened.id,
            recorded: Timestamp::from_time(happened.recorded).to_string(),
            topic: happened.event.topic.clone(),
            workflow_id: happened.event.workflow_id,
            task_id: happened.event.task_id,
            state: json(&happened.event.state),
        }
    }
}

/// An event as it is sent.
#[derive(Debug)]
struct Line {
    id: i64,
    workflow: Option<Uuid>,
    text: String,
}

impl From<&Happened> for Line {
    fn from(happened: &Happened) -> Self {
        let view = EventView::from(happened);
        // A topic is a word of ours; whatever it were, it could not begin a field of its own.
        let topic: String = view.topic.chars().filter(|letter| !letter.is_control()).collect();
        let data = serde_json::to_string(&view).unwrap_or_default();
        let text = format!("id: {}\nevent: {topic}\ndata: {data}\n\n", view.id);
        Self { id: view.id, workflow: view.workflow_id, text }
    }
}

/// An event as it is sent, in the document.
pub(crate) enum Sent {}

impl PartialSchema for Sent {
    fn schema() -> RefOr<Schema> {
        let text = |meaning: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(meaning));
        let sent = ObjectBuilder::new().schema_type(Type::Object);
        let sent = sent.property("id", text("Its place among all: what `Last-Event-ID` names."));
        let sent = sent.property("event", text("Its topic."));
        sent.property("data", text("An `Event` as JSON.")).into()
    }
}

impl ToSchema for Sent {
    fn name() -> Cow<'static, str> {
        "SentEvent".into()
    }
}

/// The last few, and word of each new one.
#[derive(Debug)]
pub(crate) struct Recent {
    last: watch::Sender<i64>,
    kept: Mutex<Kept>,
    readers: Semaphore,
}

#[derive(Debug, Default)]
struct Kept {
    /// Whoever has seen this one, or a later one, finds all that came since in `lines`.
    behind: i64,
    lines: VecDeque<Arc<Line>>,
}

impl Recent {
    /// None yet.
    pub(crate) fn new() -> Self {
        let kept = Kept { behind: i64::MAX, lines: VecDeque::new() };
        Self { last: watch::Sender::new(-1), kept: Mutex::new(kept), readers: Semaphore::new(READERS) }
    }

    /// The last that is known; what a page shows that begins to be made now is not older. None before the first look.
    pub(crate) fn position(&self) -> Option<i64> {
        Some(*self.last.borrow()).filter(|last| *last >= 0)
    }

    /// Reads what happens, for all; never ends.
    pub(crate) async fn read<S: Steps>(&self, workflows: &Workflows<S>, heard: impl Fn(&[Happened])) {
        let mut position = loop {
            match workflows.log().last_worker_event().await {
                Ok(last) => break last,
                Err(error) => tracing::debug!("events are not read yet: {error}"),
            }
            sleep(AGAIN).await;
        };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).behind = position;
        self.last.send_replace(position);
        loop {
            let mut follower = workflows.follow(position);
            loop {
                match follower.next().await {
                    Ok(events) => {
                        heard(&events);
                        self.take(&events);
                    }
                    Err(error) => {
                        tracing::debug!("events are read again: {error}");
                        break;
                    }
                }
                position = follower.position();
            }
            sleep(AGAIN).await;
        }
    }

    fn take(&self, events: &[Happened]) {
        let Some(last) = events.last() else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.extend(events.iter().map(|event| Arc::new(Line::from(event))));
        while kept.lines.len() > REMEMBERED {
            if let Some(forgotten) = kept.lines.pop_front() {
                kept.behind = forgotten.id;
            }
        }
        drop(kept);
        self.last.send_replace(last.id);
    }

    /// What came after a place; none where it is too long ago to be remembered.
    fn after(&self, place: i64) -> Option<Vec<Arc<Line>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if place < kept.behind {
            return None;
        }
        let first = kept.lines.partition_point(|line| line.id <= place);
        Some(kept.lines.iter().skip(first).take(STEP as usize).cloned().collect())
    }
}

/// Which events.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only those of this workflow.
    #[serde(default)]
    workflow: Option<Uuid>,
    /// Those behind this one, 0 for all that ever happened; the header `Last-Event-ID` counts before it. Without either, what
    /// happens from now on.
    #[serde(default)]
    #[param(minimum = 0)]
    after: Option<i64>,
    /// `false` to end when all that has happened was told.
    #[serde(default)]
    follow: Option<bool>,
}

/// Follow what happens to workflows.
///
/// As `text/event-stream`: each event has its place as `id`, its topic as `event`, and an `Event` as `data`. Sent again with
/// `Last-Event-ID`, none is left out.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "followEvents",
    params(Which, ("Last-Event-ID" = Option<i64>, Header, nullable = false, minimum = 0, description = "The last event that was seen.")),
    responses(
        (status = 200, description = "Events as they come.", content_type = "text/event-stream", body = Sent),
    ),
)]
pub(crate) async fn follow<S: Steps>(
    State(api): State<Shared<S>>,
    Asked(which): Asked<Which>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let after = match last_seen(&headers)?.or(which.after) {
        Some(place) if place < 0 => return Err(Problem::part("after", "write 0, or the id of an event")),
        Some(place) => place,
        None => api.workflows.log().last_worker_event().await?,
    };
    let place = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        let remedy = "close one that is open, or ask again later";
        Problem::new(Kind::TooMany, "too many follow events already", remedy).after(10)
    })?;
    let until = match which.follow {
        Some(false) => Some(api.workflows.log().last_worker_event().await?),
        _ => None,
    };
    let body = stream::body(move |pieces| async move {
        let _place = place;
        let listener = Listener { api: &api, pieces: &pieces, workflow: which.workflow, after, until };
        // The peer has gone, or this worker ends: there is nobody to tell.
        let _ = listener.listen().await;
    });
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn last_seen(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let place = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|place: &i64| *place >= 0);
    place.map(Some).ok_or_else(|| {
        Problem::new(
            Kind::Malformed,
            "Last-Event-ID is no place in the stream",
            "send the id of an event, or 0",
        )
    })
}

struct Listener<'a, S> {
    api: &'a Shared<S>,
    pieces: &'a Pieces,
    workflow: Option<Uuid>,
    after: i64,
    until: Option<i64>,
}

impl<S: Steps> Listener<'_, S> {
    async fn listen(mut self) -> Result<(), Gone> {
        let mut last = self.api.recent.last.subscribe();
        self.pieces.push(format!("retry: {RETRY}\n\n")).await?;
        loop {
            last.mark_unchanged();
            while let Some(text) = self.next().await? {
                if !text.is_empty() {
                    self.pieces.push(text).await?;
                }
            }
            if self.until.is_some_and(|until| self.after >= until) {
                return Ok(());
            }
            let heartbeat = sleep_until(Instant::now() + HEARTBEAT);
            tokio::select! {
                changed = last.changed() => if changed.is_err() { return Ok(()) },
                () = heartbeat => self.pieces.push(":\n\n").await?,
                () = self.pieces.gone() => return Err(Gone),
                () = told(self.api.stop.clone()) => return Ok(()),
            }
        }
    }

    /// What is next, which may be nothing for this listener; none where all was told.
    async fn next(&mut self) -> Result<Option<String>, Gone> {
        if self.until.is_some_and(|until| self.after >= until) {
            return Ok(None);
        }
        let lines = match self.api.recent.after(self.after) {
            Some(lines) => lines,
            None => self.read().await,
        };
        let Some(end) = lines.last().map(|line| line.id) else {
            // Nothing came behind it: what `until` names was told, or is not there any more.
            return Ok(None);
        };
        self.after = end;
        let wanted = lines.iter().filter(|line| {
            self.workflow.is_none_or(|workflow| line.workflow == Some(workflow))
                && self.until.is_none_or(|until| line.id <= until)
        });
        Ok(Some(wanted.map(|line| line.text.as_str()).collect()))
    }

    /// From the database; waits where that is away.
    async fn read(&self) -> Vec<Arc<Line>> {
        let _turn = self.api.recent.readers.acquire().await;
        loop {
            match self.api.workflows.log().worker_events(self.after.saturating_add(1), STEP).await {
                Ok(events) => return events.iter().map(|event| Arc::new(Line::from(event))).collect(),
                Err(error) => tracing::debug!("events are read again: {error}"),
            }
            sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use biomero_events::json::Value;
    use biomero_events::worker::WorkerEvent;

    fn happened(id: i64, topic: &str) -> Happened {
        let state = Value::from("a\nb: c");
        let event = WorkerEvent { topic: topic.to_owned(), workflow_id: None, task_id: None, state };
        Happened { id, recorded: OffsetDateTime::UNIX_EPOCH, event }
    }

    #[test]
    fn an_event_is_four_lines_whatever_it_holds() {
        let line = Line::from(&happened(7, "workflow.over\ndata: false"));
        let lines: Vec<&str> = line.text.split('\n').collect();
        assert_eq!(lines[..2], ["id: 7", "event: workflow.overdata: false"]);
        assert!(lines[2].starts_with("data: {\"id\":7,\"recorded\":\"1970-01-01T00:00:00"), "{}", lines[2]);
        assert_eq!(lines[3..], ["", ""]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_known_to_be() {
        let recent = Recent::new();
        assert!(recent.after(5).is_none(), "before anything was read, nothing is known");
        recent.kept.lock().expect("no panic").behind = 10;
        recent.take(&[happened(12, "a"), happened(15, "a")]);
        let ids =
            |after| -> Option<Vec<i64>> { Some(recent.after(after)?.iter().map(|line| line.id).collect()) };
        assert_eq!(ids(9), None, "11 may have been there");
        assert_eq!(ids(10), Some(vec![12, 15]));
        assert_eq!(ids(12), Some(vec![15]));
        assert_eq!(ids(13), Some(vec![15]), "ids have gaps");
        assert_eq!(ids(99), Some(Vec::new()));
        let many: Vec<Happened> = (16..16 + REMEMBERED as i64).map(|id| happened(id, "a")).collect();
        recent.take(&many);
        assert_eq!(ids(14), None);
        assert_eq!(ids(15).map(|ids| ids.len()), Some(STEP as usize));
        assert_eq!(recent.kept.lock().expect("no panic").lines.len(), REMEMBERED);
    }
}
