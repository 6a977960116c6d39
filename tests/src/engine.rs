//! A Docker engine of our own: its state below one folder, its socket there too, no bridge, no firewall rules, nothing
//! of the machine's own engine touched.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::{self, Running};
use crate::{Result, Trouble, wait};

/// Longer than any single request takes.
const REQUEST: Duration = Duration::from_secs(300);

/// How long it takes to end.
const STOP: Duration = Duration::from_secs(30);

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    process: Running,
    socket: PathBuf,
    folder: PathBuf,
}

impl Engine {
    /// Starts an engine with its state below `folder` and waits until it answers. Its containers have the machine's network
    /// or none.
    ///
    /// # Errors
    /// It does not start; it needs root.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_in(folder, &[])
    }

    /// As [`Self::start`], in namespaces of its own: the networks that it makes for its containers are there and lead nowhere
    /// else, and no process of a container outlives it, even where it is killed.
    ///
    /// # Errors
    /// It does not start; it needs root.
    pub fn start_apart(folder: &Path) -> Result<Self> {
        Self::start_in(folder, &["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
    }

    fn start_in(folder: &Path, namespaces: &[&str]) -> Result<Self> {
        let socket = folder.join("docker.sock");
        let log = folder.join("dockerd.log");
        let folder = folder.to_path_buf();
        // In a mount namespace of its own: what it mounts goes with it, however it ends.
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["--mount", "--propagation", "private", "--", "dockerd"]);
        command.args([
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--ip-forward=false",
            "--ip-masq=false",
        ]);
        for (option, path) in [
            ("--data-root", folder.join("data")),
            ("--exec-root", folder.join("exec")),
            ("--pidfile", folder.join("dockerd.pid")),
        ] {
            command.arg(option).arg(path);
        }
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        let mut engine = Self { process: Running::start("dockerd", command, &log)?, socket, folder };
        wait::until("an answer from dockerd", wait::PATIENCE, &[&log], || {
            let gone = engine.process.status().is_some();
            (gone || engine.ask(&["version"]).is_ok()).then_some(())
        })?;
        engine
            .ask(&["version"])
            .map_err(|trouble| Trouble::new(format!("{trouble}{}", wait::ends_of(&[&log]))))?;
        Ok(engine)
    }

    /// `docker ARGUMENTS` against this engine.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        docker.envs(self.environment()).args(arguments);
        docker
    }

    /// The variables by which any `docker` finds this engine and these settings.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("DOCKER_HOST", format!("unix://{}", self.socket.display())),
            // The user's own settings and plugins stay out of it; the classic builder needs no plugin.
            ("DOCKER_CONFIG", self.settings().display().to_string()),
            ("DOCKER_BUILDKIT", "0".to_owned()),
        ]
    }

    /// The folder of the client's settings and plugins.
    pub fn settings(&self) -> PathBuf {
        self.folder.join("client")
    }

    /// Runs `docker ARGUMENTS`, asking for success; returns its output, trimmed.
    ///
    /// # Errors
    /// It fails.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        Ok(process::succeed(&mut self.docker(arguments), REQUEST)?.trim().to_owned())
    }

    /// Runs `docker ARGUMENTS`, whatever comes of it.
    ///
    /// # Errors
    /// It cannot be started or is not done in time.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        process::output(&mut self.docker(arguments), REQUEST)
    }

    /// Makes an image of a tar file.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn import(&self, tar: &Path, name: &str) -> Result<()> {
        self.ask(&["import", &tar.to_string_lossy(), name]).map(drop)
    }

    /// Runs a container in the background.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn run(&self, arguments: &[&str]) -> Result<Container<'_>> {
        let id = self.ask(&[&["run", "--detach", "--network=host"], arguments].concat())?;
        Ok(Container { engine: self, id })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // TERM, so that it ends containerd and its containers; what is left is killed with its group. In a PID namespace it is
        // the child of a process that passes no signal on.
        match process::children(self.process.id()).as_slice() {
            [engine] if is_dockerd(*engine) => {
                let _ = kill(*engine, Signal::SIGTERM);
                let _ = self.process.ended_within(STOP);
            }
            _ => drop(self.process.stop(STOP)),
        }
    }
}

fn is_dockerd(process: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim() == "dockerd")
}

/// A container, removed when dropped.
#[derive(Debug)]
pub struct Container<'a> {
    engine: &'a Engine,
    id: String,
}

impl Container<'_> {
    /// What it has written so far.
    pub fn logs(&self) -> String {
        self.engine.output(&["logs", &self.id]).map(|output| process::both(&output)).unwrap_or_default()
    }

    /// One value of `docker inspect`.
    ///
    /// # Errors
    /// The engine does not know the container.
    pub fn inspect(&self, format: &str) -> Result<String> {
        self.engine.ask(&["inspect", "--format", format, &self.id])
    }

    /// Runs a program in the container.
    ///
    /// # Errors
    /// It fails.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        self.engine.ask(&[&["exec", &self.id], command].concat())
    }

    /// Waits until the container's state, as `docker inspect` formats it, is the one wanted.
    ///
    /// # Errors
    /// It is not in time; with the container's logs.
    pub fn becomes(&self, format: &str, wanted: &str, deadline: Duration) -> Result<()> {
        let mut last = String::new();
        wait::until(&format!("`{format}` of the container being {wanted}"), deadline, &[], || {
            last = self.inspect(format).unwrap_or_default();
            (last == wanted).then_some(())
        })
        .map_err(|trouble| Trouble::new(format!("{trouble}: it is {last}\n--- logs ---\n{}", self.logs())))
    }

    /// `docker stop`; how long it took, and the exit code.
    ///
    /// # Errors
    /// The engine fails.
    pub fn stop(&self, deadline: Duration) -> Result<(Duration, i32)> {
        let start = Instant::now();
        self.engine.ask(&["stop", "--time", &deadline.as_secs().to_string(), &self.id])?;
        let took = start.elapsed();
        let code = self.inspect("{{.State.ExitCode}}")?;
        Ok((took, code.parse().map_err(|_| Trouble::new(format!("`{code}` is no exit code")))?))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.engine.ask(&["rm", "--force", "--volumes", &self.id]);
    }
}
