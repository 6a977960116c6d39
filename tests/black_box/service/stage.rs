//! A worker with a node, the service, and a workflow whose job waits at a gate.

use std::path::Path;

use biomero_tests::cluster::Image;
use biomero_tests::cluster::worker::VERSION;
use biomero_tests::icegrid::Registry;
use biomero_tests::namespace::{As, Finished, Namespace, Worker};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, Deployment, INIT, PROCESSOR, SERVICE_USER};
use biomero_tests::{Result, Trouble, containers, process, queue, wait};
use nix::unistd::Pid;
use serde_json::Value;

/// The workflow: its folder of images is its results.
const COPY: &str = r#"{"schema-version": "biomero-0.1", "name": "Copy", "description": "", "command-line": "copy",
    "container-image": {"image": "biomerotests/copy", "type": "oci"}, "inputs": []}"#;

/// Its image, which stands for the converter's too: nothing is converted.
const COPIES: &str = "biomerotests/copy";

/// Where runs of the container are counted, and the file that lets them go on.
const RUNS: &str = "/opt/omero/server/runs";
const GATE: &str = "/opt/omero/server/gate";

/// What the container's runtime does first.
const WAIT: &str = "case $1 in run) echo run >> /opt/omero/server/runs; while [ ! -e /opt/omero/server/gate ]; do sleep 0.1; done ;; esac";

/// Where its results go.
const RESULTS: &str = "/opt/omero/server/results";

/// A running worker.
pub(super) struct Stage {
    pub(super) worker: Worker,
    pub(super) namespace: Namespace,
    pub(super) registry: Registry,
    _scratch: Scratch,
    _turn: queue::Turn,
}

/// A worker without a cluster or a database, whose master answers on this port.
pub(super) fn laid_out(
    scratch: &Scratch,
    port: u16,
    edit: impl FnOnce(&mut Deployment),
) -> Result<Namespace> {
    let mut deployment = Deployment::internal(port).carrying_workflows().alone();
    deployment.settings = "[slurm]\ndescriptors = \"/etc/biomero/descriptors\"\n".to_owned();
    edit(&mut deployment);
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    let root = namespace.root();
    containers::install(root, WAIT, &[(Image::Copy, &format!("{COPIES}:{VERSION}"))])?;
    worker_root::write(root, "etc/biomero/descriptors/copy.json", COPY, 0o644)?;
    // The workflows of the image are on GitHub.
    let config = format!(
        "[-MODELS]\n*\n\n[CONVERTERS]\nzarr_to_tiff = {COPIES}:{VERSION}\n\n[MODELS]\ncopy = copy\n\
         copy_repo = https://github.com/biomerotests/copy/tree/{VERSION}\ncopy_job = jobs/copy.sh\n"
    );
    worker_root::write(root, "opt/omero/server/slurm-config.ini", &config, 0o644)?;
    worker_root::write(root, "opt/omero/server/images/one/one.txt", "pixels of one", 0o644)?;
    worker_root::give(&root.join("opt/omero/server"), SERVICE_USER)?;
    Ok(namespace)
}

impl Stage {
    /// Starts it, and waits until the registry lists its node.
    pub(super) fn start(edit: impl FnOnce(&mut Deployment)) -> Result<Self> {
        Self::start_in(edit, |_| Ok(()))
    }

    /// The same in a root folder that was changed before.
    pub(super) fn start_in(
        edit: impl FnOnce(&mut Deployment),
        prepare: impl FnOnce(&mut Namespace) -> Result<()>,
    ) -> Result<Self> {
        let (turn, scratch) = (queue::turn()?, Scratch::new()?);
        let registry = Registry::start(&scratch.folder("master")?)?;
        let mut namespace = laid_out(&scratch, registry.port(), edit)?;
        prepare(&mut namespace)?;
        let mut worker = namespace.start(&[])?;
        registry.lists("biomeroworker", &[namespace.log()], || worker.has_ended())?;
        Ok(Self { worker, namespace, registry, _scratch: scratch, _turn: turn })
    }

    /// Where everything writes.
    pub(super) fn logs(&self) -> [&Path; 1] {
        [self.namespace.log()]
    }

    pub(super) fn said(&self) -> String {
        wait::ends_of(&self.logs())
    }

    /// A program in the container, as its user.
    pub(super) fn processor(&self, arguments: &[&str]) -> Result<Finished> {
        self.worker.exec(&self.namespace, &[&[PROCESSOR], arguments].concat())
    }

    /// What `init status` says of a service.
    pub(super) fn service(&self, name: &str) -> Result<Value> {
        let status = self.worker.exec(&self.namespace, &[INIT, "status", "--json"])?;
        let status: Value = serde_json::from_str(&status.output)
            .map_err(|error| Trouble::new(format!("{error}: {}\n{}", status.output, status.errors)))?;
        let services = status["services"].as_array().into_iter().flatten();
        let found = services.into_iter().find(|service| service["name"] == name).cloned();
        found.ok_or_else(|| Trouble::new(format!("there is no service {name}: {status:#}")))
    }

    /// Waits until the service is so; what is said of it then.
    pub(super) fn waits(&self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let waited = wait::until(what, wait::PATIENCE * 2, &self.logs(), || {
            // Each look is a process.
            std::thread::sleep(std::time::Duration::from_millis(100));
            last = self.service("workflows").ok()?;
            is(&last).then(|| last.clone())
        });
        waited.map_err(|trouble| Trouble::new(format!("{trouble}\n{last:#}")))
    }

    /// Waits until the service is ready, and has its container image; its process, as the container counts them.
    pub(super) fn is_ready(&self) -> Result<i64> {
        let service = self.waits("the service to be ready", |service| service["state"] == "ready")?;
        self.processor(&["slurm", "init", "--wait"])?.exits(0)?;
        service["pid"].as_i64().ok_or_else(|| Trouble::new(format!("no process: {service:#}")))
    }

    /// A process of the container by its id outside.
    pub(super) fn outside(&self, inside: i64) -> Result<Pid> {
        let found = process::children(self.worker.init()?).into_iter().find(|child| {
            let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            ids.split_whitespace().last() == Some(inside.to_string().as_str())
        });
        found.ok_or_else(|| Trouble::new(format!("process {inside} of the container is not there")))
    }

    /// How often the container ran.
    pub(super) fn runs(&self) -> usize {
        self.namespace.read(RUNS).map_or(0, |runs| runs.lines().count())
    }

    /// Lets jobs go on.
    pub(super) fn open_gate(&self) -> Result<()> {
        let path = self.namespace.path(GATE);
        std::fs::write(&path, "").map_err(Trouble::doing("open the gate"))
    }

    /// Asks for the workflow; its id.
    pub(super) fn submit(&self) -> Result<String> {
        let run = ["run", "copy", "--image", "/opt/omero/server/images/one", "--output", RESULTS];
        Ok(self.processor(&run)?.exits(0)?.output.trim().to_owned())
    }

    /// Waits until it has ended; how it stands then.
    pub(super) fn ended(&self, id: &str) -> Result<Value> {
        let over = ["DONE", "FAILED", "CANCELLED"];
        wait::until(&format!("the end of {id}"), wait::PATIENCE * 3, &self.logs(), || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let shown = self.processor(&["show", id, "--json"]).ok()?.output;
            let shown: Value = serde_json::from_str(&shown).ok()?;
            over.iter().any(|phase| shown["phase"] == *phase).then_some(shown)
        })
    }

    /// The results are what the images were, and were made once.
    pub(super) fn is_done(&self, id: &str) -> Result<()> {
        let shown = self.ended(id)?;
        assert_eq!(shown["phase"], "DONE", "{shown:#}{}", self.said());
        assert_eq!(self.namespace.read(&format!("{RESULTS}/one.txt"))?, "pixels of one");
        assert_eq!(self.runs(), 1, "its job ran once");
        Ok(())
    }
}
