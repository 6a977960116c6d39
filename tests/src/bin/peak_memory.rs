//! Runs a command and notes the most memory that it had: `peak_memory FILE COMMAND…` writes KiB to FILE. That of the
//! programs it waited for counts too; the exit code is the command's.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode};

use nix::sys::resource::{UsageWho, getrusage};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, program, rest @ ..] = arguments.as_slice() else { return ExitCode::from(2) };
    let Ok(status) = Command::new(program).args(rest).status() else { return ExitCode::from(127) };
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss());
    if std::fs::write(file, peak.to_string()).is_err() {
        return ExitCode::from(2);
    }
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
