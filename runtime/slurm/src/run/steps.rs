//! The steps of a run, one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_config::slurm_config::{BiomeroSettings, Workflow};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::store::{Held, StoreError};
use super::{Happened, Request, Step, Witness};
use crate::cluster::{self, Cluster};
use crate::data::{self, Debris, Download, Layout, Upload, Uploaded};
use crate::descriptor::Descriptor;
use crate::engine::{self, Engine};
use crate::job::{Job, JobId, Submission};
use crate::scheduler::log::Follower;
use crate::scheduler::progress::Progress;
use crate::scheduler::watch::{Change, Pace, Watch, WatchOptions};
use crate::scheduler::{self, Failure as JobFailure};
use crate::setup::scripts::{self, Script};
use crate::workflow::plan::EnvironmentFile;
use crate::workflow::{
    ArgumentError, Arguments, AttachedFile, Call, Conversion, JobPlan, PlanError, Site, conversion, plan,
};

/// How far back a job of an interrupted run is looked for.
const FOUND_WITHIN: Duration = Duration::from_secs(30 * 86_400);
/// How often the log of a job is looked at for how far it is.
const LOOKS: Duration = Duration::from_secs(5);
/// How much of the end of a failed job's log is looked at, in bytes.
const LOG_END: usize = 16 << 10;
/// How many of an array's failed tasks are told one by one.
const TOLD_TASKS: usize = 5;

/// What a run works with.
#[derive(Debug, Clone, Copy)]
pub struct Worker<'a> {
    /// Where data and scripts go.
    pub cluster: &'a Cluster,
    /// Who runs jobs there.
    pub engine: &'a Engine,
    /// `slurm-config.ini`.
    pub settings: &'a BiomeroSettings,
    /// What the site says of its jobs.
    pub site: Site<'a>,
    /// The workflow.
    pub workflow: &'a Workflow,
    /// Its descriptor.
    pub descriptor: &'a Descriptor,
    /// The longest time between two questions about a job.
    pub poll: Duration,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The data folder on the cluster.
    pub data: PathBuf,
    /// The job of the workflow.
    pub job: JobId,
    /// Where results are: here, or on the cluster.
    pub results: PathBuf,
    /// How many files came back, and their bytes.
    pub fetched: Option<(u64, u64)>,
    /// Whether nothing is left on the cluster.
    pub cleaned: bool,
}

/// Why a run did not come to its end.
#[derive(Debug, Error)]
pub enum Failure {
    /// Parameters make no sense; nothing was sent.
    #[error("{}", listed(.0))]
    Arguments(Vec<ArgumentError>),
    /// The job cannot be planned; what the message names has to be put right.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The name of the data folder makes no sense.
    #[error(transparent)]
    Name(#[from] data::BadName),
    /// Data did not get through. The run can be taken up again.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// The cluster could not be asked. The run can be taken up again.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// Jobs could not be submitted or asked after. The run can be taken up again.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The request could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What happened could not be recorded. The run can be taken up again.
    #[error("what happened could not be recorded, and nothing goes on unrecorded: {0}")]
    Witness(Box<dyn std::error::Error + Send + Sync>),
    /// A job did not succeed.
    #[error("{} of {step} did not succeed: {}", jobs(.failures, *.more), .failures.first().map_or_else(String::new, ToString::to_string))]
    Job {
        /// Which step.
        step: &'static str,
        /// Jobs or tasks of an array: the first few.
        failures: Vec<JobFailure>,
        /// How many more.
        more: usize,
    },
    /// A job can never begin.
    #[error("job {job} of {step} can never start: {reason}; it was cancelled")]
    Never {
        /// Which step.
        step: &'static str,
        /// The job.
        job: JobId,
        /// Why, and what to do.
        reason: String,
    },
    /// A job is gone.
    #[error(
        "nobody can tell what became of job {job} of {step}: {reason}; look for its log, omero-{job}.log, in the login folder"
    )]
    Gone {
        /// Which step.
        step: &'static str,
        /// The job.
        job: JobId,
        /// What is known.
        reason: String,
    },
}

impl Failure {
    /// Whether the same run may succeed when it is taken up again: the trouble was on the way, not in the run.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            // What Slurm refuses it refuses again.
            Self::Engine(engine::Error::Slurm(
                scheduler::Error::Refused { .. } | scheduler::Error::Submission { .. },
            )) => false,
            Self::Data(_) | Self::Cluster(_) | Self::Engine(_) | Self::Store(_) | Self::Witness(_) => true,
            _ => false,
        }
    }
}

fn listed(problems: &[ArgumentError]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn jobs(failures: &[JobFailure], more: usize) -> String {
    match failures.len() + more {
        1 => failures.first().map_or_else(|| "the job".to_owned(), |failure| format!("job {}", failure.job)),
        count => format!("{count} jobs"),
    }
}

/// The job that a request becomes; nothing is sent. What a dry run shows.
///
/// # Errors
/// Parameters or configuration make no sense.
pub fn planned(worker: &Worker<'_>, request: &Request) -> Result<JobPlan, Failure> {
    let arguments = Arguments::of(worker.descriptor, &request.parameters).map_err(Failure::Arguments)?;
    let data = request.data_name();
    let comment = comment(request.id, Step::Workflow);
    let call = Call {
        version: &request.version,
        input: &data,
        arguments: &arguments,
        use_gpu: None,
        time: request.time.as_deref(),
        email: request.email.as_deref(),
        options: &request.options,
        comment: &comment,
    };
    Ok(plan(worker.workflow, worker.descriptor, &worker.site, &call)?)
}

/// Runs what is not done yet.
///
/// # Errors
/// A step failed. What has been done stays, and [`Failure::is_passing`] says whether trying again helps.
pub async fn run<W: Witness>(
    worker: &Worker<'_>,
    request: &Request,
    held: &mut Held,
    witness: &mut W,
) -> Result<Outcome, Failure> {
    // What makes no sense is told before anything is sent.
    let plan = planned(worker, request)?;
    let layout = Layout::new(&worker.settings.slurm.data_path, request.data_name())?;
    let mut run = Run { worker, request, layout, held, witness, logs: Vec::new() };
    if run.has_to(Step::Transfer) {
        let done = run.transfer(&plan.attached).await;
        run.ended(Step::Transfer, done).await?;
    }
    if request.convert && !worker.descriptor.takes_zarr() && run.has_to(Step::Convert) {
        let done = run.convert().await;
        run.ended(Step::Convert, done).await?;
    }
    let done = run.workflow(&plan).await;
    let job = run.ended(Step::Workflow, done).await?;
    let results = run.layout.output();
    let data = run.layout.folder();
    let mut outcome = Outcome { data, job, results, fetched: None, cleaned: false };
    if let Some(output) = &request.output {
        let done = run.fetch(output).await;
        outcome.fetched = Some(run.ended(Step::Fetch, done).await?);
        outcome.results.clone_from(output);
        if request.clean {
            let done = run.clean().await;
            run.ended(Step::Clean, done).await?;
            outcome.cleaned = true;
        }
    }
    if !outcome.cleaned {
        run.let_go().await;
    }
    Ok(outcome)
}

struct Run<'a, W> {
    worker: &'a Worker<'a>,
    request: &'a Request,
    layout: Layout,
    held: &'a mut Held,
    witness: &'a mut W,
    /// Of jobs that have ended.
    logs: Vec<PathBuf>,
}

impl<W: Witness> Run<'_, W> {
    fn has_to(&self, step: Step) -> bool {
        !self.held.is_done(step)
    }

    async fn tell(&mut self, what: Happened<'_>) -> Result<(), Failure> {
        let told = self.witness.happened(self.request, &what).await;
        told.map_err(|error| Failure::Witness(Box::new(error)))
    }

    async fn begun(
        &mut self,
        step: Step,
        (name, version): (&str, &str),
        input: &str,
        parameters: &[(String, String)],
    ) -> Result<(), Failure> {
        self.tell(Happened::Begun { step, name, version, input, parameters }).await
    }

    /// What a step has come to is told and remembered; what may pass is no end of it.
    async fn ended<T>(&mut self, step: Step, done: Result<(T, String), Failure>) -> Result<T, Failure> {
        match done {
            Ok((value, result)) => {
                self.tell(Happened::Done { step, result: &result }).await?;
                self.held.done(step)?;
                Ok(value)
            }
            Err(failure) if failure.is_passing() => Err(failure),
            Err(failure) => {
                self.let_go().await;
                self.tell(Happened::Failed { step, reason: &failure.to_string() }).await?;
                Err(failure)
            }
        }
    }

    /// The run is over: its data may be cleaned away. Where that cannot be said, whoever cleans is told whose mark it is.
    async fn let_go(&self) {
        let run = self.request.id.to_string();
        if let Err(error) = data::unmark_in_use(self.worker.cluster, &self.layout, &run).await {
            tracing::warn!("{error}");
        }
    }

    /// Attached files come first: they are few, and what is wrong with one is told before the images are under way.
    async fn transfer(&mut self, attached: &[AttachedFile]) -> Result<((), String), Failure> {
        let input = self.request.input.display().to_string();
        let with: Vec<(String, String)> =
            attached.iter().map(|file| (file.parameter.clone(), file.source.display().to_string())).collect();
        self.begun(Step::Transfer, ("transfer", env!("CARGO_PKG_VERSION")), &input, &with).await?;
        let images = Upload::new(&self.request.input, self.layout.input());
        let uploads = attached.iter().map(|file| Upload::new(&file.source, &file.target)).chain([images]);
        let (mut entries, mut bytes) = (0, 0);
        for upload in uploads {
            let sent = self.send(upload).await?;
            entries += sent.entries;
            bytes += sent.bytes;
        }
        let cluster = self.worker.cluster;
        let files = cluster.files();
        files.create_folder(&self.layout.output()).await?;
        files.create_folder(&self.layout.ground_truth()).await?;
        // Nobody cleans away what a run that is not over works on.
        data::mark_in_use(cluster, &self.layout, &self.request.id.to_string()).await?;
        Ok(((), format!("{entries} files and folders, {bytes} bytes")))
    }

    async fn send(&mut self, mut upload: Upload) -> Result<Uploaded, Failure> {
        let (to, mut told) = watch::channel(data::Progress::default());
        upload.watcher = Some(std::sync::Arc::new(move |progress| {
            let _ = to.send(progress);
        }));
        let sending = data::upload(self.worker.cluster, &upload);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                sent = &mut sending => return Ok(sent?),
                changed = told.changed() => if changed.is_ok() {
                    let progress = *told.borrow_and_update();
                    let (bytes, of) = (progress.bytes, Some(progress.of_bytes));
                    self.tell(Happened::Moved { step: Step::Transfer, bytes, of }).await?;
                },
            }
        }
    }

    async fn convert(&mut self) -> Result<((), String), Failure> {
        let step = Step::Convert;
        let comment = comment(self.request.id, step);
        let data = self.layout.folder().display().to_string();
        let engine = self.worker.engine;
        let job = match self.resumed(&comment).await? {
            Some(job) => job,
            None => {
                let search = conversion::search(&data, "zarr");
                let found = conversion::found(&self.worker.cluster.ask(&search).await?);
                if found.is_empty() {
                    return Ok(((), "nothing to convert".to_owned()));
                }
                let found: Vec<String> =
                    found.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                let input = self.request.data_name();
                let conversion = Conversion {
                    input: &input,
                    source: "zarr",
                    target: "tiff",
                    comment: &comment,
                    at_once: None,
                };
                let plan = conversion::plan(&self.worker.site, &conversion, &found)?;
                self.begun(step, (&plan.task, &plan.version), &plan.data, &plan.environment).await?;
                self.place(&plan.script, plan.environment_file.iter().chain([&plan.list])).await?;
                let job = engine.submit(&plan.submission).await?;
                self.submitted(step, job, &plan.submission, &plan.environment).await?;
                job
            }
        };
        let ended = self.wait(step, job, None).await?;
        Ok(((), format!("{} images converted", ended.len())))
    }

    async fn workflow(&mut self, plan: &JobPlan) -> Result<(JobId, String), Failure> {
        let step = Step::Workflow;
        let (name, version) = (&self.worker.workflow.name, &self.request.version);
        let parameters: Vec<(String, String)> = plan
            .recorded
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                (name.clone(), text)
            })
            .collect();
        self.begun(step, (name, version), &plan.data, &parameters).await?;
        let job = match self.resumed(&plan.submission.comment).await? {
            Some(job) => job,
            None => {
                self.place(&plan.script, plan.environment_file.iter()).await?;
                self.worker.engine.submit(&plan.submission).await?
            }
        };
        self.submitted(step, job, &plan.submission, &plan.environment).await?;
        let mut log = Follower::new(log_of(job));
        let ended = self.wait(step, job, Some(&mut log)).await?;
        let state = ended.first().map_or("COMPLETED", |job| job.state.name());
        Ok((job, format!("job {job} {state}")))
    }

    async fn fetch(&mut self, output: &Path) -> Result<((u64, u64), String), Failure> {
        let step = Step::Fetch;
        let source = self.layout.output();
        self.begun(step, ("fetch", env!("CARGO_PKG_VERSION")), &source.display().to_string(), &[]).await?;
        let (to, mut told) = watch::channel(data::Progress::default());
        let mut download = Download::new(source, output);
        download.settle = true;
        download.watcher = Some(std::sync::Arc::new(move |progress| {
            let _ = to.send(progress);
        }));
        let fetching = data::download(self.worker.cluster, &download);
        tokio::pin!(fetching);
        let fetched = loop {
            tokio::select! {
                fetched = &mut fetching => break fetched?,
                changed = told.changed() => if changed.is_ok() {
                    let progress = *told.borrow_and_update();
                    self.tell(Happened::Moved { step, bytes: progress.bytes, of: Some(progress.of_bytes) }).await?;
                },
            }
        };
        let result = format!("{} files and folders, {} bytes", fetched.entries, fetched.bytes);
        Ok(((fetched.entries, fetched.bytes), result))
    }

    async fn clean(&mut self) -> Result<((), String), Failure> {
        let folder = self.layout.folder().display().to_string();
        self.begun(Step::Clean, ("clean", env!("CARGO_PKG_VERSION")), &folder, &[]).await?;
        let run = self.request.id.to_string();
        let debris = Debris { layout: self.layout.clone(), run, logs: self.logs.clone() };
        data::clean(self.worker.cluster, &debris, false, |_| None).await?;

        Ok(((), format!("{folder} removed")))
    }

    /// The job that this run has submitted before it was interrupted.
    async fn resumed(&self, comment: &str) -> Result<Option<JobId>, Failure> {
        if !self.held.is_resumed() {
            return Ok(None);
        }
        Ok(self.worker.engine.find(comment, FOUND_WITHIN).await?)
    }

    /// Puts a job's script and files in their places.
    async fn place<'f>(
        &self,
        script: &crate::workflow::Script,
        files: impl Iterator<Item = &'f EnvironmentFile>,
    ) -> Result<(), Failure> {
        let cluster = self.worker.cluster;
        if let Some(text) = &script.text {
            let script = Script { path: PathBuf::from(&script.path), text: text.clone() };
            let item = scripts::write_one(cluster, &script).await?;
            tracing::debug!(?item, "job script");
        }
        for file in files {
            cluster.files().write(Path::new(&file.path), file.text.as_bytes(), 0o600).await?;
        }
        Ok(())
    }

    async fn submitted(
        &mut self,
        step: Step,
        job: JobId,
        submission: &Submission,
        environment: &[(String, String)],
    ) -> Result<(), Failure> {
        let command = typed(submission);
        self.tell(Happened::Submitted { step, job, command: &command, environment }).await
    }

    /// Waits until a job, or every task of an array, has ended, and succeeded. A cluster that is silent for a while is waited
    /// for.
    async fn wait(
        &mut self,
        step: Step,
        id: JobId,
        mut log: Option<&mut Follower>,
    ) -> Result<Vec<Job>, Failure> {
        let pace = Pace { longest: self.worker.poll, ..Pace::default() };
        let options = WatchOptions { pace, ..WatchOptions::default() };
        let (mut watch, adder) = Watch::new(self.worker.engine.clone(), &[id], options);
        drop(adder);
        let mut tasks: BTreeMap<JobId, Job> = BTreeMap::new();
        let mut progress = Progress::default();
        let mut percent = None;
        let mut looks = interval(LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let change = tokio::select! {
                change = watch.next() => change,
                _ = looks.tick(), if log.is_some() => {
                    if let Some(log) = log.as_deref_mut()
                        && let Some(now) = self.progress(log, &mut progress).await
                        && percent != Some(now)
                    {
                        percent = Some(now);
                        self.tell(Happened::Progress { step, percent: now }).await?;
                    }
                    continue;
                }
            };
            match change {
                None => break,
                Some(Change::Silent { reason, .. }) => {
                    tracing::warn!("it cannot be told how job {id} stands, and it is waited for: {reason}");
                }
                Some(Change::Back) => tracing::warn!("it can be told again how job {id} stands"),
                Some(Change::Gone { reason, .. }) => {
                    return Err(Failure::Gone { step: step.name(), job: id, reason });
                }
                Some(Change::Job(job)) => {
                    let job = *job;
                    tasks.insert(job.id, job.clone());
                    // Of an array that has begun, the entry of the whole is none of its tasks.
                    if tasks.len() > 1 {
                        tasks.remove(&id);
                    }
                    let ended = tasks.values().filter(|task| task.state.is_ended()).count();
                    self.tell(Happened::State { step, job: &job, tasks: (ended, tasks.len()) }).await?;
                    if let Some(reason) = job.never.filter(|_| !job.state.is_ended()) {
                        self.worker.engine.cancel(&[id]).await?;
                        return Err(Failure::Never { step: step.name(), job: id, reason });
                    }
                    if job.state.is_ended() {
                        self.logs.push(log_of(job.id));
                    }
                }
            }
        }
        let tasks: Vec<Job> = tasks.into_values().collect();
        for job in &tasks {
            self.tell(Happened::Used { step, job }).await?;
        }
        self.judged(step, tasks).await
    }

    /// How far the job's own program says it is; a log that cannot be read says nothing.
    async fn progress(&self, log: &mut Follower, progress: &mut Progress) -> Option<u8> {
        let mut reading = None;
        loop {
            let news = log.look(self.worker.cluster).await.ok()?;
            if news.restarted {
                progress.restart();
            }
            reading = progress.push(&news.bytes).or(reading);
            if !news.more {
                return reading.map(|reading| reading.percent);
            }
        }
    }

    async fn judged(&self, step: Step, tasks: Vec<Job>) -> Result<Vec<Job>, Failure> {
        let failed = tasks.iter().filter(|job| !job.state.is_success()).count();
        if failed == 0 {
            return Ok(tasks);
        }
        let mut failures = Vec::new();
        for job in tasks.iter().filter(|job| !job.state.is_success()).take(TOLD_TASKS) {
            let path = log_of(job.id);
            let files = self.worker.cluster.files();
            let size = files.metadata(&path).await?.map_or(0, |found| found.size);
            let offset = size.saturating_sub(LOG_END as u64);
            let log = if size == 0 { Vec::new() } else { files.read(&path, offset, LOG_END).await? };
            failures.extend(JobFailure::of(job, &log));
        }
        let more = failed.saturating_sub(failures.len());
        Err(Failure::Job { step: step.name(), failures, more })
    }
}

/// What the job of a step is found again by.
fn comment(run: Uuid, step: Step) -> String {
    format!("biomero-{run}-{}", step.name())
}

/// Where the log of a job or task is: in the login folder, as Python's scripts look for it.
fn log_of(job: JobId) -> PathBuf {
    PathBuf::from(format!("omero-{job}.log"))
}

/// As one would type it, for people and for the history.
fn typed(submission: &Submission) -> String {
    let mut words = vec!["sbatch".to_owned()];
    words.extend(submission.options.iter().map(|(name, value)| match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    }));
    words.push(format!("--output={}", submission.output));
    if let Some(array) = &submission.array {
        words.push(format!("--array={}-{}", array.first, array.last));
    }
    words.push(submission.script.display().to_string());
    words.extend(submission.arguments.iter().cloned());
    words.join(" ")
}
