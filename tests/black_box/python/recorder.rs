//! Recording from Python: by one process, which is started again and told again where that is needed, and leaves nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use biomero_tests::cluster::shared;
use biomero_tests::cluster::worker::Worker;
use biomero_tests::postgres::{self, Shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, process, wait};
use serde_json::{Value, json};

use super::{DEADLINE, package};

/// A script of `recorder.py` with a database of its own.
struct Stage {
    server: std::sync::Arc<Shared>,
    database: String,
    url: String,
    scratch: Scratch,
    processor: PathBuf,
}

impl Stage {
    fn new(database: &str) -> Result<Self> {
        let server = postgres::shared()?;
        let url = server.create_database(database)?;
        let processor = binary::processor()?;
        Ok(Self { server, database: database.to_owned(), url, scratch: Scratch::new()?, processor })
    }

    /// Runs it to its end, after which none of its processes is there.
    fn run(&self, case: &str) -> Result<Value> {
        let mut command = script(case);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.scratch.path()).env("SQLALCHEMY_URL", &self.url);
        command.env("BIOMERO_PROCESSOR", &self.processor).env("PROCESSOR", binary::processor()?);
        command.env("BIOMERO_SLURM_CONFIG_FILE", "/nonexistent").env("PYTHONPATH", package());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let told = object(&process::succeed(&mut command, DEADLINE)?)?;
        for recorder in told["recorders"].as_array().into_iter().flatten() {
            let process = PathBuf::from(format!("/proc/{recorder}"));
            wait::until(&format!("the end of {recorder}, of {told}"), wait::PATIENCE, &[], || {
                (!process.exists()).then_some(())
            })?;
        }
        Ok(told)
    }

    /// How many events of this kind there are.
    fn count(&self, topic: &str) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM workflowtracker_events WHERE topic LIKE '%.{topic}'");
        let counted = self.server.psql(&self.database, &sql)?;
        counted.parse().map_err(|error| Trouble::new(format!("{counted:?} is no number: {error}")))
    }
}

/// With our package alone.
fn script(case: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-S").arg(binary::workspace().join("tests/fixtures/python/recorder.py")).arg(case);
    command
}

fn object(told: &str) -> Result<Value> {
    serde_json::from_str(told.trim()).map_err(|error| Trouble::new(format!("it said {told:?}: {error}")))
}

#[test]
fn all_threads_and_clients_of_a_script_record_by_one_process() -> Result<()> {
    let stage = Stage::new("python_threads")?;
    let told = stage.run("threads")?;
    assert_eq!(told["recorders"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!((stage.count("WorkflowInitiated")?, stage.count("ProgressUpdated")?), (8, 80));
    assert_eq!((stage.count("TaskStarted")?, stage.count("TaskCompleted")?), (1, 1));
    Ok(())
}

#[test]
fn a_recorder_that_was_killed_is_started_again() -> Result<()> {
    let stage = Stage::new("python_killed")?;
    let told = stage.run("killed")?;
    assert_ne!(told["recorders"][0], told["recorders"][1], "{told}");
    assert_eq!(stage.count("%")?, 4);
    Ok(())
}

#[test]
fn a_command_whose_answer_was_lost_is_recorded_once() -> Result<()> {
    let mut stage = Stage::new("python_lost")?;
    // The first that records is told one line, and what it answers nobody hears.
    let (program, kept) = (stage.scratch.path().join("processor"), stage.scratch.path().join("answer"));
    let text = format!(
        "#!/bin/sh\nif [ \"$3\" = lines ] && (set -C; : > {kept}) 2> /dev/null; then\n\
         head -n 1 | \"$PROCESSOR\" \"$@\" > {kept}\nelse exec \"$PROCESSOR\" \"$@\"\nfi\n",
        kept = kept.display()
    );
    std::fs::write(&program, text)
        .and_then(|()| std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)))
        .map_err(Trouble::doing("write a program"))?;
    stage.processor.clone_from(&program);
    process::succeed(
        Command::new(binary::processor()?).args(["events", "--database", &stage.url, "init"]),
        wait::PATIENCE,
    )?;
    let told = stage.run("once")?;
    let lost = std::fs::read_to_string(&kept).map_err(Trouble::doing("read what was lost"))?;
    assert_eq!(object(&lost)?["events"][0]["originator_id"], told["run"]);
    assert_eq!(stage.count("WorkflowInitiated")?, 1);
    Ok(())
}

#[test]
fn a_process_that_was_forked_records_by_one_of_its_own() -> Result<()> {
    let stage = Stage::new("python_forked")?;
    let told = stage.run("forked")?;
    assert_eq!((&told["ends"], &told["stays"]), (&json!([0, 0, 0, 0, 0]), &json!(true)));
    assert_eq!((stage.count("ProgressUpdated")?, stage.count("TaskStarted")?), (5, 1));
    Ok(())
}

#[test]
fn a_handler_of_signals_records_while_its_thread_does() -> Result<()> {
    let stage = Stage::new("python_interrupted")?;
    let told = stage.run("interrupted")?;
    assert_eq!(json!(stage.count("StatusUpdated")?), told["statuses"]);
    assert_eq!(stage.count("ProgressUpdated")?, 10);
    assert_eq!(told["recorders"].as_array().map(Vec::len), Some(1), "{told}");
    Ok(())
}

#[test]
fn an_exception_in_the_middle_does_not_shift_the_answers() -> Result<()> {
    let stage = Stage::new("python_stopped")?;
    let told = stage.run("stopped")?;
    // Python swallows an exception where nothing can be raised.
    assert!(told["stopped"].as_u64() > Some(15), "{told}");
    assert_eq!(stage.count("WorkflowInitiated")?, 21);
    Ok(())
}

#[test]
fn what_is_not_recorded_is_raised_with_its_exit_code() -> Result<()> {
    let stage = Stage::new("python_errors")?;
    let told = stage.run("errors")?;
    let expected = [
        (66, "nothing is recorded of 00000000-0000-0000-0000-000000000000"),
        (64, "is a workflow run, not a task: nothing was recorded"),
        (78, "is for \"mysql\""),
        (64, "invalid value 'no id'"),
        (69, "/nonexistent/processor is not there; set BIOMERO_PROCESSOR"),
    ];
    for (told, (code, message)) in told["errors"].as_array().into_iter().flatten().zip(expected) {
        let text = told[1].as_str().unwrap_or_default();
        assert_eq!(told[0], code, "{told}");
        assert!(
            text.starts_with("processor events record ") && text.contains(message),
            "{message}\nis not in\n{text}"
        );
        assert!(!text.contains("s3cr3t"), "{text}");
    }
    assert_eq!(told["errors"].as_array().map(Vec::len), Some(expected.len()));
    assert_eq!(stage.count("WorkflowStarted")?, 1);
    Ok(())
}

#[test]
fn a_script_that_is_killed_leaves_no_process_and_no_folder() -> Result<()> {
    let (cluster, server) = (shared()?, postgres::shared()?);
    let work = cluster.workspace()?;
    let worker = Worker::new(&cluster, &work)?;
    let temporary = worker.folder().join("tmp");
    std::fs::create_dir(&temporary).map_err(Trouble::doing("make a folder"))?;
    let environment = worker.processor(&[])?;
    let mut command = script("dies");
    command.env_clear().envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("BIOMERO_PROCESSOR", environment.get_program()).env("TMPDIR", &temporary);
    command.env("PYTHONPATH", package()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SQLALCHEMY_URL", server.create_database("python_dies")?);
    let output = process::output(&mut command, DEADLINE)?;
    let told = object(&String::from_utf8_lossy(&output.stdout))
        .map_err(|error| Trouble::new(format!("{error}\n{}", process::both(&output))))?;
    assert_eq!(told["left"].as_array().map(Vec::len), Some(1), "the folder of the connection: {told}");
    let recorder = PathBuf::from(format!("/proc/{}", told["recorders"][0]));
    wait::until("the end of what it has left", wait::PATIENCE, &[], || {
        let is_empty = std::fs::read_dir(&temporary).is_ok_and(|mut entries| entries.next().is_none());
        (is_empty && !recorder.exists()).then_some(())
    })
}
