//! The event log against Python's, on one server that waits for its disk, and against its budgets.
//!
//! Each side is a process that runs throughout and takes its own times: neither starting it nor talking to it counts. All
//! of them go before what else the machine does, where that is allowed: an append of 0.6 ms goes back and forth between
//! processes, and on a busy machine waits 4 ms each time that another has the processor.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use biomero_events::schema::{JOB_PROGRESS, JOBS, STATE, TASK_EXECUTION, WORKFLOW_PROGRESS};
use biomero_tests::biomero::{Biomero, LISTENERS};
use biomero_tests::postgres::Postgres;
use biomero_tests::scratch::Scratch;
use serde_json::{Value, json};

use super::{Better, Line, line, median};
use crate::command::succeeds;
use crate::failure::Failure;

/// Turns in which each side does something, and how much of it: Python takes half a second for one update of a long
/// history.
const APPEND_TURNS: usize = 20;
const APPENDS: usize = 15;
const PYTHON_APPENDS: usize = 3;
const BATCHES: usize = 40;
const REBUILDS: usize = 5;
const FIRST_APPENDS: usize = 40;

const SHORT: usize = 10;
const LONG: usize = 5_000;
const SMALL_LOG: usize = 10_000;
const LARGE_LOG: usize = 1_000_000;

/// What a process that reads any number of events may hold: 5,000 of them at a time, by far the most of it, and libraries.
const MEMORY: f64 = 64.0;

/// All of it. `stopwatch` is the finished program that takes our times.
pub(super) fn measure(stopwatch: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let mut lines = {
        let _first = First::of_all();
        let server = Postgres::start(&scratch.folder("postgres")?)?;
        let mut ours = Ours::start(stopwatch)?;
        let mut lines = appends(&server, &scratch, &mut ours)?;
        lines.extend(batches(&server, &mut ours)?);
        lines.extend(first_appends(&server, stopwatch, &mut ours)?);
        lines.extend(sqlite(&server, &scratch, &mut ours)?);
        lines
    };
    // A minute of work waits its turn.
    let server = Postgres::start(&scratch.folder("postgres-of-rebuilds")?)?;
    lines.extend(rebuilds(&server, stopwatch)?);
    Ok(lines)
}

/// We and what we start meanwhile go before all others, if we may.
struct First;

impl First {
    fn of_all() -> Self {
        if !schedule(&["--fifo", "--pid", "1"]) {
            println!("the times are those of an ordinary process: run it as root, or when nothing else runs");
        }
        Self
    }
}

impl Drop for First {
    fn drop(&mut self) {
        schedule(&["--other", "--pid", "0"]);
    }
}

fn schedule(options: &[&str]) -> bool {
    succeeds(Command::new("chrt").args(options).arg(std::process::id().to_string()))
}

/// Updates of a task, one at a time, all views and listeners up to date after each.
fn appends(server: &Postgres, scratch: &Scratch, ours: &mut Ours) -> Result<Vec<Line>, Failure> {
    let url = ours.database(server, "ours")?;
    let long = ours.one(&["task", &url, &LONG.to_string()])?;

    let theirs_url = server.create_database("python")?;
    let mut python = Biomero::start(scratch.path())?;
    python.open(&theirs_url, &LISTENERS)?;
    let theirs_long = python_task(&mut python, 0)?;
    ours.ask(&["initialise", &theirs_url])?;
    ours.ask(&["grow", &theirs_url, &theirs_long, &(LONG - 2).to_string()])?;

    let count = APPENDS.to_string();
    let (mut at_short, mut at_long) = (Vec::new(), Vec::new());
    let (mut python_at_short, mut python_at_long) = (Vec::new(), Vec::new());
    for _ in 0..APPEND_TURNS {
        let short = ours.one(&["task", &url, &SHORT.to_string()])?;
        let taken = ours.times(&["append", &url, &count, &short, &long])?;
        for pair in taken.chunks_exact(2) {
            at_short.push(pair[0]);
            at_long.push(pair[1]);
        }
        let short = python_task(&mut python, SHORT - 2)?;
        python_at_short.extend(python_times(&mut python, &short, PYTHON_APPENDS)?);
        python_at_long.extend(python_times(&mut python, &theirs_long, 1)?);
    }
    let [short, long, python_short, python_long] =
        [at_short, at_long, python_at_short, python_at_long].map(median);
    let python_is = "Python, its listeners on";
    Ok(vec![
        line("append at history 10", short, python_short, python_is, 20.0, Better::Larger),
        line("append at history 5,000", long, python_long, python_is, 100.0, Better::Larger),
        line("append at history 5,000", long, short, "the same at history 10", 1.1, Better::Smaller),
    ])
}

/// A task with a job in Python's database, with so many updates.
pub(super) fn python_task(python: &mut Biomero, updates: usize) -> Result<String, Failure> {
    let mut commands = vec![
        json!({ "do": "initiate_workflow", "as": "workflow", "arguments": ["benchmark", "", 2, 3] }),
        json!({ "do": "add_task_to_workflow", "of": "workflow", "as": "task", "arguments": ["cellpose", "v1.4.0", [], {}] }),
        json!({ "do": "add_job_id", "of": "task", "arguments": [42] }),
    ];
    commands.extend(vec![update("task"); updates]);
    let made = python.play(&commands)?;
    made["task"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::Unexpected(format!("Python made no task but {made}")))
}

fn update(of: &str) -> Value {
    json!({ "do": "update_task_status", "of": of, "arguments": ["RUNNING"] })
}

/// Milliseconds.
pub(super) fn python_times(python: &mut Biomero, task: &str, rounds: usize) -> Result<Vec<f64>, Failure> {
    let seconds = python.ask("measure", &json!({ "command": update(task), "rounds": rounds }))?;
    let seconds: Option<Vec<f64>> =
        seconds.as_array().and_then(|seconds| seconds.iter().map(Value::as_f64).collect());
    let seconds = seconds.ok_or_else(|| Failure::Unexpected("Python took no times".to_owned()))?;
    Ok(seconds.into_iter().map(|seconds| seconds * 1e3).collect())
}

/// Many events of many tasks at once, and what inserting their rows takes: all of a task as one command, as whoever has
/// polled records them, and each as a command that can be repeated alone.
fn batches(server: &Postgres, ours: &mut Ours) -> Result<Vec<Line>, Failure> {
    let (url, floor) = (ours.database(server, "batches")?, ours.database(server, "floor")?);
    let mut lines = Vec::new();
    for (what, commands, limit) in
        [("1,000 events of 100 tasks", "100", 2.0), ("the same by 1,000 commands", "1000", f64::INFINITY)]
    {
        let taken = ours.times(&["batch", &url, commands, &floor, &BATCHES.to_string()])?;
        let (batches, floors): (Vec<f64>, Vec<f64>) =
            taken.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
        let (batch, floor) = (median(batches), median(floors));
        lines.push(line(what, batch, floor, "their rows, nothing else", limit, Better::Smaller));
    }
    Ok(lines)
}

/// From the start of a program to an append of its own that is committed.
fn first_appends(server: &Postgres, stopwatch: &Path, ours: &mut Ours) -> Result<Vec<Line>, Failure> {
    let url = ours.database(server, "first")?;
    let task = ours.one(&["task", &url, &SHORT.to_string()])?;
    let (mut tcp, mut socket) = (Vec::new(), Vec::new());
    for _ in 0..FIRST_APPENDS {
        for (url, times) in [(&url, &mut tcp), (&server.socket_url("first"), &mut socket)] {
            times.push(first_append(stopwatch, url, &task)?);
        }
    }
    let budget = |what, times| line(what, median(times), 30.0, "the budget", 1.0, Better::Smaller);
    Ok(vec![budget("program start to first append", tcp), budget("the same over a Unix socket", socket)])
}

fn first_append(stopwatch: &Path, url: &str, task: &str) -> Result<f64, Failure> {
    let mut command = Command::new(stopwatch);
    command.args(["first", url, task]).stdin(Stdio::null()).stdout(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().map_err(|source| started(stopwatch, source))?;
    let mut acknowledged = [0];
    let said = child.stdout.take().map(|mut output| output.read_exact(&mut acknowledged));
    let taken = began.elapsed();
    let status = child.wait().map_err(|source| started(stopwatch, source))?;
    match said {
        Some(Ok(())) if status.success() => Ok(taken.as_secs_f64() * 1e3),
        _ => Err(Failure::Ended { command: "event_stopwatch first".to_owned(), status }),
    }
}

/// The same log in a file, against the one in the server.
fn sqlite(server: &Postgres, scratch: &Scratch, ours: &mut Ours) -> Result<Vec<Line>, Failure> {
    let file = format!("sqlite:///{}", scratch.path().join("history.sqlite").display());
    ours.ask(&["initialise", &file])?;
    let url = ours.database(server, "beside_sqlite")?;
    let count = APPENDS.to_string();
    let mut tasks = Vec::new();
    for url in [&file, &url] {
        tasks.push(ours.one(&["task", url, &SHORT.to_string()])?);
    }
    let mut appends: [Vec<f64>; 2] = Default::default();
    for _ in 0..APPEND_TURNS {
        for ((url, task), times) in [&file, &url].into_iter().zip(&tasks).zip(&mut appends) {
            times.extend(ours.times(&["append", url, &count, task])?);
        }
    }
    let mut batches: [Vec<f64>; 2] = Default::default();
    for _ in 0..BATCHES / 5 {
        for (url, times) in [&file, &url].into_iter().zip(&mut batches) {
            times.extend(ours.times(&["batch", url, "100", "none", "5"])?);
        }
    }
    let ([append, append_server], [batch, batch_server]) = (appends.map(median), batches.map(median));
    let against = |what, ours, other| line(what, ours, other, "PostgreSQL", f64::INFINITY, Better::Smaller);
    Ok(vec![
        against("append in SQLite", append, append_server),
        against("1,000 events in SQLite", batch, batch_server),
    ])
}

/// All views from nothing: a program of its own for each size, for what it holds at its peak.
fn rebuilds(server: &Postgres, stopwatch: &Path) -> Result<Vec<Line>, Failure> {
    let (small, small_peak) = rebuild(server, stopwatch, "small", SMALL_LOG, REBUILDS)?;
    let (large, large_peak) = rebuild(server, stopwatch, "large", LARGE_LOG, 1)?;
    let rebuilt = |what, ours, other, other_is, limit| Line {
        unit: "s",
        ..line(what, ours, other, other_is, limit, Better::Smaller)
    };
    let held = |what, ours, other, other_is, limit| Line {
        unit: "MB",
        ..line(what, ours, other, other_is, limit, Better::Smaller)
    };
    let per_event = SMALL_LOG as f64 / LARGE_LOG as f64;
    Ok(vec![
        rebuilt("rebuild of 10,000 events", small, 2.0, "the budget", 1.0),
        rebuilt("rebuild of 1,000,000 events", large, small / per_event, "100 times that", f64::INFINITY),
        held("its peak of memory", large_peak, MEMORY, "the budget", 1.0),
        held("its peak of memory", large_peak, small_peak, "rebuilding 10,000 events", 1.5),
    ])
}

/// Seconds and megabytes.
fn rebuild(
    server: &Postgres,
    stopwatch: &Path,
    name: &str,
    events: usize,
    rounds: usize,
) -> Result<(f64, f64), Failure> {
    let mut writer = Ours::start(stopwatch)?;
    let url = writer.database(server, name)?;
    let taken = writer.times(&["record", &url, &events.to_string()])?;
    println!("{events} events recorded in {:.1} s", taken.first().unwrap_or(&f64::NAN) / 1e3);
    drop(writer);
    let mut times = Vec::new();
    let mut peak = f64::NAN;
    for _ in 0..rounds {
        server.psql(
            name,
            &format!("TRUNCATE {JOBS}, {JOB_PROGRESS}, {WORKFLOW_PROGRESS}, {TASK_EXECUTION}, {STATE}"),
        )?;
        let answer = Ours::start(stopwatch)?.ask(&["rebuild", &url])?;
        let [nanoseconds, projected, kibibytes] = answer.as_slice() else {
            return Err(Failure::Unexpected(format!("a rebuild answers `{}`", answer.join(" "))));
        };
        if number(projected)? < events as f64 {
            return Err(Failure::Unexpected(format!("only {projected} events of {events} were projected")));
        }
        times.push(number(nanoseconds)? / 1e9);
        peak = peak.max(number(kibibytes)? * 1024.0 / 1e6);
    }
    Ok((median(times), peak))
}

/// The program that takes our times; it ends with us.
pub(super) struct Ours {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    program: PathBuf,
}

impl Ours {
    pub(super) fn start(program: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| started(program, source))?;
        let answers = child.stdout.take().ok_or_else(|| Failure::Unexpected("no pipe".to_owned()))?;
        let questions = child.stdin.take();
        Ok(Self { child, questions, answers: BufReader::new(answers), program: program.to_path_buf() })
    }

    /// A new database with all tables; its URL, by TCP.
    pub(super) fn database(&mut self, server: &Postgres, name: &str) -> Result<String, Failure> {
        let url = server.create_database(name)?;
        self.ask(&["initialise", &url])?;
        Ok(url)
    }

    pub(super) fn ask(&mut self, words: &[&str]) -> Result<Vec<String>, Failure> {
        let mut answer = String::new();
        let asked = match &mut self.questions {
            Some(questions) => questions.write_all(format!("{}\n", words.join(" ")).as_bytes()),
            None => Ok(()),
        };
        asked
            .and_then(|()| self.answers.read_line(&mut answer))
            .map_err(|source| started(&self.program, source))?;
        if answer.ends_with('\n') {
            return Ok(answer.split_whitespace().map(str::to_owned).collect());
        }
        let status = self.child.wait().map_err(|source| started(&self.program, source))?;
        Err(Failure::Ended { command: format!("event_stopwatch: {}", words[0]), status })
    }

    fn one(&mut self, words: &[&str]) -> Result<String, Failure> {
        let mut answer = self.ask(words)?;
        answer.pop().ok_or_else(|| Failure::Unexpected(format!("`{}` has no answer", words[0])))
    }

    /// Milliseconds.
    pub(super) fn times(&mut self, words: &[&str]) -> Result<Vec<f64>, Failure> {
        self.ask(words)?.iter().map(|nanoseconds| Ok(number(nanoseconds)? / 1e6)).collect()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It ends when nothing more is asked.
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}

fn number(text: &str) -> Result<f64, Failure> {
    text.parse().map_err(|_| Failure::Unexpected(format!("`{text}` is no number")))
}

fn started(program: &Path, source: std::io::Error) -> Failure {
    Failure::Start { program: program.display().to_string(), source }
}
