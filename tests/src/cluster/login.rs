//! How a login node is reached, and the folders that tests have there. It is told in a file too, for other processes.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::PATIENCE;
use crate::{Result, Trouble, process};

/// The alias in [`Login::ssh_config`].
pub const ALIAS: &str = "slurm";

/// The same node by way of itself (`ProxyJump`).
pub const JUMPED: &str = "jumped";

/// A user's way to a login node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    pub(super) folder: PathBuf,
    pub(super) home: PathBuf,
    pub(super) user: String,
    pub(super) user_id: u32,
    pub(super) group_id: u32,
    pub(super) port: u16,
}

impl Login {
    /// A configuration for `ssh -F`: the aliases `slurm` and `jumped`, with a key and a list of known hosts of their own.
    pub fn ssh_config(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// The host's alias in [`Self::ssh_config`].
    pub const fn alias(&self) -> &'static str {
        ALIAS
    }

    /// The alias of the same host that is reached through itself.
    pub const fn jumped(&self) -> &'static str {
        JUMPED
    }

    /// The user's private key, without a passphrase.
    pub fn private_key(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }

    /// The host key as the client knows it.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// The user's home folder; this machine is the login node, so the path is the same on both sides.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Who logs in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The ids of the user and of its group.
    pub const fn ids(&self) -> (u32, u32) {
        (self.user_id, self.group_id)
    }

    /// Where sshd listens, on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// OpenSSH's client, about to run a command line of the user's login shell.
    pub fn ssh(&self, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.ssh_config()).args([ALIAS, command]);
        ssh
    }

    /// Runs a command line of the login shell by OpenSSH's client, whatever comes of it.
    ///
    /// # Errors
    /// The client cannot be started or is not done in time.
    pub fn output(&self, command: &str) -> Result<Output> {
        process::output(&mut self.ssh(command), PATIENCE)
    }

    /// As [`Self::output`], asking for success; what it wrote to standard output, without the last newline.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, command: &str) -> Result<String> {
        let said = process::succeed(&mut self.ssh(command), PATIENCE)?;
        Ok(said.strip_suffix('\n').unwrap_or(&said).to_owned())
    }

    /// A fresh folder below the home, the user's own; removed with all that is in it when dropped.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn workspace(&self) -> Result<Workspace> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("work-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = self.home.join(&name);
        let doing = || Trouble::doing(format!("make {}", path.display()));
        std::fs::create_dir(&path).map_err(doing())?;
        self.own(&path)?;
        Ok(Workspace { login: self.clone(), name, path })
    }

    /// Makes the user the owner of a file or folder.
    ///
    /// # Errors
    /// It does not exist.
    pub fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.user_id), Some(self.group_id)).map_err(Trouble::doing(format!(
            "give {} to {}",
            path.display(),
            self.user
        )))
    }

    /// What the login shell reads first. Bash reads it for a command of sshd's too, and what it prints there comes before
    /// the output of every command.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn bashrc(&self, text: &str) -> Result<()> {
        let path = self.home.join(".bashrc");
        std::fs::write(&path, text).map_err(Trouble::doing(format!("write {}", path.display())))?;
        self.own(&path)
    }
}

/// A folder of one test on the login node.
#[derive(Debug)]
pub struct Workspace {
    login: Login,
    name: String,
    path: PathBuf,
}

impl Workspace {
    /// Its name, relative to the home folder, in which a login begins.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its whole path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of the user's own, and the folders above it; its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path.join(name);
        let mut folder = self.path.clone();
        for part in Path::new(name).parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            if !folder.exists() {
                std::fs::create_dir(&folder).map_err(Trouble::doing(format!("make {}", folder.display())))?;
                self.login.own(&folder)?;
            }
        }
        std::fs::write(&path, content).map_err(Trouble::doing(format!("write {}", path.display())))?;
        self.login.own(&path)?;
        Ok(path)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        let content = std::fs::read(&path).map_err(Trouble::doing(format!("read {}", path.display())))?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // A job that still ends may write while we remove.
        for _ in 0..20 {
            if std::fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
