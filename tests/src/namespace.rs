//! A container without an engine: process and mount namespaces, a root folder of our own, the host's `/usr` in it.
//!
//! `init` is process 1 there, sees nothing of the host's files but its programs, and whatever it leaves behind ends
//! with it. The network is the host's, so that a registry on loopback is its master.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::process::{Running, children};
use crate::worker_root::{self, Deployment, INIT, SERVICE_USER};
use crate::{Result, Trouble, wait};

/// Mounts what a container has, then becomes process 1. Arguments: the root folder, then the command.
const ENTER: &str = r#"
set -e
root=$1; shift
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then [ -L "$root/$name" ] || ln -s "$(readlink "/$name")" "$root/$name"
  elif [ -d "/$name" ]; then mkdir -p "$root/$name"; mount --rbind "/$name" "$root/$name"
  fi
done
mkdir -p "$root/usr" "$root/dev" "$root/proc" "$root/sys"
mount --bind /usr "$root/usr"
mount -o remount,bind,ro "$root/usr" 2>/dev/null || :
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
"#;

/// Makes the root folder the root of the mount namespace: whoever is in a `chroot` may make no user namespace, and so run no
/// container.
const LEAVE: &str = r#"
mount --rbind "$root" "$root"
cd "$root"
pivot_root . .
umount --lazy .
cd /
"#;

/// Who runs `init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The image's user, as `USER omero-server` has it, without any capability.
    ServiceUser,
    /// Root, which drops to the service user for its services.
    Root,
}

/// A worker's root folder, and what runs in it.
#[derive(Debug)]
pub struct Namespace {
    root: PathBuf,
    log: PathBuf,
    deployment: Deployment,
    user: As,
    mounts: String,
}

impl Namespace {
    /// Lays out a worker below `folder`.
    ///
    /// # Errors
    /// The root folder cannot be laid out.
    pub fn new(folder: &Path, deployment: Deployment, user: As) -> Result<Self> {
        let root = folder.join("root");
        worker_root::lay_out(&root, &deployment)?;
        Ok(Self { root, log: folder.join("init.log"), deployment, user, mounts: String::new() })
    }

    /// The root folder, seen from outside.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What everything run here writes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// A path of the worker's, seen from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The content of a file of the worker's.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.path(path)).map_err(Trouble::doing(format!("read the worker's {path}")))
    }

    /// Shell commands run as root in the new mount namespace, `$root` being the root folder, before `init` starts:
    /// where a test mounts a full disk or a read-only one.
    pub fn prepare(&mut self, commands: &str) {
        self.mounts.push_str(commands);
        self.mounts.push('\n');
    }

    /// `command` as process 1 of a new container.
    pub fn command(&self, command: &[&str]) -> Command {
        let mut unshare = Command::new("unshare");
        unshare.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        if !Uid::effective().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--pid", "--fork", "--kill-child", "--mount", "--", "/bin/sh", "-c"]);
        // `env -i` last: the service user's program gets the deployment's variables and no others.
        let script = format!("{ENTER}\n{}\n{LEAVE}\nexec {}\"$@\"\n", self.mounts, self.identity());
        unshare.arg(script).arg("sh").arg(&self.root).args(["/usr/bin/env", "-i"]);
        unshare.args(self.deployment.environment().iter().map(|(name, value)| format!("{name}={value}")));
        unshare.args(command);
        unshare
    }

    fn identity(&self) -> String {
        if self.user == As::Root || !Uid::effective().is_root() {
            return String::new();
        }
        format!(
            "/usr/bin/setpriv --reuid {SERVICE_USER} --regid {SERVICE_USER} --clear-groups --inh-caps=-all \
             --bounding-set=-all --no-new-privs "
        )
    }

    /// Starts `init` with these arguments as process 1.
    ///
    /// # Errors
    /// The namespaces cannot be made.
    pub fn start(&self, arguments: &[&str]) -> Result<Worker> {
        let command = self.command(&[&[INIT], arguments].concat());
        let mut process = Running::start("init", command, &self.log)?;
        let outer = process.id();
        let init = wait::until("process 1", wait::PATIENCE, &[&self.log], || {
            if process.status().is_some() {
                return Some(None);
            }
            // Between the fork and the last exec, process 1 is still the shell that mounts.
            let init = *children(outer).first()?;
            let name = fs::read_to_string(format!("/proc/{init}/comm")).ok()?;
            (name.trim() == "init").then_some(Some(init))
        })?;
        Ok(Worker { process, init })
    }

    /// Runs `init` with these arguments to its end, as process 1 of a container of its own.
    ///
    /// # Errors
    /// It is not done in time.
    pub fn run(&self, arguments: &[&str], deadline: Duration) -> Result<Finished> {
        let command = &mut self.command(&[&[INIT], arguments].concat());
        let output = crate::process::output(command, deadline)?;
        Ok(Finished {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// A program that ran to its end.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code, 128+n after a signal.
    pub code: i32,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Finished {
    /// Asks for an exit code.
    ///
    /// # Errors
    /// It is another one.
    pub fn exits(self, code: i32) -> Result<Self> {
        if self.code == code {
            return Ok(self);
        }
        let Self { code: found, output, errors } = &self;
        Err(Trouble::new(format!(
            "exit code {found} instead of {code}\n--- stdout ---\n{output}\n--- stderr ---\n{errors}"
        )))
    }
}

/// `init` as process 1.
#[derive(Debug)]
pub struct Worker {
    process: Running,
    init: Option<Pid>,
}

impl Worker {
    /// Process 1, by its id outside; an error when it has already ended.
    ///
    /// # Errors
    /// It ended before it could be looked at.
    pub fn init(&self) -> Result<Pid> {
        self.init.ok_or_else(|| {
            Trouble::new(format!("init ended at once{}", wait::ends_of(&[self.process.log()])))
        })
    }

    /// Sends a signal to process 1 as the container engine would: from outside.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.init()?, signal).map_err(|error| Trouble::new(format!("cannot signal init: {error}")))
    }

    /// The command names of all processes in the container.
    pub fn processes(&self) -> Vec<String> {
        let Some(init) = self.init else { return Vec::new() };
        let Ok(namespace) = fs::read_link(format!("/proc/{init}/ns/pid")) else { return Vec::new() };
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| fs::read_link(entry.path().join("ns/pid")).is_ok_and(|other| other == namespace))
            .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect()
    }

    /// A program inside the running container, as its user, as `docker exec` does it.
    ///
    /// # Errors
    /// It is not done in a minute.
    pub fn exec(&self, namespace: &Namespace, command: &[&str]) -> Result<Finished> {
        self.exec_within(namespace, command, wait::PATIENCE)
    }

    /// The same with another deadline.
    ///
    /// # Errors
    /// It is not done by then.
    pub fn exec_within(
        &self,
        namespace: &Namespace,
        command: &[&str],
        deadline: Duration,
    ) -> Result<Finished> {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.init()?.to_string(), "--mount", "--pid", "--root", "--wd"]);
        if !Uid::effective().is_root() {
            enter.args(["--user", "--preserve-credentials"]);
        } else if namespace.user == As::ServiceUser {
            enter.args(["--setuid", &SERVICE_USER.to_string(), "--setgid", &SERVICE_USER.to_string()]);
        }
        enter.env_clear().envs(namespace.deployment.environment()).args(command);
        let output = crate::process::output(&mut enter, deadline)?;
        Ok(Finished {
            code: output.status.code().unwrap_or(-1),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.status().is_some()
    }

    /// Waits for the end of process 1; its exit code, 128+n after a signal.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn ended_within(&mut self, deadline: Duration) -> Result<i32> {
        let status: ExitStatus = self.process.ended_within(deadline)?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    /// TERM to process 1, then waits for its end.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn stop(&mut self, deadline: Duration) -> Result<i32> {
        self.signal(Signal::SIGTERM)?;
        self.ended_within(deadline)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // With process 1 the kernel ends everything in its namespace.
        if let Some(init) = self.init
            && self.process.status().is_none()
        {
            let _ = kill(init, Signal::SIGKILL);
        }
    }
}
