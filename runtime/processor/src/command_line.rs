//! The command line of `processor`. Flags are defined once, here; help and the reference page come from this table.

use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

/// Runs workflows and keeps their history.
#[derive(Debug, Parser)]
#[command(
    name = "processor",
    version,
    subcommand_value_name = "SUBJECT",
    subcommand_help_heading = "Subjects"
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) subject: Subject,
}

/// What it is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// The workflow history: set it up, look at it, repair it
    Events(Events),
}

/// The workflow history: an event log that the Python biomero 2.8 reads and writes too.
///
/// It is in the database that the first of these names: --database, the variable SQLALCHEMY_URL, sqlalchemy_url in [ANALYTICS] of slurm-config.ini; where none does, in a SQLite file of this machine.
#[derive(Debug, Args)]
#[command(
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
Of Python, and what stands for it here:
  client.initialize_analytics_system()          processor events init
  notification_log.select(54, 10)               processor events select --start 54 --limit 10
  repository.get(uuid)                          processor events show UUID

Exit codes: see docs/events.md."
)]
pub(crate) struct Events {
    /// The database, as SQLALCHEMY_URL has it: postgresql://USER:PASSWORD@HOST:5432/DATABASE or sqlite:////absolute/path; other users see it in the list of processes, a variable they do not
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) database: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What is done with the history.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create the tables that are missing and bring the views up to date
    ///
    /// Stands for client.initialize_analytics_system(). Tables that are there are compared column by column and never altered: where they differ it says how, and ends with 76.
    Init {
        #[command(flatten)]
        shape: Shape,
    },
    /// Show events by their place in the log
    ///
    /// Stands for workflowTracker.notification_log.select(start, limit), without its limit of ten.
    #[command(after_help = "\
Examples:
  processor events select                         the first ten: select(start=1, limit=10)
  processor events select --start 54 --limit 10   select(54, 10)
  processor events select --limit 100000 --topic StatusUpdated --json | jq -r .state.status")]
    Select {
        /// The id of the first event to show; ids have gaps
        #[arg(long, value_name = "ID", default_value_t = 1)]
        start: i64,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: u64,
        /// Only these kinds of event, as TaskFailed or Task.TaskFailed or Task; may be repeated
        #[arg(long, value_name = "TOPIC")]
        topic: Vec<String>,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show one workflow run, or one task, as a timeline
    ///
    /// Stands for workflowTracker.repository.get(uuid), and goes further: the tasks of a run, their jobs, how long each took. A row that cannot be read is shown in its place with what to do, and the exit code is 65.
    #[command(after_help = "\
Example:
  processor events show 2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98")]
    Show {
        /// The id of a workflow run or a task
        id: Uuid,
        #[command(flatten)]
        shape: Shape,
    },
}

/// For whom the answer is.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Shape {
    /// For a program: a JSON object a line; the keys are in docs/events.md
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_table_of_flags_is_consistent() {
        super::CommandLine::command().debug_assert();
    }
}
