//! Requests of which two readers could disagree where they end: none hides a second one.

use biomero_tests::{Result, http};

use super::{Asked, is_problem};

/// What is hidden behind each: nobody else asks for it, so the log tells whether it was heard.
const HIDDEN: &str = "GET /v1/configuration HTTP/1.1\r\nHost: worker\r\n\r\n";

const POST: &str = "POST /v1/workflows HTTP/1.1\r\nHost: worker\r\nContent-Type: application/json\r\n";

#[test]
fn a_request_whose_end_is_in_doubt_hides_no_second_one() -> Result<()> {
    let asked = Asked::embedded()?;
    let hidden = HIDDEN.len();
    for (case, head, body) in [
        ("two lengths that differ", "Content-Length: 2\r\nContent-Length: 90\r\n", "{}"),
        ("the same, the long one first", "Content-Length: 90\r\nContent-Length: 2\r\n", "{}"),
        ("two lengths in one header", "Content-Length: 2, 90\r\n", "{}"),
        ("a length with a sign", "Content-Length: +2\r\n", "{}"),
        ("a negative length", "Content-Length: -2\r\n", "{}"),
        ("a length in hexadecimals", "Content-Length: 0x2\r\n", "{}"),
        ("a length with something behind it", "Content-Length: 2 2\r\n", "{}"),
        ("a length beyond all numbers", "Content-Length: 99999999999999999999999\r\n", "{}"),
        ("a header that goes on in the next line", "X-Folded: a\r\n Content-Length: 2\r\n", ""),
        ("a length that goes on in the next line", "Content-Length:\r\n 2\r\n", "{}"),
        ("a space before the colon", "Content-Length : 2\r\n", "{}"),
        ("a space within a name", "Content Length: 2\r\n", "{}"),
        ("a carriage return within a value", "X-A: a\rContent-Length: 2\r\n", ""),
        ("a null byte within a value", "X-A: a\0b\r\nContent-Length: 2\r\n", "{}"),
        ("chunks that are not the last coding", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("a coding that nobody knows", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("a coding with a mark before it", "Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"),
        ("a chunk whose length is none", "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        ("a chunk whose length is negative", "Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"),
        ("a chunk with a prefix", "Transfer-Encoding: chunked\r\n", "0x2\r\n{}\r\n0\r\n\r\n"),
        (
            "a chunk beyond all numbers",
            "Transfer-Encoding: chunked\r\n",
            "fffffffffffffffff0\r\n{}\r\n0\r\n\r\n",
        ),
        ("a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"),
        ("a chunk with a bare line feed", "Transfer-Encoding: chunked\r\n", "2\n{}\n0\n\n"),
    ] {
        let mut connection = http::at(&asked.socket)?;
        connection.send(format!("{POST}{head}\r\n{body}{HIDDEN}"))?;
        let mut answer = connection.head()?;
        // It may be closed in the midst of what is sent.
        let _ = connection.rest(&mut answer.body);
        assert!([400, 413, 431, 501].contains(&answer.status), "{case}: {}", answer.status);
        assert!(connection.head().is_err(), "{case}: a second request was answered");
    }
    // What has an end for us and another one for somebody in between is answered once, and nothing behind it is heard.
    for (case, head, body) in [
        (
            "a length behind chunks",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", 5 + hidden),
            "0\r\n\r\n",
        ),
        (
            "a length before chunks",
            format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", 5 + hidden),
            "0\r\n\r\n",
        ),
        ("chunks", "Transfer-Encoding: chunked\r\n".to_owned(), "2\r\n{}\r\n0\r\n\r\n"),
        (
            "chunks with more headers",
            "Transfer-Encoding: chunked\r\n".to_owned(),
            "0\r\nContent-Length: 9\r\n\r\n",
        ),
        (
            "two codings",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            "0\r\n\r\n",
        ),
    ] {
        let mut connection = http::at(&asked.socket)?;
        connection.send(format!("{POST}{head}\r\n{body}{HIDDEN}"))?;
        let mut answer = connection.head()?;
        let _ = connection.rest(&mut answer.body);
        assert!((400..500).contains(&answer.status), "{case}: {}", answer.status);
        assert_eq!(answer.header("connection"), "close", "{case}");
        assert!(connection.head().is_err(), "{case}: a second request was answered");
    }
    let log = asked.serve.output();
    assert!(!log.contains("/v1/configuration"), "{log}");
    assert_eq!(asked.desk.count("SELECT count(*) FROM biomero_worker_workflow")?, 0);

    // Two that are whole are two.
    let mut connection = http::at(&asked.socket)?;
    connection.send(format!("{POST}Content-Length: 2\r\n\r\n{{}}{HIDDEN}"))?;
    let mut answer = connection.head()?;
    connection.rest(&mut answer.body)?;
    is_problem(&answer, 422);
    assert_eq!(connection.head()?.status, 200);
    Ok(())
}
