//! The cluster in the demo: a real Slurm behind a real sshd, reached with the keys that `init` has copied.

use std::path::Path;

use biomero_tests::cluster::worker;
use biomero_tests::cluster::{Cluster, Options, Workspace};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root;

use super::{heading, workflow};
use crate::failure::Failure;

/// A running cluster, and a folder on it.
pub(super) struct Demo {
    workspace: Workspace,
    cluster: Cluster,
}

impl Demo {
    /// Starts it, with a workflow and a converter in its registry.
    pub(super) fn start(scratch: &Scratch) -> Result<Self, Failure> {
        heading("A cluster: Slurm with accounting behind an sshd, all of it on this machine");
        let cluster = Cluster::start(&scratch.folder("cluster")?, &Options::default())?;
        for (image, name) in workflow::images() {
            cluster.publish(image, &name)?;
        }
        let workspace = cluster.workspace()?;
        println!("sshd answers on 127.0.0.1:{}, user {}", cluster.port(), cluster.user());
        println!("containers: {}", cluster.run("apptainer --version")?.trim());
        Ok(Self { workspace, cluster })
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
        let ours = worker::slurm_config("localslurm", self.workspace.path(), "", "");
        workflow::install(root, &format!("{ours}{analytics}"))
    }
}
