//! The steps of a run, one after the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_config::slurm_config::{BiomeroSettings, Workflow};
use tokio::sync::watch;
use tokio::time::sleep;

use super::failure::Failure;
use super::progress::{Converting, Keep, Notes as _};
use super::{Beat, Happened, Request, Step, Witness, let_go};
use crate::cluster::Cluster;
use crate::data::{self, Debris, Download, Layout, Upload, Uploaded};
use crate::descriptor::Descriptor;
use crate::engine::Engine;
use crate::job::{Job, JobId, Submission};
use crate::setup::item::Became;
use crate::setup::program;
use crate::setup::scripts::{self, Script};
use crate::workflow::plan::EnvironmentFile;
use crate::workflow::{Arguments, AttachedFile, Call, Conversion, JobPlan, Site, conversion, plan};

/// How far back a job of an interrupted run is looked for.
pub(super) const FOUND_WITHIN: Duration = Duration::from_secs(30 * 86_400);
/// How often such a job is looked for.
pub(super) const LOOKS: Duration = Duration::from_secs(5);
/// The list of a conversion is never larger, in bytes.
const LARGEST_LIST: usize = 64 << 20;
/// Why a task of an array counts as gone that nobody tells of.
const LOST: &str = "neither slurmctld nor the accounting knows it any more";

/// What a run works with.
#[derive(Debug, Clone, Copy)]
pub struct Worker<'a> {
    /// Where data and scripts go.
    pub cluster: &'a Cluster,
    /// Who runs jobs there.
    pub engine: &'a Engine,
    /// Who tells how jobs stand and what they write: one for all runs.
    pub beat: &'a Beat<Engine>,
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

/// The job that a request becomes; nothing is sent. What a dry run shows.
///
/// # Errors
/// Parameters or configuration make no sense.
pub fn planned(worker: &Worker<'_>, request: &Request) -> Result<JobPlan, Failure> {
    let arguments = Arguments::of(worker.descriptor, &request.parameters).map_err(Failure::Arguments)?;
    let data = request.data_name();
    let comment = comment(request, Step::Workflow);
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
pub async fn run<K: Keep, W: Witness>(
    worker: &Worker<'_>,
    request: &Request,
    held: &mut K,
    witness: &mut W,
) -> Result<Outcome, Failure> {
    // What makes no sense is told before anything is sent.
    let plan = planned(worker, request)?;
    let layout = Layout::new(&worker.settings.slurm.data_path, request.data_name())?;
    let mut run = Run { worker, request, layout, held, witness, begun: None };
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
        // Once they are here, those on the cluster may have gone.
        if run.has_to(Step::Fetch) {
            let done = run.fetch(output).await;
            outcome.fetched = Some(run.ended(Step::Fetch, done).await?);
        }
        outcome.results.clone_from(output);
        if request.clean {
            let done = run.clean(Some(job)).await;
            run.ended(Step::Clean, done).await?;
            outcome.cleaned = true;
        }
    }
    if !outcome.cleaned {
        let_go(worker, request).await;
    }
    Ok(outcome)
}

/// Does one step, for who keeps account of them: which are done already, and when one is begun anew, under another attempt.
/// The result in a few words. Of a failure the witness hears only where the step cannot be done any more as it is.
///
/// # Errors
/// It failed. What has been done stays, and [`Failure::is_passing`] says whether doing the same again helps.
pub async fn perform<K: Keep, W: Witness>(
    worker: &Worker<'_>,
    request: &Request,
    step: Step,
    held: &mut K,
    witness: &mut W,
) -> Result<String, Failure> {
    let plan = planned(worker, request)?;
    let layout = Layout::new(&worker.settings.slurm.data_path, request.data_name())?;
    let mut run = Run { worker, request, layout, held, witness, begun: None };
    let note = |((), note): ((), String)| note;
    let done = match step {
        Step::Transfer => run.transfer(&plan.attached).await.map(note),
        Step::Convert => run.convert().await.map(note),
        Step::Workflow => run.workflow(&plan).await.map(|(_, note)| note),
        Step::Fetch => match &request.output {
            Some(output) => run.fetch(output).await.map(|(_, note)| note),
            None => Ok("results stay on the cluster".to_owned()),
        },
        Step::Clean => {
            let job = run.held.progress().job.map(JobId::of);
            run.clean(job).await.map(note)
        }
    };
    run.told(step, done.map(|note| ((), note))).await.map(|((), note)| note)
}

pub(super) struct Run<'a, K, W> {
    pub(super) worker: &'a Worker<'a>,
    pub(super) request: &'a Request,
    layout: Layout,
    held: &'a mut K,
    witness: &'a mut W,
    /// The step that the witness knows of: it hears of the end of no other.
    begun: Option<Step>,
}

impl<K: Keep, W: Witness> Run<'_, K, W> {
    fn has_to(&self, step: Step) -> bool {
        !self.held.is_done(step)
    }

    pub(super) async fn tell(&mut self, what: Happened<'_>) -> Result<(), Failure> {
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
        self.tell(Happened::Begun { step, name, version, input, parameters }).await?;
        self.begun = Some(step);
        Ok(())
    }

    /// What a step has come to is told and remembered; what may pass is no end of it.
    async fn ended<T>(&mut self, step: Step, done: Result<(T, String), Failure>) -> Result<T, Failure> {
        let done = self.told(step, done).await;
        match done {
            Ok((value, _)) => {
                self.held.done(step).await?;
                Ok(value)
            }
            Err(failure) => {
                if !failure.is_passing() {
                    let_go(self.worker, self.request).await;
                }
                Err(failure)
            }
        }
    }

    /// What a step has come to is told; what may pass is no end of it.
    async fn told<T>(
        &mut self,
        step: Step,
        done: Result<(T, String), Failure>,
    ) -> Result<(T, String), Failure> {
        if self.begun == Some(step) {
            match &done {
                Ok((_, result)) => self.tell(Happened::Done { step, result }).await?,
                Err(failure) if failure.is_passing() => {}
                Err(failure) => self.tell(Happened::Failed { step, reason: &failure.to_string() }).await?,
            }
        }
        done
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
        let comment = comment(self.request, step);
        let data = self.layout.folder().display().to_string();
        let input = self.request.data_name();
        let conversion =
            Conversion { input: &input, source: "zarr", target: "tiff", comment: &comment, at_once: None };
        let job = match self.resumed(step, &comment).await? {
            Some(job) => {
                // Its images may have been converted, but its list tells what it was submitted with.
                let list = PathBuf::from(format!("{data}/config_{input}.txt"));
                let list = self.worker.cluster.files().read(&list, 0, LARGEST_LIST).await?;
                let plan = conversion::plan(&self.worker.site, &conversion, &conversion::in_list(&list))?;
                self.submitted(step, job, &plan.submission, &plan.environment).await?;
                job
            }
            None => {
                let search = conversion::search(&data, "zarr");
                let found = conversion::found(&self.worker.cluster.ask(&search).await?);
                if found.is_empty() {
                    return Ok(((), "nothing to convert".to_owned()));
                }
                let found: Vec<String> =
                    found.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                let plan = conversion::plan(&self.worker.site, &conversion, &found)?;
                let images = plan.submission.array.map_or(0, |array| array.last);
                self.held.converts(Converting { images, job: None }).await?;
                self.begun(step, (&plan.task, &plan.version), &plan.data, &plan.environment).await?;
                self.place_program().await?;
                self.place(&plan.script, plan.environment_file.iter().chain([&plan.list])).await?;
                let job = self.submit(step, &plan.submission).await?;
                self.submitted(step, job, &plan.submission, &plan.environment).await?;
                job
            }
        };
        let images = self.held.progress().conversion.map_or(0, |conversion| conversion.images);
        self.held.converts(Converting { images, job: Some(job.job) }).await?;
        let ended = self.wait(step, job, None).await?;
        if let Some(job) = lost(job, images, &ended) {
            return Err(Failure::Gone { step: step.name(), job, reason: LOST.to_owned() });
        }
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
        let job = match self.resumed(step, &plan.submission.comment).await? {
            Some(job) => job,
            None => {
                self.place(&plan.script, plan.environment_file.iter()).await?;
                self.submit(step, &plan.submission).await?
            }
        };
        self.held.runs(job).await?;
        self.submitted(step, job, &plan.submission, &plan.environment).await?;
        let ended = self.wait(step, job, Some(log_of(job))).await?;
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

    async fn clean(&mut self, job: Option<JobId>) -> Result<((), String), Failure> {
        let folder = self.layout.folder().display().to_string();
        self.begun(Step::Clean, ("clean", env!("CARGO_PKG_VERSION")), &folder, &[]).await?;
        let run = self.request.id.to_string();
        let logs = converted(self.held.progress().conversion).chain(job).map(log_of).collect();
        let debris = Debris { layout: self.layout.clone(), run, logs };
        data::clean(self.worker.cluster, &debris, false, |_| None).await?;

        Ok(((), format!("{folder} removed")))
    }

    /// The job that this run has submitted before it was interrupted.
    async fn resumed(&mut self, step: Step, comment: &str) -> Result<Option<JobId>, Failure> {
        if !self.held.is_resumed() {
            return Ok(None);
        }
        let engine = self.worker.engine;
        loop {
            let asked = self.held.asked(step);
            if let Some(job) = engine.find(comment, FOUND_WITHIN).await? {
                // It was told of before the job was submitted.
                self.begun = Some(step);
                return Ok(Some(job));
            }
            // What a process that was killed has asked for may still be on its way.
            let Some(left) = asked.and_then(|ago| engine.settled().checked_sub(ago)) else { return Ok(None) };
            sleep(left.min(LOOKS)).await;
        }
    }

    /// Submits a job; that it was asked for is on disk before.
    async fn submit(&mut self, step: Step, submission: &Submission) -> Result<JobId, Failure> {
        self.held.asks(step).await?;
        Ok(self.worker.engine.submit(submission).await?)
    }

    /// Puts the program that converts images in its place, where a site has one.
    async fn place_program(&self) -> Result<(), Failure> {
        let Worker { cluster, site, .. } = self.worker;
        let Some(program) = site.program else { return Ok(()) };
        let placed = program::place(cluster, &site.slurm.converters_path, program, false).await?;
        tracing::debug!(?placed, "converter");
        match placed.became {
            Became::Failed => Err(Failure::Program {
                name: placed.name,
                told: placed.told.unwrap_or_default(),
                remedy: placed.remedy.unwrap_or_default(),
            }),
            _ => Ok(()),
        }
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
}

/// What the job of a step is found again by: that of this attempt, and of no other.
pub(super) fn comment(request: &Request, step: Step) -> String {
    let run = request.id;
    match request.attempt(step) {
        0 => format!("biomero-{run}-{}", step.name()),
        attempt => format!("biomero-{run}-{}-{attempt}", step.name()),
    }
}

/// Where the log of a job or task is: in the login folder, as Python's scripts look for it.
pub(super) fn log_of(job: JobId) -> PathBuf {
    PathBuf::from(format!("omero-{job}.log"))
}

/// The tasks of the array that has converted a run's images.
fn converted(conversion: Option<Converting>) -> impl Iterator<Item = JobId> {
    let known = conversion.and_then(|conversion| Some((conversion.job?, conversion.images)));
    known.into_iter().flat_map(|(job, images)| (1..=images).map(move |task| JobId { job, task: Some(task) }))
}

/// The first of an array's tasks of which nothing was told; of a run that was interrupted, one may have gone meanwhile.
fn lost(array: JobId, of: u32, tasks: &[Job]) -> Option<JobId> {
    let told: BTreeSet<JobId> = tasks.iter().map(|task| task.id).collect();
    if told.contains(&array) {
        return None;
    }
    (1..=of).map(|task| JobId { job: array.job, task: Some(task) }).find(|task| !told.contains(task))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler;

    fn task(job: u32, task: u32) -> JobId {
        JobId { job, task: Some(task) }
    }

    #[test]
    fn a_task_of_which_nothing_is_told_is_missed() {
        let tasks = |ids: &[JobId]| ids.iter().map(|id| scheduler::unknown(*id)).collect::<Vec<_>>();
        let array = JobId::of(7);
        for (of, told, missed) in [
            (3, &[task(7, 1), task(7, 2), task(7, 3)][..], None),
            (3, &[task(7, 1), task(7, 3)], Some(task(7, 2))),
            (3, &[], Some(task(7, 1))),
            (1, &[array], None),
            // How many there are is not known.
            (0, &[task(7, 1)], None),
        ] {
            assert_eq!(lost(array, of, &tasks(told)), missed, "{told:?} of {of}");
        }
    }

    #[test]
    fn each_image_has_a_task_that_leaves_a_log() {
        let logs = |conversion| converted(conversion).map(log_of).collect::<Vec<_>>();
        let known = Converting { images: 2, job: Some(7) };
        assert_eq!(logs(Some(known)), [Path::new("omero-7_1.log"), Path::new("omero-7_2.log")]);
        assert_eq!(logs(Some(Converting { job: None, ..known })), Vec::<PathBuf>::new());
        assert_eq!(logs(None), Vec::<PathBuf>::new());
    }
}
