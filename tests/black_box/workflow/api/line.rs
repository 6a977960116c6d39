//! The command line over the socket, with and without a worker that runs.

use biomero_tests::cluster::shared;
use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, postgres, process, wait};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Asked, Desk};

/// A command at the socket of the worker `serve`, and how it ended.
fn said(desk: &Desk, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = process::output(&mut desk.command_at("serve", arguments)?, wait::PATIENCE * 2)?;
    Ok((output.status.code(), process::both(&output)))
}

fn answered(desk: &Desk, arguments: &[&str]) -> Result<Value> {
    let said = process::succeed(&mut desk.command_at("serve", arguments)?, wait::PATIENCE * 2)?;
    serde_json::from_str(&said).map_err(|error| Trouble::new(format!("{error}: {said}")))
}

/// `processor run` on images of this name, and where its results go.
fn run(desk: &Desk, name: &str, notes: &[(&str, &str)], more: &[&str]) -> Result<Vec<String>> {
    let images = desk.images(name, notes)?.display().to_string();
    let results = desk.results(name).display().to_string();
    let arguments = ["run", "copy", "--image", &images, "--output", &results, "--user", "2", "--group", "3"];
    Ok(arguments.iter().chain(more).map(|argument| (*argument).to_owned()).collect())
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn where_nobody_serves_the_remedy_is_told() -> Result<()> {
    let desk = Desk::embedded()?;
    let id = "2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98";
    let run = run(&desk, "one", &[], &[])?;
    for arguments in [vec!["workflows"], vec!["show", id], vec!["cancel", id], borrowed(&run)] {
        let (code, text) = said(&desk, &arguments)?;
        assert_eq!(code, Some(69), "{arguments:?}: {text}");
        assert!(text.contains("no `processor serve` answers at"), "{text}");
        assert!(text.contains("start one: processor serve"), "{text}");
    }
    assert!(!desk.results("one").exists());
    Ok(())
}

#[test]
fn on_a_workstation_one_command_does_all() -> Result<()> {
    let desk = Desk::embedded()?;
    let arguments = run(&desk, "one", &[], &["--watch"])?;
    let (code, text) = said(&desk, &borrowed(&arguments))?;
    assert_eq!(code, Some(0), "{text}");
    desk.has_results("one")?;
    assert!(text.contains("this carries workflows until it has ended") && text.contains("DONE"), "{text}");
    assert!(!desk.socket("serve").exists(), "its socket went with it");
    let failing = run(&desk, "bad", &[("fail", "no cells\n")], &["--watch"])?;
    let (code, text) = said(&desk, &borrowed(&failing))?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FAILED") && text.contains("its log: no cells"), "{text}");
    let (code, text) = said(&desk, &["run", "cellpose", "--image", "/nowhere", "--watch"])?;
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("there are threshold, copy"), "{text}");
    Ok(())
}

#[test]
fn workflows_are_asked_for_listed_shown_cancelled_and_done_once_more() -> Result<()> {
    let asked = Asked::embedded()?;
    let desk = &asked.desk;
    let submitted = answered(desk, &borrowed(&run(desk, "one", &[("sleep", "60")], &["--json"])?))?;
    let id = submitted["id"].as_str().unwrap_or_default();
    assert_eq!(answered(desk, &["workflows", "--open", "--json"])?["id"], id);
    let (code, text) = said(desk, &["workflows", "--user", "2", "--name", "copy"])?;
    assert!(code == Some(0) && text.contains(id) && text.starts_with("ID "), "{text}");
    let (_, none) = said(desk, &["workflows", "--user", "7"])?;
    assert_eq!(none, "no workflows\n");
    asked.waits(id, |workflow| workflow["phase"] == "RUNNING")?;
    assert_eq!(said(desk, &["cancel", id])?.0, Some(0));
    assert_eq!(asked.ended(id)?["phase"], "CANCELLED");
    let (code, text) = said(desk, &["cancel", id])?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is CANCELLED"), "{text}");
    desk.images("one", &[("sleep", "0")])?;
    assert_eq!(said(desk, &["retry", id])?.0, Some(0));
    assert_eq!(asked.ended(id)?["phase"], "DONE", "{}", asked.serve.output());
    desk.has_results("one")?;
    let shown = answered(desk, &["show", id, "--json"])?;
    assert_eq!((&shown["phase"], &shown["round"]), (&"DONE".into(), &1.into()), "{shown:#}");
    assert!(shown["tasks"].as_array().is_some_and(|tasks| tasks.len() > 3), "{shown:#}");
    let (_, text) = said(desk, &["show", id])?;
    for told in ["DONE", "copy v1.0.0", "SLURM_Get_Results.py", "directory: "] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let (code, text) = said(desk, &["show", "2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98"])?;
    assert_eq!(code, Some(66), "{text}");
    Ok(())
}

#[test]
fn who_watches_sees_the_end_also_where_the_worker_is_killed_meanwhile() -> Result<()> {
    let mut asked = Asked::embedded()?;
    let arguments = run(&asked.desk, "one", &[("sleep", "3")], &["--watch"])?;
    let log = asked.desk.worker.folder().join("watch.log");
    let command = asked.desk.command_at("serve", &borrowed(&arguments))?;
    let mut watching = Running::start("processor run", command, &log)?;
    wait::until("its job", wait::PATIENCE, &[&log], || watching.output().contains("RUNNING").then_some(()))?;
    asked.serve.signal(Signal::SIGKILL)?;
    asked.serve.ended_within(wait::PATIENCE)?;
    wait::until("the notice", wait::PATIENCE, &[&log], || {
        watching.output().contains("waiting").then_some(())
    })?;
    asked.serve = asked.desk.serve()?;
    let status = watching.ended_within(wait::PATIENCE * 2)?;
    assert!(status.success(), "{}", watching.output());
    assert!(watching.output().contains("DONE"), "{}", watching.output());
    asked.desk.has_results("one")
}

#[test]
fn on_slurm_and_a_server_it_is_the_same() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let asked = Asked::over(Desk::on(&cluster, &workspace, &server.create_database("asked")?)?)?;
    let desk = &asked.desk;
    let arguments = run(desk, "one", &[], &["--watch", "--json"])?;
    let shown = answered(desk, &borrowed(&arguments))?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", asked.serve.output());
    desk.has_results("one")?;
    let id = shown["id"].as_str().unwrap_or_default();
    desk.ran_once(id)?;
    let listed = asked.get("/v1/workflows?phase=DONE")?;
    assert_eq!(listed["workflows"][0]["id"], id);
    let tasks = asked.get(&format!("/v1/workflows/{id}/tasks"))?;
    let job =
        tasks["tasks"].as_array().into_iter().flatten().find_map(|task| task["jobs"][0]["job"].as_i64());
    let job = job.unwrap_or_else(|| panic!("no job in {tasks:#}"));
    assert!(asked.get(&format!("/v1/jobs/{job}"))?["status"].is_string());
    let events = biomero_tests::http::get(&asked.socket, "/v1/events?after=0&follow=false")?.text();
    assert!(events.contains("event: workflow.over"), "{events}");
    desk.is_recorded_once(id)
}
