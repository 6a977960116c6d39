//! A real cluster for tests: Slurm and the sshd of its login node, on this machine, below one folder.
//!
//! Most tests take [`shared`] and a [`Login::workspace`] of their own. Who breaks something starts a [`Cluster`], a
//! [`Slurm`] or a [`Sshd`] for itself. All of it needs root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Result, Trouble, process, wait};

mod account;
mod image;
mod login;
mod port;
pub mod sample;
mod shared;
pub mod slurm;
pub mod sshd;
mod step;
pub mod worker;

pub use image::{Image, image};
pub use login::{ALIAS, JUMPED, Login, Workspace};
pub use shared::{CLUSTER_VARIABLE, Shared, shared};
pub use slurm::{Daemon, Slurm};
pub use sshd::Sshd;

/// Longer than anything here takes: on a machine with ten times more to do than processors, a minute.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A program that stands for Apptainer.
pub(crate) const STAND_IN: &str = include_str!("../cluster/apptainer-stand-in");

/// Where a cluster tells other processes how it is reached.
const ACCESS: &str = "access.json";

/// What differs from the cluster that most tests want.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Of the login node.
    pub sshd: sshd::Options,
    /// Of the cluster behind it.
    pub slurm: slurm::Options,
    /// Leave the stand-in for Apptainer out: a cluster that runs no containers.
    pub without_apptainer: bool,
}

/// How a cluster is used, by whoever can read its folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    login: Login,
    configuration: PathBuf,
    registry: PathBuf,
    environment: Vec<(String, String)>,
}

impl Access {
    /// One of Slurm's programs, as root, who administrates the cluster: `sinfo`, `squeue`, `scontrol`.
    pub fn slurm(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", &self.configuration);
        command
    }

    /// `slurm.conf`.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The variables of every login: they are what tells a process of this machine of the cluster, too.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Puts an image under a name, such as `org/name:tag`, where `docker://org/name:tag` is looked for.
    ///
    /// # Errors
    /// It cannot be made or copied.
    pub fn publish(&self, image: Image, name: &str) -> Result<()> {
        publish(&self.registry, image, name)
    }

    /// The next pulls of a name fail, so many of them.
    ///
    /// # Errors
    /// It cannot be told to the registry.
    pub fn fail_pulls(&self, name: &str, times: u32) -> Result<()> {
        self.tell_registry(&format!("{name}.failures"), &times.to_string())
    }

    /// Each pull of a name takes so long.
    ///
    /// # Errors
    /// It cannot be told to the registry.
    pub fn slow_pulls(&self, name: &str, duration: Duration) -> Result<()> {
        self.tell_registry(&format!("{name}.seconds"), &duration.as_secs_f64().to_string())
    }

    fn tell_registry(&self, name: &str, text: &str) -> Result<()> {
        let path = self.registry.join(name);
        let folder = path.parent().unwrap_or(&self.registry);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            // Whoever pulls counts down.
            .and_then(|()| {
                std::os::unix::fs::chown(&path, Some(self.login.user_id), Some(self.login.group_id))
            })
            .map_err(Trouble::doing(format!("write {}", path.display())))
    }

    /// Lays an image down in a workspace, as if it had been pulled; its path.
    ///
    /// # Errors
    /// It cannot be made or copied.
    pub fn place(&self, image: Image, workspace: &Workspace, name: &str) -> Result<PathBuf> {
        let source = image::image(image)?;
        let path = workspace.write(name, "")?;
        std::fs::copy(&source, &path).map_err(Trouble::doing(format!("write {}", path.display())))?;
        Ok(path)
    }

    /// `sbatch --parsable` with these arguments, in a folder of the user's; the job's id.
    ///
    /// # Errors
    /// Slurm refuses it.
    pub fn submit(&self, workspace: &Workspace, arguments: &str) -> Result<u64> {
        let said = self.login.run(&format!("cd {} && sbatch --parsable {arguments}", workspace.name()))?;
        let id = said.split(';').next().unwrap_or_default();
        id.trim().parse().map_err(|_| Trouble::new(format!("sbatch answers `{said}` instead of a job's id")))
    }

    /// Waits for the end of a job, as `sacct` tells it: its state, without who cancelled it.
    ///
    /// # Errors
    /// It has not ended at the deadline.
    pub fn ended(&self, job: u64) -> Result<String> {
        let mut last = String::new();
        let ended = wait::until(&format!("the end of job {job}"), PATIENCE, &[], || {
            let mut sacct = self.slurm("sacct");
            sacct.args(["-n", "-P", "-X", "-o", "State,End", "-j", &job.to_string()]);
            last = process::succeed(&mut sacct, PATIENCE).unwrap_or_default();
            let (state, end) = last.lines().next()?.split_once('|')?;
            let state = state.split(' ').next().unwrap_or_default();
            (end != "Unknown" && !["PENDING", "RUNNING"].contains(&state)).then(|| state.to_owned())
        });
        ended.map_err(|trouble| Trouble::new(format!("{trouble}\nsacct: {last}")))
    }

    /// Waits until a job is in a state, as `squeue` tells it: `RUNNING`, `PENDING`.
    ///
    /// # Errors
    /// It is not at the deadline.
    pub fn is(&self, job: u64, state: &str) -> Result<()> {
        wait::until(&format!("job {job} {state}"), PATIENCE, &[], || {
            let mut squeue = self.slurm("squeue");
            squeue.args(["-h", "-o", "%T", "-j", &job.to_string()]);
            let said = process::succeed(&mut squeue, PATIENCE).ok()?;
            said.lines().any(|line| line == state).then_some(())
        })
    }
}

impl std::ops::Deref for Access {
    type Target = Login;

    fn deref(&self) -> &Login {
        &self.login
    }
}

/// A running cluster of our own: ended, its user with it, when dropped.
#[derive(Debug)]
pub struct Cluster {
    access: Access,
    /// The daemons; before the login node, whose user they run jobs as.
    pub slurm: Slurm,
    /// The login node.
    pub sshd: Sshd,
}

impl Cluster {
    /// Starts a cluster with its files below `folder`: a few seconds. It dies with the thread that called this.
    ///
    /// # Errors
    /// We are not root, something is not installed, or does not start.
    pub fn start(folder: &Path, options: &Options) -> Result<Self> {
        let below = folder.join("slurm");
        let mut sshd_options = options.sshd.clone();
        let configuration = Slurm::configuration_below(&below);
        sshd_options.environment.push(("SLURM_CONF".to_owned(), configuration.display().to_string()));
        if !options.without_apptainer {
            sshd_options.environment.extend(install_stand_in(folder)?);
        }
        let sshd = Sshd::start(folder, &sshd_options)?;
        let slurm = Slurm::start(&below, &options.slurm, &[sshd.user()])?;
        let access = Access {
            login: sshd.login().clone(),
            configuration,
            registry: registry(folder),
            environment: sshd_options.environment,
        };
        let text = serde_json::to_string_pretty(&access)
            .map_err(|error| Trouble::new(format!("cannot tell how the cluster is reached: {error}")))?;
        let path = folder.join(ACCESS);
        std::fs::write(&path, text).map_err(Trouble::doing(format!("write {}", path.display())))?;
        Ok(Self { access, slurm, sshd })
    }

    /// How it is used.
    pub const fn access(&self) -> &Access {
        &self.access
    }
}

impl std::ops::Deref for Cluster {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

/// See [`Access::publish`].
pub(crate) fn publish(registry: &Path, image: Image, name: &str) -> Result<()> {
    let source = image::image(image)?;
    let path = registry.join(format!("{name}.sif"));
    let folder = path.parent().unwrap_or(registry);
    std::fs::create_dir_all(folder).map_err(Trouble::doing(format!("make {}", folder.display())))?;
    // Beside its name first: another test may be pulling it.
    let beside = folder.join(format!(".{}", uuid::Uuid::new_v4()));
    std::fs::copy(&source, &beside)
        .and_then(|_| std::fs::rename(&beside, &path))
        .map_err(Trouble::doing(format!("publish {name}")))
}

/// Where the stand-in for Apptainer looks for images.
fn registry(folder: &Path) -> PathBuf {
    folder.join("registry")
}

/// The stand-in for Apptainer, under both names that Apptainer has; the variables of whoever uses it.
fn install_stand_in(folder: &Path) -> Result<[(String, String); 2]> {
    use std::os::unix::fs::PermissionsExt as _;
    let (programs, registry) = (folder.join("bin"), registry(folder));
    let program = programs.join("apptainer");
    std::fs::create_dir_all(&programs)
        .and_then(|()| std::fs::create_dir_all(&registry))
        .and_then(|()| std::fs::write(&program, STAND_IN))
        .and_then(|()| std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)))
        .and_then(|()| std::os::unix::fs::symlink("apptainer", programs.join("singularity")))
        .map_err(Trouble::doing("install the stand-in for Apptainer"))?;
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/games", programs.display());
    Ok([("PATH".to_owned(), path), ("STAND_IN_REGISTRY".to_owned(), registry.display().to_string())])
}
