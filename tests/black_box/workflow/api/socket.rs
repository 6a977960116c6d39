//! The Unix socket.

use std::os::unix::fs::PermissionsExt as _;

use biomero_tests::{Result, http, process, wait};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{Asked, is_problem};

#[test]
fn the_socket_is_for_its_user_alone_and_outlives_no_end() -> Result<()> {
    let mut asked = Asked::embedded()?;
    let mode = asked.socket.metadata().expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A second one is refused, and the first is asked still.
    let mut second = asked.desk.serve_as("serve")?;
    let code = second.ended_within(wait::PATIENCE)?.code();
    assert_eq!(code, Some(69), "{}", second.output());
    assert!(second.output().contains("another processor serves on"), "{}", second.output());
    assert_eq!(http::get(&asked.socket, "/health")?.status, 200);
    // What a killed one has left is replaced.
    asked.serve.signal(Signal::SIGKILL)?;
    asked.serve.ended_within(wait::PATIENCE)?;
    assert!(asked.socket.exists(), "a killed one removes nothing");
    let mut third = asked.desk.serve_as("serve")?;
    asked.is_ready()?;
    // What is told to end takes its socket with it.
    assert!(third.stop(wait::PATIENCE)?.success());
    assert!(!asked.socket.exists());
    Ok(())
}

#[test]
fn what_is_asked_for_is_carried_and_shown() -> Result<()> {
    let asked = Asked::embedded()?;
    let key = "0199e7a1-0000-7000-8000-000000000001";
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    let request = asked.request("one", &[])?;
    for status in [201, 200] {
        let answer = http::ask(&asked.socket, "POST", "/v1/workflows", &headers, &request.to_string())?;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("location"), format!("/v1/workflows/{key}"));
        assert_eq!(answer.json()["repeated"], status == 200);
    }
    let other = asked.request("other", &[])?;
    is_problem(&http::ask(&asked.socket, "POST", "/v1/workflows", &headers, &other.to_string())?, 409);
    let shown = asked.ended(key)?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}");
    assert_eq!(shown["inputs"], request["inputs"]);
    asked.desk.has_results("one")?;
    asked.desk.ran_once(key)?;
    let listed = asked.get("/v1/workflows?phase=DONE&user=2&name=copy&limit=1")?;
    assert_eq!((&listed["total"], &listed["workflows"][0]["id"]), (&json!(1), &json!(key)), "{listed:#}");
    // It is open until the history has its end too.
    wait::until("nothing left to do", wait::PATIENCE, &[asked.serve.log()], || {
        (http::get(&asked.socket, "/v1/workflows?open=true").ok()?.json()["total"] == 0).then_some(())
    })?;
    let tasks = asked.get(&format!("/v1/workflows/{key}/tasks"))?;
    let copy = tasks["tasks"].as_array().into_iter().flatten().find(|task| task["name"] == "copy");
    let copy = copy.unwrap_or_else(|| panic!("{tasks:#}")).clone();
    let job = copy["jobs"][0]["job"].clone();
    let path = format!("/v1/tasks/{}", copy["id"].as_str().unwrap_or_default());
    assert_eq!(asked.get(&path)?, copy);
    assert_eq!(asked.get(&format!("/v1/jobs/{job}"))?["task_id"], copy["id"]);
    // What is over is neither cancelled nor done once more.
    for what in ["cancel", "retry"] {
        is_problem(&http::ask(&asked.socket, "POST", &format!("/v1/workflows/{key}/{what}"), "", "")?, 409);
    }
    Ok(())
}

#[test]
fn a_batch_is_asked_for_and_cancelled_as_a_whole() -> Result<()> {
    let asked = Asked::embedded()?;
    let mut request = asked.request("all", &[])?;
    let groups: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| Ok(vec![asked.desk.images(name, &[("sleep", "30")])?]))
        .collect::<Result<_>>()?;
    request.as_object_mut().map(|request| request.remove("inputs"));
    let batch = json!({ "groups": groups, "request": request });
    let answer = http::post(&asked.socket, "/v1/batches", &batch)?;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer.json()["children"].as_array().map(Vec::len), Some(3));
    assert_eq!(asked.get(&format!("/v1/workflows?parent={id}"))?["total"], 3);
    let cancelled = http::ask(&asked.socket, "POST", &format!("/v1/workflows/{id}/cancel"), "", "")?;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let shown = asked.ended(&id)?;
    assert_eq!(shown["phase"], "CANCELLED", "{shown:#}");
    assert_eq!(shown["cancelled_by"], format!("user {}", nix::unistd::geteuid()));
    assert_eq!(shown["children"], json!({ "of": 3, "done": 0, "failed": 0, "cancelled": 3 }));
    Ok(())
}

#[test]
fn what_makes_no_sense_is_told_by_its_part_and_leaves_nothing() -> Result<()> {
    let asked = Asked::embedded()?;
    for (field, value, status) in [
        ("workflow", json!("cellpose"), 422),
        ("inputs", json!(["cells"]), 422),
        ("inputs", json!([]), 422),
        ("inputs", json!(["/a/../../etc/shadow\u{0}"]), 422),
        ("parameters", json!({ "wights": 1 }), 422),
        ("parameters", json!({ "wights": [1] }), 422),
        ("results", json!({ "directory": "../../etc" }), 422),
        ("results", json!({ "directory": "/a", "omero": {} }), 400),
        ("user", json!(1_i64 << 40), 422),
        ("police", json!(null), 422),
    ] {
        let mut request = asked.request("one", &[])?;
        request[field] = value;
        is_problem(&http::post(&asked.socket, "/v1/workflows", &request)?, status);
    }
    for (headers, body, status) in [
        ("Content-Type: application/json\r\n", "{", 400),
        ("Content-Type: application/json\r\n", "[]", 422),
        ("Content-Type: text/plain\r\n", "{}", 415),
        ("Content-Type: application/json\r\nIdempotency-Key: 1\r\n", "{}", 400),
    ] {
        is_problem(&http::ask(&asked.socket, "POST", "/v1/workflows", headers, body)?, status);
    }
    for (path, status) in [
        ("/v1/workflows/1", 400),
        ("/v1/workflows/2ef4f9c5d2e0494baad25295d7e6ca98", 400),
        ("/v1/workflows/2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98", 404),
        ("/v1/workflows/2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98/tasks", 404),
        ("/v1/workflows/..%2f..%2fetc%2fpasswd", 400),
        ("/v1/workflows/%00", 400),
        ("/v1/workflows/%ff", 400),
        ("/v1/workflows?limit=501", 422),
        ("/v1/workflows?limit=-1", 400),
        ("/v1/workflows?offset=4294967295", 422),
        ("/v1/workflows?phase=%00", 422),
        ("/v1/workflows?nothing=1", 400),
        ("/v1/events?after=-1", 422),
        ("/v1/jobs/-1", 400),
        ("/v1/jobs/4294967296", 400),
        ("/v1/jobs/4294967295", 404),
        ("/v1/../etc/passwd", 404),
        ("//v1/workflows", 404),
        ("/v1/workflows/", 404),
    ] {
        let answer = http::get(&asked.socket, path)?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        is_problem(&answer, status);
    }
    let answer = http::ask(&asked.socket, "PUT", "/v1/workflows", "", "")?;
    is_problem(&answer, 405);
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    assert_eq!(asked.desk.count("SELECT count(*) FROM biomero_worker_workflow")?, 0);
    assert_eq!(asked.desk.count("SELECT count(*) FROM workflowtracker_events")?, 0);
    Ok(())
}

#[test]
fn the_document_is_the_same_printed_and_served() -> Result<()> {
    let asked = Asked::embedded()?;
    let printed = process::succeed(&mut asked.desk.worker.processor(&["api", "document"])?, wait::PATIENCE)?;
    let served = http::get(&asked.socket, "/openapi.json")?;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.text(), printed);
    Ok(())
}
