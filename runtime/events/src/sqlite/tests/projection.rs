//! The rows in the file are those that the rules make of all events in one go.

use proptest::prelude::*;

use super::*;
use crate::projection::{Rows, applied, placed, understood};

/// A command by three numbers: which, of which task or workflow run, with what.
fn command(known: &mut [bool; 6], (kind, of, with): (u8, u8, u8)) -> Vec<Command> {
    const NAMES: [&str; 5] =
        ["_SLURM_Image_Transfer.py", "convert_zarr", "cellpose", "SLURM_Get_Results.py", "ä"];
    const STATUSES: [&str; 4] = ["PENDING", "RUNNING", "COMPLETED", "POSTPROCESSING"];
    let workflow = Uuid::from_u128(u128::from(of % 2) + 1);
    let task = Uuid::from_u128(u128::from(of % 4) + 10);
    let mut commands = Vec::new();
    if !std::mem::replace(&mut known[usize::from(of % 2)], true) {
        commands.push(Command::initiate_workflow(workflow, "run", "", i64::from(with), 3));
    }
    if !std::mem::replace(&mut known[2 + usize::from(of % 4)], true) {
        let name = NAMES[usize::from(with) % NAMES.len()];
        commands.push(Command::add_task(workflow, task, name, "v1", Value::Null, Value::Null));
    }
    let progress = format!("{with}%");
    commands.push(match kind % 8 {
        0 => Command::start_workflow(workflow),
        1 => Command::complete_workflow(workflow),
        2 => Command::fail_workflow(workflow, "failed"),
        3 => Command::complete_task(task, "done"),
        4 => Command::fail_task(task, "out of memory"),
        5 => Command::add_job_id(task, i64::from(with % 5) - 1),
        6 => Command::update_task_progress(task, (with > 40).then_some(progress.as_str())),
        _ => Command::update_task_status(task, STATUSES[usize::from(with) % STATUSES.len()]),
    });
    commands
}

/// The rows of the four tables as texts, from the file.
fn found(folder: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(folder.join("history.db")).expect("opened");
    let mut rows = Vec::new();
    for (table, columns) in [
        ("biomero_job_view", "slurm_job_id, \"user\", \"group\", task_id"),
        ("biomero_job_progress_view", "slurm_job_id, status, progress"),
        (
            "biomero_workflow_progress_view",
            "workflow_id, status, progress, \"user\", \"group\", name, task, main_task_name, start_time",
        ),
        (
            "biomero_task_execution",
            "task_id, task_name, task_version, user_id, group_id, status, start_time, end_time, error_type",
        ),
    ] {
        let mut statement = connection
            .prepare(&format!("SELECT json_array({columns}) FROM {table} ORDER BY 1"))
            .expect("a statement");
        let read = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        let mut read: Vec<String> = read.map(|row| row.expect("a row")).collect();
        read.sort_unstable();
        rows.extend(read);
    }
    rows
}

/// The same, from the rules.
fn expected(rows: &Rows) -> Vec<String> {
    let (hex, wall_time) = (value::hex, value::wall_time);
    let jobs =
        rows.jobs.iter().map(|(id, (row, _))| serde_json::json!([id, row.user, row.group, hex(row.task_id)]));
    let job_progress =
        rows.job_progress.iter().map(|(id, (row, _))| serde_json::json!([id, row.status, row.progress]));
    let workflows = rows.workflow_progress.iter().map(|(id, (row, _))| {
        serde_json::json!([
            hex(*id),
            row.status,
            row.progress,
            row.user,
            row.group,
            row.name,
            row.task,
            row.main_task_name,
            wall_time(row.start_time)
        ])
    });
    let tasks = rows.task_execution.iter().map(|(id, (row, _))| {
        serde_json::json!([
            hex(*id),
            row.task_name,
            row.task_version,
            row.user_id,
            row.group_id,
            row.status,
            wall_time(row.start_time),
            row.end_time.map(wall_time),
            row.error_type
        ])
    });
    let tables: [Vec<serde_json::Value>; 4] =
        [jobs.collect(), job_progress.collect(), workflows.collect(), tasks.collect()];
    let mut all = Vec::new();
    for table in tables {
        let mut rows: Vec<String> = table.iter().map(ToString::to_string).collect();
        rows.sort_unstable();
        all.extend(rows);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_appended_in_whatever_batches_makes_the_rows_that_the_rules_make(
        choices in prop::collection::vec((any::<u8>(), any::<u8>(), 0_u8..101), 1..60),
        batch in 1_usize..9,
    ) {
        let folder = folder();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let log = initialised(folder.path()).await;
            let mut known = [false; 6];
            let commands: Vec<Command> =
                choices.iter().flat_map(|choice| command(&mut known, *choice)).collect();
            for batch in commands.chunks(batch) {
                log.append_all(batch).await.expect("appended");
            }
            let events = log.select(1, 10_000).await.expect("events");
            let (events, corrupt) = understood(&events);
            assert_eq!(corrupt, []);
            let (_, rows) = applied(Vec::new(), placed(&events));
            assert_eq!(found(folder.path()), expected(&rows));
            let compared = log.compare(&|_| {}).await.expect("compared");
            assert!(compared.views.iter().all(|view| view.is_none()), "{compared:?}");
        });
    }
}
