//! A workflow run or a task as what happened to it, in order: a pure function of the rows of the log.
//!
//! Unlike Python's `repository.get`, which refuses an aggregate with a row that is no event, it reads on behind the row and
//! says what is wrong with it.

use biomero_events::aggregate::Replayed;
use biomero_events::event::{Event, Fact, uuid_of};
use biomero_events::json::Value;
use biomero_events::stored::{Corrupt, Notification, Reason};
use biomero_events::timestamp::Timestamp;
use uuid::Uuid;

use super::row::Row;

/// One aggregate and all that happened to it.
pub(super) struct History {
    pub(super) id: Uuid,
    /// What its events make; none where the first is no creation.
    pub(super) replayed: Option<Replayed>,
    pub(super) rows: Vec<Row>,
    pub(super) started: Option<Timestamp>,
    pub(super) end: Option<End>,
    pub(super) jobs: Vec<Job>,
}

/// How a workflow run or a task ended.
pub(super) struct End {
    pub(super) at: Timestamp,
    pub(super) failed: bool,
    pub(super) message: Option<Value>,
}

/// A Slurm job of a task.
pub(super) struct Job {
    pub(super) id: Value,
    pub(super) submitted: Timestamp,
    pub(super) status: Option<String>,
    pub(super) progress: Option<String>,
    pub(super) ended: Option<Timestamp>,
}

impl History {
    /// From the rows of one aggregate, by version.
    pub(super) fn new(id: Uuid, rows: Vec<Notification>) -> Self {
        let mut history =
            Self { id, replayed: None, rows: Vec::new(), started: None, end: None, jobs: Vec::new() };
        // Python takes a first version of 1 as well.
        let mut expected = rows.first().map_or(0, |first| first.originator_version.clamp(0, 1));
        for notification in rows {
            let mut row = Row::from(notification);
            row.misplaced = history.take(&row, expected);
            expected = row.notification.originator_version.saturating_add(1);
            history.rows.push(row);
        }
        history
    }

    /// Goes on with the next row; what is wrong with its place, if something is.
    fn take(&mut self, row: &Row, expected: i64) -> Option<Corrupt> {
        let notification = &row.notification;
        let event = row.event.as_ref().ok()?;
        let mut reason = (notification.originator_version != expected).then_some(Reason::Gap { expected });
        match &mut self.replayed {
            Some(_) if event.fact.creates() => reason = Some(Reason::CreatedAgain),
            Some(replayed) => replayed.apply(event),
            None => {
                self.replayed =
                    Replayed::created(notification.originator_id, notification.originator_version, event);
                if self.replayed.is_none() && self.rows.is_empty() {
                    reason = reason.or(Some(Reason::NoCreation { topic: notification.topic.clone() }));
                }
            }
        }
        self.happened(event);
        reason.map(|reason| notification.corrupt(reason))
    }

    fn happened(&mut self, event: &Event) {
        let at = event.timestamp;
        match &event.fact {
            Fact::WorkflowStarted {} | Fact::TaskStarted {} => self.started = Some(at),
            Fact::WorkflowCompleted {} => self.end = Some(End { at, failed: false, message: None }),
            Fact::TaskCompleted { result } => {
                self.end = Some(End { at, failed: false, message: Some(result.clone()) });
            }
            Fact::WorkflowFailed { error_message } | Fact::TaskFailed { error_message } => {
                self.end = Some(End { at, failed: true, message: Some(error_message.clone()) });
            }
            Fact::JobIdAdded { job_id } => self.jobs.push(Job {
                id: job_id.clone(),
                submitted: at,
                status: None,
                progress: None,
                ended: None,
            }),
            Fact::StatusUpdated { status } => {
                if let Some(job) = self.jobs.last_mut() {
                    job.status = status.as_str().map(str::to_owned);
                    let is_over = job.status.as_deref().is_some_and(is_over);
                    job.ended = is_over.then(|| job.ended.unwrap_or(at));
                }
            }
            Fact::ProgressUpdated { progress } => {
                if let Some(job) = self.jobs.last_mut() {
                    job.progress = progress.as_str().map(str::to_owned);
                }
            }
            _ => {}
        }
    }

    /// When its first readable event was recorded.
    pub(super) fn begun(&self) -> Option<Timestamp> {
        self.rows.iter().find_map(Row::time)
    }

    /// How it stands, in a word.
    pub(super) fn state(&self) -> String {
        if let Some(end) = &self.end {
            return if end.failed { "failed" } else { "completed" }.to_owned();
        }
        let status = match &self.replayed {
            Some(Replayed::Task(task)) => task.status.as_ref().and_then(Value::as_str),
            _ => None,
        };
        match (status, self.started) {
            (Some(status), _) => status.to_owned(),
            (None, Some(_)) => "started".to_owned(),
            (None, None) => "created".to_owned(),
        }
    }

    /// The tasks that were added to it, each once.
    pub(super) fn tasks(&self) -> Vec<Uuid> {
        let mut tasks = Vec::new();
        for row in &self.rows {
            if let Ok(Event { fact: Fact::TaskAdded { task_id }, .. }) = &row.event
                && let Some(id) = uuid_of(task_id)
                && !tasks.contains(&id)
            {
                tasks.push(id);
            }
        }
        tasks
    }

    /// The rows that are no events, or not where they should be.
    pub(super) fn corrupt(&self) -> impl Iterator<Item = &Corrupt> {
        self.rows.iter().filter_map(Row::corrupt)
    }
}

/// Whether nothing more is to come from a Slurm job in this state.
fn is_over(state: &str) -> bool {
    super::row::of_state(state) != crate::table::Tone::Busy
}

/// How long something took, for people: the two largest units.
pub(super) fn took(seconds: f64) -> String {
    let whole = seconds.round() as i64;
    if seconds < 9.95 {
        return format!("{:.1}s", seconds.max(0.0));
    }
    match whole {
        ..=59 => format!("{whole}s"),
        60..=3_599 => format!("{}m {:02}s", whole / 60, whole % 60),
        3_600..=86_399 => format!("{}h {:02}m", whole / 3_600, whole % 3_600 / 60),
        86_400.. => format!("{}d {:02}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// The time between two moments, in seconds.
pub(super) fn between(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_time() - from.as_time()).as_seconds_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: i64, fact: Fact, time: &str) -> Notification {
        let event = Event {
            timestamp: format!("2026-11-22T{time}Z").parse().expect("a moment"),
            fact,
            extra: Vec::new(),
        };
        Notification {
            id: version + 1,
            originator_id: Uuid::from_u128(1),
            originator_version: version,
            topic: event.fact.topic().to_owned(),
            state: event.encode(),
        }
    }

    fn created() -> Fact {
        let null = Value::Null;
        Fact::TaskCreated {
            workflow_id: null.clone(),
            task_name: "cellpose".into(),
            task_version: "v1".into(),
            input_data: null.clone(),
            params: null,
        }
    }

    fn history(rows: Vec<Notification>) -> History {
        History::new(Uuid::from_u128(1), rows)
    }

    #[test]
    fn a_job_lasts_from_its_submission_to_its_first_final_state() {
        let status = |status: &str| Fact::StatusUpdated { status: status.into() };
        let history = history(vec![
            row(0, created(), "10:00:00"),
            row(1, Fact::JobIdAdded { job_id: 41.into() }, "10:00:01"),
            row(2, status("NODE_FAIL"), "10:00:11"),
            row(3, Fact::JobIdAdded { job_id: 42.into() }, "10:01:00"),
            row(4, status("RUNNING"), "10:01:01"),
            row(5, status("COMPLETED"), "10:02:00"),
            row(6, status("COMPLETED"), "10:03:00"),
        ]);
        let lasted: Vec<_> = history
            .jobs
            .iter()
            .map(|job| (job.status.clone(), job.ended.map(|ended| between(job.submitted, ended))))
            .collect();
        assert_eq!(
            lasted,
            [(Some("NODE_FAIL".to_owned()), Some(10.0)), (Some("COMPLETED".to_owned()), Some(60.0))]
        );
        assert_eq!(history.state(), "COMPLETED");
    }

    #[test]
    fn a_row_that_is_no_event_does_not_hide_those_behind_it() {
        let mut broken = row(1, Fact::TaskStarted {}, "10:00:01");
        broken.state = b"{".to_vec();
        let history = history(vec![
            row(0, created(), "10:00:00"),
            broken,
            row(3, Fact::TaskFailed { error_message: "out of memory".into() }, "10:00:03"),
        ]);
        let reasons: Vec<String> = history.corrupt().map(|corrupt| corrupt.reason.to_string()).collect();
        assert_eq!(history.state(), "failed");
        assert!(
            matches!(reasons.as_slice(), [json, gap] if json.contains("JSON") && gap.contains("version 2")),
            "{reasons:?}"
        );
    }

    #[test]
    fn what_does_not_begin_with_a_creation_says_so_once() {
        let history = history(vec![
            row(0, Fact::TaskStarted {}, "10:00:00"),
            row(1, Fact::JobIdAdded { job_id: 1.into() }, "10:00:01"),
        ]);
        assert_eq!(history.corrupt().count(), 1);
        assert!(history.replayed.is_none());
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        for (seconds, text) in [
            (-1.0, "0.0s"),
            (0.25, "0.2s"),
            (9.96, "10s"),
            (59.4, "59s"),
            (59.6, "1m 00s"),
            (3_599.0, "59m 59s"),
            (7_260.0, "2h 01m"),
            (180_000.0, "2d 02h"),
        ] {
            assert_eq!(took(seconds), text, "{seconds}");
        }
    }
}
