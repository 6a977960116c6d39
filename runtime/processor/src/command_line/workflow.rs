//! `processor serve` and `processor workflow`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::Shape;

/// Which history.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The database, as `processor events` takes it
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
}

/// Which history, and what is done.
#[derive(Debug, Args)]
#[command(
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "Requests, phases and the shapes of --json: docs/workflows.md."
)]
pub(crate) struct Workflow {
    /// The database, as `processor events` takes it
    #[arg(long, value_name = "URL", global = true, display_order = 100)]
    pub(crate) database: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Ask for a workflow, or a batch of them
    ///
    /// It is kept, and carried as soon as a `processor serve` acts on the same database. Its id is the answer.
    #[command(after_help = "\
Example:
  echo '{\"workflow\": \"cellpose\", \"inputs\": [\"/data/cells\"], \"parameters\": [[\"diameter\", \"30\"]],
         \"user\": 2, \"group\": 3, \"results\": {\"directory\": \"/data/results\"}}' | processor workflow submit -")]
    Submit {
        /// A request as JSON; - for standard input
        #[arg(value_name = "FILE")]
        request: PathBuf,
        /// Its id; asked for again under the same id, it is taken once
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
        /// A workflow for each of its inputs
        #[arg(long)]
        batch: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show a workflow: where it stands, what failed
    Show {
        /// Which
        #[arg(value_name = "UUID")]
        id: Uuid,
        #[command(flatten)]
        shape: Shape,
    },
    /// End a workflow, or all of a batch, and its jobs
    Cancel {
        /// Which
        #[arg(value_name = "UUID")]
        id: Uuid,
        #[command(flatten)]
        shape: Shape,
    },
    /// Ask once more for what has failed or was cancelled
    Retry {
        /// Which
        #[arg(value_name = "UUID")]
        id: Uuid,
        #[command(flatten)]
        shape: Shape,
    },
}
