//! Processor-0 in a real grid, started and stopped by a real node: how long until it is `active`, what it holds while it waits,
//! how long it takes to end.
//!
//! OMERO's own cannot be installed everywhere: it took 11.6 s and held 76 MB where it was measured (10 s of it a fixed wait). Here a
//! server stands for it that has nothing but Ice for Python: what no processor in Python is below.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use biomero_tests::jobs::Jobs;
use biomero_tests::process::Running;
use biomero_tests::scratch::Scratch;
use biomero_tests::{binary, wait, worker_root};

use super::{Better, Line, line, median, resident};
use crate::failure::Failure;

const TURNS: usize = 7;
/// IceGrid starts no server as root.
const NOBODY: u32 = 65534;
const OURS: &str = "Processor-0";
const PYTHON: &str = "Processor-1";

/// Both, started only when somebody asks for them.
const APPLICATION: &str = r#"<icegrid><application name="OMERO"><node name="worker">
<server id="Processor-0" exe="@ours@" activation="manual" pwd="@folder@">
<option>grid-python</option><option>shim/python</option><option>runProcessor.py</option>
<adapter name="ProcessorAdapter" endpoints="tcp -h 127.0.0.1"/></server>
<server id="Processor-1" exe="/usr/bin/python3" activation="manual" pwd="@folder@">
<option>runProcessor.py</option>
<adapter name="ProcessorAdapter" endpoints="tcp -h 127.0.0.1"/></server>
</node></application></icegrid>
"#;

/// All of it. `processor`: the finished program.
pub(super) fn measure(processor: &Path) -> Result<Vec<Line>, Failure> {
    let mut jobs = Jobs::start()?;
    let scratch = Scratch::new()?;
    let mut node = node(&jobs, &scratch, processor)?;
    wait::until("the node", wait::PATIENCE, &[node.log()], || {
        jobs.registry().ok()?.ask("node ping worker").is_ok_and(|said| said.contains("up")).then_some(())
    })?;
    let (mut start, mut stop, mut memory) = ([vec![], vec![]], [vec![], vec![]], [vec![], vec![]]);
    for _ in 0..TURNS {
        for (which, server) in [OURS, PYTHON].into_iter().enumerate() {
            // What the administrator's program costs itself.
            let asked = timed(&jobs, "node ping worker")?;
            start[which].push((timed(&jobs, &format!("server start {server}"))? - asked).max(0.0));
            if server == OURS {
                jobs.knows_the_processor(&[node.log()])?;
            }
            std::thread::sleep(Duration::from_millis(300));
            let pid = jobs.registry()?.ask(&format!("server pid {server}"))?;
            let pid =
                pid.trim().parse().map_err(|_| Failure::Unexpected(format!("`{pid}` is no process")))?;
            memory[which].push(resident(pid)?);
            stop[which].push((timed(&jobs, &format!("server stop {server}"))? - asked).max(0.0));
        }
    }
    timed(&jobs, &format!("server start {OURS}"))?;
    let begun = Instant::now();
    node.stop(wait::PATIENCE)?;
    let whole = begun.elapsed().as_secs_f64() * 1e3;
    let [start, python_start] = start.map(median);
    let [stop, python_stop] = stop.map(median);
    let [memory, python_memory] = memory.map(median);
    let megabytes = |other, other_is, limit| Line {
        what: "resident, no script runs",
        ours: memory,
        other,
        unit: "MB",
        other_is,
        limit,
        better: Better::Smaller,
    };
    let times =
        |what, ours, other, other_is, limit| line(what, ours, other, other_is, limit, Better::Smaller);
    Ok(vec![
        times("start to active", start, 300.0, "the budget", 1.0),
        times("start to active", start, python_start, "bare Ice for Python", 1.0),
        times("start to active", start, 11_600.0, "OMERO's own (recorded)", 1.0),
        times("stop", stop, 2000.0, "the budget", 1.0),
        times("stop", stop, python_stop, "bare Ice for Python", f64::INFINITY),
        times("stop of the node, ours active", whole, 2000.0, "the budget", 1.0),
        times("stop of the node, ours active", whole, 2_200.0, "OMERO's own (recorded)", 1.0),
        megabytes(15.0, "the budget", 1.0),
        megabytes(python_memory, "bare Ice for Python", 1.0),
        megabytes(76.0, "OMERO's own (recorded)", 1.0),
    ])
}

fn timed(jobs: &Jobs, command: &str) -> Result<f64, Failure> {
    let start = Instant::now();
    jobs.registry()?.ask(command)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// A node that knows both servers.
fn node(jobs: &Jobs, scratch: &Scratch, processor: &Path) -> Result<Running, Failure> {
    let folder = scratch.folder("omero")?;
    let ours = folder.join("processor");
    let copied = std::fs::copy(processor, &ours).and_then(|_| {
        let python = binary::workspace().join("tests/fixtures/grid/runProcessor.py");
        std::fs::copy(python, folder.join("runProcessor.py"))
    });
    copied.map_err(|source| Failure::File { action: "copy to", path: folder.clone(), source })?;
    let application =
        APPLICATION.replace("@ours@", &ours.to_string_lossy()).replace("@folder@", &folder.to_string_lossy());
    let file = scratch.path().join("application.xml");
    std::fs::write(&file, application).map_err(|source| Failure::File {
        action: "write",
        path: file.clone(),
        source,
    })?;
    jobs.registry()?.ask(&format!("application add '{}'", file.display()))?;
    let data = scratch.folder("omero/node")?;
    worker_root::give(&folder, NOBODY)?;

    let mut command = Command::new("icegridnode");
    if nix::unistd::geteuid().is_root() {
        command = Command::new("setpriv");
        command.args([
            &format!("--reuid={NOBODY}"),
            &format!("--regid={NOBODY}"),
            "--clear-groups",
            "icegridnode",
        ]);
    }
    command.arg("--nochdir").args([
        format!("--Ice.Default.Locator=IceGrid/Locator:tcp -h 127.0.0.1 -p {}", jobs.registry()?.port()),
        "--IceGrid.Node.Name=worker".to_owned(),
        "--IceGrid.Node.Endpoints=tcp -h 127.0.0.1".to_owned(),
        format!("--IceGrid.Node.Data={}", data.display()),
    ]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &folder);
    command.envs([
        ("CONFIG_omero_master_host", "127.0.0.1".to_owned()),
        ("BIOMERO_INIT_PROCESSOR__RUNS", folder.join("runs").display().to_string()),
    ]);
    command.envs(jobs.deployment().variables);
    Ok(Running::start("icegridnode", command, &scratch.path().join("node.log"))?)
}
