//! Writers of a file that are killed in the middle, a disk without room: each acknowledged event is there exactly once.

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use biomero_events::command::Command;
use biomero_tests::process::Running;
use biomero_tests::scenario::Seeded;
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, wait};
use nix::sys::signal::Signal;
use uuid::Uuid;

use super::{Ours, file};

const WRITERS: usize = 4;
const UPDATES: usize = 100;

/// A process that writes, and the file to which it says what was acknowledged.
struct Writer {
    number: usize,
    task: Uuid,
    process: Running,
}

fn write(number: usize, tasks: [Uuid; 2], url: &str, folder: &Path) -> Result<Running> {
    let mut command = Program::new(env!("CARGO_BIN_EXE_event_writer"));
    command.arg(acknowledged(folder, number)).args([number.to_string(), UPDATES.to_string()]);
    command.args(tasks.map(|task| task.to_string())).env("EVENTS_URL", url);
    Running::start("event_writer", command, &folder.join(format!("writer.{number}.log")))
}

fn acknowledged(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("acknowledged.{number}"))
}

fn lines(folder: &Path, number: usize) -> Vec<String> {
    let text = std::fs::read_to_string(acknowledged(folder, number)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A workflow run with tasks, one more than there are writers.
fn tasks(ours: &Ours) -> Result<Vec<Uuid>> {
    let workflow = Uuid::new_v4();
    ours.append(&Command::initiate_workflow(workflow, "crash", "", 1, 1))?;
    let tasks: Vec<Uuid> = (0..=WRITERS).map(|_| Uuid::new_v4()).collect();
    for (task, job) in tasks.iter().zip(1..) {
        ours.append(&Command::add_task(workflow, *task, "cellpose", "1", "".into(), "".into()))?;
        ours.append(&Command::add_job_id(*task, job))?;
    }
    Ok(tasks)
}

/// Every acknowledged update of a writer once and in its order, nothing missing before it, and the views as a rebuild
/// makes them.
fn in_order(ours: &Ours, number: usize, task: Uuid, acknowledged: &[String]) -> Result<usize> {
    let history = ours.block(ours.log().history(task))?;
    for (event, version) in history.iter().zip(0..) {
        assert_eq!(event.originator_version, version);
    }
    let updates: Vec<String> = history
        .iter()
        .filter(|event| event.topic.ends_with("StatusUpdated"))
        .map(|event| {
            let state = String::from_utf8_lossy(&event.state);
            let status = state.split("\"status\":\"").nth(1).unwrap_or_default().trim_end_matches("\"}");
            format!("{} {} {status}", event.id, event.originator_version)
        })
        .collect();
    for (update, line) in acknowledged.iter().enumerate() {
        let said: Vec<&str> = line.split(' ').take(2).collect();
        assert_eq!(updates.get(update), Some(&format!("{} {number}.{update}", said.join(" "))));
    }
    Ok(updates.len())
}

fn right_views(ours: &Ours) -> Result<()> {
    let compared = ours.block(ours.log().compare(&|_| {}))?;
    assert!(compared.views.iter().all(|view| view.is_none()), "{compared:?}");
    Ok(())
}

#[test]
fn four_writers_of_a_file_that_are_killed_lose_and_repeat_nothing() -> Result<()> {
    let scratch = Scratch::new()?;
    let (_, url) = file(&scratch, "crash");
    let ours = Ours::initialised(&url)?;
    let tasks = tasks(&ours)?;
    let shared = tasks[WRITERS];
    let start = |number: usize| write(number, [tasks[number], shared], &url, scratch.path());
    let mut writers = (0..WRITERS)
        .map(|number| Ok(Writer { number, task: tasks[number], process: start(number)? }))
        .collect::<Result<Vec<_>>>()?;
    let mut seeded = Seeded::new(2);
    for threshold in (20..WRITERS * UPDATES).step_by(20) {
        let progress = || (0..WRITERS).map(|number| lines(scratch.path(), number).len()).sum::<usize>();
        wait::until("updates that are acknowledged", Duration::from_secs(180), &[], || {
            (progress() >= threshold).then_some(())
        })?;
        let writer = &mut writers[seeded.below(WRITERS)];
        if writer.process.status().is_none() {
            writer.process.signal(Signal::SIGKILL)?;
            writer.process.ended_within(wait::PATIENCE)?;
            writer.process = start(writer.number)?;
        }
    }
    for writer in &mut writers {
        let status = writer.process.ended_within(Duration::from_secs(180))?;
        assert!(status.success(), "writer {}: {status}: {}", writer.number, writer.process.output());
        let acknowledged = lines(scratch.path(), writer.number);
        assert_eq!(acknowledged.len(), UPDATES);
        assert_eq!(in_order(&ours, writer.number, writer.task, &acknowledged)?, UPDATES);
    }
    // The task that all have written to: version 0 is its creation, 1 its job.
    let history = ours.block(ours.log().history(shared))?;
    assert_eq!(history.len(), 2 + WRITERS * UPDATES / 5);
    assert_eq!(history.last().map(|event| event.originator_version), Some(history.len() as i64 - 1));
    right_views(&ours)
}

#[test]
fn a_full_disk_is_told_and_leaves_what_was_acknowledged() -> Result<()> {
    let scratch = Scratch::new()?;
    let (path, url) = file(&scratch, "prepared");
    let tasks = tasks(&Ours::initialised(&url)?)?;
    let (small, kept) = (scratch.folder("small")?, scratch.folder("kept")?);
    let script = "mount -t tmpfs -o size=1500k tmpfs \"$2\" && cp \"$1\" \"$2/history.sqlite\" || exit 99
                  shift 2; \"$@\"; status=$?; cp \"${EVENTS_URL#sqlite:///}\"* \"$KEPT\"; exit $status";
    let mut command = Program::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--", "/bin/sh", "-c", script, "sh"]).arg(&path).arg(&small);
    command.arg(env!("CARGO_BIN_EXE_event_writer")).arg(acknowledged(scratch.path(), 0));
    command.args(["0", "1000000"]).args([tasks[0], tasks[1]].map(|task| task.to_string()));
    command
        .env("EVENTS_URL", format!("sqlite:///{}", small.join("history.sqlite").display()))
        .env("KEPT", &kept);
    let mut writer = Running::start("event_writer", command, &scratch.path().join("writer.log"))?;
    let status = writer.ended_within(Duration::from_secs(180))?;
    assert!(writer.output().contains("the disk is full; make room"), "{status}: {}", writer.output());
    let ours = Ours::open(&format!("sqlite:///{}", kept.join("history.sqlite").display()))?;
    let acknowledged = lines(scratch.path(), 0);
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    assert_eq!(in_order(&ours, 0, tasks[0], &acknowledged)?, acknowledged.len());
    right_views(&ours)
}
