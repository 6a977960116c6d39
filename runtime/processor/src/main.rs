//! `processor`: what runs workflows and keeps their history; see ARCHITECTURE.md.

mod api;
mod asked;
mod client;
mod command_line;
mod configuration;
mod database;
mod doctor;
mod ended;
mod events;
mod exit_code;
mod export;
mod grid;
mod import;
mod log;
mod metrics;
mod omero;
mod output;
mod page;
mod personality;
mod progress;
mod serve;
mod slurm;
mod slurm_task;
mod table;
mod traces;
mod workflow;

use std::process::ExitCode;

use biomero_config::Environment;
use clap::Parser as _;

use crate::command_line::{CommandLine, Subject};
use crate::ended::Ended;

fn main() -> ExitCode {
    let environment = Environment::of_this_process();
    // What Python is given is not ours to read.
    if let Some(called) = grid::AsPython::of(std::env::args_os()) {
        return ExitCode::from(called.answer(&environment).unwrap_or_else(|ended| ended.told()));
    }
    let path = environment.get_os("PATH").map(std::ffi::OsString::as_os_str);
    let arguments = match personality::arguments(std::env::args_os(), path) {
        Ok(arguments) => arguments,
        Err(unanswered) => return ExitCode::from(Ended::from(unanswered).told()),
    };
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            let code = if error.use_stderr() { exit_code::USAGE } else { exit_code::SUCCESS };
            // Help and version go to standard output, complaints to standard error: clap knows which.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // A processor has a log of its own.
    if !line.subject.is_of_grid() {
        log::install(line.verbose, matches!(line.subject, Subject::Serve(_)));
    }
    let outcome = match line.subject {
        Subject::Events(events) => events::run(&events, &environment),
        Subject::Slurm(slurm) => slurm::run(&slurm, &environment),
        Subject::Export(asked) => export::export(&asked, &environment),
        Subject::Import(asked) => import::run(&asked, &environment),
        Subject::OmeroZarr(asked) => export::omero_zarr(&asked, &environment),
        Subject::Convert(asked) => export::convert(&asked, &environment),
        Subject::Inspect(asked) => export::inspect(&asked, &environment),
        Subject::Grid(asked) => grid::run(&asked, line.verbose, &environment),
        Subject::Serve(asked) => serve::run(&asked, &environment),
        Subject::Workflow(asked) => workflow::run(&asked, &environment),
        Subject::GridKeeper { json, folder } => grid::keeper(json, &folder),
        Subject::Run(asked) => asked::run(&asked, &environment),
        Subject::Workflows(asked) => asked::list(&asked, &environment),
        Subject::Show(asked) => asked::show(&asked, &environment),
        Subject::Cancel(asked) => asked::cancel(&asked, &environment),
        Subject::Retry(asked) => asked::retry(&asked, &environment),
        Subject::Api(asked) => asked::api(&asked, &environment),
        Subject::Doctor { shape } => doctor::run(&shape, &environment),
        Subject::SlurmTask { state, job, token } => slurm_task::run(&state, &job, &token),
    };
    ExitCode::from(outcome.unwrap_or_else(|ended| ended.told()))
}
