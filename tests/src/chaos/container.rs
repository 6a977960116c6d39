//! The worker's container: a process namespace whose process 1 is `init`, which keeps `processor serve` running.
//!
//! Its files are those of the worker's folder, as a volume is: they outlive it. Nothing else does.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::worker::Worker;
use crate::process::{Running, children};
use crate::{Result, Trouble, binary, wait};

/// What `init` is told. Who is killed all the time is started again at once, however often.
const SETTINGS: &str = r#"
[user]
name = "root"

[services.node]
enabled = false

[services.workflows]
command = ["@PROGRAM@", "serve", "--verbose"]
directory = "@FOLDER@"

[services.workflows.environment]
HOME = "@FOLDER@"

[services.workflows.restart]
delay = "100ms"
max_delay = "1s"

[services.workflows.stop]
deadline = "30s"

[state]
directory = "@FOLDER@/state"
socket = "@FOLDER@/state/init.sock"
"#;

/// A container that is killed and started again.
#[derive(Debug)]
pub(super) struct Container {
    init: PathBuf,
    settings: PathBuf,
    log: PathBuf,
    running: Option<Running>,
}

impl Container {
    /// For a worker; nothing runs yet.
    pub(super) fn new(worker: &Worker) -> Result<Self> {
        let folder = worker.folder();
        let program = binary::processor()?;
        let settings = SETTINGS
            .replace("@PROGRAM@", &program.display().to_string())
            .replace("@FOLDER@", &folder.display().to_string());
        let settings = worker.write("init.toml", &settings)?;
        worker.write("state/.here", "")?;
        Ok(Self { init: binary::init()?, settings, log: folder.join("container.log"), running: None })
    }

    /// What everything in it writes.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Starts it.
    pub(super) fn start(&mut self, worker: &Worker) -> Result<()> {
        let asked = worker.processor(&[])?;
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        command.arg(&self.init).arg("--no-hooks").env("BIOMERO_INIT_CONFIG", &self.settings);
        command.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.running = Some(Running::start("the container", command, &self.log)?);
        Ok(())
    }

    /// KILL to `processor serve`; false where it is just not there.
    pub(super) fn kill_processor(&self) -> bool {
        let is_ours = |process: &Pid| command_name(*process).is_some_and(|name| name == "processor");
        let serve = self.process_1().and_then(|init| children(init).into_iter().find(is_ours));
        serve.is_some_and(|serve| kill(serve, Signal::SIGKILL).is_ok())
    }

    /// KILL to process 1; false where there is none yet.
    pub(super) fn kill(&mut self) -> Result<bool> {
        let Some(mut running) = self.running.take() else { return Ok(false) };
        let init = self.init_of(&running);
        match init {
            Some(init) => {
                let _ = kill(init, Signal::SIGKILL);
            }
            None => running.signal(Signal::SIGKILL)?,
        }
        running.ended_within(wait::PATIENCE)?;
        Ok(init.is_some())
    }

    /// TERM to process 1, as an engine stops a container.
    pub(super) fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let init = self.process_1().ok_or_else(|| Trouble::new("there is no process 1 to be stopped"))?;
        let mut running = self.running.take().ok_or_else(|| Trouble::new("there is no container"))?;
        kill(init, Signal::SIGTERM)
            .map_err(|error| Trouble::new(format!("cannot stop the container: {error}")))?;
        running.ended_within(deadline)
    }

    /// Whether it ended although nobody has ended it.
    pub(super) fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.status().is_some())
    }

    fn process_1(&self) -> Option<Pid> {
        self.running.as_ref().and_then(|running| self.init_of(running))
    }

    /// Once it is `init`: before, it is what mounts.
    fn init_of(&self, running: &Running) -> Option<Pid> {
        let first = *children(running.id()).first()?;
        command_name(first).is_some_and(|name| name == "init").then_some(first)
    }
}

fn command_name(process: Pid) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?.trim().to_owned())
}
