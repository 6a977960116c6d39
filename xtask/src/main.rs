//! What people run: `cargo xtask demo | test | bench | fuzz | guests | dist | reference`. Each installs what it is
//! missing, so that nothing has to be known beforehand.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the person at the terminal is its purpose"
)]

mod bench;
mod command;
mod demo;
mod dist;
mod failure;
mod fuzz;
mod guests;
mod packages;
mod reference;
mod shell_chain;
mod test;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo       start a worker in a container of its own and look at it; Ctrl-C stops it
             --once: look, stop, and leave
  test       install what is missing, check and test everything
             --install-tools: also compile the cargo tools that are missing, as CI does
  bench      measure the release binaries against their peers and budgets
             init, events, slurm, export, ice, omero, processor, serve, python: only that
             --shell-chain: also install omero-py and measure today's start-up scripts
  fuzz       hostile input for every parser, 20 seconds each
             --seconds N: for so long
  guests     build the example site hooks, as components in target/guests
             --test: run their unit tests too
  dist       build the release binaries below target/release and check their sizes
  reference  write docs/settings.md and docs/command-line.md from the code
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["demo", options @ ..] => demo::run(options),
        ["test", options @ ..] => test::run(options),
        ["bench", options @ ..] => bench::run(options),
        ["fuzz", options @ ..] => fuzz::run(options),
        ["guests", options @ ..] => guests::run(options),
        ["dist"] => dist::run().map(drop),
        ["reference"] => reference::run(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::Usage(format!("`{}` is not a command of xtask\n\n{USAGE}", arguments.join(" ")))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
