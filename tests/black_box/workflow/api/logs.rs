//! Logs of jobs: ranges, following, and that no other file can be had.

use std::process::Command;

use biomero_tests::{Result, http, process, wait};

use super::{Asked, Desk, is_problem};

/// It tells a line now and then, and copies its images.
const TALKS: &str = r#"#!/bin/bash
#SBATCH --job-name=$jobname
#SBATCH --time=10
for line in 1 2 3 4 5 6 7 8; do echo "line $line of eight"; sleep 0.5; done
cp -r "$DATA_PATH/data/in/." "$DATA_PATH/data/out/"
"#;

fn talking() -> Result<Asked> {
    let desk = Desk::embedded()?;
    desk.worker.write("job.template", TALKS)?;
    Asked::over(desk)
}

/// The first job of a workflow, once it has one.
fn job(asked: &Asked, id: &str) -> Result<i64> {
    wait::until("a job", wait::PATIENCE, &[asked.serve.log()], || {
        let tasks = http::get(&asked.socket, &format!("/v1/workflows/{id}/tasks")).ok()?.json();
        tasks["tasks"].as_array()?.iter().find_map(|task| task["jobs"][0]["job"].as_i64())
    })
}

#[test]
fn a_log_is_followed_to_its_end_and_read_by_ranges() -> Result<()> {
    let asked = talking()?;
    let mut request = asked.request("one", &[])?;
    request["policy"] = serde_json::json!({ "clean_up": "never" });
    let answer = http::post(&asked.socket, "/v1/workflows", &request)?;
    let id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
    let job = job(&asked, &id)?;
    let path = format!("/v1/jobs/{job}/log");
    let followed = http::get(&asked.socket, &format!("{path}?follow=true"))?;
    let lines: Vec<String> = (1..=8).map(|line| format!("line {line} of eight")).collect();
    let text = followed.text();
    let said: Vec<&str> = text.lines().filter(|line| line.ends_with("of eight")).collect();
    assert_eq!(said, lines, "{text}");
    assert_eq!(asked.ended(&id)?["phase"], "DONE");
    let whole = http::get(&asked.socket, &path)?;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, "bytes"));
    assert_eq!(whole.body, followed.body);
    let size = whole.body.len();
    for (range, part) in [
        ("bytes=0-9".to_owned(), 0..10),
        ("bytes=5-".to_owned(), 5..size),
        ("bytes=-7".to_owned(), size - 7..size),
        (format!("bytes=3-{}", u64::MAX), 3..size),
    ] {
        let answer = http::ask(&asked.socket, "GET", &path, &format!("Range: {range}\r\n"), "")?;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, whole.body[part.clone()], "{range}");
        let told = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        assert_eq!(answer.header("content-range"), told, "{range}");
    }
    let beside = http::ask(&asked.socket, "GET", &path, &format!("Range: bytes={size}-\r\n"), "")?;
    is_problem(&beside, 416);
    assert_eq!(beside.header("content-range"), format!("bytes */{size}"));
    let several = http::ask(&asked.socket, "GET", &path, "Range: bytes=0-1,3-4\r\n", "")?;
    assert_eq!((several.status, several.body), (200, whole.body.clone()));
    let from = http::ask(&asked.socket, "GET", &format!("{path}?follow=true"), "Range: bytes=5-\r\n", "")?;
    assert_eq!(from.body, whole.body[5..]);
    Ok(())
}

#[test]
fn no_path_and_no_job_of_others_leads_to_a_file() -> Result<()> {
    let asked = Asked::embedded()?;
    // A job that no workflow has submitted: the queue is the same.
    let id = asked.submit("one", &[])?;
    asked.ended(&id)?;
    for (path, status) in [
        ("/v1/jobs/../../etc/passwd/log", 404),
        ("/v1/jobs/..%2F..%2F..%2Fetc%2Fpasswd/log", 400),
        ("/v1/jobs/%2e%2e/log", 400),
        ("/v1/jobs/1%00/log", 400),
        ("/v1/jobs/1_/log", 400),
        ("/v1/jobs/1;cat /log", 400),
        ("/v1/jobs/$(id)/log", 400),
        ("/v1/jobs/999999/log", 404),
        ("/v1/jobs/0/log", 404),
    ] {
        let path = path.replace(' ', "%20");
        let answer = http::get(&asked.socket, &path)?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        is_problem(&answer, status);
        assert!(!answer.text().contains("root:"), "{path}");
    }
    let curl = Command::new("curl").arg("--version").output();
    if curl.is_ok() {
        // As a client would that leaves the dots where they are.
        let mut curl = Command::new("curl");
        curl.args(["-s", "--path-as-is", "--unix-socket"]).arg(&asked.socket);
        curl.arg("http://worker/v1/jobs/1/log/../../../../../../etc/passwd");
        assert!(!process::succeed(&mut curl, wait::PATIENCE)?.contains("root:"));
    }
    Ok(())
}
