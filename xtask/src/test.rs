//! `cargo xtask test`: everything that must hold before a change lands, in one command.
//!
//! Every step runs, whatever became of those before it, and one table at the end says what to look at. The release is
//! built beside the first of them: its linker optimises on one processor, for minutes.

use std::time::{Duration, Instant};

use biomero_tests::binary;
use biomero_tests::cluster::{self, Cluster};
use biomero_tests::scratch::Scratch;

use nix::sys::statvfs::statvfs;

use crate::command::{cargo, run as run_command, succeeds, workspace};
use crate::failure::Failure;
use crate::{demo, dist, fuzz, guests, packages};

type Step = (&'static str, fn(&Options) -> Result<Outcome, Failure>);

/// What a step came to, and how long it took.
type Ended = (&'static str, Result<Outcome, Failure>, Duration);

/// `processor` as it is released takes ten minutes more, and its budget has room: `cargo xtask dist` builds it too.
const RELEASE: Step = ("release builds and their sizes", |_| done(dist::smallest()));

/// What needs nothing of the release.
const BESIDE_RELEASE: &[Step] = &[
    ("format", |_| done(run_command(&mut cargo(&["fmt", "--all", "--check"])))),
    ("lints", |_| {
        done(run_command(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ])))
    }),
    ("documentation", |_| {
        let arguments = ["doc", "--workspace", "--no-deps", "--locked"];
        done(run_command(cargo(&arguments).env("RUSTDOCFLAGS", "--deny warnings")))
    }),
    ("licences and sources", licences),
];

const STEPS: &[Step] = &[
    ("no compiler in init", |_| done(dist::without_compiler())),
    ("demo", |_| done(demo::run(&["--once"]))),
    ("hostile input", |_| done(fuzz::run(&[]))),
    ("site hooks", |_| done(guests::run(&["--test"]))),
    ("tests", |_| tests()),
];

struct Options {
    /// Compile and install what cargo can install, although it takes minutes.
    install_tools: bool,
}

enum Outcome {
    Passed,
    Skipped(&'static str),
}

/// Runs every step, then shows one table.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let mut chosen = Options { install_tools: std::env::var_os("CI").is_some() };
    for option in options {
        match *option {
            "--install-tools" => chosen.install_tools = true,
            other => {
                return Err(Failure::Usage(format!(
                    "`test` has no option `{other}`; it knows --install-tools"
                )));
            }
        }
    }
    binary::as_for_tests();
    packages::install(&[
        packages::DEMO,
        packages::CLUSTER,
        packages::ICE,
        packages::BROWSER,
        packages::TEST,
    ])?;
    packages::install_python()?;
    let mut results: Vec<Ended> = std::thread::scope(|scope| {
        let release = scope.spawn(|| take(&RELEASE, &chosen));
        let mut ended: Vec<Ended> = BESIDE_RELEASE.iter().map(|step| take(step, &chosen)).collect();
        ended.push(release.join().unwrap_or_else(|_| {
            let failure = Failure::Unexpected("the thread of the release panicked".to_owned());
            (RELEASE.0, Err(failure), Duration::ZERO)
        }));
        ended
    });
    results.extend(STEPS.iter().map(|step| take(step, &chosen)));
    summarise(&results)
}

/// Takes one step; says what it is, how much room there is for it, and at once what it failed of.
fn take((name, step): &Step, options: &Options) -> Ended {
    let room = statvfs(&workspace()).map_or(0, |disk| (disk.blocks_available() * disk.fragment_size()) >> 30);
    println!("\n==> {name} ({room} GiB of disk are free)");
    let start = Instant::now();
    let result = step(options);
    if let Err(failure) = &result {
        eprintln!("xtask: {name}: {failure}");
    }
    (name, result, start.elapsed())
}

fn done<T>(result: Result<T, Failure>) -> Result<Outcome, Failure> {
    result.map(|_| Outcome::Passed)
}

fn tests() -> Result<Outcome, Failure> {
    let arguments: &[&str] = if succeeds(&mut cargo(&["nextest", "--version"])) {
        &["nextest", "run", "--workspace", "--locked"]
    } else {
        &["test", "--workspace", "--locked", "--no-fail-fast"]
    };
    let mut command = cargo(arguments);
    // What is shipped is what the black-box tests run; the workspace's own debug build of it holds the features of
    // all its members.
    command.envs(dist::finished());
    // nextest runs each test in a process of its own; one cluster serves all of them. It goes before its folder does.
    let scratch = Scratch::new()?;
    let _cluster = Cluster::start(scratch.path(), &cluster::Options::default())?;
    command.env(cluster::CLUSTER_VARIABLE, scratch.path());
    done(run_command(&mut command))
}

/// Advisories are left out: their database is a git repository that an offline machine cannot reach, and a build
/// must not turn red because of one.
fn licences(options: &Options) -> Result<Outcome, Failure> {
    if !succeeds(&mut cargo(&["deny", "--version"])) {
        if !options.install_tools {
            return Ok(Outcome::Skipped(
                "cargo-deny is not installed; `cargo xtask test --install-tools` compiles it",
            ));
        }
        run_command(&mut cargo(&["install", "--locked", "--debug", "cargo-deny"]))?;
    }
    done(run_command(&mut cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"])))
}

fn summarise(results: &[Ended]) -> Result<(), Failure> {
    println!("\n==> summary");
    for (name, result, took) in results {
        let verdict = match result {
            Ok(Outcome::Passed) => "ok".to_owned(),
            Ok(Outcome::Skipped(reason)) => format!("skipped: {reason}"),
            Err(failure) => format!("FAILED: {failure}"),
        };
        println!("{name:<28} {:>6.1} s  {verdict}", took.as_secs_f64());
    }
    let failed: Vec<&str> =
        results.iter().filter(|(_, result, _)| result.is_err()).map(|(name, _, _)| *name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Steps { failed: failed.len(), total: results.len(), names: failed.join(", ") })
}
