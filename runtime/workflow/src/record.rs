//! A workflow and the row that is kept of it.

use biomero_events::workflow::WorkflowRecord;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;
use crate::machine::{Fact, Machine, Transition};
use crate::request::Request;

/// A workflow that the worker carries, or has carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// Which; the same id as in the history.
    pub id: Uuid,
    /// The batch that it belongs to.
    pub parent: Option<Uuid>,
    /// What was asked for.
    pub request: Request,
    /// Where it stands.
    pub machine: Machine,
    /// When it was asked for.
    pub created: OffsetDateTime,
    /// When it changed last.
    pub changed: OffsetDateTime,
    /// How often it has changed.
    pub revision: i64,
    /// The term of the worker that carries it.
    pub(crate) term: i64,
    /// What the history does not hold yet.
    pub(crate) owed: Vec<Fact>,
}

#[derive(Serialize, Deserialize)]
struct State {
    request: Request,
    machine: Machine,
    #[serde(default)]
    owed: Vec<Fact>,
}

impl Workflow {
    /// One that was never written.
    pub(crate) fn new(id: Uuid, parent: Option<Uuid>, request: Request, machine: Machine) -> Self {
        let now = now();
        let owed = vec![Fact::Initiated];
        Self { id, parent, request, machine, created: now, changed: now, revision: 1, term: 0, owed }
    }

    /// What a transition makes of it.
    pub(crate) fn after(&self, transition: Transition) -> Self {
        let Transition { machine, facts, .. } = transition;
        let mut owed = self.owed.clone();
        owed.extend(facts);
        Self { machine, owed, changed: now(), revision: self.revision + 1, ..self.clone() }
    }

    /// Whether anything is left to be done or told.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.machine.is_over() || !self.owed.is_empty()
    }

    /// The row of it.
    pub(crate) fn row(&self) -> Result<WorkflowRecord, Error> {
        let Self { request, machine, owed, .. } = self.clone();
        let (user, group, name) = (request.user, request.group, request.workflow.clone());
        let state = serde_json::to_string(&State { request, machine, owed })
            .map_err(|error| Error::Damaged { id: self.id, reason: error.to_string() })?;
        Ok(WorkflowRecord {
            id: self.id,
            parent: self.parent,
            user,
            group,
            name,
            phase: self.machine.phase().to_owned(),
            is_open: self.is_open(),
            revision: self.revision,
            term: self.term,
            created: self.created,
            changed: self.changed,
            state,
        })
    }

    /// What a row tells.
    pub(crate) fn of(row: WorkflowRecord) -> Result<Self, Error> {
        let state: State = serde_json::from_str(&row.state)
            .map_err(|error| Error::Damaged { id: row.id, reason: error.to_string() })?;
        let WorkflowRecord { id, parent, created, changed, revision, term, .. } = row;
        let State { request, machine, owed } = state;
        Ok(Self { id, parent, request, machine, created, changed, revision, term, owed })
    }
}

/// The moment, as exact as every database keeps it.
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}

/// The same in milliseconds since 1970.
pub(crate) fn milliseconds() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
