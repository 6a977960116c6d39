//! Traces: what a collector of OpenTelemetry is sent, read by its own definitions.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use biomero_tests::{Result, Trouble, python, wait};
use serde_json::Value;

use super::{Asked, Desk};

/// What a collector was sent: the head, and the body.
type Sent = (String, Vec<u8>);

/// A collector that is busy at first, and takes what is sent again.
fn collector() -> Result<(String, Receiver<Sent>)> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Trouble::doing("listen"))?;
    let address = listener.local_addr().map_err(Trouble::doing("listen"))?;
    let (sender, taken) = channel();
    std::thread::spawn(move || {
        let mut answers = ["503 Service Unavailable"].into_iter().chain(std::iter::repeat("200 OK"));
        for stream in listener.incoming().flatten() {
            let Some(answer) = answers.next() else { return };
            if sender.send(exchange(stream, answer).unwrap_or_default()).is_err() {
                return;
            }
        }
    });
    Ok((format!("http://{address}"), taken))
}

fn exchange(stream: TcpStream, answer: &str) -> std::io::Result<Sent> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok((head, body))
}

/// The spans of a body, as OpenTelemetry reads it.
fn spans(body: &[u8]) -> Result<Vec<Value>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traces");
    let interpreter = python::environment("traces-1", &fixtures.join("requirements.txt"))?;
    let mut read = Command::new(interpreter);
    read.arg(fixtures.join("read.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut read = read.spawn().map_err(Trouble::doing("start python"))?;
    if let Some(mut stdin) = read.stdin.take() {
        stdin.write_all(body).map_err(Trouble::doing("write a body"))?;
    }
    let output = read.wait_with_output().map_err(Trouble::doing("wait for python"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(body));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[test]
fn a_collector_is_sent_a_trace_of_each_workflow_again_where_it_was_busy() -> Result<()> {
    let (address, taken) = collector()?;
    let mut desk = Desk::embedded()?;
    desk.worker.variable("BIOMERO_INIT_API__RATE", "100000");
    desk.worker.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &address);
    desk.worker.variable("BIOMERO_INIT_TRACES__BEARER_TOKEN", "Kanarienvogel");
    let asked = Asked::over(desk)?;
    let failed = asked.submit("failed", &[("fail", "no such thing")])?;
    assert_eq!(asked.ended(&failed)?["phase"], "FAILED");
    let next = || {
        let waited: Duration = wait::PATIENCE;
        taken
            .recv_timeout(waited)
            .map_err(|_| Trouble::new(format!("no trace in {waited:?}: {}", asked.serve.output())))
    };
    let ((_, refused), (head, body)) = (next()?, next()?);
    assert_eq!(refused, body, "what was not taken is sent again as it was");
    assert!(head.starts_with("POST /v1/traces "), "{head}");
    assert!(
        head.contains("Bearer Kanarienvogel") && head.to_lowercase().contains("application/json"),
        "{head}"
    );
    let spans = spans(&body)?;
    let names: Vec<&str> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
    assert_eq!(names.first(), Some(&"workflow copy"), "{spans:#?}");
    assert!(names.contains(&"queue") && names.contains(&"transfer") && names.contains(&"run"), "{names:?}");
    let run = spans.iter().find(|span| span["name"] == "run").unwrap_or(&Value::Null);
    assert_eq!(run["code"], 2, "{run:#}");
    assert!(run["message"].as_str().is_some_and(|reason| !reason.is_empty()), "{run:#}");
    assert!(spans.iter().all(|span| span["took"].as_i64().is_some_and(|took| took >= 0)), "{spans:#?}");
    assert!(!asked.serve.output().contains("Kanarienvogel"), "the token is in the log");
    let settings = asked.get("/v1/configuration")?.to_string();
    assert!(settings.contains("traces.bearer_token") && !settings.contains("Kanarienvogel"), "{settings}");
    Ok(())
}
