use super::*;
use crate::command::Command;
use crate::json::Value;

const WORKFLOW: Uuid = Uuid::from_u128(1);

/// A history that is projected in steps of any size, its states kept as text between them as a database does.
#[derive(Default)]
struct History {
    events: Vec<(Uuid, Event)>,
}

impl History {
    fn workflow(user: i64) -> Self {
        let mut history = Self::default();
        history.record(Command::initiate_workflow(WORKFLOW, "run", "a run", user, 3));
        history
    }

    fn record(&mut self, command: Command) {
        self.events.extend(command.events.into_iter().map(|draft| (draft.originator_id, draft.event)));
    }

    fn task(&mut self, id: u128, name: &str) -> Uuid {
        let id = Uuid::from_u128(id);
        self.record(Command::add_task(WORKFLOW, id, name, "v1", Value::Null, Value::Null));
        id
    }

    fn rows(&self, step: usize) -> Rows {
        let mut kept: BTreeMap<String, String> = BTreeMap::new();
        let mut rows = Rows::default();
        for (chunk, events) in self.events.chunks(step).enumerate() {
            let mut keys = touched(events.iter().map(|(id, event)| (*id, &event.fact)));
            let state = |key: &Key| {
                kept.get(&key.to_string()).map(|text| serde_json::from_str::<State>(text).expect("a state"))
            };
            let related: Vec<Key> =
                keys.iter().filter_map(state).flat_map(|state| state.related()).flatten().collect();
            keys.extend(related);
            let known: Vec<_> = keys
                .iter()
                .filter_map(|key| Some((key.to_string().parse().expect("a key"), state(key)?)))
                .collect();
            let mut projection = Projection::new(known);
            for (index, (originator_id, event)) in events.iter().enumerate() {
                let id = i64::try_from(chunk * step + index).expect("a short history") + 1;
                projection.apply(Placed { id, originator_id: *originator_id, event });
            }
            let (states, changed) = projection.finish();
            kept.extend(
                states
                    .into_iter()
                    .map(|(key, state)| (key.to_string(), serde_json::to_string(&state).expect("JSON"))),
            );
            rows.jobs.extend(changed.jobs);
            rows.job_progress.extend(changed.job_progress);
            rows.workflow_progress.extend(changed.workflow_progress);
            rows.task_execution.extend(changed.task_execution);
        }
        rows
    }

    /// The rows, which are the same in steps of any size.
    fn projected(&self) -> Rows {
        let rows = self.rows(self.events.len());
        for step in [1, 2, 3, 7] {
            assert_eq!(self.rows(step), rows, "in steps of {step}");
        }
        rows
    }

    fn stage(&self) -> (String, String) {
        let (row, _) = self.projected().workflow_progress.remove(&WORKFLOW).expect("a workflow's row");
        (row.status, row.progress)
    }
}

#[test]
fn a_workflow_begins_as_initializing() {
    assert_eq!(History::workflow(2).stage(), ("INITIALIZING".to_owned(), "0%".to_owned()));
}

#[test]
fn a_tasks_name_decides_the_workflows_stage() {
    for (name, status, expected) in [
        ("_SLURM_Image_Transfer.py", "RUNNING", ("TRANSFERRING", "5%")),
        ("convert_zarr_to_tiff", "PENDING", ("CONVERTING", "25%")),
        ("SLURM_Get_Results.py", "RUNNING", ("RETRIEVING", "90%")),
        ("SLURM_Get_Results.py", "POSTPROCESSING", ("POSTPROCESSING", "95%")),
        ("SLURM_Import_Results.py", "IMPORTING", ("IMPORTING", "90%")),
        ("SLURM_Import_Results.py", "POSTPROCESSING", ("POSTPROCESSING", "95%")),
        ("SLURM_Run_Workflow.py", "PENDING", ("RUNNING", "50%")),
        ("cellpose", "PENDING", ("JOB_PENDING", "50%")),
    ] {
        let mut history = History::workflow(2);
        let task = history.task(10, name);
        history.record(Command::update_task_status(task, status));
        assert_eq!(history.stage(), (expected.0.to_owned(), expected.1.to_owned()), "{name} {status}");
    }
}

#[test]
fn a_jobs_progress_moves_the_workflows_at_the_next_status() {
    for (progress, expected) in
        [(Some("43%"), "67.2%"), (Some("100%"), "90.0%"), (None, "50%"), (Some("?"), "50%")]
    {
        let mut history = History::workflow(2);
        let task = history.task(10, "cellpose");
        history.record(Command::update_task_status(task, "RUNNING"));
        history.record(Command::update_task_progress(task, progress));
        assert_eq!(history.stage().1, "50%");
        history.record(Command::update_task_status(task, "RUNNING"));
        assert_eq!(history.stage().1, expected);
    }
}

#[test]
fn the_main_task_is_the_first_that_is_no_script_of_biomeros() {
    let mut history = History::workflow(2);
    let transfer = history.task(10, "_SLURM_Image_Transfer.py");
    history.record(Command::update_task_status(transfer, "RUNNING"));
    let main = |history: &History| history.projected().workflow_progress[&WORKFLOW].0.main_task_name.clone();
    assert_eq!(main(&history).as_deref(), Some("_SLURM_Image_Transfer.py"));
    let cellpose = history.task(11, "cellpose");
    history.task(12, "stardist");
    history.record(Command::update_task_status(cellpose, "RUNNING"));
    assert_eq!(main(&history).as_deref(), Some("cellpose"));
}

#[test]
fn a_workflow_ends_as_done_or_failed() {
    let mut history = History::workflow(2);
    history.record(Command::complete_workflow(WORKFLOW));
    assert_eq!(history.stage(), ("DONE".to_owned(), "100%".to_owned()));
    let mut history = History::workflow(2);
    history.record(Command::fail_workflow(WORKFLOW, "boom"));
    assert_eq!(history.stage(), ("FAILED".to_owned(), "0%".to_owned()));
}

#[test]
fn a_job_has_no_progress_row_before_it_is_heard_of() {
    let mut history = History::workflow(2);
    let task = history.task(10, "cellpose");
    history.record(Command::add_job_id(task, 42));
    let rows = history.projected();
    assert_eq!(rows.jobs[&42].0, JobRow { user: 2, group: 3, task_id: task });
    assert!(rows.job_progress.is_empty());
    history.record(Command::update_task_progress(task, Some("1%")));
    assert_eq!(
        history.projected().job_progress[&42].0,
        JobProgressRow { status: "UNKNOWN".to_owned(), progress: Some("1%".to_owned()) }
    );
    history.record(Command::update_task_status(task, "RUNNING"));
    assert_eq!(
        history.projected().job_progress[&42].0,
        JobProgressRow { status: "RUNNING".to_owned(), progress: Some("1%".to_owned()) }
    );
}

#[test]
fn a_failed_submission_is_a_job_like_any_other() {
    let mut history = History::workflow(2);
    let task = history.task(10, "cellpose");
    history.record(Command::add_job_id(task, -1));
    history.record(Command::update_task_status(task, "FAILED"));
    assert!(history.projected().jobs.contains_key(&-1));
}

#[test]
fn a_tasks_end_is_told_by_its_time_and_error_not_by_its_status() {
    let mut history = History::workflow(2);
    let task = history.task(10, "cellpose");
    history.record(Command::update_task_status(task, "RUNNING"));
    history.record(Command::fail_task(task, "out of memory"));
    let (row, id) = history.projected().task_execution.remove(&task).expect("a task's row");
    assert_eq!((row.status.as_str(), row.error_type.as_deref(), id), ("RUNNING", Some("out of memory"), 5));
    assert_eq!(row.end_time, Some(history.events[4].1.timestamp.as_time()));
}

#[test]
fn a_task_is_nobodys_until_it_was_added() {
    let mut history = History::workflow(2);
    let task = history.task(10, "cellpose");
    let user = |history: &History| history.projected().task_execution[&task].0.user_id;
    assert_eq!(user(&history), None);
    history.record(Command::update_task_status(task, "PENDING"));
    assert_eq!(user(&history), Some(2));
}

#[test]
fn numbers_that_no_column_holds_leave_their_rows_out() {
    let mut history = History::workflow(i64::MAX);
    let task = history.task(10, "cellpose");
    for job in [7, i64::MAX] {
        history.record(Command::add_job_id(task, job));
        history.record(Command::update_task_status(task, "RUNNING"));
    }
    let rows = history.projected();
    assert!(rows.jobs.is_empty(), "{rows:?}");
    assert_eq!(rows.job_progress.keys().collect::<Vec<_>>(), [&7]);
}

#[test]
fn a_character_that_postgresql_has_not_is_replaced() {
    let mut history = History::workflow(2);
    let task = history.task(10, "a\0b");
    assert_eq!(history.projected().task_execution[&task].0.task_name, "a\u{fffd}b");
}
