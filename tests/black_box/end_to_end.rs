//! Everything together: `init` as process 1, its node in a real IceGrid, Processor-0 in the node, a script of OMERO's in that,
//! which asks `processor serve` for a workflow; sshd and Slurm, PostgreSQL, and the real Python biomero, which reads what was.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use biomero_tests::biomero::Biomero;
use biomero_tests::blitz::Omero;
use biomero_tests::cluster::worker::{VERSION, WORKFLOW, slurm_config};
use biomero_tests::cluster::{ALIAS, Access, Image, Workspace, shared};
use biomero_tests::namespace::{As, Namespace, Worker};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, Deployment, OMERO, PROCESSOR, SERVICE_USER};
use biomero_tests::{Result, Trouble, binary, imaging, jobs, postgres, process, queue, wait};
use serde_json::{Value, json};

use crate::omero::{root, run, seen, trouble};

/// Longer than a job that waits, runs and is asked after takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// One plane of 40 × 30, in dataset 5.
const IMAGES: &str = "200|cells.tiff|1|1|1|30|40";

/// What a user has OMERO run: it knows nothing of OMERO but the session that it was given, which it does not say either.
const SCRIPT: &str = r#"
import subprocess
import sys

asked = [PROCESSOR, "run", "threshold", "--image", "omero:Image:200", "--param", "threshold_scale=0.9",
         "--to-omero", "--rois", "--watch", "--json"]
ended = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
print(ended.stdout)
print(ended.stderr, file=sys.stderr)
sys.exit(ended.returncode)
"#;

/// The areas of what the workflow has to find, by other means: what is brighter than the threshold and touches, of the
/// samples that OMERO sends.
const EXPECTED: &str = r#"
import json
import sys
import numpy

sys.path.insert(0, sys.argv[1])
import images

samples = images.table("uint8")
image = numpy.array([[samples[images.place(0, 0, 0, y, x)] for x in range(40)] for y in range(30)], numpy.uint8)
counts, edges = numpy.histogram(image, bins=256)
best, spread = [], -1.0
for place in range(256):
    low, high = counts[:place + 1], counts[place + 1:]
    if low.sum() == 0 or high.sum() == 0:
        continue
    middles = (edges[:-1] + edges[1:]) / 2
    means = (low * middles[:place + 1]).sum() / low.sum(), (high * middles[place + 1:]).sum() / high.sum()
    between = float(low.sum()) * float(high.sum()) * (means[0] - means[1]) ** 2
    if numpy.isclose(between, spread, rtol=1e-12):
        best.append(edges[place + 1])
    elif between > spread:
        best, spread = [edges[place + 1]], between
bright = image > numpy.mean(best) * 0.9
areas = []
for y in range(30):
    for x in range(40):
        waiting, area = [(y, x)], 0
        while waiting:
            row, column = waiting.pop()
            if 0 <= row < 30 and 0 <= column < 40 and bright[row, column]:
                bright[row, column], area = False, area + 1
                waiting += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        if area:
            areas.append(area)
print(json.dumps(sorted(areas)))
"#;

/// All of it.
struct Stage {
    omero: Omero,
    namespace: Namespace,
    worker: Worker,
    logs: Vec<PathBuf>,
    scratch: Scratch,
    _turn: queue::Turn,
}

impl Stage {
    fn start(cluster: &Access, workspace: &Workspace, database: &str) -> Result<Self> {
        let turn = queue::turn()?;
        let scratch = Scratch::new()?;
        let omero = Omero::start_with_scripts()?;
        jobs::deploy(omero.registry(), scratch.path())?;
        let deployment = Deployment::internal(omero.registry().port());
        let mut deployment = deployment.with_processor().carrying_workflows();
        "[slurm]\npoll = \"2s\"\ndescriptors = \"/etc/biomero/descriptors\"\n"
            .clone_into(&mut deployment.settings);
        for (name, value) in [
            ("BIOMERO_INIT_OMERO__PORTS__TCP", omero.port().to_string()),
            ("SQLALCHEMY_URL", database.to_owned()),
        ] {
            deployment.variables.push((name.to_owned(), value));
        }
        let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
        configure(namespace.root(), cluster, workspace)?;
        let worker = namespace.start(&[])?;
        let of_node = |name: &str| namespace.path(&format!("{OMERO}/var/log/{name}"));
        let logs = vec![namespace.log().to_owned(), of_node("biomeroworker.err"), of_node("Processor-0.err")];
        Ok(Self { omero, namespace, worker, logs, scratch, _turn: turn })
    }

    fn said(&self) -> String {
        let logs: Vec<&Path> = self.logs.iter().map(PathBuf::as_path).collect();
        format!("{}{}", wait::ends_of(&logs), self.omero.logs())
    }

    fn tell(&self, key: &str, value: &str) -> Result<()> {
        run(async {
            let session = root(&self.omero).await?;
            session.config().await.map_err(trouble)?.set_config_value(key, value).await.map_err(trouble)
        })
    }

    fn seen(&self, key: &str) -> Result<String> {
        run(async { seen(&root(&self.omero).await?, key).await })
    }

    /// Waits until Blitz has seen something of this; what.
    fn sees(&self, key: &str) -> Result<String> {
        let seen = wait::until(key, PATIENCE, &[], || {
            std::thread::sleep(Duration::from_millis(500));
            self.seen(key).ok().filter(|seen| !seen.is_empty())
        });
        seen.map_err(|trouble| Trouble::new(format!("{trouble}{}", self.said())))
    }

    /// Waits until the worker's socket is there.
    fn serves(&self) -> Result<()> {
        let socket = self.namespace.path("/run/biomero/processor.sock");
        let there = wait::until("the worker's socket", wait::PATIENCE, &[], || socket.exists().then_some(()));
        there.map_err(|trouble| Trouble::new(format!("{trouble}{}", self.said())))
    }

    /// What OMERO has, as another program reads it.
    fn there(&self) -> Result<Value> {
        let script = binary::workspace().join("tests/fixtures/import/read_back.py");
        let text = self.omero.python(&script, &[&self.omero.port().to_string()])?;
        serde_json::from_str(&text).map_err(trouble)
    }
}

/// What a deployment mounts into the worker for this cluster.
fn configure(root: &Path, cluster: &Access, workspace: &Workspace) -> Result<()> {
    let config = format!(
        "Host {ALIAS}\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile ~/.ssh/id_ed25519\n  IdentitiesOnly yes\n  ConnectTimeout 60\n",
        cluster.port(),
        cluster.user()
    );
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(Trouble::doing(format!("read {}", path.display())))
    };
    let public = cluster.private_key().with_extension("pub");
    for (name, content) in [
        ("tmp/.ssh/config", config),
        ("tmp/.ssh/id_ed25519", read(&cluster.private_key())?),
        ("tmp/.ssh/id_ed25519.pub", read(&public)?),
        ("tmp/.ssh/known_hosts", read(&cluster.known_hosts())?),
        ("etc/slurm-config.ini", slurm_config(ALIAS, workspace.path(), "", "")),
        (
            "etc/biomero/descriptors/threshold.json",
            Image::Threshold.descriptor().unwrap_or_default().to_owned(),
        ),
    ] {
        worker_root::write(root, name, &content, 0o644)?;
    }
    // The volume that holds what has to outlive the container.
    let state = root.join("var/lib/biomero");
    std::fs::create_dir_all(&state).map_err(Trouble::doing("make the worker's state folder"))?;
    worker_root::give(&state, SERVICE_USER)
}

/// The areas of the objects that were drawn: how many samples of each mask are set.
fn drawn(there: &Value) -> Result<Vec<u64>> {
    let mut areas = Vec::new();
    for roi in there["rois"].as_array().into_iter().flatten() {
        assert_eq!(roi["image"], 200, "{roi}");
        let mut area = 0;
        for shape in roi["shapes"].as_array().into_iter().flatten() {
            area += set_bits(shape["bytes"].as_str().unwrap_or_default())?;
        }
        areas.push(area);
    }
    areas.sort_unstable();
    Ok(areas)
}

/// How many bits are set in what Base64 stands for.
fn set_bits(base64: &str) -> Result<u64> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |letter: u8| LETTERS.iter().position(|known| *known == letter);
    base64.bytes().filter(|letter| *letter != b'=').try_fold(0, |sum, letter| {
        let value = value(letter).ok_or_else(|| Trouble::new(format!("{base64} is no Base64")))?;
        Ok(sum + u64::from(value.count_ones()))
    })
}

#[test]
fn a_script_of_omero_asks_for_a_workflow_and_has_its_results_and_its_history() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    cluster.place(Image::Threshold, &workspace, &format!("images/{WORKFLOW}/{WORKFLOW}_{VERSION}.sif"))?;
    cluster.place(
        Image::ZarrToTiff,
        &workspace,
        &format!("converters/convert_zarr_to_tiff_{VERSION}.sif"),
    )?;
    let server = postgres::shared()?;
    let database = server.create_database("end_to_end")?;
    let mut stage = Stage::start(&cluster, &workspace, &database)?;
    stage.tell("prepare", IMAGES)?;
    assert_eq!(stage.sees("processor")?, "there");
    stage.serves()?;

    stage.tell("run", &SCRIPT.replace("PROCESSOR", &format!("{PROCESSOR:?}")))?;
    let ran = stage.sees("ran")?;
    let (stdout, stderr) = (stage.sees("stdout")?, stage.seen("stderr")?);
    assert_eq!(ran, "0", "{stdout}\n{stderr}{}", stage.said());
    let shown: Value = serde_json::from_str(&stdout).map_err(trouble)?;
    assert_eq!(
        (&shown["phase"], &shown["user"], &shown["group"]),
        (&json!("DONE"), &json!(5), &json!(3)),
        "{shown:#}"
    );
    let id = shown["id"].as_str().unwrap_or_default().to_owned();

    // The right results, to the sample.
    let mut python = Command::new(imaging::interpreter()?);
    python.args(["-c", EXPECTED]).arg(binary::workspace().join("tests/fixtures/blitz"));
    let expected: Vec<u64> =
        serde_json::from_str(&process::succeed(&mut python, PATIENCE)?).map_err(trouble)?;
    assert!(expected.len() > 1, "{expected:?}");
    let there = stage.there()?;
    assert_eq!(drawn(&there)?, expected, "{there:#}");
    let tables: Vec<&Value> =
        there["tables"].as_object().into_iter().flat_map(|tables| tables.values()).collect();
    assert_eq!(tables.len(), 1, "{there:#}");
    let columns = tables[0].as_array().cloned().unwrap_or_default();
    let of = |name: &str| {
        columns.iter().find(|column| column["name"] == name).map(|column| column["values"].clone())
    };
    let mut areas: Vec<u64> = serde_json::from_value(of("area").unwrap_or_default()).map_err(trouble)?;
    areas.sort_unstable();
    assert_eq!(areas, expected);
    let links = there["links"].as_array().cloned().unwrap_or_default();
    assert!(!links.is_empty() && links.iter().all(|link| link[0] == "Image:200"), "{links:?}");

    // The right history, as Python has it.
    let mut biomero = Biomero::start(stage.scratch.path())?;
    biomero.open(&database, &biomero_tests::biomero::LISTENERS)?;
    let workflow = biomero.get(&id)?;
    assert_eq!(
        (&workflow["kind"], &workflow["name"]),
        (&json!("WorkflowRun"), &json!(WORKFLOW)),
        "{workflow:#}"
    );
    assert_eq!((&workflow["user"], &workflow["group"]), (&json!(5), &json!(3)), "{workflow:#}");
    let tasks = workflow["tasks"].as_array().cloned().unwrap_or_default();
    let tasks = tasks
        .iter()
        .map(|task| biomero.get(task.as_str().unwrap_or_default()))
        .collect::<Result<Vec<_>>>()?;
    let names: Vec<&str> = tasks.iter().filter_map(|task| task["task_name"].as_str()).collect();
    let expected_names = [
        "_SLURM_Image_Transfer.py",
        "_SLURM_Image_Transfer.py",
        "CONVERT_ZARR_TO_TIFF",
        WORKFLOW,
        "SLURM_Get_Results.py",
        "SLURM_Import_Results.py",
        "SLURM_Clean_Up.py",
    ];
    assert_eq!(names, expected_names, "{tasks:#?}");
    let job = &tasks[3]["job_ids"];
    assert_eq!(job.as_array().map(Vec::len), Some(1), "one job ran for it: {tasks:#?}");
    let accounted = biomero.ask("ask", &json!({ "listener": "jobAccounting", "method": "get_jobs" }))?;
    assert!(accounted.to_string().contains(&job[0].to_string()), "{accounted}");
    assert_eq!(server.psql("end_to_end", "SELECT status FROM biomero_workflow_progress_view")?, "DONE");

    // Nothing is left of it: no session, no data on the cluster, no staged image; and nobody was told the session's id.
    let own = stage.seen("scriptSession")?;
    run(async {
        let session = root(&stage.omero).await?;
        crate::omero::sees(&session, "userSessions", |seen| seen == "0").await.map(drop)
    })?;
    let state = stage.namespace.path("/var/lib/biomero");
    for folder in ["workflows", "sessions"] {
        let left = std::fs::read_dir(state.join(folder)).into_iter().flatten().flatten().count();
        assert_eq!(left, 0, "{folder}");
    }
    for log in &stage.logs {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        assert!(!text.contains(&own), "{} holds the session's id", log.display());
    }
    let dump = server.psql("end_to_end", "SELECT state FROM biomero_worker_workflow")?;
    assert!(dump.contains("omero:Image:200") && !dump.contains(&own), "{dump}");
    assert_eq!(stage.worker.stop(wait::PATIENCE)?, 0, "{}", stage.said());
    Ok(())
}
