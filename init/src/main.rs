//! `init`: PID 1 of a BIOMERO worker. Hooks first, then services; see ARCHITECTURE.md.

mod command_line;
mod control;
mod exit_code;
mod hooks;
mod identity;
mod log;
mod machine;
mod output;
mod passthrough;
mod personality;
mod reaper;
mod show;
mod signals;
mod spawn;
mod start;
mod supervise;

use std::process::ExitCode;

use biomero_config::Environment;
use clap::Parser as _;

use crate::command_line::{CommandLine, Verb};

fn main() -> ExitCode {
    let environment = Environment::of_this_process();
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(personality) = arguments.first().and_then(|name| personality::from_argv0(name)) {
        return ExitCode::from(personality.main(&arguments, &environment));
    }
    let line = match CommandLine::try_parse_from(arguments).and_then(CommandLine::check) {
        Ok(line) => line,
        Err(error) => {
            let code = if error.use_stderr() { exit_code::USAGE } else { exit_code::SUCCESS };
            // Help and version go to standard output, complaints to standard error: clap knows which.
            let _ = error.print();
            if error.kind() == clap::error::ErrorKind::UnknownArgument {
                output::hint(
                    "a program to run in place of the services stands behind two dashes: init -- PROGRAM",
                );
            }
            return ExitCode::from(code);
        }
    };
    let common = line.common;
    ExitCode::from(match line.subcommand {
        None if line.start.dry_run => show::dry_run(&common, &line.start, &environment),
        None => start::start(&common, &line.start, &environment),
        Some(Verb::Apply) => start::apply_only(&common, &environment),
        Some(Verb::Config { json }) => show::config(&common, &environment, json),
        Some(Verb::Hooks { work: None, json }) => hooks::list(&common, &environment, json),
        Some(Verb::Hooks { work: Some(work), .. }) => hooks::work(&common, &environment, &work),
        Some(Verb::Verify { json }) => show::verify(&common, &environment, json),
        Some(Verb::SlurmConfig { origin, json }) => show::slurm_config(&common, &environment, origin, json),
        Some(Verb::Status { main, json }) => show::status(&common, &environment, main, json),
        Some(Verb::Restart { service }) => show::control(&common, &environment, "restart", &service),
        Some(Verb::Stop { service }) => show::control(&common, &environment, "stop", &service),
        Some(Verb::Start { service }) => show::control(&common, &environment, "start", &service),
    })
}
