//! The status page: who is let in, what is refused, and how it looks to people.

use std::path::PathBuf;

use biomero_tests::{Result, Trouble, binary, browser, http};
use serde_json::json;

use super::tcp::{free, set, token};
use super::{Asked, Desk};

/// What a name, a reason and a line of a log may hold.
const HOSTILE: [&str; 3] =
    ["<script>alert(1)</script>", "\"><svg onload=alert(2)>", "<img src=x onerror=alert(3)>"];

/// A worker that is asked over TCP: its address, and a token.
fn over_tcp() -> Result<(Asked, String, String)> {
    let mut desk = Desk::embedded()?;
    let (token, file) = token(&desk)?;
    let address = free();
    set(&mut desk, "LISTEN", &address);
    set(&mut desk, "TOKENS", &file);
    set(&mut desk, "RATE", "100000");
    Ok((Asked::over(desk)?, address, token))
}

/// Many workflows that have ended, the newest of them hostile.
fn seed(asked: &Asked, many: u32) -> Result<()> {
    let told = |error: rusqlite::Error| Trouble::new(format!("fill the history: {error}"));
    let mut history =
        rusqlite::Connection::open(asked.desk.worker.folder().join("events.sqlite")).map_err(told)?;
    history.busy_timeout(biomero_tests::wait::PATIENCE).map_err(told)?;
    let rows = history.transaction().map_err(told)?;
    for number in 0..many {
        let (phase, end) = if number % 7 == 0 { ("FAILED", "failed") } else { ("DONE", "done") };
        let name = if number % 7 == 0 { HOSTILE[0] } else { "copy" };
        let failure = (number % 7 == 0).then(|| {
            json!({ "step": "run", "reason": HOSTILE[1], "job": "4711", "log": [HOSTILE[2]], "remedy": "none" })
        });
        let state = json!({
            "request": {
                "workflow": name, "inputs": [format!("/data/{}", HOSTILE[2])], "user": 2, "group": 3,
                "parameters": [[HOSTILE[2], HOSTILE[1]]], "results": { "directory": "/nowhere/results" },
            },
            "machine": {
                "version": "v1", "steps": ["transfer", "run", "fetch", "deliver", "clean"],
                "stage": { "over": end }, "failure": failure,
            },
        });
        let (id, state) = (format!("{number:032x}"), state.to_string());
        let statement = "INSERT INTO biomero_worker_workflow VALUES
            (?1, NULL, 2, 3, ?2, ?3, 0, 2, 0, datetime('now', ?4) || '.000000', datetime('now') || '.000000', ?5)";
        rows.execute(statement, (&id, name, phase, format!("-{number} minutes"), &state)).map_err(told)?;
        let statement = "INSERT INTO biomero_workflow_progress_view
            (workflow_id, status, \"user\", \"group\", name, main_task_name, start_time)
            VALUES (?1, ?2, 2, 3, ?3, ?3, datetime('now', ?4) || '.000000')";
        rows.execute(statement, (&id, phase, name, format!("-{number} minutes"))).map_err(told)?;
    }
    rows.commit().map_err(told)
}

#[test]
fn a_browser_shows_a_token_once_and_no_other_page_can_use_it() -> Result<()> {
    let (asked, address, token) = over_tcp()?;
    for path in ["/", "/workflows", "/settings", "/start-up", "/jobs/1"] {
        let answer = http::to(&address)?.ask("GET", path, "", "")?;
        assert_eq!((answer.status, answer.header("location")), (303, "/login"), "{path}");
    }
    assert_eq!(http::to(&address)?.ask("GET", "/v1/workflows", "", "")?.status, 401);
    for open in ["/login", "/assets/page.css", "/assets/page.js", "/assets/icon.svg"] {
        let answer = http::to(&address)?.ask("GET", open, "", "")?;
        assert_eq!(answer.status, 200, "{open}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{open}: {policy}");
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let wrong = http::to(&address)?.ask("POST", "/login", form, &format!("token={token}0"))?;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    let right = http::to(&address)?.ask("POST", "/login", form, &format!("token={token}"))?;
    let cookie = right.header("set-cookie");
    assert_eq!(right.status, 303, "{}", right.text());
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(&token));
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap_or_default());
    for path in ["/", "/workflows", "/settings", "/start-up", "/v1/workflows"] {
        assert_eq!(http::to(&address)?.ask("GET", path, &cookie, "")?.status, 200, "{path}");
    }
    let path = "/workflows/00000000-0000-0000-0000-000000000001/cancel";
    for (headers, status) in [
        ("", 401),
        ("Origin: http://elsewhere.example\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Origin: http://worker\r\n", 404),
        ("Sec-Fetch-Site: same-origin\r\n", 404),
    ] {
        let answer = http::to(&address)?.ask("POST", path, &format!("{cookie}{headers}"), "")?;
        assert_eq!(answer.status, status, "{headers}: {}", answer.text());
    }
    // Whoever listens at a port that leads to the socket asks without a token, and from elsewhere in vain too.
    let answer = http::ask(&asked.socket, "POST", path, "Origin: http://elsewhere.example\r\n", "")?;
    assert_eq!(answer.status, 403);
    let leave = format!("{cookie}Sec-Fetch-Site: same-origin\r\n");
    assert_eq!(http::to(&address)?.ask("POST", "/logout", &leave, "")?.status, 303);
    assert_eq!(http::to(&address)?.ask("GET", "/", &cookie, "")?.status, 303, "the session has ended");
    assert!(!asked.serve.output().contains(&token), "a token is in the log");
    Ok(())
}

#[test]
fn whatever_a_name_a_parameter_or_a_log_holds_it_is_text() -> Result<()> {
    let asked = Asked::embedded()?;
    seed(&asked, 8)?;
    for path in [
        "/",
        "/workflows",
        "/workflows/00000000-0000-0000-0000-000000000000",
        "/workflows?name=%22%3E%3Csvg%20onload=alert(2)%3E",
    ] {
        let answer = http::get(&asked.socket, path)?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
        let text = answer.text();
        assert!(text.contains("&lt;") || path == "/", "{path}: nothing hostile was there: {text}");
        for hostile in ["<script>alert", "<svg onload", "<img src=x"] {
            assert!(!text.contains(hostile), "{path}: {text}");
        }
    }
    let none = http::get(&asked.socket, "/workflows/00000000-0000-0000-0000-00000000ffff")?;
    assert_eq!(none.status, 404);
    assert!(none.text().contains("What to do:") && none.header("content-type").starts_with("text/html"));
    Ok(())
}

#[test]
fn people_see_ten_thousand_workflows_and_what_happens_as_it_happens() -> Result<()> {
    let (asked, address, token) = over_tcp()?;
    seed(&asked, 10_000)?;
    let shots = binary::target().join("screenshots");
    std::fs::create_dir_all(&shots).map_err(Trouble::doing("make a folder"))?;
    let quick = asked.request("quick", &[("sleep", "3")])?.to_string();
    let slow = asked.request("slow", &[("sleep", "600")])?.to_string();
    let shots: PathBuf = shots;
    let said = browser::look(
        "look.js",
        &[
            ("ADDRESS", &address),
            ("TOKEN", &token),
            ("SHOTS", &shots.display().to_string()),
            ("QUICK", &quick),
            ("SLOW", &slow),
        ],
    );
    said.map(drop).map_err(|trouble| Trouble::new(format!("{trouble}\n{}", asked.serve.output())))
}
