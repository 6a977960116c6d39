//! The rules themselves, an event at a time.

use time::OffsetDateTime;
use uuid::Uuid;

use super::state::{Created, JobState, Key, MainTask, TaskState, WorkflowState, integer_of, job_of, text_of};
use super::{JobProgressRow, JobRow, Placed, Projection, TaskExecutionRow, WorkflowProgressRow};
use crate::event::{Fact, uuid_of};
use crate::json::{Number, Value};

/// The state of a job before Slurm has told one.
const UNKNOWN: &str = "UNKNOWN";

pub(super) fn apply(projection: &mut Projection, placed: Placed<'_>) {
    let Placed { id, originator_id, event } = placed;
    let moment = microseconds(event.timestamp.as_time());
    let mut on = On { projection, id };
    match &event.fact {
        Fact::WorkflowInitiated { name, user, group, .. } => {
            let state = WorkflowState {
                name: text_of(name),
                user: integer_of(user),
                group: integer_of(group),
                start_time: moment,
                status: "INITIALIZING".to_owned(),
                progress: "0%".to_owned(),
                task: None,
                task_progress: None,
                main_task: None,
            };
            on.projection.workflows.insert(originator_id, state);
            on.projection.changed.insert(Key::Workflow(originator_id));
            on.write_workflow(originator_id);
        }
        Fact::TaskAdded { task_id } => {
            if let Some(task_id) = uuid_of(task_id) {
                on.add_task(originator_id, task_id);
            }
        }
        Fact::WorkflowCompleted {} => on.end_workflow(originator_id, "DONE", Some("100%")),
        Fact::WorkflowFailed { .. } => on.end_workflow(originator_id, "FAILED", None),
        Fact::TaskCreated { task_name, task_version, .. } => {
            let task = on.task(originator_id);
            task.created = Some(Created {
                id,
                name: text_of(task_name).unwrap_or_default(),
                version: text_of(task_version),
                start_time: moment,
            });
            task.status = Some("CREATED".to_owned());
            task.followed = false;
            on.write_task(originator_id);
        }
        Fact::JobIdAdded { job_id } => {
            if let Some(job_id) = job_of(job_id) {
                on.task(originator_id).job_id = Some(job_id);
                on.write_job(originator_id, job_id);
            }
        }
        Fact::StatusUpdated { status } => {
            on.status(originator_id, &text_of(status).unwrap_or_else(|| UNKNOWN.to_owned()))
        }
        Fact::ProgressUpdated { progress } => on.progress(originator_id, progress),
        Fact::TaskCompleted { .. } => on.end_task(originator_id, moment, None),
        Fact::TaskFailed { error_message } => {
            on.end_task(originator_id, moment, Some(text_of(error_message)))
        }
        Fact::WorkflowStarted {} | Fact::TaskStarted {} | Fact::ResultAdded { .. } => {}
    }
}

/// A projection at one event.
struct On<'a> {
    projection: &'a mut Projection,
    id: i64,
}

impl On<'_> {
    /// The task's state, to be changed; a new one when nothing was heard of it yet.
    fn task(&mut self, id: Uuid) -> &mut TaskState {
        self.projection.changed.insert(Key::Task(id));
        self.projection.tasks.entry(id).or_default()
    }

    /// The workflow's state, to be changed, if the workflow was initiated.
    fn workflow(&mut self, id: Uuid) -> Option<&mut WorkflowState> {
        let workflow = self.projection.workflows.get_mut(&id)?;
        self.projection.changed.insert(Key::Workflow(id));
        Some(workflow)
    }

    fn add_task(&mut self, workflow_id: Uuid, task_id: Uuid) {
        let task = self.task(task_id);
        task.workflow_id = Some(workflow_id);
        task.followed = task.created.is_some();
        let Some(created) = task.created.clone() else { return };
        let Some(workflow) = self.workflow(workflow_id) else { return };
        workflow.task = Some(created.name.clone());
        if !is_of_biomero(&created.name)
            && workflow.main_task.as_ref().is_none_or(|main| created.id < main.created)
        {
            workflow.main_task = Some(MainTask { created: created.id, name: created.name });
        }
    }

    fn end_workflow(&mut self, id: Uuid, status: &str, progress: Option<&str>) {
        if let Some(workflow) = self.workflow(id) {
            workflow.status = status.to_owned();
            if let Some(progress) = progress {
                workflow.progress = progress.to_owned();
            }
            self.write_workflow(id);
        }
    }

    fn end_task(&mut self, id: Uuid, moment: i64, error: Option<Option<String>>) {
        let task = self.task(id);
        task.end_time = Some(moment);
        if let Some(error) = error {
            task.error_type = error;
        }
        self.write_task(id);
    }

    fn status(&mut self, id: Uuid, status: &str) {
        let task = self.task(id);
        task.status = Some(status.to_owned());
        let task = task.clone();
        if let Some(job) = task.job_id {
            self.job(job, |state| status.clone_into(&mut state.status));
        }
        if let (Some(workflow_id), Some(created), true) = (task.workflow_id, &task.created, task.followed)
            && let Some(workflow) = self.workflow(workflow_id)
        {
            (workflow.status, workflow.progress) =
                stage(&created.name.to_lowercase(), status, workflow.task_progress.as_deref());
            self.write_workflow(workflow_id);
        }
        self.write_task(id);
    }

    fn progress(&mut self, id: Uuid, progress: &Value) {
        let Some(task) = self.projection.tasks.get(&id).cloned() else { return };
        let progress = text_of(progress);
        if let Some(job) = task.job_id {
            self.job(job, |state| state.progress.clone_from(&progress));
        }
        if let (Some(workflow_id), true) = (task.workflow_id, task.followed)
            && let Some(workflow) = self.workflow(workflow_id)
        {
            workflow.task_progress = progress;
            self.write_workflow(workflow_id);
        }
    }

    /// Changes what is known of a job, and writes its row.
    fn job(&mut self, id: i64, change: impl FnOnce(&mut JobState)) {
        self.projection.changed.insert(Key::Job(id));
        let unknown = || JobState { status: UNKNOWN.to_owned(), progress: None };
        let state = self.projection.jobs.entry(id).or_insert_with(unknown);
        change(state);
        if let Ok(id) = i32::try_from(id) {
            let row = JobProgressRow { status: state.status.clone(), progress: state.progress.clone() };
            self.projection.rows.job_progress.insert(id, (row, self.id));
        }
    }

    fn workflow_of(&self, task: &TaskState) -> Option<&WorkflowState> {
        self.projection.workflows.get(&task.workflow_id?)
    }

    /// A job is counted once its task belongs to a known workflow.
    fn write_job(&mut self, task_id: Uuid, job_id: i64) {
        let workflow = self.projection.tasks.get(&task_id).and_then(|task| self.workflow_of(task));
        let Some(WorkflowState { user: Some(user), group: Some(group), .. }) = workflow else { return };
        if let Ok(job_id) = i32::try_from(job_id) {
            let row = JobRow { user: *user, group: *group, task_id };
            self.projection.rows.jobs.insert(job_id, (row, self.id));
        }
    }

    fn write_workflow(&mut self, id: Uuid) {
        let Some(workflow) = self.projection.workflows.get(&id) else { return };
        let main = workflow.main_task.as_ref().map(|main| main.name.clone());
        let row = WorkflowProgressRow {
            status: workflow.status.clone(),
            progress: workflow.progress.clone(),
            user: workflow.user,
            group: workflow.group,
            name: workflow.name.clone(),
            task: workflow.task.clone(),
            main_task_name: main.or_else(|| workflow.task.clone()),
            start_time: moment(workflow.start_time),
        };
        self.projection.rows.workflow_progress.insert(id, (row, self.id));
    }

    fn write_task(&mut self, id: Uuid) {
        let Some(task) = self.projection.tasks.get(&id) else { return };
        let Some(created) = &task.created else { return };
        let workflow = self.workflow_of(task);
        let row = TaskExecutionRow {
            task_name: created.name.clone(),
            task_version: created.version.clone(),
            user_id: workflow.and_then(|workflow| workflow.user),
            group_id: workflow.and_then(|workflow| workflow.group),
            status: task.status.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            start_time: moment(created.start_time),
            end_time: task.end_time.map(moment),
            error_type: task.error_type.clone(),
        };
        self.projection.rows.task_execution.insert(id, (row, self.id));
    }
}

/// Scripts that BIOMERO runs around the workflow that the user asked for.
fn is_of_biomero(task_name: &str) -> bool {
    let name = task_name.to_lowercase();
    ["_slurm_", "slurm_", "convert_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The workflow's status and progress when one of its tasks has a new status.
fn stage(task_name: &str, status: &str, task_progress: Option<&str>) -> (String, String) {
    const POSTPROCESSING: &str = "POSTPROCESSING";
    let is_postprocessing = status == POSTPROCESSING;
    let (status, progress) = match task_name {
        "_slurm_image_transfer.py" => ("TRANSFERRING", "5%"),
        name if name.starts_with("convert_") => ("CONVERTING", "25%"),
        "slurm_get_results.py" if is_postprocessing => (POSTPROCESSING, "95%"),
        "slurm_get_results.py" => ("RETRIEVING", "90%"),
        "slurm_import_results.py" => (status, if is_postprocessing { "95%" } else { "90%" }),
        "slurm_run_workflow.py" => ("RUNNING", "50%"),
        _ => return (format!("JOB_{status}"), job_progress(task_progress)),
    };
    (status.to_owned(), progress.to_owned())
}

/// Of the workflow while its job runs: from 50 % to 90 %, as Python prints a float.
fn job_progress(task_progress: Option<&str>) -> String {
    let percent = task_progress.and_then(|progress| progress.trim_matches('%').trim().parse::<i32>().ok());
    match percent {
        Some(percent) => format!("{}%", Number::from_f64(50.0 + f64::from(percent) / 100.0 * 40.0).as_str()),
        None => "50%".to_owned(),
    }
}

fn microseconds(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1000).unwrap_or_default()
}

fn moment(microseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
