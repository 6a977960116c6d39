use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::json::Value;
use crate::log::EventLog;
use crate::url::DatabaseUrl;

const WORKFLOW: Uuid = Uuid::from_u128(1);
const TASK: Uuid = Uuid::from_u128(2);

async fn opened(folder: &Path) -> EventLog {
    let url = DatabaseUrl::Sqlite(folder.join("history.db"));
    EventLog::open(&url, Limits::default()).await.expect("a log")
}

async fn initialised(folder: &Path) -> EventLog {
    let log = opened(folder).await;
    log.initialise().await.expect("tables");
    log
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn begin() -> [Command; 2] {
    [
        Command::initiate_workflow(WORKFLOW, "run", "a run", 2, 3),
        Command::add_task(WORKFLOW, TASK, "cellpose", "v1", Value::Null, Value::Null),
    ]
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    let appended = log.append_all(&begin()).await.expect("appended");
    let ids: Vec<Vec<i64>> =
        appended.iter().map(|appended| appended.events.iter().map(|event| event.id).collect()).collect();
    assert_eq!(ids, [vec![1], vec![2, 3]]);
    drop(log);
    let log = opened(folder.path()).await;
    log.append(&Command::start_task(TASK)).await.expect("appended");
    let history = log.history(TASK).await.expect("a history");
    let versions: Vec<(i64, i64)> =
        history.iter().map(|event| (event.id, event.originator_version)).collect();
    assert_eq!(versions, [(2, 0), (4, 1)]);
}

#[tokio::test]
async fn a_repeated_command_answers_with_the_events_of_the_first_time() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    log.append_all(&begin()).await.expect("appended");
    let command = Command::start_task(TASK);
    let first = log.append(&command).await.expect("appended");
    let again = log.append(&command).await.expect("appended");
    assert_eq!((again.events, again.repeated), (first.events, true));
    assert_eq!(log.select(1, 100).await.expect("events").len(), 4);
}

#[tokio::test]
async fn of_commands_that_do_not_all_fit_none_is_recorded() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    let commands = [Command::initiate_workflow(WORKFLOW, "run", "", 2, 3), Command::start_task(TASK)];
    let error = log.append_all(&commands).await.expect_err("no such task");
    assert!(matches!(error, Error::Unknown { id: TASK, .. }), "{error}");
    assert_eq!(log.select(1, 100).await.expect("events"), []);
}

#[tokio::test]
async fn the_file_and_its_folder_are_for_their_owner_alone() {
    let folder = folder();
    initialised(&folder.path().join("new")).await;
    for (path, mode) in [("new", 0o700), ("new/history.db", 0o600)] {
        let found = std::fs::metadata(folder.path().join(path)).expect(path).permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
}
