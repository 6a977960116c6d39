//! A workflow as it is shown.

use std::collections::BTreeMap;

use biomero_events::query::WorkflowRow;
use biomero_events::timestamp::Timestamp;
use biomero_workflow::machine::Children;
use biomero_workflow::{Failure, Remedy, Workflow};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::{PolicyOf, ResultsTo};

/// A workflow: what was asked for, and where it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workflow)]
pub(crate) struct WorkflowView {
    /// Which; the same id as in the history.
    id: Uuid,
    /// The batch that it belongs to.
    parent: Option<Uuid>,
    /// What is run.
    workflow: String,
    /// Its version.
    version: String,
    /// Where it stands: INITIALIZING, TRANSFERRING, CONVERTING, RUNNING, RETRIEVING, BATCH, CANCELLING, CLEANING, DONE, FAILED,
    /// CANCELLED.
    phase: &'static str,
    /// Whether it has ended.
    over: bool,
    /// How its job stands, as the views of the history have it: JOB_PENDING, JOB_RUNNING. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// How far its job is, as it says itself. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<String>,
    /// Why it failed, or why it is paused.
    failure: Option<FailureView>,
    /// Until when it is paused.
    #[schema(format = DateTime)]
    paused_until: Option<String>,
    /// Who has cancelled it.
    cancelled_by: Option<String>,
    /// How often it was asked for once more.
    round: u32,
    /// Of a batch: how its workflows stand.
    children: Option<ChildrenView>,
    /// What it works on.
    inputs: Vec<String>,
    /// Its parameters.
    parameters: BTreeMap<String, String>,
    /// OMERO's id of the user, -1 where there is none.
    user: i64,
    /// OMERO's id of the group, -1 where there is none.
    group: i64,
    /// Where results go.
    results: ResultsTo,
    /// How it is done.
    policy: PolicyOf,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created: String,
    /// When it changed last.
    #[schema(format = DateTime)]
    changed: String,
}

/// Why a workflow failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct FailureView {
    /// In which step: export, transfer, convert, workflow, fetch, deliver, clean.
    step: &'static str,
    /// Why.
    reason: String,
    /// The job, as Slurm names it.
    job: Option<String>,
    /// Where it ran.
    nodes: Option<String>,
    /// Its exit code.
    exit_code: Option<u8>,
    /// The signal that ended it.
    signal: Option<u8>,
    /// The last lines of its log, as they are.
    log: Vec<String>,
    /// What is done about it.
    remedy: &'static str,
}

/// How the workflows of a batch stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Children)]
pub(crate) struct ChildrenView {
    /// How many there are.
    of: u32,
    /// How many have succeeded.
    done: u32,
    /// How many have failed.
    failed: u32,
    /// How many were cancelled.
    cancelled: u32,
}

impl From<Workflow> for WorkflowView {
    fn from(workflow: Workflow) -> Self {
        let Workflow { id, parent, request, machine, created, changed, .. } = workflow;
        let phase = machine.phase();
        let is_paused = !machine.is_over() && machine.not_before > 0;
        let paused = OffsetDateTime::from_unix_timestamp_nanos(i128::from(machine.not_before) * 1_000_000);
        Self {
            id,
            parent,
            workflow: request.workflow,
            version: machine.version.clone(),
            phase,
            over: machine.is_over(),
            status: None,
            progress: None,
            failure: machine.failure.clone().map(FailureView::from),
            paused_until: paused.ok().filter(|_| is_paused).map(moment),
            cancelled_by: machine.cancelled_by.clone(),
            round: machine.round,
            children: machine.children.map(ChildrenView::from),
            inputs: request.inputs.iter().map(ToString::to_string).collect(),
            parameters: request.parameters.into_iter().collect(),
            user: request.user,
            group: request.group,
            results: request.results.into(),
            policy: request.policy.into(),
            created: moment(created),
            changed: moment(changed),
        }
    }
}

impl WorkflowView {
    /// With what the views of the history say of its job.
    pub(super) fn with_row(mut self, row: Option<WorkflowRow>) -> Self {
        if let Some(row) = row {
            self.status = row.status;
            self.progress = row.progress;
        }
        self
    }
}

impl From<Failure> for FailureView {
    fn from(failure: Failure) -> Self {
        let Failure { step, reason, job, nodes, exit_code, signal, log, remedy } = failure;
        let remedy = match remedy {
            Remedy::Wait => "it is tried again later",
            Remedy::Resubmit => "another job is submitted",
            Remedy::Exclude(_) => "another job is submitted, for other nodes",
            Remedy::None => "somebody has to change something, and ask for a retry",
        };
        Self { step: step.name(), reason, job, nodes, exit_code, signal, log, remedy }
    }
}

impl From<Children> for ChildrenView {
    fn from(children: Children) -> Self {
        let Children { of, done, failed, cancelled } = children;
        Self { of, done, failed, cancelled }
    }
}

fn moment(moment: OffsetDateTime) -> String {
    Timestamp::from_time(moment).to_string()
}
