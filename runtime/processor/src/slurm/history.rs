//! A run in the workflow history: each thing that happens becomes the events that Python's scripts would have recorded, with
//! the names of tasks that its views and dashboards know.
//!
//! Invariant: the id of every command follows from the run and from what happened, so that a run that is taken up again
//! records nothing twice.

use biomero_events::command::Command;
use biomero_events::json::Value;
use biomero_events::worker::JobUsage;
use biomero_events::{Error, EventLog};
use biomero_slurm::job::Job;
use biomero_slurm::run::{Happened, Request, Step, Witness};
use time::OffsetDateTime;
use uuid::Uuid;

/// Records what happens, and hands it on to whoever shows it.
pub(crate) struct Recorder<'a, S> {
    log: &'a EventLog,
    cluster: String,
    shown: S,
}

/// Who shows what happens.
pub(crate) trait Show: Send {
    /// Takes note.
    fn happened(&mut self, what: &Happened<'_>);
}

impl<'a, S: Show> Recorder<'a, S> {
    /// Into this log; `cluster` is what jobs are told apart by where there are several.
    pub(crate) const fn new(log: &'a EventLog, cluster: String, shown: S) -> Self {
        Self { log, cluster, shown }
    }

    /// The run itself: once, however often it is taken up.
    pub(crate) async fn begun(&self, request: &Request) -> Result<(), Error> {
        let run = request.id;
        let description = format!("processor slurm run on {}", request.input.display());
        let initiate =
            Command::initiate_workflow(run, &request.workflow, &description, request.user, request.group)
                .with_id(key(run, "initiate"));
        let start = Command::start_workflow(run).with_id(key(run, "start"));
        self.log.append_all(&[initiate, start]).await.map(drop)
    }

    /// Its end.
    pub(crate) async fn ended(&self, request: &Request, failure: Option<&str>) -> Result<(), Error> {
        let run = request.id;
        let command = match failure {
            None => Command::complete_workflow(run).with_id(key(run, "complete")),
            Some(reason) => Command::fail_workflow(run, reason).with_id(key(run, "fail")),
        };
        self.log.append(&command).await.map(drop)
    }

    fn commands(&self, request: &Request, what: &Happened<'_>) -> Vec<Command> {
        let run = request.id;
        let attempt = |step: Step| request.attempt(step);
        let told = |step: Step, what: &str| match attempt(step) {
            0 => key(run, &format!("{}/{what}", step.name())),
            attempt => key(run, &format!("{}/{attempt}/{what}", step.name())),
        };
        let task = |run: Uuid, step: Step| task(run, step, attempt(step));
        match what {
            Happened::Begun { step, name, version, input, parameters } => {
                let task = task(run, *step);
                let parameters =
                    parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                let mut commands = vec![
                    Command::add_task(
                        run,
                        task,
                        task_name(*step, name),
                        version,
                        (*input).into(),
                        Value::Object(parameters),
                    )
                    .with_id(told(*step, "add")),
                    Command::start_task(task).with_id(told(*step, "start")),
                ];
                // Where there is no job whose state does, this tells the views that it has begun.
                if let Step::Transfer | Step::Fetch = step {
                    let status = Command::update_task_status(task, "RUNNING");
                    commands.push(status.with_id(told(*step, "status")));
                }
                commands
            }
            Happened::Submitted { step, job, command, environment } => {
                let task = task(run, *step);
                vec![
                    Command::add_job_id(task, i64::from(job.job)).with_id(told(*step, &format!("job/{job}"))),
                    Command::add_result(
                        task,
                        command,
                        environment,
                        &format!("Submitted batch job {job}"),
                        "",
                    )
                    .with_id(told(*step, &format!("result/{job}"))),
                ]
            }
            Happened::State { step, job, tasks: (_, 1) } => {
                let status = job.state.name();
                // Put back into the queue, a job runs once more: the moment tells the two apart.
                let told = told(*step, &format!("state/{}/{status}/{:?}", job.id, job.started));
                vec![Command::update_task_status(task(run, *step), status).with_id(told)]
            }
            // Of an array the task says how far all are.
            Happened::State { step, job, tasks: (ended, all) } => {
                // One that has ended says nothing of those that have not.
                let status = match job.state.is_ended() {
                    _ if ended == all => "COMPLETED",
                    true => "RUNNING",
                    false => job.state.name(),
                };
                let percent = format!("{}%", ended * 100 / (*all).max(1));
                let at = format!("{ended}/{all}");
                vec![
                    Command::update_task_status(task(run, *step), status)
                        .with_id(told(*step, &format!("state/{}/{status}/{at}", job.id.job))),
                    Command::update_task_progress(task(run, *step), Some(&percent))
                        .with_id(told(*step, &format!("progress/{}/{at}", job.id.job))),
                ]
            }
            Happened::Progress { step, percent } => {
                vec![
                    Command::update_task_progress(task(run, *step), Some(&format!("{percent}%")))
                        .with_id(told(*step, &format!("progress/{percent}"))),
                ]
            }
            Happened::Done { step, result } => {
                vec![Command::complete_task(task(run, *step), result).with_id(told(*step, "complete"))]
            }
            Happened::Failed { step, reason } => {
                vec![Command::fail_task(task(run, *step), reason).with_id(told(*step, "fail"))]
            }
            Happened::Moved { .. } | Happened::Used { .. } => Vec::new(),
        }
    }

    fn usage(&self, request: &Request, step: Step, job: &Job) -> Option<JobUsage> {
        let moment = |seconds: Option<i64>| OffsetDateTime::from_unix_timestamp(seconds?).ok();
        let id = |id: i64| i32::try_from(id).ok();
        Some(JobUsage {
            cluster: self.cluster.clone(),
            slurm_job_id: i64::from(job.own.unwrap_or(job.id.job)),
            submitted: moment(job.submitted)?,
            task_id: Some(task(request.id, step, request.attempt(step))),
            user: id(request.user),
            group: id(request.group),
            job_state: job.state.name().to_owned(),
            exit_code: job.exit.map(|exit| i32::from(exit.code)),
            signal: job.exit.map(|exit| i32::from(exit.signal)).filter(|signal| *signal != 0),
            partition: job.partition.clone(),
            node_list: job.nodes.clone(),
            started: moment(job.started),
            ended: moment(job.ended),
            elapsed_seconds: job.elapsed.and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok()),
            allocated_cpus: job.processors.and_then(|processors| i32::try_from(processors).ok()),
            cpu_seconds: job.processor_time.map(|time| time.as_secs_f64()),
            max_rss_bytes: job.peak_memory.and_then(|bytes| i64::try_from(bytes).ok()),
        })
    }
}

impl<S: Show + Sync> Witness for Recorder<'_, S> {
    type Error = Error;

    async fn happened(&mut self, request: &Request, what: &Happened<'_>) -> Result<(), Error> {
        self.shown.happened(what);
        let commands = self.commands(request, what);
        if !commands.is_empty() {
            self.log.append_all(&commands).await?;
        }
        if let Happened::Used { step, job } = what
            && let Some(usage) = self.usage(request, *step, job)
        {
            self.log.record_job_usage(&[usage]).await?;
        }
        Ok(())
    }
}

/// The task of a step, as its workflow knows it.
fn task(run: Uuid, step: Step, attempt: u32) -> Uuid {
    biomero_workflow::task_id(run, step.name(), attempt)
}

/// An id that is found again: of a run, and of what it is for.
fn key(run: Uuid, what: &str) -> Uuid {
    biomero_workflow::command_id(run, what)
}

/// As Python's scripts are called: its views tell by the name how far a workflow is.
const fn task_name(step: Step, name: &str) -> &str {
    match step {
        Step::Transfer => "_SLURM_Image_Transfer.py",
        Step::Convert | Step::Workflow => name,
        Step::Fetch => "SLURM_Get_Results.py",
        Step::Clean => "SLURM_Clean_Up.py",
    }
}
