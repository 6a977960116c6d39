//! `cargo xtask bench`: the release binary against its peers and its budgets, as ratios from one run.
//!
//! What is compared is run in turns, so that a busy moment of the machine hits all alike, and medians are compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use biomero_tests::namespace::{As, Namespace};
use biomero_tests::process::{self, Running};
use biomero_tests::scratch::Scratch;
use biomero_tests::site_hook::{BANNER, NAT_WORKER, PIP_CONF};
use biomero_tests::worker_root::{self, Deployment, INIT, SERVICE_USER};
use biomero_tests::{binary, wait};

use crate::command::{cargo, run as run_command, workspace};
use crate::failure::Failure;
use crate::{dist, guests, packages, shell_chain};

mod events;
mod export;
mod ice;
mod omero;
mod processor;
mod python;
mod serve;
mod slurm;

const PASSTHROUGH_ROUNDS: usize = 300;
const START_ROUNDS: usize = 40;
const COMPONENT_TURNS: usize = 10;
const COMPONENT_ROUNDS: usize = 30;

/// Where [`Namespace`] finds the stopwatch.
const STOPWATCH: &str = "/opt/biomero/bin/stopwatch";

/// One line of the table.
struct Line {
    what: &'static str,
    ours: f64,
    other: f64,
    unit: &'static str,
    other_is: &'static str,
    /// Ours by theirs may be at most this; for [`Better::Larger`], theirs by ours must be at least this.
    limit: f64,
    better: Better,
}

enum Better {
    /// Ours ÷ other ≤ limit.
    Smaller,
    /// Other ÷ ours ≥ limit.
    Larger,
}

/// Of times in milliseconds.
const fn line(
    what: &'static str,
    ours: f64,
    other: f64,
    other_is: &'static str,
    limit: f64,
    better: Better,
) -> Line {
    Line { what, ours, other, unit: "ms", other_is, limit, better }
}

/// Builds, measures, prints the tables; fails when a budget is missed.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let missed = match options {
        [] => all(false)?,
        ["--shell-chain"] => all(true)?,
        ["init"] => init_section(false)?,
        ["init", "--shell-chain"] => init_section(true)?,
        ["events"] => events_section()?,
        ["slurm"] => slurm_section()?,
        ["export"] => export_section()?,
        ["ice"] => ice_section()?,
        ["omero"] => omero_section()?,
        ["processor"] => processor_section()?,
        ["serve"] => serve_section()?,
        ["python"] => python_section()?,
        other => {
            let other = other.join(" ");
            return Err(Failure::Usage(format!(
                "`bench` does not know `{other}`, but [init|events|slurm|export|ice|omero|processor|serve|python] and, with nothing or init, --shell-chain"
            )));
        }
    };
    if missed.is_empty() {
        return Ok(());
    }
    Err(Failure::Unexpected(format!(
        "over budget: {}; run it again on a quiet machine before you look for why",
        missed.join(", ")
    )))
}

fn all(measure_chain: bool) -> Result<Vec<&'static str>, Failure> {
    let init = init_section(measure_chain)?;
    let images = [export_section()?, ice_section()?, omero_section()?].concat();
    let workflows = [processor_section()?, serve_section()?, python_section()?].concat();
    Ok([init, events_section()?, slurm_section()?, images, workflows].concat())
}

/// The start-up of a container; what is over budget.
fn init_section(measure_chain: bool) -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::DEMO, packages::BENCH])?;
    packages::install_python()?;
    let init = dist::run()?;
    build(&["stopwatch", "component"])?;
    guests::run(&[])?;
    let chain = if measure_chain { shell_chain::measure()? } else { None };
    let mut lines = passthrough(&init)?;
    lines.extend(starts(&init, chain)?);
    lines.extend(component(&init)?);
    lines.extend(memory(&init)?);
    Ok(report(&lines))
}

/// The workflow history; what is over budget.
fn events_section() -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::BENCH])?;
    packages::install_python()?;
    build(&["event_stopwatch"])?;
    Ok(report(&events::measure(&binary::target().join("release/event_stopwatch"))?))
}

/// The cluster; what is over budget.
fn slurm_section() -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::BENCH, packages::CLUSTER])?;
    packages::install_python()?;
    build(slurm::PROGRAMS)?;
    Ok(report(&slurm::measure(&binary::target().join("release"))?))
}

/// Images; what is over budget.
fn export_section() -> Result<Vec<&'static str>, Failure> {
    packages::install_python()?;
    dist::processor()?;
    build(export::PROGRAMS)?;
    Ok(report(&export::measure(&binary::target().join("release"))?))
}

/// Calls over Ice; what is over budget.
fn ice_section() -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::ICE])?;
    build(ice::PROGRAMS)?;
    Ok(report(&ice::measure(&binary::target().join("release"))?))
}

/// Images out of OMERO; what is over budget.
fn omero_section() -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::ICE])?;
    packages::install_python()?;
    dist::processor()?;
    Ok(report(&omero::measure(&binary::target().join("release"))?))
}

/// Processor-0; what is over budget.
fn processor_section() -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::DEMO, packages::ICE])?;
    let processor = dist::processor()?;
    Ok(report(&processor::measure(&processor)?))
}

/// Workflows; what is over budget.
fn serve_section() -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::BENCH, packages::CLUSTER])?;
    dist::processor()?;
    build(serve::PROGRAMS)?;
    Ok(report(&serve::measure(&binary::target().join("release"))?))
}

/// What scripts import; what is over budget.
fn python_section() -> Result<Vec<&'static str>, Failure> {
    packages::install(&[packages::BENCH])?;
    packages::install_python()?;
    let processor = dist::processor()?;
    Ok(report(&python::measure(&processor)?))
}

/// Programs that measure, as the people who use what is measured would build theirs.
fn build(programs: &[&str]) -> Result<(), Failure> {
    let mut build = cargo(&["build", "--release", "--locked", "--package", "biomero-tests"]);
    build.args(programs.iter().flat_map(|program| ["--bin", program]));
    run_command(&mut build)
}

/// One program through each of the inits, from spawn to reaped.
fn passthrough(init: &Path) -> Result<Vec<Line>, Failure> {
    let init = init.to_string_lossy();
    let contenders: [&[&str]; 4] = [
        &[&init, "--no-hooks", "--", "/bin/true"],
        &["tini", "-s", "--", "/bin/true"],
        &["dumb-init", "/bin/true"],
        &["/bin/true"],
    ];
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..PASSTHROUGH_ROUNDS {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let mut command = Command::new(contender[0]);
            command.args(&contender[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let start = Instant::now();
            let status =
                command.status().map_err(|source| Failure::Start { program: contender[0].into(), source })?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if !status.success() {
                return Err(Failure::Ended { command: contender.join(" "), status });
            }
        }
    }
    let [ours, tini, dumb_init, bare] = times.map(median);
    let against = |what, other, other_is, limit| line(what, ours, other, other_is, limit, Better::Smaller);
    Ok(vec![
        against("init --no-hooks -- true", tini, "tini -- true", 1.5),
        against("init --no-hooks -- true", dumb_init, "dumb-init true", f64::INFINITY),
        against("init --no-hooks -- true", bare, "true, no init", f64::INFINITY),
    ])
}

/// All built-in hooks on a worker's configuration, from the exec of `init` to the exec of its service.
fn starts(init: &Path, measured_chain: Option<Duration>) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let namespace = worker(&scratch, init, &[])?;
    let root = namespace.root();
    let pristine = scratch.path().join("pristine");
    copy(root, &pristine)?;
    let result = namespace.path("/tmp/stopwatch");
    let mut first = Vec::new();
    let mut again = Vec::new();
    for _ in 0..START_ROUNDS {
        restore(&pristine, root)?;
        for times in [&mut first, &mut again] {
            let mut command =
                namespace.command(&[STOPWATCH, "start", INIT, "--", STOPWATCH, "stop", "/tmp/stopwatch"]);
            process::succeed(&mut command, wait::PATIENCE)?;
            let nanoseconds = std::fs::read_to_string(&result).map_err(|source| Failure::File {
                action: "read",
                path: result.clone(),
                source,
            })?;
            times.push(nanoseconds.trim().parse::<f64>().unwrap_or(f64::NAN) / 1e6);
        }
    }
    let (first, again) = (median(first), median(again));
    let (chain, chain_is) = match measured_chain {
        Some(time) => (time, "the shell chain (measured)"),
        None => (shell_chain::RECORDED, "the shell chain (recorded)"),
    };
    let chain = chain.as_secs_f64() * 1e3;
    Ok(vec![
        line("first start: hooks to service", first, 25.0, "the budget", 1.0, Better::Smaller),
        line("restart: hooks to service", again, 25.0, "the budget", 1.0, Better::Smaller),
        line("first start: hooks to service", first, chain, chain_is, 200.0, Better::Larger),
    ])
}

/// A site's hook as a component, from the cache to its effects, and the same as a script, from spawn to its end.
fn component(init: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let mut measured = Command::new(init.with_file_name("component"));
    measured.arg(COMPONENT_ROUNDS.to_string()).arg(NAT_WORKER.built()?);
    measured.args(["hook.toml", "context.json"].map(|name| NAT_WORKER.source(name)));
    measured.arg(scratch.path().join("cache")).arg(binary::compiler()?);
    let (mut components, mut scripts) = (Vec::new(), Vec::new());
    for _ in 0..COMPONENT_TURNS {
        let answer = process::succeed(&mut measured, wait::PATIENCE)?;
        components.push(
            answer
                .split_whitespace()
                .map(|nanoseconds| nanoseconds.parse::<f64>().unwrap_or(f64::NAN) / 1e6)
                .collect::<Vec<_>>(),
        );
        for _ in 0..COMPONENT_ROUNDS {
            let mut script = Command::new("bash");
            script.arg(workspace().join("tests/fixtures/nat-worker.sh"));
            script.args(["/opt/omero/server/OMERO.server", "biomeroworker", "4062"]);
            script.env("BIOMERO_PUBLIC_ADDRESS", "203.0.113.7").stdout(Stdio::null());
            let start = Instant::now();
            let status =
                script.status().map_err(|source| Failure::Start { program: "bash".into(), source })?;
            scripts.push(start.elapsed().as_secs_f64() * 1e3);
            if !status.success() {
                return Err(Failure::Ended { command: "bash nat-worker.sh".into(), status });
            }
        }
    }
    let nth = |n: usize| median(components.iter().filter_map(|medians| medians.get(n).copied()).collect());
    let (found, planned, script) = (nth(0), nth(1), median(scripts));
    Ok(vec![
        line("component: load to effects", planned, 1.0, "the budget", 1.0, Better::Smaller),
        line("component: load to effects", planned, script, "the same as a bash script", 1.0, Better::Larger),
        line("component: its file, its pin", found, script, "that script", f64::INFINITY, Better::Smaller),
    ])
}

/// What stays resident while one service is supervised, after all hooks have run.
fn memory(init: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let namespace = worker(&scratch, init, &[])?;
    let ours = resident_while_supervising(&namespace)?;
    let with_components = memory_after_components(init)?;

    let mut tini = Command::new("tini");
    tini.args(["-s", "--", "/bin/sleep", "1000"]);
    let mut tini = Running::start("tini", tini, &scratch.path().join("tini.log"))?;
    wait::until("tini's child", wait::PATIENCE, &[tini.log()], || {
        process::children(tini.id()).first().copied()
    })?;
    let theirs = resident(tini.id().as_raw())?;
    tini.stop(wait::PATIENCE)?;

    let against = |other, other_is, limit| Line {
        what: "resident while supervising",
        ours,
        other,
        unit: "MB",
        other_is,
        limit,
        better: Better::Smaller,
    };
    Ok(vec![
        Line {
            what: "the same after 3 components",
            ours: with_components,
            ..against(8.0, "the budget", 1.0)
        },
        against(8.0, "the budget", 1.0),
        against(theirs, "tini", f64::INFINITY),
        against(31.0, "supervisord (recorded)", 1.0),
    ])
}

/// Of `init` with one service, once that runs.
fn resident_while_supervising(namespace: &Namespace) -> Result<f64, Failure> {
    let mut worker = namespace.start(&["--", "/bin/sleep", "1000"])?;
    let supervised = worker.init()?;
    wait::until("the service", wait::PATIENCE, &[namespace.log()], || {
        worker.processes().iter().any(|name| name == "sleep").then_some(())
    })?;
    let resident = resident(supervised.as_raw())?;
    worker.stop(wait::PATIENCE)?;
    Ok(resident)
}

/// The same, when three components have run: compiled in this start, and from the cache in the next one, which is
/// measured.
fn memory_after_components(init: &Path) -> Result<f64, Failure> {
    let scratch = Scratch::new()?;
    let variables = [("BIOMERO_SITE", "Example University"), ("BIOMERO_PUBLIC_ADDRESS", "203.0.113.7")];
    let namespace = worker(&scratch, init, &variables)?;
    let cache = namespace.path("/var/cache/biomero/hooks");
    std::fs::create_dir_all(&cache).map_err(|source| Failure::File {
        action: "make",
        path: cache.clone(),
        source,
    })?;
    worker_root::give(&cache, SERVICE_USER)?;
    for example in [NAT_WORKER, BANNER, PIP_CONF] {
        example.install(&example.built()?, namespace.root())?;
    }
    namespace.run(&["--", "/bin/true"], wait::PATIENCE)?.exits(0)?;
    let resident = resident_while_supervising(&namespace)?;
    let ran = namespace.run(&["hooks"], wait::PATIENCE)?.exits(0)?.output;
    if ran.matches("ok, ").count() != 3 {
        return Err(Failure::Unexpected(format!("not all three components ran:\n{ran}")));
    }
    Ok(resident)
}

/// A worker as NL-BIOMERO deploys it, without a start-up script of its own: what `init` itself does is measured.
fn worker(scratch: &Scratch, init: &Path, variables: &[(&str, &str)]) -> Result<Namespace, Failure> {
    let mut deployment = Deployment::internal(4061);
    deployment
        .variables
        .extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    let stopwatch = init.with_file_name("stopwatch");
    for (program, place) in [(init, INIT), (stopwatch.as_path(), STOPWATCH)] {
        let place = namespace.path(place);
        // The build under test may be linked there: write beside it, not through the link.
        let _ = std::fs::remove_file(&place);
        std::fs::copy(program, &place).map_err(|source| Failure::File {
            action: "write",
            path: place,
            source,
        })?;
    }
    let script = namespace.path("/startup/20-site.sh");
    std::fs::remove_file(&script).map_err(|source| Failure::File {
        action: "remove",
        path: script,
        source,
    })?;
    Ok(namespace)
}

/// Puts the folders that `init` writes in back to what the image and the deployment give.
fn restore(pristine: &Path, root: &Path) -> Result<(), Failure> {
    for folder in ["opt/omero", "run", "tmp"] {
        let path = root.join(folder);
        std::fs::remove_dir_all(&path).map_err(|source| Failure::File { action: "clear", path, source })?;
        copy(&pristine.join(folder), &root.join(folder))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut copy = Command::new("cp");
    copy.args(["-a", "--no-target-directory"]).arg(from).arg(to);
    process::succeed(&mut copy, wait::PATIENCE)?;
    Ok(())
}

/// `VmRSS` in megabytes.
fn resident(id: i32) -> Result<f64, Failure> {
    let path = PathBuf::from(format!("/proc/{id}/status"));
    let status = std::fs::read_to_string(&path).map_err(|source| Failure::File {
        action: "read",
        path: path.clone(),
        source,
    })?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok())
        .map(|kilobytes| kilobytes / 1000.0)
        .ok_or_else(|| Failure::Unexpected(format!("{} has no VmRSS", path.display())))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Prints the table; what is over budget.
fn report(lines: &[Line]) -> Vec<&'static str> {
    println!("\n{:<32} {:>10}    {:<38} {:>8}  verdict", "what", "ours", "against", "ratio");
    let mut missed = Vec::new();
    for line in lines {
        let Line { what, ours, other, unit, other_is, limit, .. } = line;
        let (ratio, met, sign) = match line.better {
            Better::Smaller => (ours / other, ours / other <= *limit, "≤"),
            Better::Larger => (other / ours, other / ours >= *limit, "≥"),
        };
        let verdict = match (limit.is_finite(), met) {
            (false, _) => String::new(),
            (true, true) => format!("ok, {sign} {limit}"),
            (true, false) => format!("MISSED, {sign} {limit}"),
        };
        if limit.is_finite() && !met {
            missed.push(*what);
        }
        let against = format!("{other:.2} {unit}  {other_is}");
        println!("{what:<32} {ours:>7.2} {unit:<2}    {against:<38} {ratio:>7.2}×  {verdict}");
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "\nmedians of interleaved runs on {cores} cores, load {}; {}",
        load.split(' ').next().unwrap_or("?"),
        binary::target().join("release").display()
    );
    missed
}
