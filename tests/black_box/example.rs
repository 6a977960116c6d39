//! `docker/example`: its compose file as it is, on a real engine. A workflow goes from the worker by SSH through Slurm and comes
//! home, its history in PostgreSQL.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use biomero_tests::cluster::Image;
use biomero_tests::cluster::worker::WORKFLOW;
use biomero_tests::engine::Engine;
use biomero_tests::example_image::{self, CLUSTER_BASE, VERSION};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{SERVICE_USER, give, write};
use biomero_tests::{Result, Trouble, binary, process, queue, wait, worker_image};
use serde_json::Value;

/// For one command: three containers start in it, or a job runs, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// The width and height of the image, and what is bright in it: column, row, width, height.
const SIZE: (u16, u16) = (40, 30);
const BRIGHT: [(usize, usize, usize, usize); 2] = [(3, 4, 6, 5), (20, 10, 8, 9)];

struct Example {
    engine: Engine,
    data: PathBuf,
    workflows: PathBuf,
    // Last: the folder goes when what lives in it has ended.
    _scratch: Scratch,
    _turn: queue::Turn,
}

impl Example {
    /// Builds its images, by the compose file where that says how.
    fn new() -> Result<Self> {
        let turn = queue::turn()?;
        let scratch = Scratch::new()?;
        let engine = Engine::start_apart(&scratch.folder("docker")?)?;
        worker_image::build_bases(&engine, &scratch)?;
        example_image::build(&engine, &scratch)?;
        let data = scratch.folder("data")?;
        write(&data, "cells.tif", "", 0o644)?;
        fs::write(data.join("cells.tif"), tiff()).map_err(Trouble::doing("write an image"))?;
        write(&data, "threshold/descriptor.json", Image::Threshold.descriptor().unwrap_or_default(), 0o644)?;
        give(&data, SERVICE_USER)?;
        // As the example has it, with a workflow whose descriptor is in no repository of others.
        let path = binary::workspace().join("docker/example/slurm-config.ini");
        let shipped =
            fs::read_to_string(&path).map_err(Trouble::doing(format!("read {}", path.display())))?;
        let workflow = format!(
            "{WORKFLOW} = {WORKFLOW}\n{WORKFLOW}_repo = /data/threshold\n{WORKFLOW}_job = jobs/{WORKFLOW}.sh\n"
        );
        let workflows = write(scratch.path(), "slurm-config.ini", &format!("{shipped}{workflow}"), 0o644)?;
        let example = Self { engine, data, workflows, _scratch: scratch, _turn: turn };
        let base = format!("BASE_IMAGE={CLUSTER_BASE}");
        example.build("cluster", &[base, "APPTAINER_VERSION=".to_owned()])?;
        example.build("worker", &worker_image::arguments())?;
        Ok(example)
    }

    fn build(&self, service: &str, arguments: &[String]) -> Result<()> {
        let mut words = vec!["build"];
        words.extend(arguments.iter().flat_map(|argument| ["--build-arg", argument]));
        words.push(service);
        self.compose(&words).map(drop)
    }

    /// `docker-compose` with the file of the example.
    fn command(&self, words: &[&str]) -> Command {
        let mut compose = Command::new("docker-compose");
        compose.arg("--file").arg(binary::workspace().join("docker/example/compose.yaml")).args(words);
        compose.envs(self.engine.environment()).env("COMPOSE_HTTP_TIMEOUT", "240");
        compose.env("DATA", &self.data).env("SLURM_CONFIG", &self.workflows);
        compose
    }

    fn compose(&self, words: &[&str]) -> Result<String> {
        process::succeed(&mut self.command(words), PATIENCE)
    }

    /// Runs a program in a container; what it wrote to standard output. With what the containers say where it fails.
    fn runs(&self, service: &str, words: &[&str]) -> Result<String> {
        self.compose(&[&["exec", "-T", service], words].concat()).map_err(|trouble| self.with_logs(&trouble))
    }

    fn with_logs(&self, trouble: &Trouble) -> Trouble {
        let logs = self.compose(&["logs", "--no-color", "--tail", "60"]).unwrap_or_default();
        Trouble::new(format!("{trouble}\n--- the containers say ---\n{logs}"))
    }

    fn ready(&self) -> Result<()> {
        let asked = || self.compose(&["exec", "-T", "worker", "init", "status"]).ok();
        let ready = wait::until("every service of the worker to be ready", PATIENCE, &[], asked);
        ready.map(drop).map_err(|trouble| self.with_logs(&trouble))
    }

    /// One value out of the database.
    fn value(&self, sql: &str) -> Result<String> {
        let url = "postgresql://biomero:biomero@127.0.0.1/biomero";
        Ok(self.runs("database", &["psql", "-XAtq", "-c", sql, url])?.trim().to_owned())
    }

    fn validates(&self) -> Result<()> {
        let said = self.runs("worker", &["processor", "slurm", "validate"])?;
        for step in ["login ", "slurmctld ", "accounting ", "association ", "container runtime "] {
            assert!(said.contains(&format!("ok         {step}")), "{step}\n{said}");
        }
        Ok(())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes", "--timeout", "5"]);
    }
}

/// A TIFF of one plane of 8 bits, dark but for [`BRIGHT`].
fn tiff() -> Vec<u8> {
    let (width, height) = (usize::from(SIZE.0), usize::from(SIZE.1));
    let mut samples = vec![10_u8; width * height];
    for (x, y, columns, rows) in BRIGHT {
        for row in y..y + rows {
            samples[row * width + x..][..columns].fill(200);
        }
    }
    let length = u32::from(SIZE.0) * u32::from(SIZE.1);
    // ImageWidth, ImageLength, BitsPerSample, Compression, PhotometricInterpretation, StripOffsets, SamplesPerPixel,
    // RowsPerStrip, StripByteCounts.
    let fields = [
        (256_u16, u32::from(SIZE.0)),
        (257, u32::from(SIZE.1)),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, u32::from(SIZE.1)),
        (279, length),
    ];
    let mut file = b"II*\0".to_vec();
    file.extend((8 + length).to_le_bytes());
    file.extend(samples);
    file.extend(9_u16.to_le_bytes());
    for (tag, value) in fields {
        file.extend(tag.to_le_bytes());
        // One LONG.
        file.extend(4_u16.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    file
}

#[test]
fn the_example_carries_a_workflow_through_its_cluster_and_goes_without_a_trace() -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let example = Example::new()?;
    example.compose(&["up", "-d", "--no-build"]).map_err(|trouble| example.with_logs(&trouble))?;
    example.ready()?;
    example.runs("worker", &["processor", "slurm", "init", WORKFLOW, "--wait"])?;
    example.validates()?;
    a_workflow_runs_on_the_cluster_and_its_results_come_home(&example)?;
    a_cluster_that_is_made_anew_lets_the_same_worker_in(&example)?;
    it_is_taken_down(&example)
}

fn a_workflow_runs_on_the_cluster_and_its_results_come_home(example: &Example) -> Result<()> {
    let asked = ["processor", "run", WORKFLOW, "--image", "/data/cells.tif", "--output", "/data/results"];
    let said = example.runs("worker", &[&asked[..], &["--watch", "--json"]].concat())?;
    let shown: Value =
        serde_json::from_str(&said).map_err(|error| Trouble::new(format!("{error} in {said}")))?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}");

    let mut areas = Vec::new();
    for entry in fs::read_dir(example.data.join("results")).map_err(Trouble::doing("list results"))?.flatten()
    {
        if entry.path().extension().is_some_and(|extension| extension == "csv") {
            let table = fs::read_to_string(entry.path()).map_err(Trouble::doing("read results"))?;
            areas.extend(
                table.lines().skip(1).filter_map(|line| line.split(',').nth(1)?.parse::<usize>().ok()),
            );
        }
    }
    areas.sort_unstable();
    assert_eq!(areas, BRIGHT.map(|(_, _, columns, rows)| columns * rows), "the right objects are home");

    let id = shown["id"].as_str().unwrap_or_default();
    let progress = "SELECT workflow_id || ' ' || status FROM biomero_workflow_progress_view";
    assert_eq!(example.value(progress)?, format!("{id} DONE"));
    let version = "SELECT task_version FROM biomero_task_execution";
    assert!(example.value(version)?.lines().any(|found| found == VERSION), "the task is in the history");

    let accounted = example.runs("cluster", &["sacct", "-nPX", "--allusers", "-o", "User,State"])?;
    let jobs: Vec<&str> = accounted.lines().collect();
    assert!(jobs.len() >= 2, "a conversion and a workflow: {accounted}");
    assert!(jobs.iter().all(|job| *job == "biomero|COMPLETED"), "{accounted}");
    Ok(())
}

fn a_cluster_that_is_made_anew_lets_the_same_worker_in(example: &Example) -> Result<()> {
    let before = example.compose(&["ps", "-q", "cluster"])?;
    example.compose(&["up", "-d", "--no-build", "--no-deps", "--force-recreate", "cluster"])?;
    assert_ne!(example.compose(&["ps", "-q", "cluster"])?, before, "there is another container");
    let health = ["inspect", "--format", "{{.State.Health.Status}}"];
    let container = example.compose(&["ps", "-q", "cluster"])?;
    wait::until("the new cluster to be healthy", PATIENCE, &[], || {
        let said = example.engine.ask(&[&health[..], &[container.trim()]].concat()).ok()?;
        (said == "healthy").then_some(())
    })
    .map_err(|trouble| example.with_logs(&trouble))?;
    example.validates()
}

fn it_is_taken_down(example: &Example) -> Result<()> {
    example.compose(&["down", "--volumes"])?;
    assert_eq!(example.engine.ask(&["ps", "--all", "--quiet"])?, "");
    let volumes = example.engine.ask(&["volume", "ls", "--quiet"])?;
    assert!(!volumes.contains("example_"), "{volumes}");
    Ok(())
}
