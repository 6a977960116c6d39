//! Ice calls against ZeroC's runtime and against plain TCP.
//!
//! Both clients ping the same server, which is ZeroC's: the difference is theirs. Long replies go between two ends of ours,
//! as they would between two ends of a socket that is asked with one byte.

use std::path::Path;
use std::process::Command;

use biomero_tests::ice::{Server, script};
use biomero_tests::process;
use biomero_tests::scratch::Scratch;
use biomero_tests::wait;

use super::{Better, Line, line, median};
use crate::failure::Failure;

/// The programs that take the times.
pub(super) const PROGRAMS: &[&str] = &["ice_stopwatch"];

const TURNS: usize = 5;
const PINGS: &str = "10000";
const LENGTH: &str = "1048576";
const REPLIES: &str = "500";

/// All of it. `programs`: the folder of the finished programs.
pub(super) fn measure(programs: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let stopwatch = programs.join("ice_stopwatch");
    let theirs = Server::start(scratch.path(), &[])?;
    let mut serve = Command::new(&stopwatch);
    serve.arg("serve");
    let ours = Server::run("ice_stopwatch", serve, scratch.path())?;
    let (mut pings, mut python) = (Vec::new(), Vec::new());
    let (mut replies, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        pings.push(milliseconds(Command::new(&stopwatch).args(["ping", theirs.proxy(), PINGS]))?);
        python.push(milliseconds(script("pings.py").args([theirs.proxy(), PINGS]))?);
        replies.push(milliseconds(Command::new(&stopwatch).args(["fetch", ours.proxy(), LENGTH, REPLIES]))?);
        copies.push(milliseconds(Command::new(&stopwatch).args(["copy", LENGTH, REPLIES]))?);
    }
    let [pings, python, replies, copies] = [pings, python, replies, copies].map(median);
    Ok(vec![
        line("10,000 Ice pings", pings, python, "Ice for Python", 1.0, Better::Smaller),
        // Four fifths of its throughput.
        line(
            "500 getTile of 1 MiB over Ice",
            replies,
            copies,
            "plain TCP, a byte asks",
            1.25,
            Better::Smaller,
        ),
    ])
}

fn milliseconds(command: &mut Command) -> Result<f64, Failure> {
    let answer = process::succeed(command, wait::PATIENCE)?;
    let nanoseconds: f64 = answer
        .trim()
        .parse()
        .map_err(|_| Failure::Unexpected(format!("`{}` is no number of nanoseconds", answer.trim())))?;
    Ok(nanoseconds / 1e6)
}
