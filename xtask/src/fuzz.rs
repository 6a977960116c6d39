//! `cargo xtask fuzz`: hostile input for every parser of foreign text, for a bounded time.
//!
//! Coverage steers it: our own crates are compiled once more with counters (`fuzz/instrumented`), what they are built from
//! is what the tests have. What is found lies in `fuzz/artifacts`, with the command that replays it.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use biomero_tests::binary;

use crate::command::{cargo, output, run as run_command, run_apart, workspace};
use crate::failure::Failure;
use crate::packages;

/// Says to the fuzzer which target it feeds.
const TARGET: &str = "BIOMERO_FUZZ_TARGET";

/// Seconds for each target where none are given.
pub(crate) const SECONDS: u32 = 20;

/// Fuzzes each target for so many seconds.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let seconds = match options {
        [] => SECONDS,
        ["--seconds", number] => number
            .parse()
            .map_err(|_| Failure::Usage(format!("`--seconds {number}`: give a whole number")))?,
        _ => return Err(Failure::Usage("`fuzz` knows one option, --seconds N".to_owned())),
    };
    packages::install(&[packages::FUZZ])?;
    run_command(
        cargo(&[
            "build",
            "--workspace",
            "--locked",
            "--features",
            "biomero-fuzz/fuzzer",
            "--example",
            "fuzzer",
        ])
        .env("RUSTC_WORKSPACE_WRAPPER", workspace().join("fuzz/instrumented")),
    )?;
    let listed = output(fuzzer().env(TARGET, "list"))?;
    let targets = Mutex::new(listed.lines());
    // A fuzzer has one thread: as many run at a time as there are processors.
    let next = || targets.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut all = Ok(());
        while let Some(target) = next() {
            all = all.and(fuzz(target, seconds));
        }
        all
    };
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let ended = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker
                .join()
                .unwrap_or_else(|_| Err(Failure::Unexpected("a thread of the fuzzers panicked".to_owned())))
        };
        workers.into_iter().map(ended).fold(Ok(()), Result::and)
    })
}

/// Fuzzes one target, as the fuzzer lists it, and shows what it said once it has ended.
fn fuzz(listed: &str, seconds: u32) -> Result<(), Failure> {
    let mut columns = listed.split('\t');
    let mut column = || columns.next().unwrap_or_default();
    let (target, seeds, longest) = (column(), column(), column());
    let folder = |name: &str| {
        let path = workspace().join("fuzz").join(name).join(target);
        fs::create_dir_all(&path).map_err(|source| Failure::File {
            action: "make",
            path: path.clone(),
            source,
        })?;
        Ok::<_, Failure>(path)
    };
    let (corpus, artifacts) = (folder("corpus")?, folder("artifacts")?);
    let mut command = fuzzer();
    command.env(TARGET, target).arg(corpus).arg(seeds);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={longest}")]);
    run_apart(command.args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])).inspect_err(|_| {
        let fuzzer = command.get_program().display().to_string();
        eprintln!(
            "what was found lies in {}; the same again: {TARGET}={target} {fuzzer} FILE",
            artifacts.display()
        );
    })
}

/// The fuzzer that was built.
fn fuzzer() -> Command {
    let mut command = Command::new(binary::target().join("debug/examples/fuzzer"));
    command.current_dir(workspace());
    command
}
