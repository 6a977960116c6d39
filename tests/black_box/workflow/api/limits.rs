//! What a peer could draw out or pile up: each has an end, and others are served meanwhile.

use std::time::{Duration, Instant};

use biomero_tests::{Result, http};

use super::{Asked, is_problem};

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() -> Result<()> {
    let asked = Asked::embedded()?;
    let head = "POST /v1/workflows HTTP/1.1\r\nHost: worker\r\nContent-Type: application/json\r\n";
    // Told at once, nothing of it was sent.
    let mut connection = http::at(&asked.socket)?;
    connection.send(format!("{head}Content-Length: 99999999999\r\n\r\n"))?;
    let mut answer = connection.head()?;
    connection.rest(&mut answer.body)?;
    is_problem(&answer, 413);
    assert_eq!(answer.header("connection"), "close");
    // Its length is not told before.
    let mut connection = http::at(&asked.socket)?;
    connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"))?;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    // It may be closed while this is sent.
    let _ = (0..64).try_for_each(|_| connection.send(&chunk));
    let mut answer = connection.head()?;
    connection.rest(&mut answer.body)?;
    is_problem(&answer, 413);
    Ok(())
}

#[test]
fn a_head_that_is_too_large_is_refused() -> Result<()> {
    let asked = Asked::embedded()?;
    let long = format!("GET /health HTTP/1.1\r\nHost: worker\r\nA: {}\r\n\r\n", "a".repeat(20_000));
    let many = format!("GET /health HTTP/1.1\r\nHost: worker\r\n{}\r\n", "A: a\r\n".repeat(100));
    let address = format!("GET /{} HTTP/1.1\r\nHost: worker\r\n\r\n", "a".repeat(20_000));
    for request in [long, many, address] {
        let mut connection = http::at(&asked.socket)?;
        connection.send(request)?;
        let status = connection.head()?.status;
        assert!([414, 431].contains(&status), "{status}");
    }
    for nonsense in
        ["\0\0\0\0\r\n\r\n", "GET /health HTTP/9.9\r\n\r\n", "GET /health\r\n\r\n", "\x16\x03\x01\x02\0"]
    {
        let mut connection = http::at(&asked.socket)?;
        connection.send(nonsense)?;
        let answer = connection.head();
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 400), "{nonsense:?}");
    }
    assert_eq!(http::get(&asked.socket, "/health")?.status, 200);
    Ok(())
}

#[test]
fn who_dawdles_is_cut_off_and_others_are_served_meanwhile() -> Result<()> {
    let asked = Asked::embedded()?;
    let begun = Instant::now();
    let mut heads = Vec::new();
    for _ in 0..200 {
        let mut connection = http::at(&asked.socket)?;
        connection.send("GET /health HTTP/1.1\r\nHost: wor")?;
        heads.push(connection);
    }
    let mut body = http::at(&asked.socket)?;
    body.send("POST /v1/workflows HTTP/1.1\r\nHost: worker\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")?;
    let mut silent = http::at(&asked.socket)?;
    assert_eq!(http::get(&asked.socket, "/v1/workflows")?.status, 200);
    let mut answer = body.head()?;
    body.rest(&mut answer.body)?;
    is_problem(&answer, 408);
    for mut connection in heads {
        let answer = connection.head();
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 408));
    }
    assert!(silent.head().is_err(), "who asks nothing is answered nothing");
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(10) && took < Duration::from_secs(50), "{took:?}");
    Ok(())
}

#[test]
fn who_asks_too_often_is_told_when_to_come_again() -> Result<()> {
    let mut desk = super::Desk::embedded()?;
    desk.worker.variable("BIOMERO_INIT_API__RATE", "5");
    let asked = Asked::over(desk)?;
    let mut refused = None;
    for _ in 0..200 {
        let answer = http::get(&asked.socket, "/health")?;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    is_problem(&refused, 429);
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(http::get(&asked.socket, "/health")?.status, 200);
    Ok(())
}
