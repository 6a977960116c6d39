//! Secrets, planted wherever one can be given, are in nothing that is written, answered or sent to the cluster.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use biomero_tests::cluster::shared;
use biomero_tests::postgres::{self, PASSWORD, Postgres};
use biomero_tests::{Result, Trouble, http, process, wait};
use serde_json::json;

use super::{Asked, Desk};

/// It tells all that it is told, in its log and in its results.
const TELLS: &str = r#"#!/bin/bash
#SBATCH --job-name=$jobname
#SBATCH --time=10
env
cd "$DATA_PATH/data/in"
env > ../out/environment.txt
if [ -e fail ]; then
  cat fail >&2
  exit 7
fi
cp -r . ../out/
"#;

/// Variables that a worker may have for others, whose values are nobody's business.
const VARIABLES: &[&str] = &[
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "OMERO_PASSWORD",
    "OMERO_SESSION",
    "PGPASSWORD",
    "ROOTPASS",
    "SLURM_JWT",
    "SSH_ASKPASS_PASSPHRASE",
    "BIOMERO_INIT_SERVICES__NODE__ENVIRONMENT__PLANTED_PASSWORD",
];

/// What was planted, and where.
struct Planted(Vec<(String, String)>);

impl Planted {
    fn add(&mut self, place: &str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 8, "{place}: too short to be found by chance");
        self.0.push((place.to_owned(), secret));
    }

    /// Something of it that is in these bytes, also as a database writes bytes.
    fn found(&self, bytes: &[u8]) -> Option<&str> {
        let is_in = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let hexadecimal = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = self.0.iter().find(|(_, secret)| is_in(secret) || is_in(&hexadecimal(secret)));
        found.map(|(place, _)| place.as_str())
    }

    fn is_not_in(&self, place: &str, bytes: &[u8]) {
        assert_eq!(self.found(bytes), None, "in {place}: {}", String::from_utf8_lossy(bytes));
    }
}

/// All files below a folder, by name.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// Where nobody listens.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

/// Carries one workflow that succeeds and one that fails, asks for everything, and looks everywhere.
fn nothing_is_told(mut desk: Desk, mut planted: Planted, folders: &[PathBuf]) -> Result<()> {
    desk.worker.write("job.template", TELLS)?;
    for name in VARIABLES {
        let secret = format!("planted-{}", uuid::Uuid::new_v4());
        desk.worker.variable(name, &secret);
        planted.add(name, secret);
    }
    let tokens = desk.worker.folder().join("tokens");
    let mut make =
        desk.worker.processor(&["api", "token", "dashboard", "--add", &tokens.display().to_string()])?;
    let token = process::succeed(&mut make, wait::PATIENCE)?.trim().to_owned();
    let line = std::fs::read_to_string(&tokens).map_err(Trouble::doing("read the tokens"))?;
    planted.add("the token", &token);
    planted.add("its hash", line.trim().rsplit(' ').next().unwrap_or_default());
    let address = free();
    desk.worker.variable("BIOMERO_INIT_API__LISTEN", &address);
    desk.worker.variable("BIOMERO_INIT_API__TOKENS", &tokens.display().to_string());
    desk.worker.variable("BIOMERO_INIT_API__RATE", "100000");

    let asked = Asked::over(desk)?;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let wrong = format!("planted-{}", uuid::Uuid::new_v4());
    planted.add("a token that is wrong", &wrong);
    assert_eq!(http::to(&address)?.ask("GET", "/v1/workflows", &bearer(&wrong), "")?.status, 401);
    planted.add("a query", "planted-in-a-query");
    planted.add("a header", "planted-in-a-header");
    let header = "X-Planted: planted-in-a-header\r\nCookie: session=planted-in-a-header\r\n";
    let answer = http::ask(&asked.socket, "GET", "/v1/workflows?name=planted-in-a-query", header, "")?;
    assert_eq!(answer.status, 200);

    let mut ids = Vec::new();
    for (name, notes, phase) in
        [("one", &[][..], "DONE"), ("two", &[("fail", "no such model\n")][..], "FAILED")]
    {
        let mut request = asked.request(name, notes)?;
        request["policy"] = json!({ "clean_up": "never" });
        let headers = format!("{}Content-Type: application/json\r\n", bearer(&token));
        let answer = http::to(&address)?.ask("POST", "/v1/workflows", &headers, &request.to_string())?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
        let shown = asked.ended(&id)?;
        assert_eq!(shown["phase"], phase, "{shown:#}\n{}", asked.serve.output());
        ids.push(id);
    }

    // What is answered.
    let mut paths: Vec<String> =
        ["/v1/workflows", "/v1/configuration", "/v1/events?after=0&follow=false", "/ready", "/metrics"]
            .into_iter()
            .chain(["/", "/workflows", "/start-up", "/settings"])
            .map(str::to_owned)
            .collect();
    for id in &ids {
        paths.extend(["/v1/workflows", "/workflows"].map(|of| format!("{of}/{id}")));
        paths.push(format!("/v1/workflows/{id}/tasks"));
        let tasks = asked.get(&format!("/v1/workflows/{id}/tasks"))?;
        let jobs = tasks["tasks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|task| task["jobs"][0]["job"].as_i64());
        let jobs: Vec<i64> = jobs.collect();
        assert!(!jobs.is_empty(), "{tasks:#}");
        for job in &jobs {
            paths.extend([format!("/v1/jobs/{job}"), format!("/v1/jobs/{job}/log"), format!("/jobs/{job}")]);
        }
    }
    for path in &paths {
        let answer = http::get(&asked.socket, path)?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        planted.is_not_in(path, &answer.body);
        if path.ends_with("/log") {
            assert!(
                answer.text().contains("DATA_PATH="),
                "{path}: a job tells its variables: {}",
                answer.text()
            );
        }
    }

    // What is said.
    for (arguments, variables) in [
        (&["events", "list", "--json"][..], &[][..]),
        (&["workflow", "list"], &[]),
        (&["events", "doctor"], &[]),
        (&["doctor"], &[]),
        (&["doctor", "--json"], &[]),
        (&["slurm", "jobs"], &[]),
        (&["events", "list"], &[("SQLALCHEMY_URL", "postgresql://a:planted-for-nobody@127.0.0.1:1/b")]),
        (&["events", "list"], &[("SQLALCHEMY_URL", "postgresql://a:planted-for-nobody@[1/b?no=where")]),
        (&["events", "list"], &[("SQLALCHEMY_URL", "nosuchsql://a:planted-for-nobody@127.0.0.1/b")]),
    ] {
        let mut command = asked.desk.command_at("serve", arguments)?;
        command.envs(variables.iter().copied());
        let said = process::both(&process::output(&mut command, wait::PATIENCE * 2)?);
        planted.is_not_in(&arguments.join(" "), said.as_bytes());
        assert!(!said.contains("planted-for-nobody"), "{said}");
    }

    // What is written.
    let mut written = Vec::new();
    files(asked.desk.worker.folder(), &mut written);
    for folder in folders {
        files(folder, &mut written);
    }
    // A secret's own file, and images, which are as they were built.
    written.retain(|path| *path != tokens && path.extension().is_none_or(|ending| ending != "sif"));
    let named = |ending: &str| written.iter().any(|path| path.to_string_lossy().ends_with(ending));
    assert!(named("environment.txt") && named("serve.log") && named(".sh"), "{written:?}");
    for path in &written {
        // One that goes meanwhile holds nothing.
        if let Ok(bytes) = std::fs::read(path) {
            assert_eq!(planted.found(&bytes), None, "in {}", path.display());
        }
    }
    Ok(())
}

#[test]
fn without_slurm_no_secret_is_written_answered_or_given_to_a_job() -> Result<()> {
    let desk = Desk::embedded()?;
    nothing_is_told(desk, Planted(Vec::new()), &[])
}

/// All rows of all tables.
fn rows(server: &Postgres, database: &str) -> Result<String> {
    let tables = server.psql(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")?;
    assert!(
        tables.contains("workflowtracker_events") && tables.contains("biomero_worker_workflow"),
        "{tables}"
    );
    tables
        .lines()
        .map(|table| server.psql(database, &format!("SELECT whole::text FROM {table} AS whole")))
        .collect()
}

#[test]
fn on_a_cluster_no_secret_is_written_answered_or_sent_there() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let url = server.create_database("secrets")?;
    let desk = Desk::on(&cluster, &workspace, &url)?;
    let mut planted = Planted(Vec::new());
    planted.add("the password of the database", PASSWORD);
    let escaped = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':'));
    planted.add("the same as its URL has it", escaped.map_or("", |(_, password)| password));
    let key = std::fs::read_to_string(cluster.private_key()).map_err(Trouble::doing("read a key"))?;
    planted.add("the private key", key.lines().nth(2).unwrap_or_default());
    let folders = [workspace.path().to_path_buf()];
    nothing_is_told(desk, planted, &folders)?;
    let mut planted = Planted(Vec::new());
    planted.add("the password of the database", PASSWORD);
    planted.add("a variable", "planted-");
    planted.is_not_in("the database", rows(&server, "secrets")?.as_bytes());
    Ok(())
}
