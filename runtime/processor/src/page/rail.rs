//! The steps of a workflow as a rail: what is done, where it is, what is to come, and how long each took.

use std::collections::HashMap;

use biomero_workflow::{End, Stage, Step, Workflow, task_id};
use maud::{Markup, html};
use uuid::Uuid;

use super::words;
use crate::api::task::TaskView;

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    Now,
    Paused,
    Failed,
    Cancelled,
    ToCome,
}

impl State {
    const fn class(self) -> &'static str {
        match self {
            Self::Done => "good",
            Self::Now => "busy",
            Self::Paused => "waiting",
            Self::Failed => "bad",
            Self::Cancelled => "off",
            Self::ToCome => "next",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "under way",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::ToCome => "to come",
        }
    }
}

/// Draws it.
pub(super) fn draw(workflow: &Workflow, tasks: &[TaskView]) -> Markup {
    let by_id: HashMap<Uuid, &TaskView> = tasks.iter().map(|task| (task.id, task)).collect();
    html! {
        ol .rail aria-label="Steps" {
            @for step in &workflow.machine.steps {
                @let state = state(workflow, *step);
                @let task = by_id.get(&task_id(workflow.id, step.name(), workflow.machine.attempt(*step)));
                li .(state.class()) aria-current=[matches!(state, State::Now | State::Paused).then_some("step")] {
                    span .dot aria-hidden="true" {}
                    span .step { (title(*step)) }
                    span .word { (state.word()) }
                    @if let Some(task) = task { (took(task, state)) }
                    @if workflow.machine.attempt(*step) > 0 {
                        span .faint { "begun " (workflow.machine.attempt(*step) + 1) " times" }
                    }
                }
            }
        }
    }
}

/// From when to when, as its task tells.
fn took(task: &TaskView, state: State) -> Markup {
    let (begun, ended) = (words::moment_of(&task.created), words::moment_of(&task.changed));
    html! {
        @if let Some(begun) = begun { span .at { (words::moment(begun)) } }
        @if let (Some(begun), Some(ended), State::Done | State::Failed | State::Cancelled) = (begun, ended, state) {
            span .took { (words::length((ended - begun).as_seconds_f64())) }
        }
    }
}

pub(super) const fn title(step: Step) -> &'static str {
    match step {
        Step::Export => "Export",
        Step::Transfer => "Transfer",
        Step::Convert => "Convert",
        Step::Run => "Run",
        Step::Fetch => "Fetch",
        Step::Deliver => "Deliver",
        Step::Clean => "Clean up",
    }
}

fn state(workflow: &Workflow, step: Step) -> State {
    let machine = &workflow.machine;
    // Where it stopped; before the first step where it never began.
    let stopped = machine.failure.as_ref().map(|failure| failure.step);
    let beside = |at: Option<Step>, there: State| match at {
        Some(at) if step < at => State::Done,
        Some(at) if step == at => there,
        _ => State::ToCome,
    };
    match machine.stage {
        Stage::Waiting => beside(stopped.filter(|_| !machine.cleared), State::ToCome),
        Stage::Doing(at) => beside(Some(at), if machine.not_before > 0 { State::Paused } else { State::Now }),
        Stage::Withdrawing(at) => beside(Some(at), State::Cancelled),
        Stage::Clearing(End::Done) | Stage::Over(End::Done) => State::Done,
        // However it ends, what it had on its way is cleared up behind it.
        Stage::Clearing(_) if step == Step::Clean => State::Now,
        Stage::Over(_) if step == Step::Clean && machine.cleared => State::Done,
        Stage::Clearing(End::Failed) | Stage::Over(End::Failed) => beside(stopped, State::Failed),
        Stage::Clearing(End::Cancelled) | Stage::Over(End::Cancelled) => beside(stopped, State::Cancelled),
        Stage::Gathering => State::ToCome,
    }
}
