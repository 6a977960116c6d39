//! A program in the background: its output in a file, its end asked for by process id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::{Result, Trouble, wait};

/// A running program, killed with its process group when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts `command` in a process group of its own, its output appended to `log`. It is killed when the thread
    /// that started it ends, however that comes about.
    ///
    /// # Errors
    /// The log cannot be written or the program not started.
    pub fn start(name: &str, command: Command, log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Trouble::doing(format!("write {}", log.display())))?;
        let errors = output.try_clone().map_err(Trouble::doing("share a log"))?;
        let child = dies_with_us(&command)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(Trouble::doing(format!("start {name}")))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf(), ended: None })
    }

    /// Its process id.
    pub fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All it has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Sends a signal to the program alone.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.id(), signal).map_err(|error| Trouble::new(format!("cannot signal {}: {error}", self.name)))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn ended_within(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let log = self.log.clone();
        let what = format!("the end of {}", self.name);
        wait::until(&what, deadline, &[&log], || self.status())
    }

    /// TERM, then waits for its end.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if self.status().is_none() {
            self.signal(Signal::SIGTERM)?;
        }
        self.ended_within(deadline)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status().is_none() {
            // A test that ended early leaves nothing to be polite about, and the group may have outlived its leader.
            let _ = killpg(self.id(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Wraps a command so that the kernel kills it when we die: a test that is ended by its runner's time limit runs no
/// destructors.
pub(crate) fn dies_with_us(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// Runs a program to its end, within a deadline.
///
/// # Errors
/// It cannot be started or is not done in time.
pub fn output(command: &mut Command, deadline: Duration) -> Result<Output> {
    let shown = format!("{command:?}");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Trouble::doing(format!("start {shown}")))?;
    let id = Pid::from_raw(child.id().cast_signed());
    let (done, watched) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let late = watched.recv_timeout(deadline) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = kill(id, Signal::SIGKILL);
        }
        late
    });
    let start = Instant::now();
    let output = child.wait_with_output().map_err(Trouble::doing(format!("wait for {shown}")));
    drop(done);
    let late = watchdog.join().unwrap_or(false);
    let output = output?;
    if late {
        return Err(Trouble::new(format!(
            "{shown} was not done after {:?}: {}",
            start.elapsed(),
            both(&output)
        )));
    }
    Ok(output)
}

/// As [`output`], asking for success; returns what was written to standard output.
///
/// # Errors
/// It cannot be started, is not done in time, or fails.
pub fn succeed(command: &mut Command, deadline: Duration) -> Result<String> {
    let output = output(command, deadline)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Trouble::new(format!("{command:?} ended with {}:\n{}", output.status, both(&output))))
}

/// Standard output, then standard error, as text.
pub fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The processes that a process has started and not yet waited for.
pub fn children(parent: Pid) -> Vec<Pid> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>())
        .map(Pid::from_raw)
        .collect()
}
