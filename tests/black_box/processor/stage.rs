//! A database of one test's own and the program that is asked about it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use biomero_tests::postgres::{self, Shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, process, wait};
use serde_json::Value;

/// The workflow run of the samples that is completed.
pub(super) const WORKFLOW: &str = "0b0367c8-05d5-44e7-8ca9-82c71453c899";

/// Its third task, the one with a workflow's name and a job.
pub(super) const TASK: &str = "a372a613-c846-4764-8b8e-746ccad6d55b";

/// See the module.
pub(super) struct Stage {
    pub(super) server: Arc<Shared>,
    pub(super) database: String,
    pub(super) url: String,
    pub(super) scratch: Scratch,
    processor: PathBuf,
}

impl Stage {
    /// A database without tables.
    pub(super) fn empty(database: &str) -> Result<Self> {
        let server = postgres::shared()?;
        let url = server.create_database(database)?;
        let database = database.to_owned();
        Ok(Self { server, database, url, scratch: Scratch::new()?, processor: binary::processor()? })
    }

    /// A database with 42 events that the real Python wrote, projected.
    pub(super) fn with_history(database: &str) -> Result<Self> {
        let stage = Self::empty(database)?;
        stage.succeed(&["init"])?;
        let rows: Vec<String> = samples()?
            .lines()
            .map(|line| {
                let [id, originator, version, topic, state] = fields(line);
                format!("({id}, '{originator}', {version}, '{topic}', '\\x{state}')")
            })
            .collect();
        let file = stage.scratch.path().join("history.sql");
        let columns = "id, originator_id, originator_version, topic, state";
        std::fs::write(
            &file,
            format!(
                "INSERT INTO workflowtracker_events ({columns}) VALUES {};
                 SELECT setval('workflowtracker_events_id_seq', 42);",
                rows.join(",\n")
            ),
        )
        .map_err(Trouble::doing("write the history"))?;
        stage.server.psql_file(database, &file)?;
        stage.succeed(&["init"])?;
        Ok(stage)
    }

    /// `processor events …`, its database named by the variable.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.processor);
        command.arg("events").args(arguments).env_clear();
        command.env("SQLALCHEMY_URL", &self.url).env("HOME", self.scratch.path());
        // What this machine is configured with is no part of any test.
        command.env("BIOMERO_INIT_SLURM_CONFIG__FILES", "[\"/nonexistent\"]");
        command
    }

    /// Runs it to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Output> {
        process::output(&mut self.command(arguments), wait::PATIENCE)
    }

    /// Runs it, and it has to succeed; what it answered.
    pub(super) fn succeed(&self, arguments: &[&str]) -> Result<String> {
        process::succeed(&mut self.command(arguments), wait::PATIENCE)
    }

    /// Runs it with `--json`, and it has to succeed; the objects that it answered.
    pub(super) fn objects(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        objects(&self.succeed(&[arguments, &["--json"]].concat())?)
    }

    /// The same where one is answered.
    pub(super) fn object(&self, arguments: &[&str]) -> Result<Value> {
        self.objects(arguments)?.pop().ok_or_else(|| Trouble::new("no answer"))
    }

    /// Runs it, and it has to end with this code; all that it wrote.
    pub(super) fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<String> {
        ends_with(code, &mut self.command(arguments))
    }

    /// Runs SQL behind its back.
    pub(super) fn psql(&self, sql: &str) -> Result<String> {
        self.server.psql(&self.database, sql)
    }
}

/// Runs a program, and it has to end with this code; all that it wrote.
pub(super) fn ends_with(code: i32, command: &mut Command) -> Result<String> {
    let output = process::output(command, wait::PATIENCE)?;
    if output.status.code() == Some(code) {
        return Ok(process::both(&output));
    }
    Err(Trouble::new(format!("{} instead of {code}:\n{}", output.status, process::both(&output))))
}

/// An object a line.
pub(super) fn objects(text: &str) -> Result<Vec<Value>> {
    let object = |line: &str| {
        serde_json::from_str(line).map_err(|error| Trouble::new(format!("no JSON: {error}: {line}")))
    };
    text.lines().map(object).collect()
}

/// The rows that Python wrote, as `psql` prints them, the state in hexadecimal digits.
pub(super) fn samples() -> Result<String> {
    let path = binary::workspace().join("runtime/events/src/event/samples.psv");
    std::fs::read_to_string(path).map_err(Trouble::doing("read the samples"))
}

/// The fields of a row of [`samples`].
pub(super) fn fields(line: &str) -> [&str; 5] {
    let mut fields = line.splitn(5, '|');
    std::array::from_fn(|_| fields.next().unwrap_or_default())
}

/// The bytes of hexadecimal digits.
pub(super) fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = |at| hexadecimal.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    (0..hexadecimal.len()).step_by(2).filter_map(digits).collect()
}
