//! Writers and servers that are killed in the middle, answers that are lost: each acknowledged event is there exactly once.

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use biomero_events::command::Command;
use biomero_events::query::{Page, WorkflowFilter};
use biomero_events::{Error, Limits};
use biomero_tests::postgres::{Postgres, Stop};
use biomero_tests::process::Running;
use biomero_tests::relay::{Fault, Relay};
use biomero_tests::scenario::{self, Seeded};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, postgres, views, wait};
use nix::sys::signal::Signal;
use uuid::Uuid;

use super::ours::{Ours, rebuilt};

const WRITERS: usize = 8;
const UPDATES: usize = 200;

struct Writer {
    number: usize,
    task: Uuid,
    acknowledged: PathBuf,
    process: Running,
}

impl Writer {
    fn start(number: usize, task: Uuid, shared: Uuid, url: &str, folder: &Path) -> Result<Self> {
        let acknowledged = folder.join(format!("acknowledged.{number}"));
        let process = Self::run(number, task, shared, url, &acknowledged)?;
        Ok(Self { number, task, acknowledged, process })
    }

    fn run(number: usize, task: Uuid, shared: Uuid, url: &str, acknowledged: &Path) -> Result<Running> {
        let mut command = Program::new(env!("CARGO_BIN_EXE_event_writer"));
        command.arg(acknowledged).args([number.to_string(), UPDATES.to_string()]);
        command.args([task.to_string(), shared.to_string()]).env("EVENTS_URL", url);
        Running::start("event_writer", command, &acknowledged.with_added_extension("log"))
    }

    fn lines(&self) -> Vec<Vec<i64>> {
        let text = std::fs::read_to_string(&self.acknowledged).unwrap_or_default();
        let numbers = |line: &str| line.split(' ').filter_map(|number| number.parse().ok()).collect();
        text.lines().map(numbers).collect()
    }
}

/// The only events of the log that are missing from it, are there twice, or leave a gap before them.
fn disorder(server: &Postgres, database: &str) -> Result<String> {
    server.psql(
        database,
        "SELECT originator_id, count(*), min(originator_version), max(originator_version) FROM workflowtracker_events
         GROUP BY 1 HAVING count(*) <> max(originator_version) + 1 OR min(originator_version) <> 0",
    )
}

#[test]
fn eight_writers_that_are_killed_and_a_server_that_is_restarted_lose_and_repeat_nothing() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut server = Postgres::start(&scratch.folder("server")?)?;
    let url = server.create_database("crash")?;
    let ours = Ours::initialised(&url)?;
    let workflow = Uuid::new_v4();
    ours.append(&Command::initiate_workflow(workflow, "crash", "", 1, 1))?;
    let tasks: Vec<Uuid> = (0..=WRITERS).map(|_| Uuid::new_v4()).collect();
    for (task, job) in tasks.iter().zip(1..) {
        ours.append(&Command::add_task(workflow, *task, "cellpose", "1", "".into(), "".into()))?;
        ours.append(&Command::add_job_id(*task, job))?;
    }
    let shared = tasks[WRITERS];
    let mut writers = (0..WRITERS)
        .map(|number| Writer::start(number, tasks[number], shared, &url, scratch.path()))
        .collect::<Result<Vec<_>>>()?;
    let mut seeded = Seeded::new(1);
    // A disaster each time that so many more updates are acknowledged, so that they come while all are writing.
    for (disaster, threshold) in (100..WRITERS * UPDATES).step_by(100).enumerate() {
        let logs: Vec<PathBuf> = writers.iter().map(|writer| writer.process.log().to_path_buf()).collect();
        let logs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
        wait::until("updates that are acknowledged", Duration::from_secs(180), &logs, || {
            let failed =
                writers.iter_mut().any(|writer| writer.process.status().is_some_and(|end| !end.success()));
            let done = writers.iter().map(|writer| writer.lines().len()).sum::<usize>() >= threshold;
            (failed || done).then_some(())
        })?;
        match disaster % 5 {
            1 => server.restart(Stop::Immediate)?,
            3 if disaster > 5 => server.restart(Stop::Fast)?,
            _ => {
                let writer = &mut writers[seeded.below(WRITERS)];
                if writer.process.status().is_none() {
                    writer.process.signal(Signal::SIGKILL)?;
                    writer.process.ended_within(wait::PATIENCE)?;
                    writer.process =
                        Writer::run(writer.number, writer.task, shared, &url, &writer.acknowledged)?;
                }
            }
        }
    }
    for writer in &mut writers {
        let status = writer.process.ended_within(Duration::from_secs(180))?;
        assert!(status.success(), "writer {}: {status}: {}", writer.number, writer.process.output());
        assert_eq!(writer.lines().len(), UPDATES);
    }

    // Each update once, in its order: what has happened to a task is what its writer has asked for.
    for writer in &writers {
        let statuses = server.psql(
            "crash",
            &format!(
                "SELECT id, originator_version, convert_from(state, 'UTF8')::json->>'status' FROM workflowtracker_events
                 WHERE originator_id = '{}' AND topic LIKE '%StatusUpdated' ORDER BY originator_version",
                writer.task
            ),
        )?;
        let lines = writer.lines();
        let acknowledged = lines
            .iter()
            .enumerate()
            .map(|(update, line)| format!("{}|{}|{}.{update}", line[0], line[1], writer.number));
        assert_eq!(statuses.lines().map(str::to_owned).collect::<Vec<_>>(), acknowledged.collect::<Vec<_>>());
    }
    let on_shared = format!(
        "SELECT count(*), count(DISTINCT convert_from(state, 'UTF8')::json->>'status') FROM workflowtracker_events
         WHERE originator_id = '{shared}' AND topic LIKE '%StatusUpdated'"
    );
    let each = WRITERS * UPDATES / 5;
    assert_eq!(server.psql("crash", &on_shared)?, format!("{each}|{each}"));
    assert_eq!(disorder(&server, "crash")?, "");
    let kept = views::views(&server, "crash")?;
    rebuilt(&ours)?;
    assert_eq!(kept, views::views(&server, "crash")?);
    Ok(())
}

/// A log that is reached through a relay, with a task in it.
fn relayed(server: &Postgres, database: &str, limits: Limits) -> Result<(Relay, Ours, Uuid)> {
    let url = server.create_database(database)?;
    let ids = Ours::initialised(&url)?.play(&scenario::calls(7, 20))?;
    let relay = Relay::to(server.port())?;
    let port = format!(":{}/", server.port());
    let ours = Ours::open_with(&url.replace(&port, &format!(":{}/", relay.port())), limits)?;
    Ok((relay, ours, ids["task 0"]))
}

#[test]
fn what_is_asked_again_because_of_a_lost_connection_is_recorded_once() -> Result<()> {
    let server = postgres::shared()?;
    for (database, fault) in
        [("lost_request", Fault::LosesTheRequest), ("lost_answer", Fault::LosesTheAnswer)]
    {
        let (relay, ours, task) = relayed(&server, database, Limits::default())?;
        let before = views::rows(&server, database)?.len();
        relay.on(b"COMMIT", fault, 3);
        let appended = ours.append(&Command::update_task_status(task, "ONCE"))?;
        assert_eq!(relay.left(), 0, "{fault:?}");
        assert_eq!(appended.repeated, fault == Fault::LosesTheAnswer, "{fault:?}");
        let rows = views::rows(&server, database)?;
        assert_eq!(rows.len(), before + 1, "{fault:?}");
        assert_eq!(rows[before].originator_version, appended.events[0].originator_version, "{fault:?}");
        assert_eq!(disorder(&server, database)?, "");
    }
    Ok(())
}

#[test]
fn connections_that_died_while_nobody_used_them_are_replaced() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut server = Postgres::start(scratch.path())?;
    let ours = Ours::initialised(&server.create_database("idle")?)?;
    let task = ours.play(&scenario::calls(7, 20))?["task 0"];
    let log = ours.log();
    let asked: [(&str, &dyn Fn() -> Result<()>); 7] = [
        ("append", &|| ours.append(&Command::update_task_status(task, "RUNNING")).map(drop)),
        ("select", &|| ours.block(log.select(1, 10)).map(drop)),
        ("get", &|| ours.block(log.get(task)).map(drop)),
        ("catch_up", &|| ours.block(log.catch_up()).map(drop)),
        ("workflows", &|| {
            ours.block(log.workflows(&WorkflowFilter::default(), Page { offset: 0, limit: 10 })).map(drop)
        }),
        ("verify", &|| ours.block(log.verify()).map(drop)),
        ("rebuild", &|| rebuilt(&ours)),
    ];
    let mut failed = Vec::new();
    for (name, ask) in asked {
        server.restart(Stop::Fast)?;
        if let Err(trouble) = ask() {
            failed.push(format!("{name}: {trouble}"));
        }
    }
    assert_eq!(failed, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_server_that_falls_silent_is_given_up_in_time_and_the_command_can_be_repeated() -> Result<()> {
    let server = postgres::shared()?;
    let limits = Limits {
        statement: Duration::from_secs(1),
        command: Duration::from_secs(3),
        connect: Duration::from_secs(1),
        ..Limits::default()
    };
    let (relay, ours, task) = relayed(&server, "silent", limits)?;
    let before = views::rows(&server, "silent")?.len();
    relay.on(b"COMMIT", Fault::FallsSilent, usize::MAX);
    let command = Command::update_task_status(task, "ONCE");
    let began = std::time::Instant::now();
    let error = ours.refused(ours.log().append(&command))?;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(matches!(error, Error::GivenUp { .. }), "{error}");
    relay.on(b"COMMIT", Fault::FallsSilent, 0);
    ours.append(&command)?;
    assert_eq!(views::rows(&server, "silent")?.len(), before + 1);
    Ok(())
}

#[test]
fn a_command_of_two_events_is_recorded_whole_or_not_at_all() -> Result<()> {
    let server = postgres::shared()?;
    let limits = Limits { command: Duration::from_millis(200), ..Limits::default() };
    let (relay, ours, _) = relayed(&server, "whole", limits)?;
    let before = views::rows(&server, "whole")?;
    let kept = views::views(&server, "whole")?;
    let workflow =
        before.iter().find(|row| row.topic.ends_with("WorkflowInitiated")).map(|row| row.originator_id);
    let workflow = workflow.ok_or_else(|| Trouble::new("no workflow run"))?;
    relay.on(b"COMMIT", Fault::LosesTheRequest, usize::MAX);
    let task = Command::add_task(workflow, Uuid::new_v4(), "cellpose", "1", "".into(), "".into());
    ours.refused(ours.log().append(&task))?;
    assert_eq!(views::rows(&server, "whole")?, before);
    assert_eq!(views::views(&server, "whole")?, kept);
    Ok(())
}
