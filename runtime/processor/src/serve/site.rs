//! The steps of a workflow at this site: images by [`super::images`], the cluster by `slurm`, results by [`super::deliver`] into a
//! folder and by [`super::home`] into OMERO.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use biomero_config::Settings;
use biomero_config::slurm_config::{BiomeroSettings, Workflow};
use biomero_events::EventLog;
use biomero_slurm::Cluster;
use biomero_slurm::descriptor::Descriptor;
use biomero_slurm::engine::Engine;
use biomero_slurm::run::{self, Beat, Failure as RunFailure, Happened, Worker};
use biomero_slurm::workflow::catalogue::Catalogue;
use biomero_slurm::workflow::{Image, JobPlan, Program, Site as JobSite};
use biomero_workflow::{
    Admitted, CleanUp, Error, Failure, Input, Memory, Problem, Refusal, Remedy, Request, Results, Step,
    Steps, Work,
};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::lent::Lending;
use super::memory::Kept;
use super::paths::Paths;
use super::{deliver, failure, folder, home, images};
use crate::ended::Ended;
use crate::slurm::Context;
use crate::slurm::history::{Recorder, Show};

/// How many workflows have their images staged at a time: each takes all processors.
const STAGED_AT_ONCE: usize = 1;

/// The steps of a workflow at this site.
pub(crate) struct Site {
    settings: Settings,
    biomero: BiomeroSettings,
    cluster: Cluster,
    engine: Engine,
    beat: Beat<Engine>,
    catalogue: Catalogue,
    template: Option<String>,
    program: Option<Program>,
    log: Arc<EventLog>,
    folder: PathBuf,
    staging: Semaphore,
    lending: Arc<Lending>,
    paths: Paths,
    /// OMERO's command line, where it is installed.
    omero: Option<PathBuf>,
    /// Goes with the connection.
    _control: Option<TempDir>,
}

/// Nobody looks on.
struct Unseen;

impl Show for Unseen {
    fn happened(&mut self, _: &Happened<'_>) {}
}

/// A memory of what is only read.
struct Forgetful;

impl Memory for Forgetful {
    async fn keep(&self, _: serde_json::Value) -> Result<(), Error> {
        Ok(())
    }
}

impl Site {
    /// As configured; nothing is connected yet.
    pub(crate) fn new(context: Context<'_>, log: Arc<EventLog>) -> Result<Self, Ended> {
        let (engine, catalogue) = (context.engine()?, context.catalogue()?);
        let (template, program, folder) = (context.template()?, context.program()?, folder(&context)?);
        let (settings, biomero) = (context.settings.clone(), context.biomero.clone());
        let lending = Arc::new(Lending::new(&settings, context.state("sessions")?)?);
        let path = context.configuration.environment().get_os("PATH");
        let omero = home::command_line(&settings, path.map(AsRef::as_ref));
        let poll = settings.slurm.poll;
        let (cluster, control) = context.into_cluster();
        let staging = Semaphore::new(STAGED_AT_ONCE);
        Ok(Self {
            paths: Paths::new(settings.workflow.paths.clone()),
            settings,
            biomero,
            cluster,
            beat: Beat::new(engine.clone(), poll),
            engine,
            catalogue,
            template,
            program,
            log,
            folder,
            staging,
            lending,
            omero,
            _control: control,
        })
    }

    /// Who runs jobs.
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where they run.
    pub(crate) const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What workflows are lent in OMERO.
    pub(crate) const fn lending(&self) -> &Arc<Lending> {
        &self.lending
    }

    /// Ends the connection.
    pub(crate) async fn close(&self) {
        self.cluster.close().await;
    }

    fn workflow(&self, name: &str) -> Option<&Workflow> {
        self.biomero.workflows.iter().find(|workflow| workflow.name == name)
    }

    async fn descriptor(&self, workflow: &Workflow) -> Result<Descriptor, String> {
        let found = self.catalogue.one(workflow, false).await.map_err(|error| error.to_string())?;
        if let Some(warning) = &found.warning {
            tracing::warn!("{warning}");
        }
        Ok(found.descriptor)
    }

    fn worker<'a>(&'a self, workflow: &'a Workflow, descriptor: &'a Descriptor) -> Worker<'a> {
        Worker {
            cluster: &self.cluster,
            engine: &self.engine,
            beat: &self.beat,
            settings: &self.biomero,
            site: JobSite::of(
                &self.settings.slurm,
                &self.biomero,
                self.template.as_deref(),
                self.program.as_ref(),
            ),
            workflow,
            descriptor,
            poll: self.settings.slurm.poll,
        }
    }

    /// What a workflow has staged here.
    fn own(&self, id: Uuid) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// The run on the cluster that carries a workflow's steps.
    fn run(&self, id: Uuid, request: &Request, version: &str, machine: Option<&Work>) -> run::Request {
        let as_it_is = images::as_it_is(&request.inputs);
        let input = match (machine, request.inputs.first()) {
            // Decided once, whatever has become of the input since.
            (Some(work), Some(Input::Path(path))) if !work.machine.steps.contains(&Step::Export) => {
                path.clone()
            }
            (None, _) if as_it_is.is_some() => as_it_is.unwrap_or_default(),
            _ => self.own(id).join("images"),
        };
        let mut options = request.policy.options.clone();
        let mut attempts = BTreeMap::new();
        if let Some(Work { machine, .. }) = machine {
            exclude(&mut options, machine.excluded.iter().map(String::as_str));
            for (step, attempt) in &machine.attempts {
                attempts.extend(of_run(*step).map(|step| (step, *attempt)));
            }
        }
        run::Request {
            id,
            workflow: request.workflow.clone(),
            version: version.to_owned(),
            parameters: request.parameters.clone(),
            input,
            output: Some(deliver::staged(&request.results, id, &self.folder)),
            convert: request.policy.convert,
            clean: request.policy.clean_up != CleanUp::Never,
            time: request.policy.time.clone(),
            email: request.policy.email.clone(),
            options,
            user: request.user,
            group: request.group,
            attempts,
        }
    }

    /// A step that the cluster does.
    async fn on_cluster<M: Memory>(
        &self,
        work: &Work,
        step: Step,
        asked: Asked<'_, M>,
    ) -> Result<String, Failure> {
        let lost = |reason: String, remedy| Failure::new(step, reason, remedy);
        let workflow = self.workflow(&work.request.workflow);
        let workflow = workflow.ok_or_else(|| {
            let name = &work.request.workflow;
            lost(format!("{name} is no workflow of slurm-config.ini any more"), Remedy::None)
        })?;
        let descriptor = self.descriptor(workflow).await.map_err(|reason| lost(reason, Remedy::Wait))?;
        let worker = self.worker(workflow, &descriptor);
        let request = self.run(work.id, &work.request, &work.machine.version, Some(work));
        let failed = |error: RunFailure| failure::of_run(step, &error);
        if step == Step::Transfer {
            let plan = run::planned(&worker, &request).map_err(failed)?;
            self.within(step, work.request.clone(), sources(&plan)).await?;
        }
        if step == Step::Transfer && !request.input.exists() {
            let reason = format!("the images are gone from {}", request.input.display());
            return Err(lost(reason, Remedy::None));
        }
        match asked {
            Asked::Perform(part, memory) => {
                let mut kept = Kept::new(work, &request.attempts, memory);
                let mut recorder = Recorder::new(&self.log, self.cluster.name().to_owned(), Unseen);
                run::perform(&worker, &request, part, &mut kept, &mut recorder).await.map_err(failed)
            }
            Asked::Withdraw => {
                let kept = Kept::<Forgetful>::new(work, &request.attempts, None);
                run::withdraw(&worker, &request, &kept).await.map_err(failed)?;
                Ok("its jobs have ended".to_owned())
            }
            Asked::LetGo => {
                run::let_go(&worker, &request).await;
                Ok("it stays on the cluster".to_owned())
            }
        }
    }

    /// What of a request is where the settings do not allow it.
    async fn elsewhere(&self, request: Request, attached: Vec<PathBuf>) -> Result<Vec<Problem>, Refusal> {
        let paths = self.paths.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let attached: Vec<&Path> = attached.iter().map(PathBuf::as_path).collect();
            paths.admit(&request, &attached)
        });
        looking.await.map_err(|error| Refusal::Untold(error.to_string()))
    }

    /// What is read and written is where the settings allow it.
    async fn within(&self, step: Step, request: Request, attached: Vec<PathBuf>) -> Result<(), Failure> {
        let paths = self.paths.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let attached: Vec<&Path> = attached.iter().map(PathBuf::as_path).collect();
            paths.check(&request, &attached)
        });
        let refused = match looking.await {
            Ok(problem) => problem.map(|problem| problem.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match refused {
            None => Ok(()),
            Some(reason) => Err(Failure::new(step, reason, Remedy::None)),
        }
    }

    /// Removes what is staged here.
    async fn clear_here(&self, work: &Work, step: Step) -> Result<(), Failure> {
        let (own, folder) = (self.own(work.id), self.folder.clone());
        let (results, id) = (work.request.results.clone(), work.id);
        let clearing = tokio::task::spawn_blocking(move || {
            deliver::remove(&own).and_then(|()| deliver::clear(&results, id, &folder))
        });
        let cleared = clearing.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        cleared.map_err(|error| {
            let reason = format!("what was staged cannot be removed: {error}");
            Failure::new(step, reason, deliver::remedy(&error))
        })
    }
}

/// Files that go with a job.
fn sources(plan: &JobPlan) -> Vec<PathBuf> {
    plan.attached.iter().map(|file| file.source.clone()).collect()
}

/// What is asked of the cluster.
enum Asked<'a, M> {
    Perform(run::Step, Option<&'a M>),
    Withdraw,
    LetGo,
}

/// The step of a run that carries a step of a workflow.
const fn of_run(step: Step) -> Option<run::Step> {
    match step {
        Step::Transfer => Some(run::Step::Transfer),
        Step::Convert => Some(run::Step::Convert),
        Step::Run => Some(run::Step::Workflow),
        Step::Fetch => Some(run::Step::Fetch),
        Step::Clean => Some(run::Step::Clean),
        Step::Export | Step::Deliver => None,
    }
}

/// Adds nodes to those that a job has to avoid anyway.
fn exclude<'a>(options: &mut Vec<(String, Option<String>)>, nodes: impl Iterator<Item = &'a str>) {
    let given = options.iter().find(|(name, _)| name == "exclude").and_then(|(_, value)| value.clone());
    let all: Vec<String> = given.into_iter().chain(nodes.map(str::to_owned)).collect();
    if !all.is_empty() {
        options.retain(|(name, _)| name != "exclude");
        options.push(("exclude".to_owned(), Some(all.join(","))));
    }
}

impl Steps for Site {
    async fn admit(&self, request: &Request) -> Result<Admitted, Refusal> {
        let Some(workflow) = self.workflow(&request.workflow) else {
            let known: Vec<&str> = self.biomero.workflows.iter().map(|known| known.name.as_str()).collect();
            let problem = format!(
                "{:?} is no workflow of slurm-config.ini: there are {}",
                request.workflow,
                known.join(", ")
            );
            return Err(Refusal::Senseless(vec![Problem::new("workflow", problem)]));
        };
        let mut problems = images::admit(&request.inputs, &self.lending);
        problems.extend(match &request.results {
            Results::Directory(_) => deliver::admit(&request.results),
            Results::Omero(results) => home::admit(results, &self.lending, self.omero.as_deref()),
        });
        let descriptor = self.descriptor(workflow).await.map_err(Refusal::Untold)?;
        let version = request.version.clone();
        let version =
            version.unwrap_or_else(|| Image::of(&descriptor.image).version(workflow.repository.as_deref()));
        let run = self.run(Uuid::nil(), request, &version, None);
        let attached = match run::planned(&self.worker(workflow, &descriptor), &run) {
            Ok(plan) => sources(&plan),
            Err(RunFailure::Arguments(wrong)) => {
                problems.extend(wrong.iter().map(|wrong| Problem::new("parameters", wrong.to_string())));
                Vec::new()
            }
            Err(failure) => {
                problems.push(Problem::new("policy", failure.to_string()));
                Vec::new()
            }
        };
        // What is told of a path elsewhere is that it is elsewhere, and not whether it is there.
        let elsewhere = self.elsewhere(request.clone(), attached).await?;
        if !elsewhere.is_empty() {
            return Err(Refusal::Senseless(elsewhere));
        }
        if !problems.is_empty() {
            return Err(Refusal::Senseless(problems));
        }
        let has_to = |step: &Step| match step {
            Step::Export => images::as_it_is(&request.inputs).is_none(),
            Step::Convert => request.policy.convert && !descriptor.takes_zarr(),
            _ => true,
        };
        Ok(Admitted { version, steps: Step::ALL.into_iter().filter(has_to).collect() })
    }

    async fn perform<M: Memory>(&self, work: &Work, step: Step, memory: &M) -> Result<String, Failure> {
        match step {
            Step::Export => {
                let _turn = self.staging.acquire().await;
                self.within(step, work.request.clone(), Vec::new()).await?;
                images::stage(work, &self.lending, self.own(work.id).join("images")).await
            }
            Step::Transfer | Step::Convert | Step::Run | Step::Fetch => match of_run(step) {
                Some(part) => self.on_cluster(work, step, Asked::Perform(part, Some(memory))).await,
                None => Ok(String::new()),
            },
            Step::Deliver => match &work.request.results {
                Results::Directory(_) => {
                    self.within(step, Request { inputs: Vec::new(), ..work.request.clone() }, Vec::new())
                        .await?;
                    deliver::deliver(work, &self.folder, memory).await
                }
                results @ Results::Omero(_) => {
                    let staged = deliver::staged(results, work.id, &self.folder);
                    home::bring(work, staged, &self.lending, self.omero.clone()).await
                }
            },
            Step::Clean => {
                self.lending.take_back(work.id).await;
                self.clear_here(work, step).await?;
                let asked = match work.request.policy.clean_up {
                    CleanUp::Never => Asked::LetGo,
                    CleanUp::Always | CleanUp::OnSuccess => Asked::Perform(run::Step::Clean, Some(memory)),
                };
                self.on_cluster(work, step, asked).await
            }
        }
    }

    async fn withdraw(&self, work: &Work, step: Step) -> Result<(), Failure> {
        match step {
            // What these do is done here, and stopped with them.
            Step::Export | Step::Transfer | Step::Fetch | Step::Deliver | Step::Clean => Ok(()),
            Step::Convert | Step::Run => {
                self.on_cluster::<Forgetful>(work, step, Asked::Withdraw).await.map(drop)
            }
        }
    }

    async fn clear(&self, work: &Work) -> Result<(), Failure> {
        self.lending.take_back(work.id).await;
        let failed = work.machine.failure.as_ref().map(|failure| failure.step);
        // It has not come as far as the cluster.
        let is_there = failed.is_some_and(|step| step > Step::Export);
        let everything = work.machine.clears(&work.request.policy);
        if everything {
            self.clear_here(work, Step::Clean).await?;
        }
        if is_there {
            let asked = match everything {
                true => Asked::Perform(run::Step::Clean, None::<&Forgetful>),
                false => Asked::LetGo,
            };
            self.on_cluster(work, Step::Clean, asked).await?;
        }
        Ok(())
    }
}
