//! What many jobs at once cost the cluster: a session a poll, in which their logs are read too.

use std::time::Duration;

use biomero_tests::cluster::{Cluster, Options};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, http, postgres, wait};
use serde_json::{Value, json};

use super::stage::Desk;

const JOBS: usize = 50;
/// As the desk has it.
const POLL: Duration = Duration::from_secs(2);
const POLLS: usize = 15;
/// Until fifty jobs run, on a machine with ten times more to do than processors.
const LONG: Duration = Duration::from_secs(900);

#[test]
fn fifty_jobs_cost_one_session_a_poll_in_which_their_logs_are_read() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut options = Options::default();
    // All of them run at once.
    options.slurm.cpus = 64;
    // No other test connects to it.
    let cluster = Cluster::start(&scratch.folder("cluster")?, &options)?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let mut desk = Desk::on(&cluster, &workspace, &server.create_database("polled")?)?;
    for (name, value) in
        [("WORKFLOW__AT_ONCE", "100"), ("WORKFLOW__PER_USER", "100"), ("API__RATE", "100000")]
    {
        desk.worker.variable(&format!("BIOMERO_INIT_{name}"), value);
    }
    let serve = desk.serve()?;
    desk.says(&serve, "this worker acts now")?;
    let socket = desk.socket("serve");
    let images = desk.images("waits", &[("says", "Segmenting: 42%\n"), ("sleep", "3600")])?;
    let batch = json!({
        "groups": vec![[images]; JOBS],
        "request": {
            "workflow": "copy", "user": 2, "group": 3, "results": { "directory": desk.results("waits") },
        },
    });
    let answer = http::post(&socket, "/v1/batches", &batch)?;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = answer.json();
    let children: Vec<&str> =
        answer["children"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(children.len(), JOBS);

    // What each job says of itself has come home: so all of them run, and their logs are read.
    let shown = |id: &str| Some(http::get(&socket, &format!("/v1/workflows/{id}")).ok()?.json());
    let says = |id: &&str| {
        let tasks = http::get(&socket, &format!("/v1/workflows/{id}/tasks")).ok().map(|answer| answer.json());
        let says = |task: &Value| task["jobs"][0]["progress"] == "42%";
        tasks.is_some_and(|tasks| tasks["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(says)))
    };
    wait::until("what each job says", LONG, &[serve.log()], || {
        std::thread::sleep(Duration::from_secs(1));
        children.iter().all(says).then_some(())
    })?;

    let sessions = || -> Result<usize> {
        let log = std::fs::read(cluster.sshd.log()).map_err(Trouble::doing("read the log of sshd"))?;
        Ok(String::from_utf8_lossy(&log).matches("Starting session:").count())
    };
    // What came with the last of them is over.
    std::thread::sleep(POLL * 3);
    let before = sessions()?;
    std::thread::sleep(POLL * u32::try_from(POLLS).unwrap_or(1));
    let opened = sessions()? - before;
    assert!(opened <= POLLS + 2, "{opened} sessions in {POLLS} polls of {JOBS} jobs\n{}", serve.output());
    assert!(opened >= 2, "nobody asks after them: {opened} sessions in {POLLS} polls");

    // One that ends is seen to, however many others there are.
    let of = |shown: Option<Value>| shown.and_then(|workflow| Some(workflow["phase"].as_str()?.to_owned()));
    let cancel = format!("/v1/workflows/{}/cancel", children[7]);
    assert_eq!(http::ask(&socket, "POST", &cancel, "", "")?.status, 200);
    wait::until("the end of one", LONG, &[serve.log()], || {
        std::thread::sleep(Duration::from_millis(200));
        (of(shown(children[7])).as_deref() == Some("CANCELLED")).then_some(())
    })?;
    assert_eq!(of(shown(children[8])).as_deref(), Some("RUNNING"), "{}", serve.output());
    Ok(())
}
