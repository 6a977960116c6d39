//! The real Python biomero, in a virtual environment that is made once and kept: the other side of the event log.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Result, Trouble, binary, process, wait};

mod slurm_client;

pub use slurm_client::{Called, Descriptor, SlurmClient};

/// The version that is spoken to.
pub const VERSION: &str = "2.8.3";

/// The listeners by the settings that switch them on: `enable_job_accounting` and so on.
pub const LISTENERS: [&str; 3] = ["job_accounting", "job_progress", "workflow_analytics"];

/// A command of Python's may replay a long history.
const ANSWER: Duration = Duration::from_secs(300);

/// The interpreter that has biomero, made when it is missing.
///
/// # Errors
/// There is no Python that can make virtual environments, or no package registry.
pub fn python() -> Result<PathBuf> {
    crate::python::environment(&format!("biomero-{VERSION}"), &fixtures().join("requirements.txt"))
}

/// Runs a script of the fixtures to its end; what it wrote to standard output.
///
/// # Errors
/// It fails or is not done in time.
pub fn run(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
    let mut command = Command::new(python()?);
    command.arg(fixtures().join(script)).args(arguments).envs(environment.iter().copied());
    process::succeed(clean(&mut command), ANSWER)
}

/// A running Python with biomero loaded, asked by commands; killed when dropped.
#[derive(Debug)]
pub struct Biomero {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    log: PathBuf,
}

impl Biomero {
    /// Starts it, connected to nothing yet; what it logs goes below `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &[])
    }

    /// As [`Self::start`], with variables of its environment.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_with(folder: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let log = folder.join("biomero.log");
        let errors = File::options().create(true).append(true).open(&log);
        let mut command = Command::new(python()?);
        command.arg(fixtures().join("driver.py")).envs(environment.iter().copied());
        clean(&mut command).current_dir(folder);
        let mut child = process::dies_with_us(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.map_err(Trouble::doing(format!("write {}", log.display())))?)
            .spawn()
            .map_err(Trouble::doing("start Python"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (commands, output) = pipes.ok_or_else(|| Trouble::new("Python has no pipes"))?;
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, commands, answers, log })
    }

    /// One command of `driver.py` and its answer.
    ///
    /// # Errors
    /// Python raises an exception, which the message names, or does not answer.
    pub fn ask(&mut self, command: &str, with: &Value) -> Result<Value> {
        self.send(command, with)?;
        self.answer()
    }

    /// Sends a command without waiting for its answer: two sides at once.
    ///
    /// # Errors
    /// Python has ended.
    pub fn send(&mut self, command: &str, with: &Value) -> Result<()> {
        writeln!(self.commands, "{}", json!({ "command": command, "with": with }))
            .map_err(|error| self.trouble(&format!("Python takes no command: {error}")))
    }

    /// The answer to the oldest command that has none yet.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub fn answer(&mut self) -> Result<Value> {
        let line = self
            .answers
            .recv_timeout(ANSWER)
            .map_err(|error| self.trouble(&format!("Python does not answer: {error}")))?;
        let mut line: Value = serde_json::from_str(&line)
            .map_err(|error| self.trouble(&format!("Python answers `{line}`: {error}")))?;
        match line.get("error").and_then(Value::as_str) {
            Some(error) => Err(self.trouble(error)),
            None => Ok(line["answer"].take()),
        }
    }

    /// Connects to a database, its listeners on or off: `enable_job_accounting` and the others.
    ///
    /// # Errors
    /// The database cannot be reached or set up.
    pub fn open(&mut self, url: &str, listeners: &[&str]) -> Result<()> {
        self.ask("open_log", &json!({ "url": url, "listeners": listeners })).map(drop)
    }

    /// Runs commands of the workflow tracker in turn; the ids of what those with an `as` have made.
    ///
    /// # Errors
    /// One of them fails.
    pub fn play(&mut self, commands: &[Value]) -> Result<Value> {
        self.ask("play", &json!({ "commands": commands }))
    }

    /// `repository.get`: the aggregate as Python rebuilds it from its events.
    ///
    /// # Errors
    /// There is none, or its events do not fit together.
    pub fn get(&mut self, aggregate: &str) -> Result<Value> {
        self.ask("get", &json!({ "aggregate": aggregate }))
    }

    fn trouble(&self, message: &str) -> Trouble {
        Trouble::new(format!("{message}{}", wait::ends_of(&[&self.log])))
    }
}

impl Drop for Biomero {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What of our own environment would change what biomero does.
fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if ["BIOMERO_", "SQLALCHEMY", "PERSISTENCE", "PG", "PYTHON", "SLURM"]
            .iter()
            .any(|known| told.starts_with(known))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of what Python is run with.
pub fn fixtures() -> PathBuf {
    binary::workspace().join("tests/fixtures/biomero")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres;
    use crate::scratch::Scratch;

    #[test]
    fn python_writes_a_workflow_and_its_views_hold_the_rows() -> Result<()> {
        let (server, scratch) = (postgres::shared()?, Scratch::new()?);
        let url = server.create_database("python_writes")?;
        let mut biomero = Biomero::start(scratch.path())?;
        biomero.open(&url, &LISTENERS)?;
        let ids = biomero.play(&[
            json!({ "do": "initiate_workflow", "as": "workflow", "arguments": ["cellpose", "für alle", 2, 3] }),
            json!({ "do": "add_task_to_workflow", "of": "workflow", "as": "task", "arguments": ["cellpose", "v1", [], {}] }),
            json!({ "do": "add_job_id", "of": "task", "arguments": [42] }),
            json!({ "do": "update_task_status", "of": "task", "arguments": ["RUNNING"] }),
            json!({ "do": "add_result", "of": "task", "arguments": [{ "command": "ls", "env": {}, "stdout": "", "stderr": "" }] }),
        ])?;
        let task = ids["task"].as_str().unwrap_or_default();
        let rows = |sql: &str| server.psql("python_writes", sql);
        assert_eq!(rows("SELECT * FROM biomero_job_view")?, format!("42|2|3|{task}"));
        assert_eq!(rows("SELECT * FROM biomero_job_progress_view")?, "42|RUNNING|");
        assert_eq!(rows("SELECT status, progress FROM biomero_workflow_progress_view")?, "JOB_RUNNING|50%");
        assert_eq!(rows("SELECT task_name, status FROM biomero_task_execution")?, "cellpose|RUNNING");
        assert_eq!(biomero.get(task)?["job_ids"], json!([42]));
        let first = biomero.ask("select", &json!({ "start": 1, "limit": 10 }))?;
        assert_eq!(first[0]["topic"], "biomero.eventsourcing:WorkflowRun.WorkflowInitiated");
        let jobs = biomero.ask("ask", &json!({ "listener": "jobAccounting", "method": "get_jobs" }))?;
        assert_eq!(jobs, json!([[2, [42]]]));
        let counts =
            biomero.ask("ask", &json!({ "listener": "workflowAnalytics", "method": "get_task_counts" }))?;
        assert_eq!(counts, json!([[["cellpose", "v1"], 1]]));
        Ok(())
    }

    #[test]
    fn what_python_raises_is_told_and_it_goes_on() -> Result<()> {
        let (server, scratch) = (postgres::shared()?, Scratch::new()?);
        let url = server.create_database("python_raises")?;
        let mut biomero = Biomero::start(scratch.path())?;
        biomero.open(&url, &[])?;
        let missing = biomero
            .get("2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98")
            .map_or_else(|error| error.to_string(), |found| found.to_string());
        assert!(missing.contains("AggregateNotFound"), "{missing}");
        biomero.play(&[json!({ "do": "initiate_workflow", "arguments": ["cellpose", "", 2, 3] })])?;
        biomero.ask("rebuild", &json!({}))?;
        Ok(())
    }
}
