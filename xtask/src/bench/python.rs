//! What a script waits for: `import biomero`, ours of `python/` and the library's, by one interpreter, and an event that it records.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use biomero_tests::biomero::{self, Biomero, LISTENERS};
use biomero_tests::postgres::Postgres;
use biomero_tests::scratch::Scratch;
use biomero_tests::{binary, process, wait};
use serde_json::json;

use super::events::{python_task, python_times};
use super::{Better, Line, line, median};
use crate::failure::Failure;

/// The library takes more than a second for each.
const IMPORTS: usize = 15;
const TURNS: usize = 10;
/// Of each side in a turn.
const EVENTS: usize = 10;
/// Processes of ours, each with a first event.
const FIRST: usize = 10;

/// The updates of a task before its times are taken, on both sides.
const SHORT: usize = 8;

/// All of it. `processor`: the finished program.
pub(super) fn measure(processor: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let python = Python { interpreter: biomero::python()?, processor, bytecode: scratch.folder("bytecode")? };
    let mut lines = imports(&python)?;
    let server = Postgres::start(&scratch.folder("postgres")?)?;
    lines.extend(events(&python, &server, &scratch)?);
    Ok(lines)
}

/// From the start of the interpreter to its end.
fn imports(python: &Python<'_>) -> Result<Vec<Line>, Failure> {
    let contenders = [(true, "import biomero"), (false, "import biomero"), (false, "pass")];
    let mut times: [Vec<f64>; 3] = Default::default();
    // The first time compiles, and is not counted.
    for round in 0..=IMPORTS {
        for ((is_ours, code), times) in contenders.into_iter().zip(&mut times) {
            let mut command = python.command(is_ours);
            command.args(["-c", code]);
            let began = Instant::now();
            process::succeed(&mut command, wait::PATIENCE)?;
            if round > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let [ours, theirs, bare] = times.map(median);
    let what = "import biomero, a whole process";
    Ok(vec![
        line(what, ours, 100.0, "the budget", 1.0, Better::Smaller),
        line(what, ours, theirs, "the library of PyPI", 10.0, Better::Larger),
        line(what, ours, bare, "Python alone", f64::INFINITY, Better::Smaller),
    ])
}

/// Recorded from Python, all views up to date after each.
fn events(python: &Python<'_>, server: &Postgres, scratch: &Scratch) -> Result<Vec<Line>, Failure> {
    let url = server.create_database("ours")?;
    let theirs_url = server.create_database("theirs")?;
    let mut theirs = Biomero::start(scratch.path())?;
    theirs.open(&theirs_url, &LISTENERS)?;
    let mut ours = Ours::start(python, &url)?;
    let (mut our_times, mut their_times, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        our_times.extend(ours.times(EVENTS)?.split_off(1));
        let task = python_task(&mut theirs, SHORT)?;
        their_times.extend(python_times(&mut theirs, &task, EVENTS)?);
    }
    for _ in 0..FIRST {
        first.extend(Ours::start(python, &url)?.times(0)?);
    }
    let event = median(our_times);
    let what = "an event from Python";
    Ok(vec![
        line(what, event, median(their_times), "the library, listeners on", 5.0, Better::Larger),
        line("the first of a script", median(first), 100.0, "the budget", 1.0, Better::Smaller),
    ])
}

/// The interpreter that has the library, and ours before it where that is asked for.
struct Python<'a> {
    interpreter: PathBuf,
    processor: &'a Path,
    bytecode: PathBuf,
}

impl Python<'_> {
    fn command(&self, is_ours: bool) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.env_remove("SQLALCHEMY_URL").env("PYTHONPYCACHEPREFIX", &self.bytecode);
        if is_ours {
            command.env("PYTHONPATH", binary::workspace().join("python"));
            command.env("BIOMERO_PROCESSOR", self.processor);
        } else {
            command.env_remove("PYTHONPATH");
        }
        command
    }
}

/// A script that records by ours, and takes its times; it ends with us.
struct Ours {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    interpreter: PathBuf,
}

impl Ours {
    fn start(python: &Python<'_>, url: &str) -> Result<Self, Failure> {
        let mut command = python.command(true);
        command.arg(binary::workspace().join("tests/fixtures/python/stopwatch.py")).arg(url);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let interpreter = python.interpreter.clone();
        let mut child = command.spawn().map_err(|source| started(&interpreter, source))?;
        let answers = child.stdout.take().ok_or_else(|| Failure::Unexpected("no pipe".to_owned()))?;
        let questions = child.stdin.take();
        Ok(Self { child, questions, answers: BufReader::new(answers), interpreter })
    }

    /// Milliseconds: of its first event, and of so many more.
    fn times(&mut self, events: usize) -> Result<Vec<f64>, Failure> {
        let mut answer = String::new();
        let asked = match &mut self.questions {
            Some(questions) => questions.write_all(format!("{events}\n").as_bytes()),
            None => Ok(()),
        };
        asked
            .and_then(|()| self.answers.read_line(&mut answer))
            .map_err(|source| started(&self.interpreter, source))?;
        let times: Result<Vec<f64>, _> = answer.split_whitespace().map(str::parse).collect();
        match times {
            Ok(times) if times.len() == events + 1 => Ok(times),
            _ => Err(Failure::Unexpected(format!("stopwatch.py answers {}", json!(answer)))),
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It ends when nothing more is asked.
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}

fn started(program: &Path, source: std::io::Error) -> Failure {
    Failure::Start { program: program.display().to_string(), source }
}
