//! `processor run`, `workflows`, `show`, `cancel`, `retry`, and `processor api`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::Shape;

/// `processor run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The workflow, as slurm-config.ini names it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// An image or a folder of images, or omero:Image:ID, omero:Dataset:ID, omero:Plate:ID; may be repeated
    #[arg(long, short, value_name = "IMAGE", required = true)]
    pub(crate) image: Vec<String>,
    /// A parameter; a file to attach by its absolute path; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) param: Vec<String>,
    /// Where results go: a folder that is not there yet [default: NAME and the beginning of the id, here]
    #[arg(long, value_name = "FOLDER", conflicts_with = "to_omero")]
    pub(crate) output: Option<PathBuf>,
    /// Results go to the images in OMERO: files are attached, tables stored as OMERO's too
    #[arg(long)]
    pub(crate) to_omero: bool,
    /// Draw label images as regions of interest
    #[arg(long, requires = "to_omero")]
    pub(crate) rois: bool,
    /// Import images into this dataset, by its name or as Dataset:ID, instead of attaching them
    #[arg(long, value_name = "DATASET", requires = "to_omero")]
    pub(crate) import_to: Option<String>,
    /// The id of a session of OMERO, of which the workflow gets its own; other users of this machine can see it here, and not in
    /// the variable OMERO_SESSION [default: that of the script of OMERO that runs this]
    #[arg(short = 'k', long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// A workflow for each of the images
    #[arg(long)]
    pub(crate) batch: bool,
    /// The version of the workflow's image; without, the descriptor's
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// The time limit of the job, as sbatch takes it
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Who is told by mail when the job ends
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// An option of sbatch: mem=16G, exclusive; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) sbatch: Vec<String>,
    /// Send the images as they are
    #[arg(long)]
    pub(crate) no_conversion: bool,
    /// The user it is recorded for, by the id in OMERO
    #[arg(long, value_name = "ID", default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) user: i64,
    /// The group
    #[arg(long, value_name = "ID", default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) group: i64,
    /// Show how it goes on, until it has ended; carry it ourselves where no `processor serve` runs
    #[arg(long, short)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// `processor workflows`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this user's, by the id in OMERO
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub(crate) user: Option<i64>,
    /// Only this group's
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub(crate) group: Option<i64>,
    /// Only those in this phase: INITIALIZING, RUNNING, DONE, FAILED …
    #[arg(long, value_name = "PHASE")]
    pub(crate) phase: Option<String>,
    /// Only those of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only those of this batch
    #[arg(long, value_name = "UUID")]
    pub(crate) batch: Option<Uuid>,
    /// Only those with something left to do
    #[arg(long)]
    pub(crate) open: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// How many are skipped
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u32,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// A workflow that is asked for by its id.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Which
    #[arg(value_name = "UUID")]
    pub(crate) id: Uuid,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// A workflow that is asked for once more.
#[derive(Debug, Args)]
pub(crate) struct Again {
    #[command(flatten)]
    pub(crate) one: One,
    /// The id of a session of OMERO, as `run` takes it: needed where the grid gives the worker none
    #[arg(short = 'k', long, value_name = "ID")]
    pub(crate) session: Option<String>,
}

/// `processor api`.
#[derive(Debug, Args)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) struct Api {
    #[command(subcommand)]
    pub(crate) verb: ApiVerb,
}

/// What is done about the interface.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiVerb {
    /// Print the OpenAPI document, as the server answers it at /openapi.json
    Document,
    /// Make a token for requests over TCP
    ///
    /// The token is printed once and kept nowhere. What is kept is a line with its SHA-256, for the file that the setting api.tokens names: --add writes it there. A server reads the file when it starts.
    #[command(after_help = "\
Example:
  processor api token dashboard --add /etc/biomero/tokens")]
    Token {
        /// Whose it is; stands in the log, and in who has cancelled a workflow
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
        /// Add the line to this file, made with mode 600 where it is missing; without, the line is printed too
        #[arg(long, value_name = "FILE")]
        add: Option<PathBuf>,
    },
}

fn name(text: &str) -> Result<String, String> {
    if crate::api::token::is_name(text) {
        return Ok(text.to_owned());
    }
    Err("write 1 to 64 letters, digits, dots, dashes, underscores or @".to_owned())
}
