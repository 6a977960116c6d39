//! Every page as it looks on a desk and on a phone, in a light and in a dark room. Pictures of all of them are kept in
//! `target/page`, for people to look at.

use biomero_tests::browser::LOOKS;
use biomero_tests::icegrid::Registry;
use biomero_tests::namespace::{As, Namespace};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::Deployment;
use biomero_tests::{Result, http, postgres, queue, wait};
use serde_json::json;

use super::{Desk, HOSTILE, Visit, history};

const DATABASE: &str = "page_looks";

#[test]
fn every_page_can_be_read_and_used_whatever_the_window_the_light_or_the_reader() -> Result<()> {
    let _turn = queue::turn()?;
    let scratch = Scratch::new()?;
    // A worker's own `init`, whose start and services are shown.
    let registry = Registry::start(&scratch.folder("master")?)?;
    let deployment = Deployment::internal(registry.port());
    let node = deployment.name.clone();
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    let mut init = namespace.start(&[])?;

    let server = postgres::shared()?;
    let mut desk = Desk::embedded_on(&server.create_database(DATABASE)?)?;
    let run = namespace.path("/run/biomero");
    for (name, path) in [("DIRECTORY", run.clone()), ("SOCKET", run.join("init.sock"))] {
        desk.worker.variable(&format!("BIOMERO_INIT_STATE__{name}"), &path.display().to_string());
    }
    let mut visit = Visit::to(desk)?;
    let pages = pages(&visit)?;
    history::of_weeks(&server, DATABASE)?;
    registry.lists(&node, &[namespace.log()], || init.has_ended())?;

    let mut troubles = looks(&mut visit, "login", "/login")?;
    visit.enter()?;
    for (name, path) in &pages {
        troubles.extend(looks(&mut visit, name, path)?);
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
    visit.browser.open("/start-up")?;
    visit.browser.shows("#services", "node")?;
    visit.browser.shows("main", "ice-config")?;
    Ok(())
}

/// What there is to look at, by name: workflows of every kind, and what is made of them.
fn pages(visit: &Visit) -> Result<Vec<(&'static str, String)>> {
    let asked = &visit.asked;
    let image = visit.submit_image("nucleus")?;
    let mut hostile = asked.request(HOSTILE, &[("fail", &format!("{HOSTILE} {}\n", "word ".repeat(60)))])?;
    hostile["parameters"] = json!({ "label": format!("{HOSTILE} {}", "long".repeat(80)) });
    let failed = visit.submit(&hostile)?;
    let mut request = asked.request("batch", &[])?;
    let images = [asked.desk.images("first", &[])?, asked.desk.images("second", &[("fail", "no\n")])?];
    request.as_object_mut().map(|request| request.remove("inputs"));
    let batch = json!({ "groups": images.map(|images| [images]), "request": request });
    let answer = http::post(&asked.socket, "/v1/batches", &batch)?;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let batch = answer.json()["id"].as_str().unwrap_or_default().to_owned();
    for id in [&image, &failed, &batch] {
        asked.ended(id)?;
    }
    let cancelled = asked.submit("cancelled", &[("waits", "")])?;
    let running = asked.submit("running", &[("waits", "")])?;
    asked.waits(&cancelled, |workflow| workflow["phase"] == "RUNNING")?;
    http::ask(&asked.socket, "POST", &format!("/v1/workflows/{cancelled}/cancel"), "", "")?;
    asked.ended(&cancelled)?;
    asked.waits(&running, |workflow| workflow["phase"] == "RUNNING")?;
    let job = wait::until("its job", wait::PATIENCE, &[asked.serve.log()], || {
        let tasks = http::get(&asked.socket, &format!("/v1/workflows/{running}/tasks")).ok()?.json();
        tasks["tasks"].as_array()?.iter().find_map(|task| task["jobs"][0]["job"].as_i64())
    })?;
    let workflow = |id: &str| format!("/workflows/{id}");
    Ok(vec![
        ("overview", "/".to_owned()),
        ("overview-month", "/?back=month".to_owned()),
        ("workflows", "/workflows".to_owned()),
        ("done", workflow(&image)),
        ("failed", workflow(&failed)),
        ("cancelled", workflow(&cancelled)),
        ("running", workflow(&running)),
        ("batch", workflow(&batch)),
        ("job", format!("/jobs/{job}")),
        ("start-up", "/start-up".to_owned()),
        ("settings", "/settings?search=slurm".to_owned()),
        ("absent", workflow("0199e7a1-0000-7000-8000-000000000001")),
    ])
}

/// Whoever would be in trouble with a page, and by what.
fn looks(visit: &mut Visit, name: &str, path: &str) -> Result<Vec<String>> {
    let browser = &mut visit.browser;
    let mut troubles = Vec::new();
    for look in LOOKS {
        browser.look(look)?;
        let status = browser.open(path)?;
        assert!([200, 404].contains(&status), "{path}: {status}");
        // Pictures are there, or known not to be.
        browser.becomes("[...document.images].every((image) => image.complete)")?;
        browser.picture(&format!("{name}-{}", look.name))?;
        // In the dark nothing is otherwise but the colours.
        let (passed, barriers) = browser.barriers(look.dark.then_some("color-contrast"))?;
        assert!(passed > if look.dark { 0 } else { 10 }, "axe has looked at nothing of {path}");
        let mut tell = |kind: &str, found: Vec<String>| {
            troubles.extend(found.into_iter().map(|found| format!("{name}, {}: {kind}: {found}", look.name)));
        };
        tell("barrier", barriers);
        tell("too wide", browser.wide()?);
        if !look.dark {
            let (stops, unreached) = browser.stops()?;
            assert!(stops > 0, "{path} has nothing to be reached");
            tell("keyboard", unreached);
        }
    }
    match name {
        // A page that is not there is told of as an error by the browser itself.
        "absent" => visit.browser.heard().map(drop)?,
        _ => visit.is_content()?,
    }
    Ok(troubles)
}
