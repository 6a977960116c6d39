//! The command line of `processor`. Flags are defined once, here; help and the reference page come from this table.

pub(crate) mod asked;
pub(crate) mod export;
pub(crate) mod grid;
pub(crate) mod import;
pub(crate) mod omero_zarr;
mod record;
pub(crate) mod slurm;
pub(crate) mod workflow;

use std::path::PathBuf;

use biomero_events::event::Fact;
use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

pub(crate) use record::{Asked, Line, Recorded};

/// Runs workflows and keeps their history.
#[derive(Debug, Parser)]
#[command(
    name = "processor",
    version,
    subcommand_value_name = "SUBJECT",
    subcommand_help_heading = "Subjects"
)]
pub(crate) struct CommandLine {
    /// Also say what is tried again, and why
    #[arg(long, short, global = true, display_order = 101)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) subject: Subject,
}

/// What it is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// The workflow history: set it up, look at it, repair it
    ///
    /// An event log that the Python biomero 2.8 reads and writes too. It is in the database that the first of these names: --database, the variable SQLALCHEMY_URL, sqlalchemy_url in ANALYTICS of slurm-config.ini; where none does, in a SQLite file of this machine (the setting events.file).
    Events(Events),
    /// The cluster: check it, make it ready, run workflows, look after their jobs and data
    ///
    /// Slurm over SSH, as the sections SSH and SLURM of slurm-config.ini say; Slurm of this machine, or no Slurm at all, as the setting slurm.engine says.
    Slurm(slurm::Slurm),
    /// Export an image as OME-Zarr with a pyramid
    ///
    /// The layout is that of omero-cli-zarr. Memory does not depend on the size of the image. It has its name once it is whole, and holds the SHA-256 of each of its files.
    Export(export::Export),
    /// Bring the results of a workflow home into OMERO
    ///
    /// Files are attached, tables stored as OMERO's tables too, label images drawn as regions of interest, images imported. Nothing is there twice: the same command goes on where it was stopped, as after a crash.
    Import(import::Import),
    /// Export from OMERO as `omero zarr` does, for what calls that
    ///
    /// It takes the flags of omero-cli-zarr and gives its names and layout. Called by the name omero-zarr, or as omero with zarr as its first word, this program does the same.
    OmeroZarr(omero_zarr::OmeroZarr),
    /// Convert an OME-Zarr into an OME-TIFF
    ///
    /// Sizes of pixels, names and colours of channels are kept. Memory does not depend on the size of the image. The file has its name once it is whole.
    #[command(after_help = biomero_convert::command_line::EXAMPLES)]
    Convert(biomero_convert::command_line::Convert),
    /// Say what an image is: sizes, levels, how it is stored, what is wrong with it
    Inspect(export::Inspect),
    /// Run OMERO's scripts: be the grid's Processor-0
    ///
    /// Takes the jobs that OMERO's server has for scripts, runs each in a folder, a process group and limits of its own, and tells OMERO what became of it. There is one for a folder of runs: a second is refused.
    Grid(grid::Grid),
    /// Keep one script to its end: what `processor grid` starts itself, never by hand
    #[command(hide = true)]
    GridKeeper {
        /// Say what it says as JSON
        #[arg(long)]
        json: bool,
        /// The folder of the script
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Carry workflows from their images to their results, until it is told to end
    ///
    /// What was asked for is in the database before anything is done: whatever ends, the next start goes on where it was. Of several workers on one database one acts, the others wait. INT and TERM end it within seconds; jobs of the cluster go on.
    Serve(workflow::Serve),
    /// A workflow that `processor serve` carries: ask for it, look at it, end it
    Workflow(workflow::Workflow),
    /// Ask for a workflow on images; with --watch, until its results are there
    ///
    /// It is kept once this returns, and comes to an end whatever happens to the worker. Paths are those of the machine on which `processor serve` runs. With --watch and no `processor serve`, this carries workflows itself for as long as it watches: all that a workstation needs.
    #[command(after_help = "\
Examples:
  processor run cellpose --image cells.ome.tiff --param diameter=30 --watch
  processor run cellpose --image omero:Dataset:7 --to-omero --user 2 --group 3
  processor run cellpose --image a.tiff --image b.tiff --batch --output results/

Ends with 0 once it is kept; with --watch, once it is done, and with 1 where it failed or was cancelled.")]
    Run(asked::Run),
    /// List workflows, newest first
    #[command(after_help = "\
Examples:
  processor workflows --open
  processor workflows --phase FAILED --json | jq -r .failure.reason")]
    Workflows(asked::List),
    /// Show a workflow: what was asked for, where it stands, its tasks and jobs, why it failed
    Show(asked::One),
    /// End a workflow, or all of a batch, and its jobs
    Cancel(asked::One),
    /// Ask once more for a workflow that has failed or was cancelled, from where it failed
    Retry(asked::One),
    /// What others ask `processor serve` by: its OpenAPI document, tokens for TCP
    Api(asked::Api),
    /// Run one task of the embedded executor: what `processor` starts itself, never by hand
    #[command(hide = true)]
    SlurmTask {
        /// The folder of the queue
        #[arg(value_name = "STATE")]
        state: PathBuf,
        /// The job, or a task of an array: 4711, 4711_3
        #[arg(value_name = "JOB")]
        job: String,
        /// What tells that it was started by the queue
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

impl Subject {
    /// Whether it is a processor, or a part of one.
    pub(crate) const fn is_of_grid(&self) -> bool {
        matches!(self, Self::Grid(_) | Self::GridKeeper { .. })
    }
}

/// Which history, and what is done with it.
#[derive(Debug, Args)]
#[command(
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
Of Python, and what stands for it here:
  client.initialize_analytics_system()              processor events init
  client.initialize_analytics_system(True)          processor events init --rebuild
  notification_log.select(54, 10)                   processor events select --start 54 --limit 10
  notification_log.select(start=1, limit=10)        processor events select
  pull_and_process(leader_name=…, start=1)          processor events follow --from 1
  repository.get(uuid)                              processor events show UUID
  workflowTracker.fail_workflow(uuid, message)      processor events record fail-workflow UUID MESSAGE
  workflowAnalytics.get_task_counts() and the like  processor events stats

Exit codes and the shapes of --json: docs/events.md."
)]
pub(crate) struct Events {
    /// The database, as SQLALCHEMY_URL has it: postgresql://USER:PASSWORD@HOST:5432/DATABASE or sqlite:////absolute/path
    ///
    /// Other users of the machine see it in the list of processes; a variable they do not.
    #[arg(long, value_name = "URL", global = true, display_order = 100)]
    pub(crate) database: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What is done with the history.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create the tables that are missing and bring the views up to date
    ///
    /// Stands for client.initialize_analytics_system(), and with --rebuild for client.initialize_analytics_system(True). Tables that are there are compared column by column and never altered: where they differ it says how, and ends with 76.
    #[command(after_help = "\
Examples:
  processor events init             once, before the first workflow; again does no harm
  processor events init --rebuild   and write the views anew")]
    Init {
        /// Also write the views anew, as `processor events rebuild` does
        #[arg(long)]
        rebuild: bool,
        /// With --rebuild: leave out rows that nothing has written since
        #[arg(long, value_name = "DATE", requires = "rebuild")]
        since: Option<String>,
        #[command(flatten)]
        shape: Shape,
    },
    /// Say what is wrong with the history and what to do; exit 0 nothing, 2 something has to be put right
    ///
    /// Looks at the tables, at every event, at versions that are missing, at events that several Python workers have recorded twice, compares the views with the log, and tells whether a Python worker projects beside us. Changes nothing; reads the whole log.
    #[command(after_help = "\
Example:
  processor events doctor || mail -s 'workflow history' admin@example.org < /dev/null")]
    Doctor {
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
        #[arg(long, value_name = "TOPIC", value_parser = topic)]
        topic: Vec<String>,
        /// The worker's own stream instead, which Python never reads: rebuilds, Python workers that were noticed
        #[arg(long, conflicts_with = "topic")]
        own: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show events as they are recorded, by whomever, until Ctrl-C
    ///
    /// Stands for pull_and_process(leader_name, start), which Python documents and cannot do. None is left out between those that were there and those that come. Begins with the last few, as tail -f does.
    #[command(after_help = "\
Examples:
  processor events follow --from 1                the whole log, then what comes
  processor events follow --new --topic TaskFailed --json | while read -r event; do …; done
  processor events follow --new --project         the views keep up with Python workers")]
    Follow {
        /// Begin with the event of this id
        #[arg(long, value_name = "ID", conflicts_with = "new")]
        from: Option<i64>,
        /// Begin with the next one that is recorded
        #[arg(long)]
        new: bool,
        /// Only these kinds of event, as for select
        #[arg(long, value_name = "TOPIC", value_parser = topic)]
        topic: Vec<String>,
        /// Bring the views up to date with each: for Python workers whose own listeners are off
        #[arg(long)]
        project: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// List workflow runs, newest first
    ///
    /// As the view has them that dashboards show; the filters narrow it down together.
    #[command(after_help = "\
Examples:
  processor events list --user 2 --status FAILED
  processor events list --status 'JOB_*' --since 2026-11-01")]
    List {
        /// Only this user's, by the id in OMERO
        #[arg(long, value_name = "ID")]
        user: Option<i32>,
        /// Only this group's
        #[arg(long, value_name = "ID")]
        group: Option<i32>,
        /// Only with this status; a * at the end stands for anything
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Only with this name or this main task
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only begun since: 2026-11-22, 2026-11-22T10:00:00Z, or 30d
        #[arg(long, value_name = "DATE")]
        since: Option<String>,
        /// Only begun before
        #[arg(long, value_name = "DATE")]
        until: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        /// How many are skipped
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: u32,
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
        #[arg(value_name = "UUID")]
        id: Uuid,
        #[command(flatten)]
        shape: Shape,
    },
    /// Write the view tables anew from the log
    ///
    /// Stands for client.initialize_analytics_system(True) without the creation of tables, with the first event that Python leaves out. Only rows that differ are changed, in one transaction: readers see the old views or the new ones. Writers wait only for the end of it.
    #[command(after_help = "\
Examples:
  processor events rebuild                    from the beginning, or from where the configuration says
  processor events rebuild --since 2026-01-01
  BIOMERO_ANALYTICS_REBUILD_DAYS_AGO=90 processor events rebuild")]
    Rebuild {
        /// Leave out rows that nothing has written since: 2026-11-22, 2026-11-22T10:00:00Z, 30d, or all [default: analytics_rebuild_days_ago or analytics_rebuild_start_time in ANALYTICS, or all]
        #[arg(long, value_name = "DATE")]
        since: Option<String>,
        #[command(flatten)]
        shape: Shape,
    },
    /// Record what happens, as Python's workflowTracker does
    ///
    /// For scripts, and to end a workflow run whose launcher is gone. Event, views and the positions of Python's listeners are written together. Prints the id of what was made.
    #[command(
        after_help = "\
Examples:
  run=$(processor events record initiate-workflow cellpose 'by hand' 2 3)
  task=$(processor events record add-task-to-workflow $run cellpose v1.2.7 --params '{\"diameter\":30}')
  processor events record fail-workflow $run 'the launcher was killed'",
        subcommand_value_name = "COMMAND",
        subcommand_help_heading = "Commands"
    )]
    Record {
        /// The id of this command: repeated under it, it is recorded once
        #[arg(long, value_name = "UUID", global = true)]
        command_id: Option<Uuid>,
        #[command(flatten)]
        shape: Shape,
        #[command(subcommand)]
        recorded: Recorded,
    },
    /// Write the whole log to standard output
    ///
    /// In bounded memory, and so that every byte can be made again: a state that is no text, or begins with \x, is written as \x and two hexadecimal digits a byte; in psv each state is, without the \x.
    #[command(after_help = "\
Examples:
  processor events export | zstd > history.jsonl.zst
  processor events export --format csv > history.csv")]
    Export {
        /// How
        #[arg(long, value_name = "FORMAT", value_enum, default_value = "jsonl")]
        format: Format,
    },
    /// Copy the history into another database, from SQLite to PostgreSQL or back
    ///
    /// Events keep their ids, versions and bytes; the views are made again. What is in the source stays, and what is in the target stays too: an interrupted copy goes on where it stopped, and a target with another history is refused.
    #[command(after_help = "\
Example:
  processor events --database sqlite:////var/lib/biomero/events.sqlite copy --to postgresql://biomero@db/biomero

A password for the target: PGPASSWORD, or ~/.pgpass.")]
    Copy {
        /// The database to copy into; its tables are created
        #[arg(long, value_name = "URL")]
        to: String,
        #[command(flatten)]
        shape: Shape,
    },
    /// Count: events, workflow runs, tasks and how long they take, failures, jobs and what they have used
    ///
    /// Stands for jobAccounting.get_jobs, and for get_task_counts, get_average_task_duration, get_task_failures and get_task_usage_over_time of workflowAnalytics.
    #[command(after_help = "\
Examples:
  processor events stats --user 2
  processor events stats --task cellpose    also how often it was run, day by day")]
    Stats {
        /// Only this user's, by the id in OMERO; events are counted for all
        #[arg(long, value_name = "ID")]
        user: Option<i32>,
        /// Only this group's
        #[arg(long, value_name = "ID")]
        group: Option<i32>,
        /// Also how often this task was run on each day
        #[arg(long, value_name = "NAME")]
        task: Option<String>,
        #[command(flatten)]
        shape: Shape,
    },
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values with a header, as RFC 4180 has them
    Csv,
    /// Fields with | between them, the state in hexadecimal digits
    Psv,
}

/// For whom the answer is.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Shape {
    /// For a program: a JSON object a line; the keys are in docs/events.md
    #[arg(long, global = true, display_order = 99)]
    pub(crate) json: bool,
}

/// A kind of event: as it is stored, or the part of its name that tells it from others.
fn topic(text: &str) -> Result<String, String> {
    let names: Vec<&str> = Fact::TOPICS
        .iter()
        .filter_map(|topic| topic.rsplit_once(':'))
        .flat_map(|(_, name)| std::iter::once(name).chain(name.split('.')))
        .collect();
    // A whole topic may be one that nobody knows: it may be in the log all the same.
    if text.contains(':') || names.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(match biomero_config::nearest(text, names.iter().copied()) {
        Some(name) => format!("did you mean {name}?"),
        None => format!(
            "write one of {}",
            Fact::TOPICS.iter().filter_map(|topic| topic.rsplit('.').next()).collect::<Vec<_>>().join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_table_of_flags_is_consistent() {
        super::CommandLine::command().debug_assert();
    }

    #[test]
    fn a_kind_of_event_is_named_by_what_tells_it_from_others() {
        for name in
            ["TaskFailed", "Task.TaskFailed", "Task", "biomero.eventsourcing:Task.TaskFailed", "other:Topic"]
        {
            assert_eq!(super::topic(name).as_deref(), Ok(name));
        }
        assert_eq!(super::topic("TaskFaild"), Err("did you mean TaskFailed?".to_owned()));
    }
}
