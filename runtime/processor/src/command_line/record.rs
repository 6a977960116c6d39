//! `processor events record`: the commands of Python's `WorkflowTracker`, by its names.

use biomero_events::command::Command;
use biomero_events::event::Aggregate;
use biomero_events::json::Value;
use clap::{Parser, Subcommand};
use uuid::Uuid;

/// What is recorded: one command, or as many as a program has.
#[derive(Debug, Subcommand)]
pub(crate) enum Recorded {
    #[command(flatten)]
    One(Tracked),
    /// The commands of standard input, one a line, until it ends
    ///
    /// For a program that records much: one process and one connection for all of it. A line is a JSON array of the words that would stand behind `processor events record`, --command-id among them. For each there is a line of JSON in answer, before the next one is read: what was recorded, as with --json, or why nothing was; the keys are in docs/events.md. A line that makes no sense is answered too, and does not end it.
    #[command(after_help = "\
Example:
  printf '%s\\n' '[\"start-workflow\",\"UUID\"]' '[\"fail-workflow\",\"UUID\",\"why\"]' | processor events record lines")]
    Lines,
}

/// A line of [`Recorded::Lines`], in words.
#[derive(Debug, Parser)]
#[command(
    name = "record",
    no_binary_name = true,
    arg_required_else_help = false,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(crate) struct Line {
    /// As of the verb
    #[arg(long, value_name = "UUID", global = true)]
    pub(crate) command_id: Option<Uuid>,
    #[command(subcommand)]
    pub(crate) tracked: Tracked,
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Tracked {
    /// A workflow run begins; prints its id
    InitiateWorkflow {
        /// The workflow's name
        name: String,
        /// For people
        description: String,
        /// OMERO's id of the user
        user: i64,
        /// OMERO's id of the group
        group: i64,
        /// The run's id [default: a new one]
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// A workflow run has a task; prints its id
    AddTaskToWorkflow {
        /// The run's id
        workflow: Uuid,
        /// The name of the script or workflow that it runs
        name: String,
        /// Its version
        version: String,
        /// What it works on, as JSON
        #[arg(long, value_name = "JSON", default_value = "null", value_parser = json)]
        input_data: Value,
        /// Its parameters, as JSON
        #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json)]
        params: Value,
        /// The task's id [default: a new one]
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// A workflow run has started
    StartWorkflow {
        /// Its id
        workflow: Uuid,
    },
    /// A workflow run has ended well
    CompleteWorkflow {
        /// Its id
        workflow: Uuid,
    },
    /// A workflow run has failed, as one whose launcher is gone
    FailWorkflow {
        /// Its id
        workflow: Uuid,
        /// Why
        error_message: String,
    },
    /// A task has started
    StartTask {
        /// Its id
        task: Uuid,
    },
    /// A task was submitted to Slurm
    AddJobId {
        /// The task's id
        task: Uuid,
        /// Slurm's id; -1 when the submission failed
        #[arg(allow_negative_numbers = true)]
        job_id: i64,
    },
    /// A task's state has changed
    UpdateTaskStatus {
        /// Its id
        task: Uuid,
        /// The state, as Slurm has it
        status: String,
    },
    /// A task has come further
    UpdateTaskProgress {
        /// Its id
        task: Uuid,
        /// As a percentage, 43%; left out, nothing is known
        progress: Option<String>,
    },
    /// A command of a task has answered
    AddResult {
        /// The task's id
        task: Uuid,
        /// The command
        command: String,
        /// What it wrote to standard output
        #[arg(long, value_name = "TEXT", default_value = "")]
        stdout: String,
        /// What it wrote to standard error
        #[arg(long, value_name = "TEXT", default_value = "")]
        stderr: String,
        /// A variable that it was given; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
        env: Vec<(String, String)>,
    },
    /// A task has ended well
    CompleteTask {
        /// Its id
        task: Uuid,
        /// Its message
        message: String,
    },
    /// A task has failed
    FailTask {
        /// Its id
        task: Uuid,
        /// Why
        error_message: String,
    },
}

/// A command, what it is about, and the id of what it makes.
pub(crate) struct Asked {
    pub(crate) command: Command,
    /// What has to be there, and what it has to be.
    pub(crate) about: Option<(Uuid, Aggregate)>,
    pub(crate) made: Option<Uuid>,
}

impl Tracked {
    /// As the library takes it.
    pub(crate) fn asked(&self) -> Asked {
        let run =
            |id: &Uuid, command| Asked { command, about: Some((*id, Aggregate::WorkflowRun)), made: None };
        let task = |id: &Uuid, command| Asked { command, about: Some((*id, Aggregate::Task)), made: None };
        match self {
            Self::InitiateWorkflow { name, description, user, group, id } => {
                let id = id.unwrap_or_else(Uuid::new_v4);
                let command = Command::initiate_workflow(id, name, description, *user, *group);
                Asked { command, about: None, made: Some(id) }
            }
            Self::AddTaskToWorkflow { workflow, name, version, input_data, params, id } => {
                let id = id.unwrap_or_else(Uuid::new_v4);
                let (input_data, params) = (input_data.clone(), params.clone());
                let command = Command::add_task(*workflow, id, name, version, input_data, params);
                Asked { made: Some(id), ..run(workflow, command) }
            }
            Self::StartWorkflow { workflow } => run(workflow, Command::start_workflow(*workflow)),
            Self::CompleteWorkflow { workflow } => run(workflow, Command::complete_workflow(*workflow)),
            Self::FailWorkflow { workflow, error_message } => {
                run(workflow, Command::fail_workflow(*workflow, error_message))
            }
            Self::StartTask { task: id } => task(id, Command::start_task(*id)),
            Self::AddJobId { task: id, job_id } => task(id, Command::add_job_id(*id, *job_id)),
            Self::UpdateTaskStatus { task: id, status } => task(id, Command::update_task_status(*id, status)),
            Self::UpdateTaskProgress { task: id, progress } => {
                task(id, Command::update_task_progress(*id, progress.as_deref()))
            }
            Self::AddResult { task: id, command, stdout, stderr, env } => {
                task(id, Command::add_result(*id, command, env, stdout, stderr))
            }
            Self::CompleteTask { task: id, message } => task(id, Command::complete_task(*id, message)),
            Self::FailTask { task: id, error_message } => task(id, Command::fail_task(*id, error_message)),
        }
    }
}

fn json(text: &str) -> Result<Value, String> {
    Value::read(text).map_err(|error| error.to_string())
}

fn variable(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}
