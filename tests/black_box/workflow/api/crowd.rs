//! More who come than there are places for, and those who take nothing of what they asked for.

use std::time::{Duration, Instant};

use biomero_tests::{Result, Trouble, http, wait};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use super::Asked;

/// How many are connected at a time.
const PLACES: usize = 2_048;
/// How long a peer may take nothing of an answer, and as much again on a machine with more to do than processors.
const SILENT: Duration = Duration::from_secs(180);
const EVENTS: usize = 40_000;

/// We hold as many descriptors as the worker.
fn room() -> Result<()> {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, soft.max(4_096).min(hard), hard));
    raised.map_err(|error| Trouble::new(format!("the number of open files stays as it is: {error}")))
}

fn memory(id: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("its memory in kilobytes")
}

fn descriptors(id: Pid) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).expect("a process").count()
}

#[test]
fn where_all_places_are_taken_who_is_served_goes_on_and_who_comes_later_waits_for_a_place() -> Result<()> {
    room()?;
    let asked = Asked::embedded()?;
    let mut listener = http::at(&asked.socket)?;
    listener.send("GET /v1/events HTTP/1.1\r\nHost: worker\r\n\r\n")?;
    assert_eq!(listener.head()?.status, 200);
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for _ in 1..PLACES {
        let mut connection = http::at(&asked.socket)?;
        // Without the end of its head it is neither answered nor closed for a while.
        connection.send("GET /health HTTP/1.1\r\nHost: wor")?;
        crowd.push(connection);
    }
    let mut late = http::at(&asked.socket)?;
    late.patience(Duration::from_secs(5))?;
    late.send("GET /health HTTP/1.1\r\nHost: worker\r\n\r\n")?;
    let answer = late.head();
    // Where all of it took so long that the first have been cut off, nothing was seen.
    assert!(begun.elapsed() < Duration::from_secs(19), "the machine is too busy to see it");
    assert!(answer.is_err(), "one more than there are places for was served: {answer:?}");
    // Somebody on this machine asks for a workflow without a connection of his own: the listener hears of it.
    let id = asked.desk.submit(&asked.request("one", &[])?)?;
    let mut heard = String::new();
    while !heard.contains(&id) {
        let piece = listener.piece()?.ok_or_else(|| Trouble::new("the stream ended"))?;
        heard.push_str(&String::from_utf8_lossy(&piece));
    }
    drop(crowd);
    wait::until("a place", wait::PATIENCE, &[asked.serve.log()], || {
        http::get(&asked.socket, "/health").ok().filter(|answer| answer.status == 200)
    })?;
    assert_eq!(asked.ended(&id)?["phase"], "DONE");
    Ok(())
}

#[test]
fn who_takes_nothing_of_a_stream_costs_no_memory_and_is_dropped() -> Result<()> {
    let asked = Asked::embedded()?;
    // Many times what lies between two ends of a socket.
    let history = asked.desk.worker.folder().join("events.sqlite");
    let events = format!(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {EVENTS})
         INSERT INTO biomero_worker_events (recorded, topic, workflow_id, task_id, state)
         SELECT '2026-01-01 00:00:00.000000', 'workflow.test', NULL, NULL, '\"' || printf('%.*c', 1000, 'x') || '\"'
         FROM number"
    );
    rusqlite::Connection::open(history)
        .and_then(|history| history.busy_timeout(wait::PATIENCE).and_then(|()| history.execute(&events, [])))
        .map_err(|error| Trouble::new(error.to_string()))?;
    let whole = http::get(&asked.socket, "/v1/events?after=0&follow=false")?;
    assert!(whole.body.len() > EVENTS * 1_000, "{} bytes", whole.body.len());
    drop(whole);

    let id = asked.serve.id();
    let (before, open) = (memory(id), descriptors(id));
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut connection = http::at(&asked.socket)?;
        connection.send("GET /v1/events?after=0 HTTP/1.1\r\nHost: worker\r\n\r\n")?;
        assert_eq!(connection.head()?.status, 200);
        silent.push(connection);
    }
    assert!(descriptors(id) >= open + silent.len(), "they are connected");
    let mut most = 0;
    wait::until("an end to those who take nothing", SILENT, &[asked.serve.log()], || {
        std::thread::sleep(Duration::from_millis(200));
        most = most.max(memory(id));
        (descriptors(id) < open + silent.len() / 2).then_some(())
    })?;
    // Each may hold the few pieces that are on their way, and no more.
    assert!(most < before + (64 << 10), "{most} kB, of {before} before");
    assert_eq!(http::get(&asked.socket, "/v1/workflows")?.status, 200);
    Ok(())
}
