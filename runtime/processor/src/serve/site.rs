//! The steps of a workflow at this site: images by `export`, the cluster by `slurm`, results by [`super::deliver`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use biomero_config::Settings;
use biomero_config::slurm_config::{BiomeroSettings, Workflow};
use biomero_events::EventLog;
use biomero_slurm::Cluster;
use biomero_slurm::descriptor::Descriptor;
use biomero_slurm::engine::Engine;
use biomero_slurm::run::{self, Beat, Failure as RunFailure, Happened, Worker};
use biomero_slurm::workflow::catalogue::Catalogue;
use biomero_slurm::workflow::{Image, Program, Site as JobSite};
use biomero_workflow::{
    Admitted, CleanUp, Error, Failure, Input, Memory, Problem, Refusal, Remedy, Request, Step, Steps, Work,
};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::memory::Kept;
use super::{deliver, failure, folder, images};
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
        let poll = settings.slurm.poll;
        let (cluster, control) = context.into_cluster();
        let staging = Semaphore::new(STAGED_AT_ONCE);
        Ok(Self {
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
        let mut problems = images::admit(&request.inputs);
        problems.extend(deliver::admit(&request.results));
        let descriptor = self.descriptor(workflow).await.map_err(Refusal::Untold)?;
        let version = request.version.clone();
        let version =
            version.unwrap_or_else(|| Image::of(&descriptor.image).version(workflow.repository.as_deref()));
        let run = self.run(Uuid::nil(), request, &version, None);
        match run::planned(&self.worker(workflow, &descriptor), &run) {
            Ok(_) => {}
            Err(RunFailure::Arguments(wrong)) => {
                problems.extend(wrong.iter().map(|wrong| Problem::new("parameters", wrong.to_string())));
            }
            Err(failure) => problems.push(Problem::new("policy", failure.to_string())),
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
                images::stage(work.request.inputs.clone(), self.own(work.id).join("images")).await
            }
            Step::Transfer | Step::Convert | Step::Run | Step::Fetch => match of_run(step) {
                Some(part) => self.on_cluster(work, step, Asked::Perform(part, Some(memory))).await,
                None => Ok(String::new()),
            },
            Step::Deliver => deliver::deliver(work, &self.folder, memory).await,
            Step::Clean => {
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
