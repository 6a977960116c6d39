//! A worker in a grid that has jobs for it.

use std::path::PathBuf;

use biomero_tests::jobs::Jobs;
use biomero_tests::namespace::{As, Namespace, Worker};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{Deployment, OMERO};
use biomero_tests::{Result, queue};
use serde_json::{Value, json};

/// It.
pub(super) struct Stage {
    pub(super) jobs: Jobs,
    pub(super) namespace: Namespace,
    pub(super) worker: Worker,
    pub(super) scratch: Scratch,
    _turn: queue::Turn,
}

impl Stage {
    /// A worker whose node starts the processor, and which Blitz knows.
    pub(super) fn with_node(edit: impl FnOnce(&mut Deployment)) -> Result<Self> {
        let stage = Self::start(edit, |jobs| jobs.deploy(), |_| Ok(()))?;
        stage.jobs.processor_is("active", &stage.logs_of_all())?;
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
        Ok(Self { jobs, namespace, worker, scratch, _turn: turn })
    }

    /// Where the node, the processor and `init` write.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let of = |name: &str| self.namespace.path(&format!("{OMERO}/var/log/{name}"));
        vec![self.namespace.log().to_owned(), of("biomeroworker.err"), of("Processor-0.err")]
    }

    pub(super) fn logs_of_all(&self) -> Vec<&'static std::path::Path> {
        // Leaked: a failure shows them, and the test ends.
        self.logs().into_iter().map(|path| &*Box::leak(path.into_boxed_path())).collect()
    }

    /// What the processor has said.
    pub(super) fn said(&self) -> String {
        biomero_tests::wait::ends_of(&self.logs_of_all())
    }

    /// Runs a job to its end; its exit code.
    pub(super) fn run(&mut self, job: i64) -> Result<Value> {
        let logs = self.logs_of_all();
        self.jobs.knows_the_processor(&logs)?;
        let told = |trouble: biomero_tests::Trouble| {
            biomero_tests::Trouble::new(format!("{trouble}{}", biomero_tests::wait::ends_of(&logs)))
        };
        self.jobs.ask("process", json!({ "job": job })).map_err(told)?;
        self.jobs.ask("wait", json!({ "job": job })).map_err(told)
    }
}
