//! Facts as the events that Python's scripts would have recorded, with the names of tasks that its views and dashboards know.
//!
//! Invariant: the id of every command follows from the workflow and from what it is for: told twice, it is recorded once.

use biomero_events::command::Command;
use biomero_events::json::Value;
use biomero_events::{Error, EventLog};
use uuid::Uuid;

use crate::machine::{Fact, Step};
use crate::record::Workflow;

/// The task of a step that was begun for the how many-th time.
#[must_use]
pub fn task_id(workflow: Uuid, step: &str, attempt: u32) -> Uuid {
    match attempt {
        0 => command_id(workflow, &format!("task/{step}")),
        _ => command_id(workflow, &format!("task/{step}/{attempt}")),
    }
}

/// The id of a command: of a workflow, and of what it is for.
#[must_use]
pub fn command_id(workflow: Uuid, what: &str) -> Uuid {
    Uuid::new_v5(&workflow, what.as_bytes())
}

/// Records facts of a workflow.
pub(crate) async fn tell(log: &EventLog, workflow: &Workflow, facts: &[Fact]) -> Result<(), Error> {
    for fact in facts {
        for command in commands(workflow, fact) {
            match log.append(&command).await {
                Ok(_) => {}
                // Whoever does a step adds its task; one that failed before has none to end.
                Err(Error::Unknown { .. }) if matches!(fact, Fact::TaskDone(..) | Fact::TaskFailed(..)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn commands(workflow: &Workflow, fact: &Fact) -> Vec<Command> {
    let id = workflow.id;
    let named = |command: Command, what: &str| command.with_id(command_id(id, what));
    let in_round = |what: &str, round: u32| match round {
        0 => what.to_owned(),
        _ => format!("{what}/{round}"),
    };
    match fact {
        Fact::Initiated => {
            let request = &workflow.request;
            let command = Command::initiate_workflow(
                id,
                &request.workflow,
                &description(workflow),
                request.user,
                request.group,
            );
            vec![named(command, "initiate")]
        }
        Fact::Started(round) => vec![named(Command::start_workflow(id), &in_round("start", *round))],
        Fact::Completed(round) => vec![named(Command::complete_workflow(id), &in_round("complete", *round))],
        Fact::Failed(round, why) => vec![named(Command::fail_workflow(id, why), &in_round("fail", *round))],
        Fact::TaskBegun(step, attempt) => begun(workflow, *step, *attempt),
        Fact::TaskDone(step, attempt, note) => {
            let command = Command::complete_task(task_id(id, step.name(), *attempt), note);
            vec![named(command, &of_task(*step, *attempt, "complete"))]
        }
        Fact::TaskFailed(step, attempt, why) => {
            let command = Command::fail_task(task_id(id, step.name(), *attempt), why);
            vec![named(command, &of_task(*step, *attempt, "fail"))]
        }
        Fact::Gathered(round, children) => {
            let task = task_id(id, "batch", 0);
            let request = &workflow.request;
            let add = Command::add_task(
                id,
                task,
                &request.workflow,
                &workflow.machine.version,
                Value::Null,
                Value::Object(Vec::new()),
            );
            let (ended, of) = (children.ended(), children.of);
            let percent = format!("{}%", u64::from(ended) * 100 / u64::from(of.max(1)));
            let at = |what: &str| format!("batch/{what}/{round}/{ended}/{of}");
            let status = if ended < of { "RUNNING" } else { "COMPLETED" };
            vec![
                named(add, "batch/add"),
                named(Command::update_task_status(task, status), &at("status")),
                named(Command::update_task_progress(task, Some(&percent)), &at("progress")),
            ]
        }
    }
}

fn of_task(step: Step, attempt: u32, what: &str) -> String {
    match attempt {
        0 => format!("{}/{what}", step.name()),
        _ => format!("{}/{attempt}/{what}", step.name()),
    }
}

/// The steps that the cluster does are recorded by whoever does them, who knows more; the others here.
fn begun(workflow: &Workflow, step: Step, attempt: u32) -> Vec<Command> {
    // By these names Python's views know how far a workflow is.
    let (name, status) = match step {
        Step::Export => ("_SLURM_Image_Transfer.py", "EXPORTING"),
        Step::Deliver => ("SLURM_Import_Results.py", "POSTPROCESSING"),
        Step::Transfer | Step::Convert | Step::Run | Step::Fetch | Step::Clean => return Vec::new(),
    };
    let (id, task) = (workflow.id, task_id(workflow.id, step.name(), attempt));
    let inputs = workflow.request.inputs.iter().map(|input| Value::from(input.to_string())).collect();
    let version = env!("CARGO_PKG_VERSION");
    let add = Command::add_task(id, task, name, version, Value::Array(inputs), Value::Object(Vec::new()));
    vec![
        add.with_id(command_id(id, &of_task(step, attempt, "add"))),
        Command::start_task(task).with_id(command_id(id, &of_task(step, attempt, "start"))),
        Command::update_task_status(task, status).with_id(command_id(id, &of_task(step, attempt, "status"))),
    ]
}

/// How many inputs are named; of the others their number is told.
const NAMED: usize = 5;

fn description(workflow: &Workflow) -> String {
    if let Some(children) = &workflow.machine.children {
        return format!("a batch of {} workflows", children.of);
    }
    let inputs = &workflow.request.inputs;
    let named: Vec<String> = inputs.iter().take(NAMED).map(ToString::to_string).collect();
    match inputs.len().saturating_sub(NAMED) {
        0 => format!("on {}", named.join(", ")),
        more => format!("on {} and {more} more", named.join(", ")),
    }
}
