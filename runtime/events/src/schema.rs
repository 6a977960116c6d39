//! The tables: Python's, as `biomero` 2.8 and `eventsourcing_sqlalchemy` 1.0 create them, and our own beside them.
//!
//! Said once, as data. Each database creates the tables from this and compares with this what it finds.

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name, in the first schema of the search path.
    pub name: &'static str,
    /// Its columns, in their order; the first ones are the primary key.
    pub columns: &'static [Column],
    /// How many columns the primary key has.
    pub key: usize,
    /// The name of a further unique index and its columns.
    pub unique: Option<(&'static str, &'static [&'static str])>,
    /// The names of further indexes and their columns: made where they are missing, as they change no answer.
    pub indexes: &'static [(&'static str, &'static [&'static str])],
    /// Who writes it.
    pub owner: Owner,
}

/// Who writes a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The Python client too.
    Shared,
    /// This library alone; Python never reads it.
    Ours,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bigint` with a sequence of its own.
    BigSerial,
    /// `integer` with a sequence of its own, although nobody asks it for a value.
    Serial,
    /// `bigint`.
    BigInt,
    /// `integer`.
    Integer,
    /// `double precision`.
    Double,
    /// `uuid`.
    Uuid,
    /// `text`.
    Text,
    /// `character varying`.
    Varchar,
    /// `character varying(32)`.
    Varchar32,
    /// `bytea`.
    Bytes,
    /// `timestamp without time zone`: wall time in the session's time zone, as Python binds it.
    WallTime,
    /// `timestamp with time zone`.
    Moment,
}

/// The log itself.
pub const LOG: &str = "workflowtracker_events";
/// The sequence that its ids come from.
pub const LOG_SEQUENCE: &str = "workflowtracker_events_id_seq";
/// The name under which a listener keeps how far it has read the log.
pub const LEADER: &str = "WorkflowTracker";
/// The tables in which Python's listeners keep how far they have read.
pub const TRACKING: [&str; 4] = [
    "jobaccounting_tracking",
    "jobprogress_tracking",
    "workflowprogress_tracking",
    "workflowanalytics_tracking",
];
/// The view tables.
pub const JOBS: &str = "biomero_job_view";
/// The view of jobs' progress.
pub const JOB_PROGRESS: &str = "biomero_job_progress_view";
/// The view of workflows' progress.
pub const WORKFLOW_PROGRESS: &str = "biomero_workflow_progress_view";
/// The view of tasks.
pub const TASK_EXECUTION: &str = "biomero_task_execution";
/// Which commands have been recorded, and as which events.
pub const COMMANDS: &str = "biomero_worker_command";
/// How far the views have been projected.
pub const POSITION: &str = "biomero_worker_position";
/// What the projection remembers.
pub const STATE: &str = "biomero_worker_state";
/// Our own stream of events.
pub const WORKER_EVENTS: &str = "biomero_worker_events";
/// What jobs have used.
pub const JOB_USAGE: &str = "biomero_worker_job_usage";
/// What each workflow that the worker carries has come to.
pub const WORKFLOWS: &str = "biomero_worker_workflow";

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: false }
}

const fn nullable(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: true }
}

const fn table(name: &'static str, owner: Owner, columns: &'static [Column], key: usize) -> Table {
    Table { name, columns, key, unique: None, indexes: &[], owner }
}

const EVENTS: &[Column] = &[
    column("id", Kind::BigSerial),
    column("originator_id", Kind::Uuid),
    column("originator_version", Kind::BigInt),
    column("topic", Kind::Text),
    column("state", Kind::Bytes),
];

const AGGREGATE: &[&str] = &["originator_id", "originator_version"];

const fn events(name: &'static str, index: &'static str) -> Table {
    Table { unique: Some((index, AGGREGATE)), ..table(name, Owner::Shared, EVENTS, 1) }
}

const fn tracking(name: &'static str) -> Table {
    const COLUMNS: &[Column] =
        &[column("application_name", Kind::Varchar32), nullable("notification_id", Kind::BigInt)];
    table(name, Owner::Shared, COLUMNS, 1)
}

/// Every table.
pub const TABLES: &[Table] = &[
    events(LOG, "workflowtracker_events_aggregate_idx"),
    events("jobaccounting_events", "jobaccounting_events_aggregate_idx"),
    tracking(TRACKING[0]),
    events("jobprogress_events", "jobprogress_events_aggregate_idx"),
    tracking(TRACKING[1]),
    events("workflowprogress_events", "workflowprogress_events_aggregate_idx"),
    tracking(TRACKING[2]),
    events("workflowanalytics_events", "workflowanalytics_events_aggregate_idx"),
    tracking(TRACKING[3]),
    table(
        JOBS,
        Owner::Shared,
        &[
            column("slurm_job_id", Kind::Serial),
            column("user", Kind::Integer),
            column("group", Kind::Integer),
            nullable("task_id", Kind::Uuid),
        ],
        1,
    ),
    table(
        JOB_PROGRESS,
        Owner::Shared,
        &[
            column("slurm_job_id", Kind::Serial),
            column("status", Kind::Varchar),
            nullable("progress", Kind::Varchar),
        ],
        1,
    ),
    table(
        WORKFLOW_PROGRESS,
        Owner::Shared,
        &[
            column("workflow_id", Kind::Uuid),
            nullable("status", Kind::Varchar),
            nullable("progress", Kind::Varchar),
            nullable("user", Kind::Integer),
            nullable("group", Kind::Integer),
            nullable("name", Kind::Varchar),
            nullable("task", Kind::Varchar),
            nullable("main_task_name", Kind::Varchar),
            column("start_time", Kind::WallTime),
        ],
        1,
    ),
    table(
        TASK_EXECUTION,
        Owner::Shared,
        &[
            column("task_id", Kind::Uuid),
            column("task_name", Kind::Varchar),
            nullable("task_version", Kind::Varchar),
            nullable("user_id", Kind::Integer),
            nullable("group_id", Kind::Integer),
            column("status", Kind::Varchar),
            column("start_time", Kind::WallTime),
            nullable("end_time", Kind::WallTime),
            nullable("error_type", Kind::Varchar),
        ],
        1,
    ),
    table(
        COMMANDS,
        Owner::Ours,
        &[
            column("command_id", Kind::Uuid),
            column("first_id", Kind::BigInt),
            column("last_id", Kind::BigInt),
        ],
        1,
    ),
    table(
        POSITION,
        Owner::Ours,
        &[
            column("leader", Kind::Varchar32),
            column("notification_id", Kind::BigInt),
            // The views hold no rows that were last written before this event.
            column("first_id", Kind::BigInt),
        ],
        1,
    ),
    table(
        STATE,
        Owner::Ours,
        &[
            column("key", Kind::Text),
            nullable("workflow_key", Kind::Text),
            nullable("job_key", Kind::Text),
            column("state", Kind::Text),
        ],
        1,
    ),
    table(
        WORKER_EVENTS,
        Owner::Ours,
        &[
            column("id", Kind::BigSerial),
            column("recorded", Kind::Moment),
            column("topic", Kind::Text),
            nullable("workflow_id", Kind::Uuid),
            nullable("task_id", Kind::Uuid),
            column("state", Kind::Text),
        ],
        1,
    ),
    table(
        JOB_USAGE,
        Owner::Ours,
        &[
            column("cluster", Kind::Text),
            column("slurm_job_id", Kind::BigInt),
            column("submitted", Kind::Moment),
            nullable("task_id", Kind::Uuid),
            nullable("user", Kind::Integer),
            nullable("group", Kind::Integer),
            column("job_state", Kind::Text),
            nullable("exit_code", Kind::Integer),
            nullable("signal", Kind::Integer),
            nullable("partition", Kind::Text),
            nullable("node_list", Kind::Text),
            nullable("started", Kind::Moment),
            nullable("ended", Kind::Moment),
            nullable("elapsed_seconds", Kind::BigInt),
            nullable("allocated_cpus", Kind::Integer),
            nullable("cpu_seconds", Kind::Double),
            nullable("max_rss_bytes", Kind::BigInt),
        ],
        3,
    ),
    Table {
        name: WORKFLOWS,
        columns: &[
            column("workflow_id", Kind::Uuid),
            nullable("parent_id", Kind::Uuid),
            column("user", Kind::BigInt),
            column("group", Kind::BigInt),
            column("name", Kind::Text),
            column("phase", Kind::Text),
            column("is_open", Kind::Integer),
            column("revision", Kind::BigInt),
            column("term", Kind::BigInt),
            column("created", Kind::Moment),
            column("changed", Kind::Moment),
            column("state", Kind::Text),
        ],
        key: 1,
        // Of many that are over, the few that are not are found at once.
        unique: Some(("biomero_worker_workflow_open_idx", &["is_open", "workflow_id"])),
        // Lists are newest first: a page is read off an index, and what is counted is in none of its rows. Where they
        // stand is in none of them, so that a change of it writes one row and no index.
        indexes: &[
            ("biomero_worker_workflow_created_idx", &["created", "workflow_id"]),
            ("biomero_worker_workflow_user_idx", &["user", "created", "workflow_id"]),
            ("biomero_worker_workflow_parent_idx", &["parent_id", "created", "workflow_id"]),
        ],
        owner: Owner::Ours,
    },
];
