//! What is wrong with a log or with its database: named in one clear error, and nothing is half done.

use std::time::Duration;

use biomero_events::command::Command;
use biomero_events::{Class, Error, Limits};
use biomero_tests::postgres::{Options, Postgres, Small};
use biomero_tests::scenario::{self, Row, Seeded};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, postgres, views};
use uuid::Uuid;

use super::ours::{Ours, chain, rebuilt};

const TIMESTAMP: &str = r#""timestamp":{"_type_":"datetime_iso","_data_":"2026-11-22T19:11:22+00:00"}"#;

/// Rows that are no events, of an aggregate of their own, and what is said of each.
fn unreadable() -> [(Row, &'static str); 5] {
    let row = |version, topic: &str, state: String| Row {
        originator_id: Uuid::from_u128(7),
        originator_version: version,
        topic: format!("biomero.eventsourcing:{topic}"),
        state,
    };
    [
        (row(0, "Task.StatusUpdated", "not JSON".to_owned()), "no JSON"),
        (row(1, "Task.StatusUpdated", "{".repeat(100_000)), "no JSON"),
        (row(2, "Task.Vanished", format!("{{{TIMESTAMP}}}")), "Task.Vanished"),
        (row(3, "Task.StatusUpdated", format!("{{{TIMESTAMP}}}")), "`status`"),
        (row(4, "Task.TaskStarted", r#"{"timestamp":"yesterday"}"#.to_owned()), "timestamp"),
    ]
}

#[test]
fn rows_that_are_no_events_are_named_and_stop_nothing() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let good = scenario::rows(5, 100);
    let (before, after) = good.split_at(50);
    let ours = Ours::initialised(&server.create_database("with_corrupt_rows")?)?;
    views::insert(&server, "with_corrupt_rows", before, scratch.path())?;
    let corrupt: Vec<Row> = unreadable().into_iter().map(|(row, _)| row).collect();
    views::insert(&server, "with_corrupt_rows", &corrupt, scratch.path())?;
    server.psql(
        "with_corrupt_rows",
        "INSERT INTO workflowtracker_events (originator_id, originator_version, topic, state)
         VALUES ('00000000-0000-0000-0000-000000000007', 5, 'biomero.eventsourcing:Task.TaskStarted', decode('fffe', 'hex'))",
    )?;
    views::insert(&server, "with_corrupt_rows", after, scratch.path())?;
    ours.block(ours.log().catch_up())?;

    let clean = Ours::initialised(&server.create_database("without_corrupt_rows")?)?;
    views::insert(&server, "without_corrupt_rows", &good, scratch.path())?;
    clean.block(clean.log().catch_up())?;
    let expected = views::views(&server, "without_corrupt_rows")?;
    assert_eq!(views::views(&server, "with_corrupt_rows")?, expected);
    rebuilt(&ours)?;
    assert_eq!(views::views(&server, "with_corrupt_rows")?, expected);

    let events = ours.block(ours.log().select(51, 6))?;
    let told: Vec<String> =
        events.iter().filter_map(|event| Some(event.event().err()?.to_string())).collect();
    let reasons = unreadable().map(|(_, reason)| reason);
    for (id, (said, reason)) in (51..).zip(told.iter().zip(reasons.iter().chain(&["UTF-8"]))) {
        for word in [&format!("event {id} "), *reason, "00000000-0000-0000-0000-000000000007", "correct it"] {
            assert!(said.contains(word), "`{word}` in: {said}");
        }
        assert!(said.len() < 1000, "{} characters: {said}", said.len());
    }
    assert_eq!(told.len(), 6);
    let error = ours.refused(ours.log().get(Uuid::from_u128(7)))?;
    assert!(error.class() == Class::Corrupt && error.to_string().contains("event 51 "), "{error}");
    // Others can be written to.
    ours.append(&Command::initiate_workflow(Uuid::new_v4(), "goes on", "", 1, 1))?;
    Ok(())
}

#[test]
fn a_gap_in_the_versions_is_named_by_the_row_behind_it() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let ours = Ours::initialised(&server.create_database("with_a_gap")?)?;
    let task = ours.play(&scenario::calls(7, 40))?["task 0"];
    let lost = format!(
        "DELETE FROM workflowtracker_events WHERE originator_id = '{task}' AND originator_version = 1 RETURNING id"
    );
    let lost: i64 =
        server.psql("with_a_gap", &lost)?.parse().map_err(|_| Trouble::new("no event to lose"))?;
    let next =
        format!("SELECT min(id) FROM workflowtracker_events WHERE originator_id = '{task}' AND id > {lost}");
    let next = server.psql("with_a_gap", &next)?;
    let gaps = ours.block(ours.log().gaps(10))?;
    assert_eq!(gaps.iter().map(|gap| gap.id.to_string()).collect::<Vec<_>>(), std::slice::from_ref(&next));
    let error = ours.refused(ours.log().get(task))?.to_string();
    assert!(error.contains(&format!("event {next} ")) && error.contains("version 1"), "{error}");
    drop(scratch);
    Ok(())
}

/// Commands that each write a tenth of a megabyte that cannot be compressed.
fn large(task: Uuid, seeded: &mut Seeded) -> Command {
    let text: String = std::iter::repeat_with(|| format!("{:016x}", seeded.number())).take(6_400).collect();
    Command::add_result(task, "sbatch", &[], &text, "")
}

/// Writes until an error comes; how many commands were recorded, and the error.
fn fill(ours: &Ours, task: Uuid) -> Result<(usize, Error)> {
    let mut seeded = Seeded::new(1);
    for recorded in 0..2_000 {
        if let Err(error) = ours.tried(ours.log().append(&large(task, &mut seeded))) {
            return Ok((recorded, error));
        }
    }
    Err(Trouble::new("200 megabytes were written to a small disk"))
}

/// What is there is what was acknowledged, complete, and it goes on.
fn nothing_is_half_done(server: &Postgres, ours: &Ours, task: Uuid, recorded: usize) -> Result<()> {
    let count = format!(
        "SELECT count(*), max(originator_version) FROM workflowtracker_events WHERE originator_id = '{task}'"
    );
    assert_eq!(server.psql("full", &count)?, format!("{}|{recorded}", recorded + 1));
    assert_eq!(
        server.psql("full", "SELECT count(*) FROM biomero_worker_command")?,
        (recorded + 2).to_string()
    );
    ours.append(&Command::update_task_status(task, "RUNNING"))?;
    let kept = views::views(server, "full")?;
    rebuilt(ours)?;
    assert_eq!(views::views(server, "full")?, kept);
    Ok(())
}

fn with_task(url: &str, limits: Limits) -> Result<(Ours, Uuid)> {
    Ours::initialised(url)?;
    let ours = Ours::open_with(url, limits)?;
    let (workflow, task) = (Uuid::new_v4(), Uuid::new_v4());
    ours.append(&Command::initiate_workflow(workflow, "full", "", 1, 1))?;
    ours.append(&Command::add_task(workflow, task, "cellpose", "1", "".into(), "".into()))?;
    Ok((ours, task))
}

#[test]
fn a_disk_without_room_for_the_tables_is_told_and_used_again_when_there_is_room() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let small = Small { folder: "small", megabytes: 64, ballast: 40 };
    let options = Options { small: vec![small], ..Options::default() };
    let mut server = Postgres::start_with(scratch.path(), &options)?;
    let place = scratch.path().join("small");
    server.psql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", place.display()))?;
    server.psql("postgres", "CREATE DATABASE \"full\" OWNER biomero TABLESPACE small")?;
    let (ours, task) = with_task(&server.url("full"), Limits::default())?;
    let (recorded, error) = fill(&ours, task)?;
    assert_eq!(error.class(), Class::Full, "{error}");
    for word in ["append events", "/full", "free space", "nothing was written"] {
        assert!(chain(&error).contains(word), "`{word}` in: {}", chain(&error));
    }
    // All of a batch, or none of it.
    let batch: Vec<Command> = (0..5).map(|seed| large(task, &mut Seeded::new(seed))).collect();
    assert_eq!(ours.refused(ours.log().append_all(&batch))?.class(), Class::Full);
    server.restart(postgres::Stop::Fast)?;
    nothing_is_half_done(&server, &ours, task, recorded)
}

#[test]
fn a_disk_without_room_for_the_servers_own_log_ends_in_one_error_and_loses_nothing() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let small = Small { folder: "data/pg_wal", megabytes: 64, ballast: 20 };
    let options = Options { small: vec![small], ..Options::default() };
    let mut server = Postgres::start_with(scratch.path(), &options)?;
    let limits = Limits { command: Duration::from_secs(8), ..Limits::default() };
    let (ours, task) = with_task(&server.create_database("full")?, limits)?;
    let (recorded, error) = fill(&ours, task)?;
    // Told by the server's last words, when they arrive, or by the silence after them.
    assert!(matches!(error.class(), Class::Full | Class::Unavailable), "{error}");
    assert!(chain(&error).contains("127.0.0.1"), "{}", chain(&error));
    // With room it recovers. Whether the last one was recorded is what nobody could be told.
    server.restart(postgres::Stop::Immediate)?;
    let there = format!("SELECT count(*) - 1 FROM workflowtracker_events WHERE originator_id = '{task}'");
    let there: usize = server.psql("full", &there)?.parse().map_err(|_| Trouble::new("no count"))?;
    assert!((recorded..=recorded + 1).contains(&there), "{there} of {recorded}");
    nothing_is_half_done(&server, &ours, task, there)
}

#[test]
fn a_database_that_only_reads_is_told_as_such() -> Result<()> {
    let server = postgres::shared()?;
    let url = server.create_database("only_reads")?;
    let task = Ours::initialised(&url)?.play(&scenario::calls(7, 20))?["task 0"];
    let (rows, kept) = (views::rows(&server, "only_reads")?, views::views(&server, "only_reads")?);
    server.psql("postgres", "ALTER DATABASE only_reads SET default_transaction_read_only = on")?;
    let ours = Ours::open(&url)?;
    let command = Command::update_task_status(task, "RUNNING");
    let rebuild = || ours.log().rebuild(None, &|_| {});
    for error in [
        ours.refused(ours.log().append(&command))?,
        ours.refused(ours.log().initialise())?,
        ours.refused(rebuild())?,
    ] {
        assert!(chain(&error).contains("default_transaction_read_only"), "{}", chain(&error));
    }
    // It reads.
    ours.get(task)?;
    assert_eq!(ours.block(ours.log().select(1, 1000))?.len(), rows.len());
    assert_eq!((views::rows(&server, "only_reads")?, views::views(&server, "only_reads")?), (rows, kept));
    Ok(())
}

#[test]
fn a_wrong_password_is_told_once_and_not_shown() -> Result<()> {
    let server = postgres::shared()?;
    let url = server.create_database("wrong_password")?;
    let encoded = url.split("biomero:").nth(1).and_then(|rest| rest.split('@').next()).unwrap_or_default();
    let ours = Ours::open(&url.replace(encoded, "s3cr3t"))?;
    let began = std::time::Instant::now();
    let command = Command::initiate_workflow(Uuid::new_v4(), "", "", 1, 1);
    let error = ours.refused(ours.log().append(&command))?;
    assert!(began.elapsed() < Duration::from_secs(20), "it is not tried again: {:?}", began.elapsed());
    assert_eq!(error.class(), Class::Permission, "{error}");
    for text in [chain(&error), format!("{error:?}"), format!("{:?}", ours.log())] {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
    assert!(chain(&error).contains("password") && chain(&error).contains("biomero"), "{}", chain(&error));
    Ok(())
}

#[test]
fn a_server_that_accepts_and_never_answers_is_given_up_in_time() -> Result<()> {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").map_err(Trouble::doing("listen"))?;
    let address = silent.local_addr().map_err(Trouble::doing("listen"))?;
    let limits =
        Limits { connect: Duration::from_secs(1), command: Duration::from_secs(4), ..Limits::default() };
    let ours = Ours::open_with(&format!("postgresql+psycopg2://biomero:x@{address}/biomero"), limits)?;
    let began = std::time::Instant::now();
    let command = Command::initiate_workflow(Uuid::new_v4(), "", "", 1, 1);
    let error = ours.refused(ours.log().append(&command))?;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(error.class(), Class::Unavailable, "{error}");
    assert!(chain(&error).contains(&address.to_string()), "{}", chain(&error));
    Ok(())
}
