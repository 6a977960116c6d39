use std::os::unix::fs::PermissionsExt as _;

mod copying;
mod faults;
mod projection;

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

/// What a person with the `sqlite3` shell does behind our back.
fn behind(folder: &Path, sql: &str) {
    rusqlite::Connection::open(folder.join("history.db"))
        .and_then(|connection| connection.execute_batch(sql))
        .expect(sql);
}

async fn a_run(log: &EventLog) {
    log.append_all(&begin()).await.expect("appended");
    let commands = [
        Command::start_task(TASK),
        Command::add_job_id(TASK, 42),
        Command::update_task_status(TASK, "RUNNING"),
        Command::update_task_progress(TASK, Some("43%")),
        Command::fail_task(TASK, "out of memory"),
    ];
    for command in &commands {
        log.append(command).await.expect("appended");
    }
}

#[tokio::test]
async fn views_that_are_right_stay_as_they_are_and_wrong_ones_are_corrected() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    a_run(&log).await;
    let rebuilt = log.rebuild(None, &|_| {}).await.expect("rebuilt");
    let changes = |rebuilt: &crate::rebuild::Rebuilt| {
        rebuilt.views.iter().map(|view| (view.deleted, view.written)).collect::<Vec<_>>()
    };
    assert_eq!((rebuilt.events, changes(&rebuilt)), (8, vec![(0, 0); 4]));
    behind(
        folder.path(),
        "UPDATE biomero_job_view SET \"user\" = 9; DELETE FROM biomero_job_progress_view;
         INSERT INTO biomero_task_execution SELECT 'f' || substr(task_id, 2), task_name, NULL, 1, 2, 'X', start_time, NULL, NULL
         FROM biomero_task_execution",
    );
    let compared = log.compare(&|_| {}).await.expect("compared");
    let differences: Vec<(u64, u64, u64)> =
        compared.views.iter().map(|view| (view.missing, view.superfluous, view.different)).collect();
    assert_eq!(differences, [(0, 0, 1), (1, 0, 0), (0, 0, 0), (0, 1, 0)]);
    assert_eq!(compared.views[0].examples, ["42"]);
    let rebuilt = log.rebuild(None, &|_| {}).await.expect("rebuilt");
    assert_eq!(changes(&rebuilt), [(0, 1), (0, 1), (0, 0), (1, 0)]);
    assert!(log.compare(&|_| {}).await.expect("compared").views.iter().all(|view| view.is_none()));
}

#[tokio::test]
async fn whoever_follows_is_told_of_what_is_appended() {
    let folder = folder();
    let (log, other) = (initialised(folder.path()).await, opened(folder.path()).await);
    let mut follower = log.follow(0);
    let first = async {
        let events = follower.next().await.expect("events");
        events.len() + if events.len() == 3 { 0 } else { follower.next().await.expect("events").len() }
    };
    let (seen, _) = tokio::join!(first, async { other.append_all(&begin()).await.expect("appended") });
    assert_eq!(seen, 3);
    // Waiting, not looking: far below the timer, far above a commit.
    for _ in 0..20 {
        let began = std::time::Instant::now();
        let command = Command::update_task_status(TASK, "RUNNING");
        let (events, appended) = tokio::join!(follower.next(), other.append(&command));
        assert_eq!((events.expect("events").len(), appended.expect("appended").events.len()), (1, 1));
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn whoever_follows_notices_what_others_write_without_telling() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    log.append_all(&begin()).await.expect("appended");
    let mut follower = log.follow(3);
    let path = folder.path().to_path_buf();
    let write = tokio::task::spawn_blocking(move || {
        behind(
            &path,
            "BEGIN IMMEDIATE; INSERT INTO workflowtracker_events SELECT 4, originator_id, 2, topic, state
             FROM workflowtracker_events WHERE id = 3; COMMIT",
        );
    });
    let began = std::time::Instant::now();
    let (events, written) = tokio::join!(follower.next(), write);
    written.expect("written");
    assert_eq!(events.expect("events").len(), 1);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn many_that_begin_with_a_new_file_at_once_find_one_history() {
    let folder = folder();
    let mut begun = tokio::task::JoinSet::new();
    for task in 10..18 {
        let path = folder.path().join("new");
        begun.spawn(async move {
            let log = initialised(&path).await;
            let (workflow, task) = (Uuid::from_u128(task * 2), Uuid::from_u128(task * 2 + 1));
            let commands = [
                Command::initiate_workflow(workflow, "run", "", 2, 3),
                Command::add_task(workflow, task, "cellpose", "v1", Value::Null, Value::Null),
            ];
            log.append_all(&commands).await.expect("appended");
        });
    }
    while let Some(done) = begun.join_next().await {
        done.expect("begun");
    }
    let log = opened(&folder.path().join("new")).await;
    let ids: Vec<i64> = log.select(1, 100).await.expect("events").iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=24).collect::<Vec<_>>());
    assert!(log.compare(&|_| {}).await.expect("compared").views.iter().all(|view| view.is_none()));
}

#[tokio::test]
async fn a_link_leads_to_the_same_history() {
    let folder = folder();
    let log = initialised(folder.path()).await;
    std::fs::create_dir(folder.path().join("elsewhere")).expect("a folder");
    std::os::unix::fs::symlink(folder.path().join("history.db"), folder.path().join("elsewhere/history.db"))
        .expect("a link");
    let linked = opened(&folder.path().join("elsewhere")).await;
    linked.append_all(&begin()).await.expect("appended");
    assert_eq!(log.select(1, 10).await.expect("events").len(), 3);
    let mut follower = linked.follow(3);
    let command = Command::start_task(TASK);
    let began = std::time::Instant::now();
    let (events, appended) = tokio::join!(follower.next(), log.append(&command));
    assert_eq!((events.expect("events").len(), appended.expect("appended").events.len()), (1, 1));
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}
