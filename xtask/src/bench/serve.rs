//! `processor serve` with much to carry: ten thousand workflows that it has carried, five hundred whose jobs are on a real cluster,
//! a million events in the history. What its answers take, what it asks of the cluster meanwhile, what it holds, how soon it is
//! ready.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use biomero_events::schema::WORKFLOWS;
use biomero_tests::cluster::worker::{VERSION, Worker};
use biomero_tests::cluster::{Cluster, Image, Options, Workspace};
use biomero_tests::http;
use biomero_tests::postgres::Postgres;
use biomero_tests::process::Running;
use biomero_tests::scratch::Scratch;
use biomero_tests::wait;
use serde_json::json;

use super::events::Ours;
use super::{Better, Line, line, median};
use crate::failure::Failure;

/// The program of the package of tests that fills a history.
pub(super) const PROGRAMS: &[&str] = &["event_stopwatch"];

const EVENTS: usize = 1_000_000;
const LISTED: usize = 10_000;
const UNDER_WAY: usize = 500;
const BATCH: usize = 100;
const CLIENTS: usize = 4;
const QUESTIONS: usize = 500;
const STARTS: usize = 7;
/// Between two looks at the jobs.
const POLL: Duration = Duration::from_secs(2);
const POLLS: u32 = 10;
/// Until five hundred jobs are on the cluster, on a machine with ten times more to do than processors.
const PATIENCE: Duration = Duration::from_secs(1_800);

pub(super) const COPY: &str = r#"{"schema-version": "biomero-0.1", "name": "Copy", "description": "", "command-line": "copy",
    "container-image": {"image": "biomerotests/copy", "type": "oci"}, "inputs": []}"#;

/// Its job waits as long as its images say.
pub(super) const TEMPLATE: &str = r#"#!/bin/bash
#SBATCH --job-name=$jobname
#SBATCH --time=60
#SBATCH --mem=16M
cd "$DATA_PATH/data/in"
[ ! -e sleep ] || exec sleep "$(cat sleep)"
cp -r . ../out/
"#;

/// All of it. `programs`: the folder of the finished programs.
pub(super) fn measure(programs: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let server = Postgres::start(&scratch.folder("postgres")?)?;
    let mut history = Ours::start(&programs.join("event_stopwatch"))?;
    let database = history.database(&server, "biomero")?;
    history.times(&["record", &database, &EVENTS.to_string()])?;
    drop(history);
    let cluster = Cluster::start(&scratch.folder("cluster")?, &Options::default())?;
    let workspace = cluster.workspace()?;
    let stage = Stage { worker: worker(&cluster, &workspace, programs, &database)? };

    let mut serve = stage.start()?;
    stage.ready()?;
    let first = stage.submit(&["a"], "0")?;
    stage.has("DONE", 1)?;
    // As many as it has carried before: the same row under other ids, at other moments.
    server.psql(
        "biomero",
        &format!(
            "INSERT INTO {WORKFLOWS} SELECT gen_random_uuid(), parent_id, \"user\" + n % 20, \"group\", name, phase, is_open,
                    revision, term, created - n * interval '1 minute', changed - n * interval '1 minute', state
             FROM {WORKFLOWS}, generate_series(1, {}) n WHERE workflow_id = '{first}'",
            LISTED - UNDER_WAY - UNDER_WAY / BATCH - 1
        ),
    )?;
    for batch in 0..UNDER_WAY / BATCH {
        stage.submit(&["waits"; BATCH], &format!("batch-{batch}"))?;
    }
    stage.has("RUNNING", UNDER_WAY as u64)?;
    let (sessions, period) = sessions(&cluster)?;
    let times = stage.list()?;
    let memory = peak(serve.id().as_raw())?;
    serve.stop(wait::PATIENCE)?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let mut serve = stage.start()?;
        stage.ready()?;
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        serve.stop(wait::PATIENCE)?;
    }
    let budget = |what, ours, limit| line(what, ours, limit, "the budget", 1.0, Better::Smaller);
    let counted = |what, ours, other, other_is, limit| Line {
        unit: "",
        ..line(what, ours, other, other_is, limit, Better::Smaller)
    };
    let last = times.len().saturating_sub(1);
    Ok(vec![
        budget("a list of 50 of 10,000, p99", times[last * 99 / 100], 50.0),
        line(
            "  the same, median",
            times[last / 2],
            times[last * 99 / 100],
            "its p99",
            f64::INFINITY,
            Better::Smaller,
        ),
        counted(
            "sessions at the login node, 500 run",
            sessions,
            period.as_secs_f64() / POLL.as_secs_f64() + 1.0,
            "one a poll, one more",
            1.0,
        ),
        Line { unit: "MB", ..budget("its peak of memory, 500 run", memory, 64.0) },
        budget("start to ready, 1,000,000 events", median(starts), 500.0),
    ])
}

/// A worker whose workflows wait for what they are told to.
fn worker(
    cluster: &Cluster,
    workspace: &Workspace,
    programs: &Path,
    database: &str,
) -> Result<Worker, Failure> {
    let mut worker = Worker::new(cluster, workspace)?;
    worker.use_program(&programs.join("processor"));
    cluster.place(Image::Copy, workspace, &format!("images/copy/copy_{VERSION}.sif"))?;
    worker.write("descriptors/copy.json", COPY)?;
    worker.configure(
        "",
        &format!("copy = copy\ncopy_repo = https://github.com/biomerotests/copy/tree/{VERSION}\ncopy_job = jobs/copy.sh"),
    )?;
    let template = worker.write("job.template", TEMPLATE)?;
    worker.set("TEMPLATE", &template.display().to_string());
    worker.set("POLL", &format!("{}s", POLL.as_secs()));
    worker.variable("SQLALCHEMY_URL", database);
    for (name, value) in
        [("WORKFLOW__AT_ONCE", "1000"), ("WORKFLOW__PER_USER", "1000"), ("API__RATE", "100000")]
    {
        worker.variable(&format!("BIOMERO_INIT_{name}"), value);
    }
    let socket = worker.folder().join("serve.sock").display().to_string();
    worker.variable("BIOMERO_INIT_API__SOCKET", &socket);
    worker.write("in/a/one.tif", "pixels")?;
    worker.write("in/waits/one.tif", "pixels")?;
    worker.write("in/waits/sleep", "36000")?;
    Ok(worker)
}

/// A worker that is asked.
struct Stage {
    worker: Worker,
}

impl Stage {
    fn socket(&self) -> PathBuf {
        self.worker.folder().join("serve.sock")
    }

    fn log(&self) -> PathBuf {
        self.worker.folder().join("serve.log")
    }

    fn start(&self) -> Result<Running, Failure> {
        Ok(Running::start("processor serve", self.worker.processor(&["serve"])?, &self.log())?)
    }

    fn ready(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + wait::PATIENCE;
        // More often than `wait` looks: what is waited for is what is measured.
        while http::get(&self.socket(), "/ready").is_ok_and(|answer| answer.status == 200).eq(&false) {
            if Instant::now() > deadline {
                let log = wait::ends_of(&[&self.log()]);
                return Err(Failure::Unexpected(format!("processor serve does not become ready{log}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Asks for a workflow, or a batch of several; its id.
    fn submit(&self, inputs: &[&str], results: &str) -> Result<String, Failure> {
        let folder = |name: &str| self.worker.folder().join("in").join(name);
        let results = self.worker.folder().join("home").join(results);
        let mut request =
            json!({ "workflow": "copy", "user": 2, "group": 3, "results": { "directory": results } });
        let path = match inputs {
            [input] => {
                request["inputs"] = json!([folder(input)]);
                "/v1/workflows"
            }
            inputs => {
                let groups: Vec<[PathBuf; 1]> = inputs.iter().map(|input| [folder(input)]).collect();
                request = json!({ "groups": groups, "request": request });
                "/v1/batches"
            }
        };
        let answer = http::post(&self.socket(), path, &request)?;
        if answer.status != 201 {
            return Err(Failure::Unexpected(format!("{path}: {}", answer.text())));
        }
        Ok(answer.json()["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until so many are in a phase.
    fn has(&self, phase: &str, count: u64) -> Result<(), Failure> {
        let path = format!("/v1/workflows?limit=1&phase={phase}");
        wait::until(&format!("{count} workflows {phase}"), PATIENCE, &[&self.log()], || {
            std::thread::sleep(Duration::from_millis(250));
            let total = |path: &str| http::get(&self.socket(), path).ok()?.json()["total"].as_u64();
            let failed = total("/v1/workflows?limit=1&phase=FAILED")? > 0;
            (failed || total(&path)? >= count).then_some(!failed)
        })?
        .then_some(())
        .ok_or_else(|| {
            let failed = http::get(&self.socket(), "/v1/workflows?limit=1&phase=FAILED");
            Failure::Unexpected(format!("a workflow failed: {}", failed.unwrap_or_default().text()))
        })
    }

    /// What lists take several clients that ask without a pause: milliseconds, the shortest first.
    fn list(&self) -> Result<Vec<f64>, Failure> {
        let socket = self.socket();
        let asked = || -> Result<Vec<f64>, Failure> {
            let mut connection = http::at(&socket)?;
            let mut times = Vec::with_capacity(QUESTIONS);
            for question in 0..QUESTIONS {
                // The first page mostly, as people do; others, and filters, now and then.
                let path = match question % 10 {
                    3 => "/v1/workflows?open=true".to_owned(),
                    5 => format!("/v1/workflows?user={}", 2 + question % 20),
                    7 => format!("/v1/workflows?offset={}", question * 19),
                    _ => "/v1/workflows".to_owned(),
                };
                let begun = Instant::now();
                let answer = connection.ask("GET", &path, "", "")?;
                times.push(begun.elapsed().as_secs_f64() * 1e3);
                if answer.status != 200 {
                    return Err(Failure::Unexpected(format!("{path}: {}", answer.text())));
                }
            }
            Ok(times)
        };
        let mut times = Vec::new();
        std::thread::scope(|scope| -> Result<(), Failure> {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(asked)).collect();
            for client in clients {
                times.extend(client.join().map_err(|_| Failure::Unexpected("a client".to_owned()))??);
            }
            Ok(())
        })?;
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}

/// How many sessions a connection opened at the login node, and in what time.
fn sessions(cluster: &Cluster) -> Result<(f64, Duration), Failure> {
    let count = || {
        let log = std::fs::read(cluster.sshd.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).matches("Starting session:").count()
    };
    // What came with the last of the jobs is over.
    std::thread::sleep(POLL * 3);
    let (before, begun) = (count(), Instant::now());
    if before == 0 {
        return Err(Failure::Unexpected("sshd tells of no session".to_owned()));
    }
    std::thread::sleep(POLL * POLLS);
    Ok(((count() - before) as f64, begun.elapsed()))
}

/// `VmHWM` in megabytes.
pub(super) fn peak(id: i32) -> Result<f64, Failure> {
    let path = PathBuf::from(format!("/proc/{id}/status"));
    let status = std::fs::read_to_string(&path).map_err(|source| Failure::File {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    let kib = kib.ok_or_else(|| Failure::Unexpected(format!("{} tells no peak", path.display())))?;
    Ok(kib * 1_024.0 / 1e6)
}
