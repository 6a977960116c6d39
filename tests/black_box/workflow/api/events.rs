//! Server-sent events: for many at once, and across ends of the worker.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use biomero_tests::http::{self, Connection};
use biomero_tests::{Result, wait};
use nix::sys::signal::Signal;

use super::{Asked, is_problem};

/// How many listen at once.
const MANY: usize = 1_000;

/// A stream of events, its head taken.
fn listen(asked: &Asked, query: &str, headers: &str) -> Result<Connection<UnixStream>> {
    let mut connection = http::at(&asked.socket)?;
    connection.send(format!("GET /v1/events{query} HTTP/1.1\r\nHost: worker\r\n{headers}\r\n"))?;
    let head = connection.head()?;
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
    Ok(connection)
}

/// The places and topics of events in a text.
fn events(text: &str) -> Vec<(i64, String)> {
    let blocks = text.split("\n\n").filter_map(|block| {
        let of = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        Some((of("id: ")?.parse().ok()?, of("event: ")?))
    });
    blocks.collect()
}

/// Reads until a text holds something.
fn until(connection: &mut Connection<UnixStream>, what: &str) -> Result<String> {
    let mut text = String::new();
    while !text.contains(what) {
        let piece = connection.piece()?.unwrap_or_else(|| panic!("the stream ended behind {text}"));
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    Ok(text)
}

/// All that ever happened.
fn all(asked: &Asked) -> Result<Vec<(i64, String)>> {
    Ok(events(&http::get(&asked.socket, "/v1/events?after=0&follow=false")?.text()))
}

#[test]
fn a_thousand_listen_and_each_hears_everything_once() -> Result<()> {
    let asked = Asked::embedded()?;
    let mut listeners =
        (0..MANY).map(|_| listen(&asked, "", "")).collect::<Result<Vec<Connection<UnixStream>>>>()?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", asked.serve.id())).expect("a process");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident: u64 = resident
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("its memory in kilobytes");
    assert!(resident < 128 << 10, "{resident} kB for {MANY} listeners");
    let id = asked.submit("one", &[])?;
    asked.ended(&id)?;
    let wanted = all(&asked)?;
    let (last, topic) = wanted.last().cloned().expect("events");
    assert_eq!(topic, "workflow.over", "{wanted:?}");
    for listener in &mut listeners {
        assert_eq!(events(&until(listener, &format!("id: {last}\n"))?), wanted);
    }
    // Others are served beside them, and what is too much is refused.
    let mut more = Vec::new();
    let refused = loop {
        let mut connection = http::at(&asked.socket)?;
        connection.send("GET /v1/events HTTP/1.1\r\nHost: worker\r\n\r\n")?;
        let mut head = connection.head()?;
        if head.status != 200 {
            connection.rest(&mut head.body)?;
            break head;
        }
        more.push(connection);
        assert!(more.len() < 1_000, "there is no limit");
    };
    is_problem(&refused, 429);
    assert_eq!(http::get(&asked.socket, "/v1/workflows")?.status, 200);
    Ok(())
}

#[test]
fn who_was_cut_off_goes_on_where_it_was() -> Result<()> {
    let mut asked = Asked::embedded()?;
    let mut heard = Vec::new();
    let mut ids = Vec::new();
    for round in 0..4 {
        // What happens while nobody listens.
        ids.push(asked.submit(&format!("unheard-{round}"), &[])?);
        let last = heard.last().map_or(0, |(id, _)| *id);
        let mut listener = listen(&asked, "", &format!("Last-Event-ID: {last}\r\n"))?;
        ids.push(asked.submit(&format!("heard-{round}"), &[])?);
        heard.extend(events(&until(&mut listener, "event: workflow.step-done")?));
        asked.serve.signal(Signal::SIGKILL)?;
        asked.serve.ended_within(wait::PATIENCE)?;
        while let Ok(Some(piece)) = listener.piece() {
            heard.extend(events(&String::from_utf8_lossy(&piece)));
        }
        asked.serve = asked.desk.serve()?;
        asked.is_ready()?;
    }
    for id in &ids {
        assert_eq!(asked.ended(id)?["phase"], "DONE", "{}", asked.serve.output());
    }
    let last = heard.last().map_or(0, |(id, _)| *id);
    let rest = http::get(&asked.socket, &format!("/v1/events?after={last}&follow=false"))?;
    heard.extend(events(&rest.text()));
    assert_eq!(heard, all(&asked)?);
    let places: BTreeSet<i64> = heard.iter().map(|(id, _)| *id).collect();
    assert_eq!(places.len(), heard.len(), "one was told twice");
    Ok(())
}

#[test]
fn of_one_workflow_nothing_of_others_is_told_and_an_end_ends_it() -> Result<()> {
    let mut asked = Asked::embedded()?;
    let other = asked.submit("other", &[])?;
    let id = asked.submit("one", &[])?;
    for id in [&other, &id] {
        asked.ended(id)?;
    }
    let last = all(&asked)?.last().map_or(0, |(id, _)| *id);
    // The one that was asked for last may have ended first.
    let of_it = http::get(&asked.socket, &format!("/v1/events?workflow={id}&after=0&follow=false"))?.text();
    let last_of_it = events(&of_it).last().map_or(0, |(id, _)| *id);
    assert!(last_of_it > 0 && last_of_it <= last, "{of_it}");
    let mut listener = listen(&asked, &format!("?workflow={id}&after=0"), "")?;
    let text = until(&mut listener, &format!("id: {last_of_it}\n"))?;
    assert!(text.contains(&id) && !text.contains(&other), "{text}");
    assert!(asked.serve.stop(Duration::from_secs(15))?.success());
    assert_eq!(listener.piece()?, None, "the stream ends in good order");
    Ok(())
}

#[test]
fn a_place_that_is_none_is_refused() -> Result<()> {
    let asked = Asked::embedded()?;
    for place in ["-1", "a", "1 ", "99999999999999999999"] {
        let headers = format!("Last-Event-ID: {place}\r\n");
        let mut connection = http::at(&asked.socket)?;
        connection.send(format!("GET /v1/events?follow=false HTTP/1.1\r\nHost: worker\r\n{headers}\r\n"))?;
        let mut answer = connection.head()?;
        connection.rest(&mut answer.body)?;
        // White space around a value is none of it.
        match place {
            "1 " => assert_eq!(answer.status, 200),
            _ => is_problem(&answer, 400),
        }
    }
    Ok(())
}
