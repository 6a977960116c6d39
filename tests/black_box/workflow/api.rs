//! `processor serve` as others ask it: who is let in, what is refused, what is answered.

mod crowd;
mod events;
mod limits;
mod line;
mod logs;
mod metrics;
mod modes;
mod page;
mod schema;
mod secrets;
mod smuggled;
mod socket;
mod tcp;
mod traces;

use std::path::PathBuf;

use biomero_tests::http::{self, Answer};
use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, wait};
use serde_json::{Value, json};

use super::stage::Desk;

/// A worker that is asked.
struct Asked {
    desk: Desk,
    serve: Running,
    socket: PathBuf,
}

impl Asked {
    /// On a machine without Slurm.
    fn embedded() -> Result<Self> {
        let mut desk = Desk::embedded()?;
        // Tests ask more often than people do.
        desk.worker.variable("BIOMERO_INIT_API__RATE", "100000");
        Self::over(desk)
    }

    fn over(desk: Desk) -> Result<Self> {
        let serve = desk.serve()?;
        let asked = Self { socket: desk.socket("serve"), desk, serve };
        asked.is_ready()?;
        Ok(asked)
    }

    /// Waits until it is ready.
    fn is_ready(&self) -> Result<()> {
        wait::until("readiness", wait::PATIENCE, &[self.serve.log()], || {
            http::get(&self.socket, "/ready").ok().filter(|answer| answer.status == 200)
        })
        .map(drop)
    }

    /// Gets what has to be there.
    fn get(&self, path: &str) -> Result<Value> {
        let answer = http::get(&self.socket, path)?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        Ok(answer.json())
    }

    /// Asks for a workflow; its id.
    fn submit(&self, name: &str, notes: &[(&str, &str)]) -> Result<String> {
        let answer = http::post(&self.socket, "/v1/workflows", &self.request(name, notes)?)?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        Ok(answer.json()["id"].as_str().unwrap_or_default().to_owned())
    }

    fn request(&self, name: &str, notes: &[(&str, &str)]) -> Result<Value> {
        Ok(json!({
            "workflow": "copy",
            "inputs": [self.desk.images(name, notes)?],
            "user": 2,
            "group": 3,
            "results": { "directory": self.desk.results(name) },
        }))
    }

    /// Waits until it has ended; how it stands then.
    fn ended(&self, id: &str) -> Result<Value> {
        self.waits(id, |workflow| workflow["over"] == true)
    }

    fn waits(&self, id: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let waited = wait::until(&format!("workflow {id}"), wait::PATIENCE * 2, &[self.serve.log()], || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            last = http::get(&self.socket, &format!("/v1/workflows/{id}")).ok()?.json();
            is(&last).then(|| last.clone())
        });
        waited.map_err(|trouble| Trouble::new(format!("{trouble}\n{last:#}")))
    }
}

/// A problem is told as RFC 9457 has it, with what to do.
fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem:#}");
    for member in ["type", "title", "detail", "remedy"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem:#}");
    }
    assert!(!answer.header("x-request-id").is_empty(), "{:?}", answer.headers);
}
