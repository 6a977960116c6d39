//! The status page of a worker that has carried ten thousand workflows, in a real browser: how soon something is seen, how soon
//! what has happened is seen, and what it costs the worker that fifty people look.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use biomero_events::schema::WORKFLOWS;
use biomero_tests::browser::{Browser, LOOKS};
use biomero_tests::cluster::worker::{VERSION, Worker};
use biomero_tests::cluster::{Image, image};
use biomero_tests::icegrid::free_port;
use biomero_tests::postgres::Postgres;
use biomero_tests::process::{self, Running};
use biomero_tests::scratch::Scratch;
use biomero_tests::{http, wait};
use serde_json::json;

use super::serve::{COPY, TEMPLATE, peak};
use super::{Better, Line, line};
use crate::failure::Failure;

const LISTED: usize = 10_000;
const LOADS: usize = 10;
const EVENTS: usize = 10;
const READERS: usize = 50;
/// A page is made anew at most once a second: what happens later than that is seen as soon as it can be.
const QUIET: Duration = Duration::from_millis(1_500);

/// All of it, by this `processor`.
pub(super) fn measure(processor: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let server = Postgres::start(&scratch.folder("postgres")?)?;
    let stage = Stage::new(processor, &server.create_database("biomero")?)?;
    let log = stage.worker.folder().join("serve.log");
    let serve = Running::start("processor serve", stage.worker.processor(&["serve"])?, &log)?;
    wait::until("readiness", wait::PATIENCE, &[&log], || {
        http::get(&stage.socket(), "/ready").ok().filter(|answer| answer.status == 200)
    })?;
    let first = stage.submit("a", "first")?;
    stage.has(&first, "DONE", &log)?;
    // As many as it has carried before: the same row under other ids, at other moments.
    server.psql(
        "biomero",
        &format!(
            "INSERT INTO {WORKFLOWS} SELECT gen_random_uuid(), parent_id, \"user\" + n % 20, \"group\", name, phase, is_open,
                    revision, term, created - n * interval '1 minute', changed - n * interval '1 minute', state
             FROM {WORKFLOWS}, generate_series(1, {}) n WHERE workflow_id = '{first}'",
            LISTED - 1
        ),
    )?;
    // One is carried at a time: those that are asked for behind it wait, and nothing else happens.
    let waits = stage.submit("waits", "waits")?;
    stage.has(&waits, "RUNNING", &log)?;

    let mut browser = Browser::at(&stage.address)?;
    browser.look(LOOKS[0])?;
    browser.open("/login")?;
    browser.types(&stage.token)?;
    browser.press("Enter")?;
    browser.shows("h1", "Overview")?;
    let overview = painted(&mut browser, "/")?;
    let list = painted(&mut browser, "/workflows")?;
    let news = news(&stage, &mut browser)?;
    for _ in 0..READERS {
        browser.another("/workflows")?;
    }
    // All of them look at once at what has happened.
    news_for(&stage, &mut browser, READERS)?;
    std::thread::sleep(QUIET);
    let memory = peak(serve.id().as_raw())?;

    let budget = |what, ours, limit| line(what, ours, limit, "the budget", 1.0, Better::Smaller);
    let middle = |times: &[f64]| quantile(times, 0.5);
    let high = |times: &[f64]| quantile(times, 0.9);
    Ok(vec![
        budget("list of 10,000, first paint, median", middle(&list), 200.0),
        budget("  the same, nine of ten loads", high(&list), 200.0),
        budget("overview, first paint, median", middle(&overview), 200.0),
        budget("  the same, nine of ten loads", high(&overview), 200.0),
        budget("asked for until seen, median", middle(&news), 1_000.0),
        budget("  the same, nine of ten times", high(&news), 1_000.0),
        Line { unit: "MB", ..budget("its peak of memory, 50 pages open", memory, 64.0) },
    ])
}

/// A worker that carries one workflow at a time, asked over TCP.
struct Stage {
    worker: Worker,
    address: String,
    token: String,
}

impl Stage {
    fn new(processor: &Path, database: &str) -> Result<Self, Failure> {
        let mut worker = Worker::embedded()?;
        worker.use_program(processor);
        let place = worker.remote().join(format!("images/copy/copy_{VERSION}.sif"));
        let made = std::fs::create_dir_all(place.parent().unwrap_or(&place));
        made.and_then(|()| std::fs::copy(image(Image::Copy).map_err(std::io::Error::other)?, &place))
            .map_err(|source| Failure::File { action: "write", path: place.clone(), source })?;
        worker.write("descriptors/copy.json", COPY)?;
        worker.configure(
            "",
            &format!("copy = copy\ncopy_repo = https://github.com/biomerotests/copy/tree/{VERSION}\ncopy_job = jobs/copy.sh"),
        )?;
        let template = worker.write("job.template", TEMPLATE)?;
        worker.set("TEMPLATE", &template.display().to_string());
        worker.write("in/a/one.tif", "pixels")?;
        worker.write("in/waits/one.tif", "pixels")?;
        worker.write("in/waits/sleep", "36000")?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let tokens = worker.folder().join("tokens").display().to_string();
        let mut make = worker.processor(&["api", "token", "bench", "--add", &tokens])?;
        let token = process::succeed(&mut make, wait::PATIENCE)?.trim().to_owned();
        let socket = worker.folder().join("serve.sock").display().to_string();
        worker.variable("SQLALCHEMY_URL", database);
        for (name, value) in [
            ("WORKFLOW__AT_ONCE", "1"),
            // All fifty come from one address here.
            ("API__RATE", "100000"),
            ("API__LISTEN", &address),
            ("API__TOKENS", &tokens),
            ("API__SOCKET", &socket),
        ] {
            worker.variable(&format!("BIOMERO_INIT_{name}"), value);
        }
        Ok(Self { worker, address, token })
    }

    fn socket(&self) -> PathBuf {
        self.worker.folder().join("serve.sock")
    }

    /// Asks for a workflow; its id.
    fn submit(&self, input: &str, results: &str) -> Result<String, Failure> {
        let folder = self.worker.folder();
        let request = json!({
            "workflow": "copy",
            "inputs": [folder.join("in").join(input)],
            "user": 2,
            "group": 3,
            "results": { "directory": folder.join("home").join(results) },
        });
        let answer = http::post(&self.socket(), "/v1/workflows", &request)?;
        match answer.json()["id"].as_str() {
            Some(id) if answer.status == 201 => Ok(id.to_owned()),
            _ => Err(Failure::Unexpected(format!("no workflow is taken: {}", answer.text()))),
        }
    }

    fn has(&self, id: &str, phase: &str, log: &Path) -> Result<(), Failure> {
        Ok(wait::until(&format!("workflow {id} {phase}"), wait::PATIENCE * 2, &[log], || {
            let shown = http::get(&self.socket(), &format!("/v1/workflows/{id}")).ok()?.json();
            (shown["phase"] == phase).then_some(())
        })?)
    }
}

/// When something was seen of a page, each time that it was loaded: milliseconds, the shortest first.
fn painted(browser: &mut Browser, path: &str) -> Result<Vec<f64>, Failure> {
    let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
    let mut times = Vec::with_capacity(LOADS);
    for _ in 0..LOADS {
        browser.open(path)?;
        browser.becomes(&format!("{paint} > 0"))?;
        times.push(browser.evaluate(paint)?.as_f64().unwrap_or(f64::INFINITY));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// From when a workflow is asked for until it stands in the list of who looks at it.
fn news(stage: &Stage, browser: &mut Browser) -> Result<Vec<f64>, Failure> {
    browser.open("/workflows")?;
    browser.shows("#live", "live")?;
    let mut times: Vec<f64> =
        (0..EVENTS).map(|event| news_for(stage, browser, event)).collect::<Result<_, _>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn news_for(stage: &Stage, browser: &mut Browser, event: usize) -> Result<f64, Failure> {
    std::thread::sleep(QUIET);
    let begun = Instant::now();
    let id = stage.submit("a", &format!("news-{event}"))?;
    browser.shows(&format!("#list a[href='/workflows/{id}']"), "")?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Of times that are sorted.
fn quantile(times: &[f64], share: f64) -> f64 {
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * share).ceil() as usize).copied().unwrap_or(f64::INFINITY)
}
