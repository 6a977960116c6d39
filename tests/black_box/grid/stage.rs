//! A worker in a grid that has jobs for it.

use std::path::{Path, PathBuf};

use biomero_tests::jobs::Jobs;
use biomero_tests::namespace::{As, Namespace, Worker};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{Deployment, OMERO};
use biomero_tests::{Result, Trouble, queue, wait};
use serde_json::{Value, json};

/// It.
pub(super) struct Stage {
    pub(super) jobs: Jobs,
    pub(super) namespace: Namespace,
    pub(super) worker: Worker,
    /// Where `init`, the node and the processor write.
    pub(super) logs: Vec<PathBuf>,
    _scratch: Scratch,
    _turn: queue::Turn,
}

impl Stage {
    /// A worker whose node starts the processor, and which Blitz knows.
    pub(super) fn with_node(edit: impl FnOnce(&mut Deployment)) -> Result<Self> {
        let stage = Self::start(edit, |jobs| jobs.deploy(), |_| Ok(()))?;
        stage.jobs.processor_is("active", &paths(&stage.logs))?;
        Ok(stage)
    }

    /// A worker, of which nothing is awaited.
    pub(super) fn start(
        edit: impl FnOnce(&mut Deployment),
        deploy: impl FnOnce(&Jobs) -> Result<()>,
        prepare: impl FnOnce(&Namespace) -> Result<()>,
    ) -> Result<Self> {
        let turn = queue::turn()?;
        let scratch = Scratch::new()?;
        let jobs = Jobs::start()?;
        deploy(&jobs)?;
        let mut deployment = jobs.deployment().with_processor();
        edit(&mut deployment);
        let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
        prepare(&namespace)?;
        let worker = namespace.start(&[])?;
        let of_node = |name: &str| namespace.path(&format!("{OMERO}/var/log/{name}"));
        let logs = vec![namespace.log().to_owned(), of_node("biomeroworker.err"), of_node("Processor-0.err")];
        Ok(Self { jobs, namespace, worker, logs, _scratch: scratch, _turn: turn })
    }

    /// What the processor has said.
    pub(super) fn said(&self) -> String {
        wait::ends_of(&paths(&self.logs))
    }

    /// Waits until somebody has said so.
    pub(super) fn says(&self, words: &str) -> Result<()> {
        let said = |log: &PathBuf| std::fs::read_to_string(log).is_ok_and(|said| said.contains(words));
        wait::until(words, wait::PATIENCE, &paths(&self.logs), || self.logs.iter().any(said).then_some(()))
    }

    /// Runs a job to its end; its exit code.
    pub(super) fn run(&mut self, job: i64) -> Result<Value> {
        self.jobs.knows_the_processor(&paths(&self.logs))?;
        let job = json!({ "job": job });
        let ended = self.jobs.ask("process", job.clone()).and_then(|_| self.jobs.ask("wait", job));
        ended.map_err(|trouble| Trouble::new(format!("{trouble}{}", self.said())))
    }
}

/// As what waits takes them.
pub(super) fn paths(logs: &[PathBuf]) -> Vec<&Path> {
    logs.iter().map(PathBuf::as_path).collect()
}
