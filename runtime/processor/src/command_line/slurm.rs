//! The command line of `processor slurm`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Shape;

/// What is done with the cluster.
#[derive(Debug, Args)]
#[command(
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
Of Python, and what stands for it here:
  SlurmClient.from_config().validate()     processor slurm validate
  client.setup_slurm()                     processor slurm init
  client.get_workflow_parameters(NAME)     processor slurm workflows NAME
  client.run_workflow(NAME, …)             processor slurm run NAME --input FOLDER
  client.check_job_status([ID])            processor slurm jobs ID
  client.get_logfile_from_slurm(ID)        processor slurm log ID
  client.cleanup_tmp_files(ID)             processor slurm clean RUN

Where the cluster is: [SSH] and [SLURM] of slurm-config.ini, and the settings slurm.* (docs/settings.md).
Exit codes and the shapes of --json: docs/slurm.md."
)]
pub(crate) struct Slurm {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Say what stands between us and a job that runs, and what to do about it; exit 0 nothing, 2 something
    ///
    /// Stands for client.validate(). Step by step: keys, host key, login, Slurm's programs and daemons, accounting, folders, space, the container runtime, what packs data. Changes nothing but a file that it writes into each folder and removes again.
    #[command(after_help = "\
Examples:
  processor slurm validate          what can be told from the login node
  processor slurm validate --job    and from within a job: are the folders there, do containers run")]
    Validate {
        /// Also submit a small job, which looks from a compute node
        #[arg(long)]
        job: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Make the cluster ready: folders, job scripts, images of workflows and converters
    ///
    /// Stands for client.setup_slurm(). What is there already stays; again does no harm. Images are pulled in the background, or by a job where slurm_image_pull_via_sbatch says so.
    #[command(after_help = "\
Examples:
  processor slurm init --dry-run         what would be done
  processor slurm init --wait            until every image is there, or has failed
  processor slurm init --status          what has become of each image
  processor slurm init cellpose --force  this workflow again, over what was edited by hand")]
    Init {
        /// Only these workflows
        #[arg(value_name = "WORKFLOW")]
        workflow: Vec<String>,
        /// Only say what would be done
        #[arg(long, conflicts_with_all = ["wait", "status"])]
        dry_run: bool,
        /// Wait until images are there
        #[arg(long)]
        wait: bool,
        /// Also replace job scripts that were edited on the cluster, and pull images that are there
        #[arg(long)]
        force: bool,
        /// Only say what became of each item
        #[arg(long, conflicts_with_all = ["wait", "force"])]
        status: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// List the configured workflows, or show the parameters of one
    #[command(after_help = "\
Examples:
  processor slurm workflows
  processor slurm workflows cellpose --json | jq '.parameters[].id'")]
    Workflows {
        /// Show this one
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Ask the repositories, also for descriptors that were fetched lately
        #[arg(long)]
        refresh: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Run a workflow on a folder of images: send, convert, run, fetch
    ///
    /// Each step is recorded in the workflow history. Interrupted, it goes on where it stopped when given --resume with the id that it printed; jobs that are under way are found again, never submitted twice.
    #[command(after_help = "\
Examples:
  processor slurm run cellpose --input images/ --param diameter=30 --dry-run
  processor slurm run cellpose --input images/ --param diameter=30 --output results/
  processor slurm run cellpose --input images/ --param model=weights.pt   a file to attach
  processor slurm run --resume 0199e7a1-…           after an interruption")]
    Run(Run),
    /// Show jobs: those of runs that are not over, or these
    #[command(after_help = "\
Examples:
  processor slurm jobs               jobs of runs from this worker that are not over
  processor slurm jobs 4711 4712_3   these, and why they wait or failed
  processor slurm jobs --watch       and every change, until they have ended")]
    Jobs {
        /// A job, or a task of an array: 4711, 4711_3
        #[arg(value_name = "JOB")]
        job: Vec<String>,
        /// All jobs of our user on the cluster, also those that others submitted by the same account
        #[arg(long, conflicts_with = "job")]
        all: bool,
        /// Go on until they have ended, and show each change
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show the log of a job
    #[command(after_help = "\
Examples:
  processor slurm log 4711 --follow
  processor slurm log 4712_3")]
    Log {
        /// The job, or a task of an array
        #[arg(value_name = "JOB")]
        job: String,
        /// Go on until the job has ended
        #[arg(long, short)]
        follow: bool,
    },
    /// Cancel jobs; one that is over already is fine
    Cancel {
        /// A job, or a task of an array
        #[arg(value_name = "JOB", required = true)]
        job: Vec<String>,
        /// Put it back into the queue instead
        #[arg(long)]
        requeue: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Fetch the results of a run
    ///
    /// What is there already and right is not fetched again.
    Fetch {
        /// The data folder of the run on the cluster, as `processor slurm run` printed it
        #[arg(value_name = "RUN")]
        run: String,
        /// Where to: a folder, made where it is missing
        #[arg(long, value_name = "FOLDER")]
        output: PathBuf,
        #[command(flatten)]
        shape: Shape,
    },
    /// Remove what a run has left on the cluster, and nothing else
    Clean {
        /// The data folder of the run
        #[arg(value_name = "RUN")]
        run: String,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        shape: Shape,
    },
}

/// `processor slurm run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The workflow, as slurm-config.ini names it
    #[arg(value_name = "NAME", required_unless_present = "resume")]
    pub(crate) name: Option<String>,
    /// Images: a folder of .zarr or TIFF
    #[arg(long, value_name = "FOLDER", required_unless_present = "resume")]
    pub(crate) input: Option<PathBuf>,
    /// A parameter; a file to attach by its path on this machine; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) param: Vec<String>,
    /// The version of the workflow's image; without, the descriptor's tag, or what the repository's link is fixed to
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Where results go; left on the cluster without
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// The time limit of the job, as sbatch takes it
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Who is told by mail when it ends
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// An option of sbatch: mem=16G, exclusive; may be repeated, wins over the configuration
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) sbatch: Vec<String>,
    /// Send the images as they are
    #[arg(long)]
    pub(crate) no_conversion: bool,
    /// Leave nothing on the cluster once the results are here
    #[arg(long, requires = "output")]
    pub(crate) clean: bool,
    /// Show the job script, its options and variables, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on with a run that was interrupted
    #[arg(long, value_name = "RUN", conflicts_with_all = ["name", "input", "param", "version", "time", "email", "sbatch", "no_conversion", "dry_run"])]
    pub(crate) resume: Option<uuid::Uuid>,
    /// The user the run is recorded for, by the id in OMERO
    #[arg(long, value_name = "ID", default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) user: i64,
    /// The group
    #[arg(long, value_name = "ID", default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) group: i64,
    #[command(flatten)]
    pub(crate) shape: Shape,
}
