//! Two workers on one database.

use biomero_tests::cluster::shared;
use biomero_tests::{Result, Trouble, postgres, wait};
use nix::sys::signal::Signal;

use super::stage::{Desk, request};

fn one_acts_and_the_other_takes_over(desk: &Desk) -> Result<()> {
    let mut first = desk.serve_as("first")?;
    desk.says(&first, "this worker acts now")?;
    let second = desk.serve_as("second")?;
    desk.says(&second, "another worker on this database acts")?;
    desk.images("one", &[("sleep", "4")])?;
    let id = desk.submit(&request(desk, "one"))?;
    wait::until("the job", wait::PATIENCE, &[first.log()], || (!desk.jobs(&id).is_empty()).then_some(()))?;
    assert!(!second.output().contains("acts now"), "{}", second.output());
    first.signal(Signal::SIGKILL)?;
    first.ended_within(wait::PATIENCE)?;
    desk.says(&second, "this worker acts now")?;
    let shown = desk.ended(&id, &[&second])?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", second.output());
    desk.has_results("one")?;
    desk.ran_once(&id)?;
    desk.is_recorded_once(&id)
}

#[test]
fn whoever_supervises_it_is_told_when_it_is_ready_and_when_it_ends() -> Result<()> {
    let desk = Desk::embedded()?;
    let address = desk.worker.folder().join("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&address).map_err(Trouble::doing("bind a socket"))?;
    socket.set_read_timeout(Some(wait::PATIENCE)).map_err(Trouble::doing("set a time limit"))?;
    let mut serve = desk.serve_with("serve", &[("NOTIFY_SOCKET", &address)])?;
    let heard = |wanted: &str| -> Result<()> {
        let mut buffer = [0; 200];
        loop {
            let length = socket.recv(&mut buffer).map_err(Trouble::doing(format!("hear {wanted}")))?;
            if buffer[..length] == *wanted.as_bytes() {
                return Ok(());
            }
        }
    };
    heard("READY=1")?;
    serve.signal(Signal::SIGTERM)?;
    heard("STOPPING=1")?;
    assert_eq!(serve.ended_within(wait::PATIENCE)?.code(), Some(0));
    Ok(())
}

#[test]
fn on_one_file_one_acts_and_the_other_takes_over() -> Result<()> {
    one_acts_and_the_other_takes_over(&Desk::embedded()?)
}

#[test]
fn on_one_server_one_acts_and_the_other_takes_over() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let desk = Desk::on(&cluster, &workspace, &server.create_database("together")?)?;
    one_acts_and_the_other_takes_over(&desk)
}

#[test]
fn who_loses_the_connection_stops_acting_and_begins_again() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let desk = Desk::on(&cluster, &workspace, &server.create_database("lost")?)?;
    let serve = desk.serve()?;
    desk.says(&serve, "this worker acts now (term 1)")?;
    desk.images("one", &[("sleep", "3")])?;
    let id = desk.submit(&request(&desk, "one"))?;
    wait::until("the job", wait::PATIENCE, &[serve.log()], || (!desk.jobs(&id).is_empty()).then_some(()))?;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    server.psql("lost", kill)?;
    desk.says(&serve, "this worker does not act any more")?;
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
    desk.ran_once(&id)?;
    desk.is_recorded_once(&id)
}

#[test]
fn a_node_without_the_data_is_avoided() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let desk = Desk::on(&cluster, &workspace, &server.create_database("away")?)?;
    let serve = desk.serve()?;
    desk.images("probe", &[])?;
    let probe = desk.submit(&request(&desk, "probe"))?;
    desk.ended(&probe, &[&serve])?;
    let node = desk.jobs(&probe).first().and_then(|job| job.split(' ').nth(1).map(str::to_owned));
    let node = node.expect("a node");
    desk.images("one", &[("away", &node)])?;
    let id = desk.submit(&request(&desk, "one"))?;
    let shown = desk.ended(&id, &[&serve])?;
    // The cluster has no other: that the next job may not run there is what can be seen.
    assert_eq!(shown["phase"], "FAILED", "{shown:#}\n{}", serve.output());
    assert_eq!(shown["excluded"], serde_json::json!([node]), "{shown:#}");
    assert_eq!(shown["attempts"]["run"], 1, "{shown:#}");
    desk.ran_once(&id)?;
    desk.left_nothing(&id)?;
    desk.is_recorded_once(&id)
}
