//! The root folder of a worker: what the image holds (`fixtures/image`) and what a deployment mounts into it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::Uid;

use crate::{Result, Trouble, binary, process};

/// The image's service user.
pub const SERVICE_USER: u32 = 1000;

/// Where `init` lies in the root folder.
pub const INIT: &str = "/opt/biomero/bin/init";

/// Where `processor` lies beside it.
pub const PROCESSOR: &str = "/opt/biomero/bin/processor";

/// The folder of the `python` that leads to it, where the service user may make it.
pub const SHIM: &str = "/opt/omero/server/bin";

/// `OMERODIR` of the image.
pub const OMERO: &str = "/opt/omero/server/OMERO.server";

/// A deployment of one worker.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// `OMERO_WORKER_NAME`.
    pub name: String,
    /// `CONFIG_omero_master_host`.
    pub master: String,
    /// The registry's port, 4061 in a deployment.
    pub registry_port: u16,
    /// `CONFIG_omero_master_port` and the node's fixed port, where the worker stands outside of the grid's network.
    pub external: Option<(u16, u16)>,
    /// Whether `init` starts `processor serve` too, which most tests do not look at.
    pub carries_workflows: bool,
    /// Whether there is a cluster, of which keys are mounted.
    pub has_cluster: bool,
    /// More for `/etc/biomero/init.toml`.
    pub settings: String,
    /// More variables.
    pub variables: Vec<(String, String)>,
}

impl Deployment {
    /// NL-BIOMERO's `biomeroworker` service, its master on this machine.
    pub fn internal(registry_port: u16) -> Self {
        Self {
            name: "biomeroworker".to_owned(),
            master: "omeroserver".to_owned(),
            registry_port,
            external: None,
            carries_workflows: false,
            has_cluster: true,
            settings: String::new(),
            variables: Vec::new(),
        }
    }

    /// The same worker outside of the master's network, with one published port.
    pub fn external(registry_port: u16, node_port: u16) -> Self {
        Self {
            name: "biomeroworker-external".to_owned(),
            external: Some((4063, node_port)),
            ..Self::internal(registry_port)
        }
    }

    /// With the programs where these tests have them, so that the node's `python` leads to `processor`.
    #[must_use]
    pub fn with_processor(mut self) -> Self {
        for (name, value) in [("PROGRAM", PROCESSOR), ("SHIM", SHIM)] {
            self.variables.push((format!("BIOMERO_INIT_PROCESSOR__{name}"), value.to_owned()));
        }
        self
    }

    /// With the service that carries workflows, as the image has it.
    #[must_use]
    pub fn carrying_workflows(mut self) -> Self {
        self.carries_workflows = true;
        // As the container's engine takes it from the list of users.
        self.variables.push(("HOME".to_owned(), "/opt/omero/server".to_owned()));
        self
    }

    /// With neither a cluster nor a database.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.has_cluster = false;
        self.variables.push(("SQLALCHEMY_URL".to_owned(), String::new()));
        self
    }

    /// What the container's processes get, as a compose file gives it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("PATH".to_owned(), "/opt/omero/server/venv3/bin:/usr/local/bin:/usr/sbin:/usr/bin".to_owned()),
            ("OMERODIR".to_owned(), OMERO.to_owned()),
            ("OMERO_WORKER_NAME".to_owned(), self.name.clone()),
            ("CONFIG_omero_master_host".to_owned(), self.master.clone()),
            ("CONFIG_omero_logging_level".to_owned(), "10".to_owned()),
            ("CONFIG_omero_scripts_timeout".to_owned(), "604800000".to_owned()),
            ("PERSISTENCE_MODULE".to_owned(), "eventsourcing_sqlalchemy".to_owned()),
            (
                "SQLALCHEMY_URL".to_owned(),
                format!("postgresql+psycopg2://biomero:{DATABASE_PASSWORD}@database/biomero"),
            ),
        ];
        if let Some((master_port, _)) = self.external {
            variables.push(("CONFIG_omero_master_port".to_owned(), master_port.to_string()));
        }
        variables.extend(self.variables.iter().cloned());
        variables
    }

    /// `/etc/biomero/init.toml`.
    fn settings(&self) -> String {
        let mut text = format!("[omero.ports]\nregistry = {}\n", self.registry_port);
        if let Some((_, port)) = self.external {
            text.push_str(&format!("\n[worker]\nport = {port}\n"));
        }
        text.push_str("\n[services.workflows]\n");
        text.push_str(&match self.carries_workflows {
            true => format!("command = [\"{PROCESSOR}\", \"serve\"]\n"),
            false => "enabled = false\n".to_owned(),
        });
        format!("{text}\n{}", self.settings)
    }
}

/// In `SQLALCHEMY_URL`; nothing that `init` writes or says may hold it.
pub const DATABASE_PASSWORD: &str = "correct-horse-battery-staple";

/// Lays out the folder, `init` included.
///
/// # Errors
/// Something cannot be written, or `init` does not compile.
pub fn lay_out(root: &Path, deployment: &Deployment) -> Result<()> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/image");
    copy(&fixtures, root)?;
    write(root, "etc/biomero/init.toml", &deployment.settings(), 0o644)?;
    write(root, "etc/hosts", &hosts(deployment), 0o644)?;
    write(root, "etc/resolv.conf", "", 0o644)?;
    // As an ordinary user we are the only user that a namespace can hold, so the service user is us.
    let service_user = if Uid::effective().is_root() { SERVICE_USER } else { 0 };
    write(root, "etc/passwd", &passwd(service_user), 0o644)?;
    write(
        root,
        "etc/group",
        &format!("root:x:0:\nomero-server:x:{service_user}:\nnogroup:x:65534:\n"),
        0o644,
    )?;
    for folder in [
        "opt/omero/server/OMERO.server/var/log",
        "opt/omero/server/config",
        "run/biomero",
        "var/lib/biomero",
        "opt/omero/server/venv3/bin",
    ] {
        create(&root.join(folder))?;
    }
    symlink("/usr/bin/python3", root.join("opt/omero/server/venv3/bin/python"))
        .map_err(Trouble::doing("link python"))?;
    create(&root.join("tmp"))?;
    if deployment.has_cluster {
        ssh_keys(&root.join("tmp/.ssh"))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))
        .map_err(Trouble::doing("open the worker's /tmp"))?;
    give(&root.join("opt/omero"), SERVICE_USER)?;
    for folder in ["run/biomero", "var/lib/biomero"] {
        give(&root.join(folder), SERVICE_USER)?;
    }
    install(root)
}

/// Puts the binaries under test at [`INIT`] and beside it.
fn install(root: &Path) -> Result<()> {
    let target = root.join(INIT.trim_start_matches('/'));
    create(target.parent().unwrap_or(root))?;
    link(&binary::init()?, &target)?;
    link(&binary::compiler()?, &target.with_file_name("init-hooks"))?;
    link(&binary::processor()?, &root.join(PROCESSOR.trim_start_matches('/')))
}

fn link(source: &Path, target: &Path) -> Result<()> {
    // A link costs nothing; where the scratch folder is on another file system, a copy does as well.
    if fs::hard_link(source, target).is_err() {
        fs::copy(source, target).map_err(Trouble::doing(format!("copy {}", source.display())))?;
    }
    Ok(())
}

/// What a deployment mounts at `/tmp/.ssh`: a key pair, a configuration, the cluster's host key. Owned by the
/// deployment's user and far too open, as a mount from another system is.
fn ssh_keys(folder: &Path) -> Result<()> {
    create(folder)?;
    let key = folder.join("id_ed25519");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "biomero", "-f"]).arg(&key);
    process::succeed(&mut keygen, Duration::from_secs(30))?;
    let config = "Host localslurm\n  HostName 127.0.0.1\n  User slurm\n  IdentityFile ~/.ssh/id_ed25519\n";
    fs::write(folder.join("config"), config).map_err(Trouble::doing("write an ssh configuration"))?;
    let host_key =
        "127.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJxWz5Zb1m8bqfJ8Y1h6Wv2wq3d1yJm3q4fWn4X0h2yK\n";
    fs::write(folder.join("known_hosts"), host_key).map_err(Trouble::doing("write known_hosts"))?;
    for entry in fs::read_dir(folder).map_err(Trouble::doing("list the keys"))?.flatten() {
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644))
            .map_err(Trouble::doing("open the keys"))?;
    }
    Ok(())
}

fn hosts(deployment: &Deployment) -> String {
    format!(
        "127.0.0.1 localhost\n::1 ip6-localhost\n127.0.0.1 {}\n127.0.0.1 {}\n",
        deployment.master, deployment.name
    )
}

fn passwd(service_user: u32) -> String {
    format!(
        "root:x:0:0:root:/root:/bin/sh\nomero-server:x:{service_user}:{service_user}::/opt/omero/server:/bin/bash\n\
         nobody:x:65534:65534::/nonexistent:/bin/false\n"
    )
}

/// Writes a file of the root folder, its parents included.
///
/// # Errors
/// It cannot be written.
pub fn write(root: &Path, path: &str, content: &str, mode: u32) -> Result<PathBuf> {
    let path = root.join(path);
    create(path.parent().unwrap_or(root))?;
    fs::write(&path, content).map_err(Trouble::doing(format!("write {}", path.display())))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        .map_err(Trouble::doing(format!("change the mode of {}", path.display())))?;
    Ok(path)
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Trouble::doing(format!("make {}", folder.display())))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    create(to)?;
    for entry in fs::read_dir(from).map_err(Trouble::doing(format!("list {}", from.display())))? {
        let entry = entry.map_err(Trouble::doing(format!("list {}", from.display())))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != ".keep" {
            fs::copy(entry.path(), &target)
                .map_err(Trouble::doing(format!("copy to {}", target.display())))?;
        }
    }
    Ok(())
}

/// Gives a tree to a user, where we may.
///
/// # Errors
/// It is refused.
pub fn give(path: &Path, user: u32) -> Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(user), Some(user))
        .map_err(Trouble::doing(format!("give away {}", path.display())))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).map_err(Trouble::doing(format!("list {}", path.display())))?.flatten()
        {
            give(&entry.path(), user)?;
        }
    }
    Ok(())
}

/// Gives one file to a user.
///
/// # Errors
/// It is refused.
pub fn give_file(path: &Path, user: u32) -> Result<()> {
    chown(path, Some(user), Some(user)).map_err(Trouble::doing(format!("give away {}", path.display())))
}
