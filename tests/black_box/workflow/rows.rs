//! The rows of workflows, and who may write them: the same in a file and on a server.

use std::time::Duration;

use biomero_events::json::Value;
use biomero_events::url::DatabaseUrl;
use biomero_events::worker::WorkerEvent;
use biomero_events::workflow::{Change, RecordFilter, WorkflowRecord};
use biomero_events::{EventLog, Limits, query::Page};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, postgres};
use time::OffsetDateTime;
use uuid::Uuid;

fn trouble(error: biomero_events::Error) -> Trouble {
    Trouble::new(error.to_string())
}

fn row(id: u128, revision: i64) -> WorkflowRecord {
    let now = OffsetDateTime::from_unix_timestamp(1_700_000_000 + revision).expect("a moment");
    WorkflowRecord {
        id: Uuid::from_u128(id),
        parent: None,
        user: 2,
        group: 3,
        name: "copy".to_owned(),
        phase: "RUNNING".to_owned(),
        is_open: true,
        revision,
        term: 0,
        created: now,
        changed: now,
        state: format!("{{\"revision\":{revision}}}"),
    }
}

fn event(id: u128) -> WorkerEvent {
    let workflow_id = Some(Uuid::from_u128(id));
    WorkerEvent { topic: "workflow.test".to_owned(), workflow_id, task_id: None, state: Value::Null }
}

/// Asks for everything on one log, and on another one of the same database, as another process would.
async fn rows_are_written_by_who_has_read_them(url: &DatabaseUrl) -> Result<()> {
    let open = async || EventLog::open(url, Limits::default()).await.map_err(trouble);
    let (log, other) = (open().await?, open().await?);
    log.initialise().await.map_err(trouble)?;
    let keep = async |log: &EventLog, rows: &[(WorkflowRecord, Option<i64>)]| {
        let changes: Vec<Change<'_>> =
            rows.iter().map(|(record, term)| Change { record, term: *term }).collect();
        let events: Vec<WorkerEvent> = rows.iter().map(|_| event(1)).collect();
        log.keep(&changes, &events).await.map_err(trouble)
    };
    let told = async || Ok::<_, Trouble>(log.worker_events(1, 100).await.map_err(trouble)?.len());

    assert!(keep(&log, &[(row(1, 1), None)]).await?);
    assert!(keep(&log, &[(row(1, 1), None)]).await?, "written again, as after an answer that was lost");
    assert_eq!(told().await?, 1, "it counts once");
    let otherwise = WorkflowRecord { state: "{}".to_owned(), ..row(1, 1) };
    assert!(!keep(&log, &[(otherwise, None)]).await?, "another one has this id");
    assert!(!keep(&other, &[(row(1, 3), None)]).await?, "a revision was not read");
    assert!(keep(&other, &[(row(1, 2), Some(1))]).await?);
    assert!(
        !keep(&log, &[(WorkflowRecord { state: "{}".to_owned(), ..row(1, 2) }, None)]).await?,
        "it is too late"
    );

    // All or nothing.
    assert!(!keep(&log, &[(row(2, 1), None), (row(1, 9), None)]).await?);
    assert_eq!(log.record_of(Uuid::from_u128(2)).await.map_err(trouble)?, None);
    assert_eq!(told().await?, 2);

    // A later term has begun: who acts for an earlier one is refused, who does not act at all is not.
    assert_eq!(log.begin_term().await.map_err(trouble)?, 2);
    assert!(!keep(&other, &[(row(1, 3), Some(1))]).await?);
    assert!(keep(&log, &[(row(1, 3), Some(2))]).await?);
    assert!(keep(&other, &[(row(1, 4), None)]).await?);
    let read = log.record_of(Uuid::from_u128(1)).await.map_err(trouble)?;
    let read = read.ok_or_else(|| Trouble::new("the row is gone"))?;
    assert_eq!((read.revision, read.term, read.created), (4, 2, row(1, 1).created));

    assert!(
        keep(&log, &[(WorkflowRecord { is_open: false, phase: "DONE".to_owned(), ..row(1, 5) }, Some(2))])
            .await?
    );
    assert_eq!(log.open_heads().await.map_err(trouble)?, []);
    let filter = RecordFilter { phase: Some("DONE".to_owned()), user: Some(2), ..RecordFilter::default() };
    let listed = log.records(&filter, Page { offset: 0, limit: 10 }).await.map_err(trouble)?;
    assert_eq!((listed.len(), log.count_records(&filter).await.map_err(trouble)?), (1, 1));
    let filter = RecordFilter { open: true, ..RecordFilter::default() };
    assert_eq!(log.records(&filter, Page { offset: 0, limit: 10 }).await.map_err(trouble)?, []);
    assert_eq!(log.count_records(&filter).await.map_err(trouble)?, 0);

    // One acts; who hears the bell hears of what others write.
    let leading = log.lead().await.map_err(trouble)?;
    assert!(leading.is_some());
    assert!(other.lead().await.map_err(trouble)?.is_none());
    drop(leading);
    let mut patience = 100;
    while other.lead().await.map_err(trouble)?.is_none() {
        patience -= 1;
        assert!(patience > 0, "what nobody holds is not to be had");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut bell = other.bell();
    bell.rung().await.map_err(trouble)?;
    let ringing = tokio::time::timeout(Duration::from_secs(30), bell.rung());
    let third = [(row(3, 1), None)];
    let (rung, kept) = tokio::join!(ringing, keep(&log, &third));
    assert!(kept? && rung.is_ok());
    Ok(())
}

/// Rows of two users, groups and names, every third one over, the first ten of a batch.
fn many() -> Vec<WorkflowRecord> {
    let batch = |id: u128| (id <= 10).then_some(Uuid::from_u128(1_000));
    (1..=60_u128)
        .map(|id| WorkflowRecord {
            parent: batch(id),
            user: (id % 2) as i64,
            group: (id / 30) as i64,
            name: if id % 5 == 0 { "five" } else { "other" }.to_owned(),
            phase: if id % 3 == 0 { "DONE" } else { "RUNNING" }.to_owned(),
            is_open: id % 3 != 0,
            // Some were asked for at the same moment.
            created: OffsetDateTime::from_unix_timestamp(1_700_000_000 + (id / 4) as i64).expect("a moment"),
            ..row(id, 1)
        })
        .collect()
}

/// Each filter on its own and with each other one finds what a look at every row finds, newest first, page by page.
async fn lists_are_what_they_are_asked_for(url: &DatabaseUrl) -> Result<()> {
    let log = EventLog::open(url, Limits::default()).await.map_err(trouble)?;
    log.initialise().await.map_err(trouble)?;
    let rows = many();
    let changes: Vec<Change<'_>> = rows.iter().map(|record| Change { record, term: None }).collect();
    assert!(log.keep(&changes, &[]).await.map_err(trouble)?);
    for chosen in 0..64_u32 {
        let is = |bit: u32| chosen & (1 << bit) != 0;
        let filter = RecordFilter {
            user: is(0).then_some(1),
            group: is(1).then_some(0),
            phase: is(2).then(|| "RUNNING".to_owned()),
            name: is(3).then(|| "other".to_owned()),
            parent: is(4).then(|| Uuid::from_u128(1_000)),
            open: is(5),
        };
        let mut expected: Vec<&WorkflowRecord> = rows
            .iter()
            .filter(|row| filter.user.is_none_or(|user| row.user == user))
            .filter(|row| filter.group.is_none_or(|group| row.group == group))
            .filter(|row| filter.phase.as_ref().is_none_or(|phase| row.phase == *phase))
            .filter(|row| filter.name.as_ref().is_none_or(|name| row.name == *name))
            .filter(|row| filter.parent.is_none() || row.parent == filter.parent)
            .filter(|row| !filter.open || row.is_open)
            .collect();
        expected.sort_by_key(|row| std::cmp::Reverse((row.created, row.id)));
        assert!(!expected.is_empty(), "{filter:?} finds nothing to compare");
        let counted = log.count_records(&filter).await.map_err(trouble)?;
        assert_eq!(counted, expected.len() as u64, "{filter:?}");
        let mut found = Vec::new();
        for offset in (0..70).step_by(7) {
            let page = log.records(&filter, Page { offset, limit: 7 }).await.map_err(trouble)?;
            assert!(page.len() <= 7, "{filter:?}");
            found.extend(page);
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    Ok(())
}

fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Trouble::doing("make a runtime"))?.block_on(work)
}

#[test]
fn in_a_file_lists_are_what_they_are_asked_for() -> Result<()> {
    let scratch = Scratch::new()?;
    let url = DatabaseUrl::Sqlite(scratch.path().join("events.sqlite"));
    block_on(lists_are_what_they_are_asked_for(&url))
}

#[test]
fn on_a_server_lists_are_what_they_are_asked_for() -> Result<()> {
    let server = postgres::shared()?;
    let url = DatabaseUrl::parse(&server.create_database("lists")?);
    block_on(lists_are_what_they_are_asked_for(&url.map_err(|error| Trouble::new(error.to_string()))?))
}

/// What a database of an earlier version has not: it is made by the next who sets it up, and nothing is said of it.
const DROP: &str =
    "DROP INDEX biomero_worker_workflow_created_idx; DROP INDEX biomero_worker_workflow_user_idx";
const INDEXES: &str = "SELECT count(*) FROM INDEXES WHERE NAME LIKE 'biomero_worker_workflow_%_idx'";

#[test]
fn a_file_of_an_earlier_version_gets_its_indexes() -> Result<()> {
    let scratch = Scratch::new()?;
    let path = scratch.path().join("events.sqlite");
    let url = DatabaseUrl::Sqlite(path.clone());
    let set_up = || {
        block_on(async {
            let log = EventLog::open(&url, Limits::default()).await.map_err(trouble)?;
            let initialised = log.initialise().await.map_err(trouble)?;
            log.verify().await.map_err(trouble)?;
            assert!(initialised.created.is_empty() || initialised.created.len() > 5);
            Ok(())
        })
    };
    let failed = |error: rusqlite::Error| Trouble::new(error.to_string());
    let file = || rusqlite::Connection::open(&path).map_err(failed);
    let statement = INDEXES.replace("INDEXES", "sqlite_master").replace("NAME", "type = 'index' AND name");
    let count = || -> Result<i64> { file()?.query_row(&statement, [], |row| row.get(0)).map_err(failed) };
    set_up()?;
    let all = count()?;
    file()?.execute_batch(DROP).map_err(failed)?;
    assert_eq!(count()?, all - 2);
    set_up()?;
    assert_eq!(count()?, all);
    Ok(())
}

#[test]
fn a_database_of_an_earlier_version_gets_its_indexes() -> Result<()> {
    let server = postgres::shared()?;
    let url = DatabaseUrl::parse(&server.create_database("earlier")?);
    let url = url.map_err(|error| Trouble::new(error.to_string()))?;
    let set_up = || {
        block_on(async {
            let log = EventLog::open(&url, Limits::default()).await.map_err(trouble)?;
            log.initialise().await.map_err(trouble)?;
            log.verify().await.map_err(trouble)
        })
    };
    let statement = INDEXES.replace("INDEXES", "pg_indexes").replace("NAME", "indexname");
    let count = || Ok::<_, Trouble>(server.psql("earlier", &statement)?.trim().parse::<i64>().unwrap_or(-1));
    set_up()?;
    let all = count()?;
    server.psql("earlier", DROP)?;
    assert_eq!(count()?, all - 2);
    set_up()?;
    assert_eq!(count()?, all);
    Ok(())
}

#[test]
fn in_a_file_rows_are_written_by_who_has_read_them() -> Result<()> {
    let scratch = Scratch::new()?;
    block_on(rows_are_written_by_who_has_read_them(&DatabaseUrl::Sqlite(
        scratch.path().join("events.sqlite"),
    )))
}

#[test]
fn on_a_server_rows_are_written_by_who_has_read_them() -> Result<()> {
    let server = postgres::shared()?;
    let url = DatabaseUrl::parse(&server.create_database("rows")?);
    block_on(rows_are_written_by_who_has_read_them(&url.map_err(|error| Trouble::new(error.to_string()))?))
}
