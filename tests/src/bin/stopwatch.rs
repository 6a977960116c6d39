//! Measures from one `exec` to another: `stopwatch start COMMAND…` notes the time and becomes the command;
//! `stopwatch stop FILE`, which the command ends in, writes the nanoseconds since then.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::time::{ClockId, clock_gettime};

const STARTED: &str = "STOPWATCH_STARTED";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((verb, [program, rest @ ..])) if verb == "start" => {
            // Only returns on failure.
            let _ = Command::new(program).args(rest).env(STARTED, now().to_string()).exec();
            ExitCode::from(127)
        }
        Some((verb, [file])) if verb == "stop" => {
            let now = now();
            let started = std::env::var(STARTED).ok().and_then(|text| text.parse::<i128>().ok());
            match started.map(|started| std::fs::write(file, (now - started).to_string())) {
                Some(Ok(())) => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::from(2),
    }
}

fn now() -> i128 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
}
