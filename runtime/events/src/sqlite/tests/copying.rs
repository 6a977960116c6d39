//! A history from one file into another.

use super::*;
use crate::copy::{Copied, CopyError, copy};
use crate::query::Whose;
use crate::worker::{JobUsage, WorkerEvent};

async fn copied(from: &EventLog, to: &EventLog) -> Result<Copied, CopyError> {
    copy(from, to, &|_| {}).await
}

fn usage(job: i64) -> JobUsage {
    let submitted = time::OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(job);
    JobUsage {
        cluster: "spider".to_owned(),
        slurm_job_id: job,
        submitted,
        task_id: Some(TASK),
        user: Some(2),
        group: Some(3),
        job_state: "COMPLETED".to_owned(),
        exit_code: Some(0),
        signal: None,
        partition: Some("gpu".to_owned()),
        node_list: None,
        started: Some(submitted),
        ended: None,
        elapsed_seconds: Some(10),
        allocated_cpus: Some(4),
        cpu_seconds: Some(1.5),
        max_rss_bytes: Some(1 << 40),
    }
}

async fn history(folder: &Path) -> EventLog {
    let log = initialised(folder).await;
    a_run(&log).await;
    let event = WorkerEvent {
        topic: "views.rebuilt".to_owned(),
        workflow_id: Some(WORKFLOW),
        task_id: None,
        state: Value::Null,
    };
    log.record(&event).await.expect("recorded");
    log.record_job_usage(&[usage(1), usage(2)]).await.expect("recorded");
    // As a rolled back transaction leaves it in PostgreSQL.
    behind(
        folder,
        "UPDATE workflowtracker_events SET id = id + 100; UPDATE biomero_worker_position SET notification_id = 108;
         UPDATE biomero_worker_command SET first_id = first_id + 100, last_id = last_id + 100",
    );
    log
}

#[tokio::test]
async fn everything_is_copied_with_its_ids_and_made_again_where_it_was_made() {
    let folder = folder();
    let from = history(&folder.path().join("from")).await;
    let to = opened(&folder.path().join("to")).await;
    let done = copied(&from, &to).await.expect("copied");
    let expected =
        Copied { present: 0, events: 8, commands: 7, worker_events: 1, job_usage: 2, projected: 8 };
    assert_eq!(done, expected);
    let (copied, original) = (to.select(1, 100).await, from.select(1, 100).await);
    assert_eq!(copied.expect("events"), original.expect("events"));
    assert_eq!(
        to.worker_events(1, 10).await.expect("events"),
        from.worker_events(1, 10).await.expect("events")
    );
    assert_eq!(to.job_usage(Whose::default(), 10).await.expect("usage"), [usage(2), usage(1)]);
    assert!(to.compare(&|_| {}).await.expect("compared").views.iter().all(|view| view.is_none()));
}

#[tokio::test]
async fn a_command_that_was_recorded_before_the_copy_is_not_recorded_again_after_it() {
    let folder = folder();
    let from = history(&folder.path().join("from")).await;
    let to = opened(&folder.path().join("to")).await;
    let command = Command::update_task_status(TASK, "COMPLETED");
    let first = from.append(&command).await.expect("appended");
    copied(&from, &to).await.expect("copied");
    let again = to.append(&command).await.expect("appended");
    assert_eq!((again.events, again.repeated), (first.events, true));
}

#[tokio::test]
async fn a_second_copy_goes_on_behind_the_first() {
    let folder = folder();
    let from = history(&folder.path().join("from")).await;
    let to = opened(&folder.path().join("to")).await;
    copied(&from, &to).await.expect("copied");
    assert_eq!(copied(&from, &to).await.expect("copied").events, 0);
    from.append(&Command::update_task_status(TASK, "COMPLETED")).await.expect("appended");
    let done = copied(&from, &to).await.expect("copied");
    assert_eq!((done.present, done.events, done.commands, done.worker_events), (8, 1, 1, 0));
}

#[tokio::test]
async fn nothing_is_copied_behind_another_history() {
    for (what, change) in [
        ("a state", "UPDATE workflowtracker_events SET state = x'7b7d' WHERE id = 104"),
        ("an id", "UPDATE workflowtracker_events SET id = 99 WHERE id = 101"),
        (
            "a row more",
            "INSERT INTO workflowtracker_events SELECT 109, originator_id, 99, topic, state FROM workflowtracker_events LIMIT 1",
        ),
        ("a row less", "DELETE FROM workflowtracker_events WHERE id = 103"),
        ("an event of the worker's", "UPDATE biomero_worker_events SET topic = 'other'"),
    ] {
        let folder = folder();
        let from = history(&folder.path().join("from")).await;
        let to = opened(&folder.path().join("to")).await;
        copied(&from, &to).await.expect("copied");
        behind(&folder.path().join("to"), change);
        from.append(&Command::update_task_status(TASK, "COMPLETED")).await.expect("appended");
        let before = to.select(1, 100).await.expect("events");
        let error = copied(&from, &to).await.expect_err(what);
        assert!(matches!(error, CopyError::Different { .. }), "{what}: {error}");
        assert_eq!(to.select(1, 100).await.expect("events"), before, "{what}");
    }
}

#[tokio::test]
async fn the_source_of_a_copy_is_left_as_it_is_even_without_our_tables() {
    let folder = folder();
    let from = history(&folder.path().join("from")).await;
    behind(
        &folder.path().join("from"),
        "DROP TABLE biomero_worker_command; DROP TABLE biomero_worker_events; DROP TABLE biomero_worker_job_usage;
         DROP TABLE biomero_worker_position; DROP TABLE biomero_worker_state; DROP TABLE biomero_worker_workflow",
    );
    let to = opened(&folder.path().join("to")).await;
    let done = copied(&from, &to).await.expect("copied");
    assert_eq!((done.events, done.commands, done.worker_events, done.job_usage), (8, 0, 0, 0));
    assert!(from.verify().await.is_err());
}
