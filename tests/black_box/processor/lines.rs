//! `record lines`: many commands by one process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use biomero_tests::{Result, Trouble, wait};
use serde_json::{Value, json};

use super::stage::{Stage, WORKFLOW, objects};

/// It, running, and what it has answered.
struct Dictation {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Dictation {
    fn start(stage: &Stage) -> Result<Self> {
        let mut command = stage.command(&["record", "lines"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Trouble::doing("start it"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(|| Trouble::new("it has no output"))?;
        let (send, answers) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(std::io::Result::ok).try_for_each(|line| send.send(line))
        });
        Ok(Self { child, input, answers })
    }

    /// Its answer to a line, before it is told another.
    fn line(&mut self, line: &[u8]) -> Result<Value> {
        let input = self.input.as_mut().ok_or_else(|| Trouble::new("its input has ended"))?;
        input.write_all(&[line, b"\n"].concat()).map_err(Trouble::doing("tell it a line"))?;
        let answer = self
            .answers
            .recv_timeout(wait::PATIENCE)
            .map_err(|error| Trouble::new(format!("it does not answer: {error}")))?;
        serde_json::from_str(&answer).map_err(|error| Trouble::new(format!("it answers {answer:?}: {error}")))
    }

    fn tell(&mut self, words: &[&str]) -> Result<Value> {
        self.line(json!(words).to_string().as_bytes())
    }

    /// The end of its input; that of it has to follow, and nothing more be said.
    fn end(mut self) -> Result<ExitStatus> {
        drop(self.input.take());
        let status = wait::until("its end", wait::PATIENCE, &[], || self.child.try_wait().ok().flatten())?;
        assert_eq!(self.answers.iter().collect::<Vec<_>>(), [""; 0]);
        Ok(status)
    }
}

impl Drop for Dictation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A whole workflow run, in words.
const RUN: &str = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
const TASK: &str = "7fa459ea-ee8a-3ca4-894e-db77e160355e";
const COMMANDS: &[&[&str]] = &[
    &["initiate-workflow", "--id", RUN, "cellpose", "für alle", "2", "3"],
    &["start-workflow", RUN],
    &[
        "add-task-to-workflow",
        "--id",
        TASK,
        "--input-data",
        "[101]",
        "--params",
        "{}",
        "--",
        RUN,
        "cellpose",
        "v1",
    ],
    &["start-task", TASK],
    &["add-job-id", TASK, "-1"],
    &["add-result", "--stdout", "two\nlines", "--env", "A=b c", "--", TASK, "--sbatch"],
    &["update-task-status", TASK, "RUNNING"],
    &["update-task-progress", TASK, "43%"],
    &["update-task-progress", TASK],
    &["complete-task", TASK, "done"],
    &["fail-task", TASK, "\u{1f600}\u{1b}[2J"],
    &["complete-workflow", RUN],
    &["fail-workflow", "--", RUN, "--why"],
];

#[test]
fn lines_record_what_the_verbs_record() -> Result<()> {
    let (by_line, by_verb) = (Stage::empty("processor_lines")?, Stage::empty("processor_verbs")?);
    by_line.succeed(&["init"])?;
    by_verb.succeed(&["init"])?;
    let mut dictation = Dictation::start(&by_line)?;
    for words in COMMANDS {
        let told = objects(&by_verb.succeed(&[&["record", "--json"], *words].concat())?)?;
        assert_eq!([dictation.tell(words)?], told[..], "{words:?}");
    }
    let log = "SELECT id, originator_id, originator_version, topic,
               regexp_replace(convert_from(state, 'UTF8'), '\"timestamp\":{[^}]*}', '') FROM workflowtracker_events ORDER BY id";
    assert_eq!(by_line.psql(log)?, by_verb.psql(log)?);
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'processor_lines' AND pid <> pg_backend_pid()";
    assert_eq!(by_line.psql(connections)?, "1", "one connection for all of them");
    assert!(dictation.end()?.success());
    Ok(())
}

#[test]
fn a_line_that_makes_no_sense_is_answered_and_the_next_one_recorded() -> Result<()> {
    let stage = Stage::with_history("processor_lines_refused")?;
    let mut dictation = Dictation::start(&stage)?;
    let long = vec![b'x'; 5 * 1024 * 1024];
    let nobody = format!("[\"start-workflow\",\"{RUN}\"]");
    let other = format!("[\"start-task\",\"{WORKFLOW}\"]");
    for (line, code, message) in [
        (&b""[..], 64, "no JSON array of words"),
        (b"start-task", 64, "no JSON array of words"),
        (b"\xff\xfe", 64, "no JSON array of words"),
        (b"[\"start-task\"]", 64, "<TASK>"),
        (b"[\"strat-task\",\"1\"]", 64, "start-task"),
        (b"[\"start-task\",\"1\\u0000\"]", 64, "U+0000"),
        (&long, 64, "longer than 4194304 bytes"),
        (nobody.as_bytes(), 66, "nothing is recorded of"),
        (other.as_bytes(), 64, "is a workflow run, not a task: nothing was recorded"),
    ] {
        let told = dictation.line(line)?;
        assert_eq!(told["exit_code"], code, "{told}");
        assert!(
            told["error"].as_str().is_some_and(|told| told.contains(message)),
            "{message}\nis not in\n{told}"
        );
        assert!(told["hints"].is_array(), "{told}");
    }
    let told = dictation.tell(&["start-workflow", WORKFLOW])?;
    assert_eq!((&told["repeated"], &told["events"][0]["id"]), (&json!(false), &json!(43)));
    assert!(dictation.end()?.success());
    Ok(())
}

#[test]
fn a_line_that_is_told_again_is_recorded_once() -> Result<()> {
    let stage = Stage::with_history("processor_lines_again")?;
    let words = ["start-workflow", "--command-id", RUN, WORKFLOW];
    let (mut one, mut other) = (Dictation::start(&stage)?, Dictation::start(&stage)?);
    let first = one.tell(&words)?;
    for dictation in [&mut one, &mut other] {
        let again = dictation.tell(&words)?;
        assert_eq!((&again["repeated"], &again["events"]), (&json!(true), &first["events"]));
    }
    assert_eq!(stage.psql("SELECT count(*) FROM workflowtracker_events")?, "43");
    Ok(())
}

#[test]
fn it_goes_on_with_tables_that_were_made_and_a_connection_that_was_lost_meanwhile() -> Result<()> {
    let stage = Stage::empty("processor_lines_lost")?;
    let mut dictation = Dictation::start(&stage)?;
    let told = dictation.tell(COMMANDS[0])?;
    assert_eq!(told["exit_code"], 66, "{told}");
    stage.succeed(&["init"])?;
    assert_eq!(dictation.tell(COMMANDS[0])?["events"][0]["originator_id"], RUN);
    stage.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'processor_lines_lost' AND pid <> pg_backend_pid()",
    )?;
    assert_eq!(dictation.tell(COMMANDS[1])?["repeated"], false);
    assert_eq!(stage.psql("SELECT count(*) FROM workflowtracker_events")?, "2");
    Ok(())
}

#[test]
fn one_id_is_not_for_many_commands() -> Result<()> {
    let stage = Stage::empty("processor_lines_id")?;
    let told = stage.ends_with(64, &["record", "--command-id", RUN, "lines"])?;
    assert!(told.contains("--command-id is of one command"), "{told}");
    Ok(())
}
