//! A database of one test's own and the program that is asked about it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use biomero_tests::postgres::{self, Shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, process, wait};

/// The workflow run of the samples.
pub const WORKFLOW: &str = "0b0367c8-05d5-44e7-8ca9-82c71453c899";

/// See the module.
pub struct Stage {
    pub server: Arc<Shared>,
    pub database: String,
    pub url: String,
    pub scratch: Scratch,
    processor: PathBuf,
}

impl Stage {
    /// An empty database.
    pub fn empty(database: &str) -> Result<Self> {
        let server = postgres::shared()?;
        let url = server.create_database(database)?;
        let database = database.to_owned();
        Ok(Self { server, database, url, scratch: Scratch::new()?, processor: binary::processor()? })
    }

    /// A database with the history of 42 events that the real Python wrote.
    pub fn with_history(database: &str) -> Result<Self> {
        let stage = Self::empty(database)?;
        stage.succeed(&["init"])?;
        let samples = binary::workspace().join("runtime/events/src/event/samples.psv");
        let samples = std::fs::read_to_string(&samples).map_err(Trouble::doing("read the samples"))?;
        let rows: Vec<String> = samples
            .lines()
            .filter_map(|line| {
                let [id, originator, version, topic, state] =
                    line.split('|').collect::<Vec<_>>().try_into().ok()?;
                Some(format!("({id}, '{originator}', {version}, '{topic}', '\\x{state}')"))
            })
            .collect();
        let file = stage.scratch.path().join("history.sql");
        std::fs::write(&file, format!("INSERT INTO workflowtracker_events VALUES {};", rows.join(",\n")))
            .map_err(Trouble::doing("write the history"))?;
        stage.server.psql_file(database, &file)?;
        Ok(stage)
    }

    /// `processor events …`, its database named by the variable.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.processor);
        command.arg("events").args(arguments);
        command.env_clear().env("SQLALCHEMY_URL", &self.url).env("HOME", self.scratch.path());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        process::output(&mut self.command(arguments), wait::PATIENCE)
    }

    /// Runs it, and it has to succeed; what it answered.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String> {
        process::succeed(&mut self.command(arguments), wait::PATIENCE)
    }
}
