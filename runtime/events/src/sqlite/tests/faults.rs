//! Files that cannot be used, and rows that are no events.

use std::time::Duration;

use nix::unistd::{Uid, setfsuid};

use super::*;
use crate::stored::Reason;

const IMPATIENT: Limits = Limits {
    connect: Duration::from_secs(1),
    statement: Duration::from_secs(1),
    lock: Duration::from_millis(20),
    command: Duration::from_millis(300),
    connections: 2,
};

fn file_error(error: Error) -> FileError {
    match error {
        Error::Sqlite(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made_by_who_only_uses_it() {
    let folder = folder();
    let log = opened(folder.path()).await;
    for error in [
        log.append(&Command::start_task(TASK)).await.expect_err("no file"),
        log.select(1, 10).await.expect_err("no file"),
        log.verify().await.expect_err("no file"),
    ] {
        assert!(error.to_string().contains("processor events init"), "{error}");
        assert!(matches!(file_error(error), FileError::Missing { .. }));
    }
    assert!(!folder.path().join("history.db").exists());
}

#[tokio::test]
async fn an_empty_file_is_told_to_have_no_tables() {
    let folder = folder();
    std::fs::write(folder.path().join("history.db"), "").expect("a file");
    let log = opened(folder.path()).await;
    for error in [
        log.append(&Command::start_task(TASK)).await.expect_err("no tables"),
        log.select(1, 10).await.expect_err("no tables"),
        log.verify().await.expect_err("no tables"),
    ] {
        assert!(matches!(error, Error::NotInitialised { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_something_else_is_left_as_it_is() {
    let folder = folder();
    let (path, text) = (folder.path().join("history.db"), "a shopping list\n".repeat(100));
    std::fs::write(&path, &text).expect("a file");
    let error = opened(folder.path()).await.initialise().await.expect_err("no database");
    assert!(matches!(file_error(error), FileError::NotADatabase { .. }));
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), text);
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_told_to_be_damaged() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    log.append_all(&begin()).await.expect("appended");
    for _ in 0..3 {
        let many: Vec<Command> = (0..400).map(|_| Command::update_task_status(TASK, "RUNNING")).collect();
        log.append_all(&many).await.expect("appended");
    }
    drop(log);
    behind(folder.path(), "PRAGMA wal_checkpoint(TRUNCATE)");
    let file = std::fs::File::options().write(true).open(folder.path().join("history.db")).expect("the file");
    let length = file.metadata().expect("a length").len();
    file.set_len(length / 2).expect("cut off");
    drop(file);
    let error = opened(folder.path()).await.select(1, 10_000).await.expect_err("half of it is missing");
    assert!(error.to_string().contains("backup"), "{error}");
    assert!(matches!(file_error(error), FileError::Damaged { .. }));
}

/// A runtime whose threads may only do what nobody in particular may do.
fn as_nobody() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(|| {
            setfsuid(Uid::from_raw(65_534));
        })
        .build()
        .expect("a runtime")
}

#[test]
fn a_file_that_may_only_be_read_is_read() {
    let folder = folder();
    let own = tokio::runtime::Runtime::new().expect("a runtime");
    let log = own.block_on(initialised(folder.path()));
    own.block_on(log.append_all(&begin())).expect("appended");
    for (name, mode) in
        [("", 0o555), ("history.db", 0o444), ("history.db-wal", 0o444), ("history.db-shm", 0o444)]
    {
        let path = folder.path().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect(name);
    }
    let path = folder.path().to_path_buf();
    let done = as_nobody();
    let (read, refused) = done
        .block_on(done.spawn(async move {
            let log = opened(&path).await;
            (log.select(1, 10).await, log.append(&Command::start_task(TASK)).await)
        }))
        .expect("done");
    assert_eq!(read.expect("events").len(), 3);
    assert!(matches!(file_error(refused.expect_err("read-only")), FileError::ReadOnly { .. }));
    drop(log);
}

#[test]
fn a_folder_that_takes_no_files_is_named() {
    let folder = folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).expect("read-only");
    let path = folder.path().to_path_buf();
    let runtime = as_nobody();
    let refused =
        runtime.block_on(runtime.spawn(async move { opened(&path).await.initialise().await })).expect("done");
    let error = refused.expect_err("read-only");
    assert!(error.to_string().contains("Permission denied"), "{error}");
    assert!(matches!(file_error(error), FileError::Create { .. }));
}

#[tokio::test]
async fn a_file_that_another_has_locked_is_given_up_in_time() {
    let folder = folder();
    initialised(folder.path()).await.append_all(&begin()).await.expect("appended");
    let url = DatabaseUrl::Sqlite(folder.path().join("history.db"));
    let log = EventLog::open(&url, IMPATIENT).await.expect("a log");
    let other = rusqlite::Connection::open(folder.path().join("history.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let command = Command::start_task(TASK);
    match log.append(&command).await.expect_err("locked") {
        Error::GivenUp { source, attempts: 2.., .. } => {
            assert!(matches!(file_error(*source), FileError::Locked { .. }));
        }
        error => panic!("{error}"),
    }
    // Whoever only reads does not wait.
    assert_eq!(log.select(1, 10).await.expect("events").len(), 3);
    other.execute_batch("COMMIT").expect("unlocked");
    assert!(!log.append(&command).await.expect("appended").repeated);
}

/// SQLite itself does not wait for who reads while the file becomes one with a write-ahead log.
#[tokio::test]
async fn a_new_file_that_another_looks_at_is_waited_for() {
    let folder = folder();
    let other = rusqlite::Connection::open(folder.path().join("history.db")).expect("opened");
    other
        .execute_batch("CREATE TABLE somebodys (number); BEGIN; SELECT * FROM somebodys")
        .expect("looked at");
    let (to, done) = std::sync::mpsc::channel();
    let looks = std::thread::spawn(move || {
        // Until it is waited for, or was not.
        let waited = done.recv_timeout(Duration::from_millis(300)).is_err();
        other.execute_batch("COMMIT").expect("looked at");
        waited
    });
    initialised(folder.path()).await.append_all(&begin()).await.expect("appended");
    let _ = to.send(());
    assert!(looks.join().expect("looked at"), "nobody had to wait");
}

#[tokio::test]
async fn nothing_is_acknowledged_in_a_file_that_was_taken_away() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    log.append_all(&begin()).await.expect("appended");
    std::fs::rename(folder.path().join("history.db"), folder.path().join("old.db")).expect("renamed");
    let error = log.append(&Command::start_task(TASK)).await.expect_err("no file");
    assert!(matches!(file_error(error), FileError::Missing { .. }));
}

#[tokio::test]
async fn tables_that_are_other_ones_are_named_and_left_alone() {
    let folder = folder();
    behind(
        folder.path(),
        "CREATE TABLE biomero_job_view (slurm_job_id INTEGER PRIMARY KEY, user TEXT NOT NULL, site TEXT NOT NULL);
         CREATE TABLE biomero_worker_command (command_id CHAR(32), first_id INTEGER NOT NULL, last_id INTEGER NOT NULL)",
    );
    let Error::Schema { differences, .. } =
        opened(folder.path()).await.initialise().await.expect_err("other tables")
    else {
        panic!("another error")
    };
    assert_eq!(
        differences,
        [
            "biomero_job_view.slurm_job_id may be null, and must not be",
            "biomero_job_view.user is of type TEXT instead of INTEGER",
            "biomero_job_view has no column group",
            "biomero_job_view has no column task_id",
            "biomero_job_view.site is not known here and needs a value, so that no row can be inserted",
            "biomero_worker_command.command_id may be null, and must not be",
            "biomero_worker_command has no primary key (command_id)",
        ]
    );
}

#[tokio::test]
async fn rows_that_are_no_events_are_named_and_do_not_stop_the_rest() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    log.append_all(&begin()).await.expect("appended");
    let state = r#"{"timestamp":{"_type_":"datetime_iso","_data_":"2026-11-22T19:11:22+00:00"}}"#;
    let task = "x'00000000000000000000000000000002'";
    for row in [
        format!("10, {task}, 1, 'biomero.eventsourcing:Task.Painted', '{state}'"),
        format!("11, x'0102', 1, 'biomero.eventsourcing:Task.TaskStarted', '{state}'"),
        format!("12, {task}, 2, 'biomero.eventsourcing:Task.TaskStarted', '{{'"),
        format!("13, {task}, 'x', 'biomero.eventsourcing:Task.TaskStarted', '{state}'"),
    ] {
        behind(folder.path(), &format!("INSERT INTO workflowtracker_events VALUES ({row})"));
    }
    assert_eq!(log.catch_up().await.expect("projected"), 4);
    let appended = log.append(&Command::update_task_status(TASK, "RUNNING")).await.expect("appended");
    assert_eq!((appended.events[0].id, appended.events[0].originator_version), (14, 3));
    let rebuilt = log.rebuild(None, &|_| {}).await.expect("rebuilt");
    let told: Vec<(i64, String)> =
        rebuilt.corrupt.iter().map(|corrupt| (corrupt.id, corrupt.reason.to_string())).collect();
    assert_eq!(told.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [10, 11, 12, 13]);
    assert!(told[1].1.contains("originator_id is no UUID"), "{}", told[1].1);
    assert!(matches!(rebuilt.corrupt[2].reason, Reason::Undecodable(_)));
    assert!(told[3].1.contains("originator_version is no number"), "{}", told[3].1);
}
