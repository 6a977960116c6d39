//! `processor doctor`: what is well, what is not and what to do, and no secret in it.

use std::process::Output;

use biomero_tests::{Result, Trouble, process, wait};
use serde_json::Value;

use super::stage::Desk;

fn report(desk: &Desk, variables: &[(&str, &str)]) -> Result<(Output, Value)> {
    let mut doctor = desk.command_at("serve", &["doctor", "--json"])?;
    let ended = process::output(doctor.envs(variables.iter().copied()), wait::PATIENCE * 2)?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let report = serde_json::from_str(&text);
    let report = report.map_err(|error| {
        Trouble::new(format!("{error}: {text}{}", String::from_utf8_lossy(&ended.stderr)))
    })?;
    Ok((ended, report))
}

/// The finding of a part.
fn finding<'a>(report: &'a Value, part: &str, check: &str) -> &'a Value {
    let parts = report["parts"].as_array().expect("parts");
    let part = parts.iter().find(|told| told["part"] == part).unwrap_or_else(|| panic!("{part}: {report:#}"));
    let findings = part["findings"].as_array().expect("findings");
    findings.iter().find(|told| told["check"] == check).unwrap_or_else(|| panic!("{check}: {part:#}"))
}

#[test]
fn a_worker_that_runs_is_well_and_one_that_does_not_is_told_with_what_to_do() -> Result<()> {
    let desk = Desk::embedded()?;
    let (_, before) = report(&desk, &[])?;
    let nobody = finding(&before, "worker", "processor serve");
    assert_eq!(nobody["verdict"], "warning", "{nobody:#}");
    assert!(nobody["remedy"].as_str().is_some_and(|remedy| remedy.contains("processor serve")), "{nobody:#}");
    let database = finding(&before, "history", "database");
    assert_eq!(database["verdict"], "failed", "{database:#}");
    assert!(database["told"].as_str().is_some_and(|told| told.contains("processor events init")));

    let serve = desk.serve()?;
    let (ended, after) =
        wait::until("a report of a worker that runs", wait::PATIENCE, &[serve.log()], || {
            let (ended, report) = report(&desk, &[]).ok()?;
            (finding(&report, "worker", "processor serve")["verdict"] == "ok").then_some((ended, report))
        })?;
    assert_eq!(finding(&after, "history", "views")["verdict"], "ok", "{after:#}");
    assert_eq!(finding(&after, "clock", "cluster")["verdict"], "ok");
    assert_eq!(finding(&after, "versions", "processor")["told"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ended.status.code(), Some(if after["verdict"] == "failed" { 2 } else { 0 }), "{after:#}");
    let settings = after["settings"].as_array().expect("settings");
    let poll = settings.iter().find(|row| row["key"] == "slurm.poll").expect("a setting");
    assert_eq!(poll["value"], "2s", "{poll:#}");
    assert!(poll["origin"].as_str().is_some_and(|origin| !origin.contains("default")), "{poll:#}");
    Ok(())
}

#[test]
fn an_omero_that_is_not_there_is_told_by_name_and_port() -> Result<()> {
    let desk = Desk::embedded()?;
    let port = biomero_tests::icegrid::free_port()?.to_string();
    let variables =
        [("CONFIG_omero_master_host", "127.0.0.1"), ("BIOMERO_INIT_OMERO__PORTS__REGISTRY", port.as_str())];
    let (ended, report) = report(&desk, &variables)?;
    let registry = finding(&report, "OMERO", "IceGrid registry");
    assert_eq!(registry["verdict"], "failed", "{registry:#}");
    assert!(registry["told"].as_str().is_some_and(|told| told.contains(&port)), "{registry:#}");
    assert_eq!(ended.status.code(), Some(2));
    Ok(())
}

#[test]
fn no_secret_is_in_the_report_and_settings_that_make_no_sense_do_not_end_it() -> Result<()> {
    let desk = Desk::embedded()?;
    let port = biomero_tests::icegrid::free_port()?;
    let url = format!("postgresql+psycopg2://biomero:Kanarienvogel@127.0.0.1:{port}/biomero");
    let variables = [("SQLALCHEMY_URL", url.as_str()), ("CONFIG_omero_db_pass", "Kanarienvogel")];
    let (ended, told) = report(&desk, &variables)?;
    let database = finding(&told, "history", "database");
    assert_eq!(database["verdict"], "failed", "{database:#}");
    assert!(database["told"].as_str().is_some_and(|told| told.contains(&port.to_string())), "{database:#}");
    let mut text = desk.command_at("serve", &["doctor"])?;
    let text = process::output(text.envs(variables), wait::PATIENCE * 2)?;
    for said in [&ended.stdout, &ended.stderr, &text.stdout, &text.stderr] {
        let said = String::from_utf8_lossy(said);
        assert!(!said.contains("Kanarienvogel"), "{said}");
    }
    let (ended, told) = report(&desk, &[("BIOMERO_INIT_SLURM__POLL", "often")])?;
    let settings = finding(&told, "configuration", "settings");
    assert_eq!(settings["verdict"], "failed", "{settings:#}");
    assert_eq!(finding(&told, "versions", "processor")["verdict"], "ok");
    assert_eq!(ended.status.code(), Some(2));
    Ok(())
}
