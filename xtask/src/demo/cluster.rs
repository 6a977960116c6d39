//! The cluster in the demo: a real Slurm behind a real sshd, reached with the keys that `init` has copied; what was
//! exported goes there, is converted, analysed in a container, and comes back.

use std::path::Path;

use biomero_tests::cluster::worker::{self, CONVERTER, THRESHOLD, VERSION, WORKFLOW};
use biomero_tests::cluster::{Cluster, Image, Options, Workspace};
use biomero_tests::namespace::{Namespace, Worker};
use biomero_tests::process;
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, PROCESSOR};

use super::heading;
use super::images::EXPORTED;
use crate::failure::Failure;

/// Where results go.
pub(super) const RESULTS: &str = "/opt/omero/server/results";

/// For the worker's settings: descriptors are on its disk, as the demo needs no network.
pub(super) const SETTINGS: &str = "[slurm]\ndescriptors = \"/etc/biomero/descriptors\"\n";

/// A running cluster, and a folder on it.
pub(super) struct Demo {
    workspace: Workspace,
    cluster: Cluster,
}

impl Demo {
    /// Starts it, with a workflow and a converter in its registry; nothing for whoever is not root.
    pub(super) fn start(scratch: &Scratch) -> Result<Option<Self>, Failure> {
        heading("A cluster: Slurm with accounting behind an sshd, all of it on this machine");
        if !nix::unistd::Uid::effective().is_root() {
            println!("left out: Slurm's daemons and sshd run as root only");
            return Ok(None);
        }
        let cluster = Cluster::start(&scratch.folder("cluster")?, &Options::default())?;
        cluster.publish(Image::Threshold, &format!("{THRESHOLD}:{VERSION}"))?;
        cluster.publish(Image::ZarrToTiff, &format!("{CONVERTER}:{VERSION}"))?;
        let workspace = cluster.workspace()?;
        println!("sshd answers on 127.0.0.1:{}, user {}", cluster.port(), cluster.user());
        println!("containers: {}", cluster.run("apptainer --version")?.trim());
        Ok(Some(Self { workspace, cluster }))
    }

    /// What a deployment mounts: keys, `slurm-config.ini`, descriptors.
    pub(super) fn install(&self, root: &Path, analytics: &str) -> Result<(), Failure> {
        let copy = |from: &Path, to: &str| {
            std::fs::read_to_string(from)
                .map_err(|source| Failure::File { action: "read", path: from.to_owned(), source })
                .and_then(|text| Ok(worker_root::write(root, to, &text, 0o644)?))
        };
        copy(&self.cluster.private_key(), "tmp/.ssh/id_ed25519")?;
        copy(&self.cluster.private_key().with_extension("pub"), "tmp/.ssh/id_ed25519.pub")?;
        copy(&self.cluster.known_hosts(), "tmp/.ssh/known_hosts")?;
        let alias = format!(
            "Host localslurm\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile ~/.ssh/id_ed25519\n",
            self.cluster.port(),
            self.cluster.user()
        );
        worker_root::write(root, "tmp/.ssh/config", &alias, 0o644)?;
        // The workflows of the image are on GitHub, which the demo does without.
        let ours = worker::slurm_config("localslurm", self.workspace.path(), "", "");
        let config = format!("[-MODELS]\n*\n\n{ours}{analytics}");
        worker_root::write(root, "opt/omero/server/slurm-config.ini", &config, 0o644)?;
        let descriptor = Image::Threshold.descriptor().unwrap_or_default();
        worker_root::write(root, &format!("etc/biomero/descriptors/{WORKFLOW}.json"), descriptor, 0o644)?;
        Ok(())
    }

    /// From nothing to results, as an administrator would.
    pub(super) fn show(&self, worker: &Worker, namespace: &Namespace) -> Result<(), Failure> {
        let run = |arguments: &[&str], code: i32| -> Result<String, Failure> {
            heading(&format!("`processor slurm {}`", arguments.join(" ")));
            let finished =
                worker.exec(namespace, &[&[PROCESSOR, "slurm"], arguments].concat())?.exits(code)?;
            print!("{}", finished.output);
            Ok(finished.output)
        };
        run(&["validate"], FINDINGS)?;
        run(&["init", "--wait"], 0)?;
        run(&["validate", "--job"], 0)?;
        run(&["workflows", WORKFLOW], 0)?;
        let job = ["run", WORKFLOW, "--input", EXPORTED, "--param", "threshold_scale=0.9"];
        run(&[&job[..], &["--dry-run"]].concat(), 0)?;
        run(&[&job[..], &["--output", RESULTS, "--user", "2", "--group", "3", "--clean"]].concat(), 0)?;
        run(&["jobs", "--all"], 0)?;

        heading("What has come back");
        let mut list = std::process::Command::new("ls");
        list.args(["-l", "--numeric-uid-gid"]).arg(namespace.path(RESULTS));
        print!("{}", process::succeed(&mut list, biomero_tests::wait::PATIENCE)?);
        Ok(())
    }
}

/// `processor slurm validate` where something is to be done.
const FINDINGS: i32 = 2;
