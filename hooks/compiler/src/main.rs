//! `init-hooks`: compiles site hooks, so that PID 1 need not hold a compiler; and makes components, so that a site's
//! engineer needs no further tool.

mod bindings;
mod command_line;
mod compile;
mod componentize;
mod confine;
mod interface;

use std::error::Error;
use std::process::ExitCode;

use biomero_hooks::component::readable;
use clap::Parser as _;

use command_line::{CommandLine, Verb};

fn main() -> ExitCode {
    let done = match CommandLine::parse().verb {
        Verb::Compile(options) => compile::run(&options).map_err(Box::<dyn Error>::from),
        Verb::Componentize(options) => componentize::run(&options).map_err(Box::from),
        Verb::Bindings(options) => bindings::run(&options).map_err(Box::from),
        Verb::Interfaces(options) => interface::run(&options).map_err(Box::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The file may have a say in what is wrong with it.
            for line in error.to_string().lines().take(20) {
                #[allow(clippy::print_stderr, reason = "the one place where this program says why it failed")]
                {
                    eprintln!("init-hooks: {}", readable(line, 1000));
                }
            }
            ExitCode::FAILURE
        }
    }
}
