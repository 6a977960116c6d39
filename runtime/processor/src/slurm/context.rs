//! What every verb needs: the settings, `slurm-config.ini` in types, and the cluster.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use biomero_config::slurm_config::{BiomeroSettings, Workflow};
use biomero_config::{HostKeys, JobEngine, Settings};
use biomero_slurm::Cluster;
use biomero_slurm::cluster::{HostKeys as Taken, SshOptions};
use biomero_slurm::engine::Engine;
use biomero_slurm::executor::{self, Executor};
use biomero_slurm::scheduler::{Slurm, SlurmOptions};
use biomero_slurm::workflow::catalogue::{Catalogue, CatalogueOptions, FetchOptions};
use biomero_slurm::workflow::{Program, Site, template};
use tempfile::TempDir;

use super::chosen;
use crate::configuration::Configuration;
use crate::ended::Ended;

/// What a verb works with.
pub(crate) struct Context<'a> {
    /// The settings of the worker.
    pub(crate) settings: &'a Settings,
    /// `slurm-config.ini`.
    pub(crate) biomero: BiomeroSettings,
    /// The cluster; nothing is connected until somebody asks.
    pub(crate) cluster: Cluster,
    /// Who runs jobs; never `auto`.
    pub(crate) runs: JobEngine,
    /// Who may ask for more.
    pub(crate) configuration: &'a Configuration<'a>,
    /// Goes with the connection.
    control: Option<TempDir>,
}

impl<'a> Context<'a> {
    /// Reads the configuration.
    pub(crate) fn new(configuration: &'a Configuration<'a>) -> Result<Self, Ended> {
        let settings = configuration.settings()?;
        let mut biomero = configuration.biomero()?;
        let runs = chosen::engine(configuration, &mut biomero.slurm)?;
        let (cluster, control) = match runs {
            JobEngine::Auto | JobEngine::Local | JobEngine::Embedded => (Cluster::local(), None),
            JobEngine::Ssh => {
                let control = control_folder(configuration)?;
                let options = SshOptions {
                    host: biomero.ssh.host.clone(),
                    config: settings.slurm.ssh_config.clone(),
                    host_keys: match settings.slurm.host_keys {
                        HostKeys::Strict => Taken::Strict,
                        HostKeys::AcceptNew => Taken::AcceptNew,
                    },
                    connect: settings.slurm.connect,
                    keep_alive: settings.slurm.keep_alive,
                    sessions: usize::from(settings.slurm.sessions),
                    control: control.path().to_path_buf(),
                };
                (Cluster::over_ssh(options), Some(control))
            }
        };
        Ok(Self { settings, biomero, cluster, runs, configuration, control })
    }
}

impl Context<'_> {
    /// Who runs jobs.
    pub(crate) fn engine(&self) -> Result<Engine, Ended> {
        match self.runs {
            JobEngine::Ssh | JobEngine::Local => {
                Ok(Engine::Slurm(Slurm::new(self.cluster.clone(), SlurmOptions::default())))
            }
            JobEngine::Auto | JobEngine::Embedded => Ok(Engine::Embedded(self.executor()?)),
        }
    }

    fn executor(&self) -> Result<Executor, Ended> {
        let embedded = &self.settings.slurm.embedded;
        let state = match &embedded.state {
            Some(folder) => folder.clone(),
            None => self.state("jobs")?,
        };
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let processors = u32::try_from(processors).unwrap_or(GENERATED).max(GENERATED);
        let options = executor::Options {
            processors: embedded.processors.unwrap_or(processors),
            memory: None,
            program: std::env::current_exe().map_err(Ended::System)?,
            arguments: vec!["slurm-task".to_owned()],
            environment: executor::login(self.configuration.environment()),
            kill_wait: KILL_WAIT,
        };
        Ok(Executor::open(&state, options)?)
    }

    /// What is configured of a workflow.
    pub(crate) fn workflow(&self, name: &str) -> Result<&Workflow, Ended> {
        let workflows = &self.biomero.workflows;
        workflows.iter().find(|workflow| workflow.name == name).ok_or_else(|| Ended::NoWorkflow {
            name: name.to_owned(),
            known: workflows.iter().map(|workflow| workflow.name.clone()).collect(),
        })
    }

    /// Where descriptors of workflows are.
    pub(crate) fn catalogue(&self) -> Result<Catalogue, Ended> {
        let folder = |name: &str| {
            let path = self.configuration.environment().get_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let cache = self.settings.slurm.cache.clone();
        let usual = || {
            Some(
                folder("XDG_CACHE_HOME")
                    .or_else(|| Some(self.configuration.home()?.join(".cache")))?
                    .join("biomero"),
            )
        };
        let options = CatalogueOptions {
            local: self.settings.slurm.descriptors.clone(),
            cache: cache.or_else(usual),
            fetch: FetchOptions::of(self.configuration.environment()),
        };
        Ok(Catalogue::new(options)?)
    }

    /// The site's own template of job scripts.
    pub(crate) fn template(&self) -> Result<Option<String>, Ended> {
        Ok(self.settings.slurm.template.as_deref().map(template::read).transpose()?)
    }

    /// The program that converts images on the cluster, where one is named.
    pub(crate) fn program(&self) -> Result<Option<Program>, Ended> {
        let program = self.settings.slurm.converter.as_deref().map(Program::read).transpose()?;
        if program.is_some() && self.biomero.slurm.script_repo.is_some() {
            tracing::warn!(
                "slurm.converter counts for nothing: the scripts of slurm_script_repo start images of [CONVERTERS]"
            );
        }
        Ok(program)
    }

    /// What the site says of its jobs.
    pub(crate) fn site<'b>(&'b self, template: Option<&'b str>, program: Option<&'b Program>) -> Site<'b> {
        Site::of(&self.settings.slurm, &self.biomero, template, program)
    }

    /// The cluster alone, and what goes with its connection.
    pub(crate) fn into_cluster(self) -> (Cluster, Option<TempDir>) {
        (self.cluster, self.control)
    }

    /// A folder of the worker's state.
    pub(crate) fn state(&self, name: &str) -> Result<PathBuf, Ended> {
        self.configuration.state(name)
    }
}

/// How many processors a generated job asks for: on a smaller machine it would wait for ever, and nobody is bound to them.
const GENERATED: u32 = 4;

/// `KillWait` of slurm.conf(5) as Slurm ships it.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// A folder that we alone can enter, with a short path: that of a Unix socket has to stay under 108 bytes.
fn control_folder(configuration: &Configuration<'_>) -> Result<TempDir, Ended> {
    let runtime = configuration.environment().get_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let parent = runtime.filter(|folder| folder.is_dir() && folder.as_os_str().len() < 60);
    let parent = parent.unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new().prefix("biomero-").tempdir_in(parent).map_err(Ended::System)
}
