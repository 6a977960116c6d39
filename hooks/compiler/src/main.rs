//! `init-hooks`: compiles site hooks, so that PID 1 need not hold a compiler.

mod command_line;
mod compile;
mod confine;

use std::process::ExitCode;

use clap::Parser as _;

use command_line::{CommandLine, Verb};

fn main() -> ExitCode {
    let done = match CommandLine::parse().verb {
        Verb::Compile(options) => compile::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "the one place where this program says why it failed")]
            {
                eprintln!("init-hooks: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
