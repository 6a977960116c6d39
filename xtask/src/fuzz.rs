//! `cargo xtask fuzz`: hostile input for every parser of foreign text, for a bounded time.
//!
//! The fuzzer needs compiler flags that are not stable; `RUSTC_BOOTSTRAP` unlocks them for this one build, so that no
//! second toolchain is asked for. What is found lies in `fuzz/artifacts`, with the command that replays it.

use std::fs;
use std::sync::{Mutex, PoisonError};

use crate::command::{cargo, run as run_command, run_apart, succeeds, workspace};
use crate::failure::Failure;
use crate::packages;

/// The fuzz targets, the folder of files that each starts from, and the bytes of an input.
const TARGETS: &[(&str, &str, u32)] = &[
    ("slurm_config", "fuzz/seeds/slurm_config", 4096),
    ("omero_properties", "hooks/src/builtin/omero_properties/golden", 4096),
    ("ssh_keys", "fuzz/seeds/ssh_keys", 4096),
    ("settings", "fuzz/seeds/settings", 4096),
    ("site_hook", "fuzz/seeds/site_hook", 4096),
    ("component", "fuzz/seeds/component", 8192),
    ("component_answer", "fuzz/seeds/component_answer", 4096),
    ("context", "hooks/guests/nat-worker", 8192),
    ("event", "fuzz/seeds/event", 4096),
    ("database_url", "fuzz/seeds/database_url", 1024),
    ("descriptor", "fuzz/seeds/descriptor", 4096),
    ("tiff", "fuzz/seeds/tiff", 4096),
    ("zarr", "fuzz/seeds/zarr", 4096),
    ("ice", "fuzz/seeds/ice", 4096),
    ("omero", "fuzz/seeds/omero", 4096),
];

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
    if !is_installed() {
        run_command(&mut cargo(&["install", "--locked", "--debug", "cargo-fuzz"]))?;
    }
    run_command(cargo(&["fuzz", "build", "--fuzz-dir", "fuzz"]).env("RUSTC_BOOTSTRAP", "1"))?;
    // A fuzzer has one thread: as many run at a time as there are processors.
    let targets = Mutex::new(TARGETS.iter());
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

/// Fuzzes one target, and shows what it said once it has ended.
fn fuzz((target, seeds, length): &(&str, &str, u32), seconds: u32) -> Result<(), Failure> {
    let corpus = workspace().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).map_err(|source| Failure::Start { program: target.to_string(), source })?;
    let corpus = corpus.display().to_string();
    let limit = format!("-max_total_time={seconds}");
    let mut command = cargo(&["fuzz", "run", "--fuzz-dir", "fuzz", target, &corpus, seeds, "--"]);
    command.args([&limit, &format!("-max_len={length}"), "-timeout=20", "-rss_limit_mb=2048"]);
    command.arg("-print_final_stats=1");
    run_apart(command.env("RUSTC_BOOTSTRAP", "1"))
}

/// Removes what the fuzzers were built into: gigabytes that the next run makes again.
pub(crate) fn forget_build() -> Result<(), Failure> {
    let path = workspace().join("fuzz/target");
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::File { action: "remove", path, source })
        }
        _ => Ok(()),
    }
}

/// Whether cargo-fuzz is there.
pub(crate) fn is_installed() -> bool {
    succeeds(&mut cargo(&["fuzz", "--version"]))
}
