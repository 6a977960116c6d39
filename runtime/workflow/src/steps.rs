//! What the orchestrator asks for: the steps of a workflow. Whoever implements it knows images, clusters and OMERO.

use std::future::Future;

use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use crate::error::Error;
use crate::failure::Failure;
use crate::machine::{Machine, Step};
use crate::request::{Problem, Request};

/// What a request becomes once it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The version that will run.
    pub version: String,
    /// The steps that it needs, in their order.
    pub steps: Vec<Step>,
}

/// Why a request is not taken.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It makes no sense here.
    #[error("{}", listed(.0))]
    Senseless(Vec<Problem>),
    /// It cannot be told: a descriptor that cannot be fetched, a configuration that cannot be read. It may be asked again.
    #[error("the request cannot be looked at: {0}")]
    Untold(String),
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A workflow, for whoever does one of its steps.
#[derive(Debug, Clone)]
pub struct Work {
    /// Which.
    pub id: Uuid,
    /// What was asked for.
    pub request: Request,
    /// Where it stands: attempts, excluded nodes, what was remembered.
    pub machine: Machine,
}

/// Where a step keeps what it has to know after a crash: written to the database before the call returns.
pub trait Memory: Send + Sync {
    /// Keeps it, in place of what was kept before.
    fn keep(&self, value: Value) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The steps.
///
/// Each may be asked for again after it was begun or done, in another process and on another machine: it goes on or finds that
/// it was done. A future that is dropped stops what it does here; jobs of the cluster go on.
pub trait Steps: Send + Sync + 'static {
    /// Whether a request makes sense, and what it needs. Nothing is done yet, and nothing kept.
    fn admit(&self, request: &Request) -> impl Future<Output = Result<Admitted, Refusal>> + Send;

    /// Does a step; the result in a few words.
    fn perform<M: Memory>(
        &self,
        work: &Work,
        step: Step,
        memory: &M,
    ) -> impl Future<Output = Result<String, Failure>> + Send;

    /// Ends what runs of a step, or may still come to run.
    fn withdraw(&self, work: &Work, step: Step) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Removes what a workflow that does not succeed has left on its way, on the cluster and here, where it is to be removed
    /// ([`Machine::clears`]); else says there that it is not used any more.
    fn clear(&self, work: &Work) -> impl Future<Output = Result<(), Failure>> + Send;
}
