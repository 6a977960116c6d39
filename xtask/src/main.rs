//! What people run: `cargo xtask demo | test | bench | dist | reference`. Each installs what it is missing, so that
//! nothing has to be known beforehand.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the person at the terminal is its purpose"
)]

mod command;
mod dist;
mod failure;
mod packages;
mod test;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test       install what is missing, check and test everything
  dist       build the release binary below target/release and check its size
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["test", options @ ..] => test::run(options),
        ["dist"] => dist::run().map(drop),
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
