//! What asking costs: a hundred commands, and a program's start to its first answer.
//!
//! Both sides connect to the same sshd and run `true` by the same login shell, one after the other; connecting counts.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use biomero_tests::cluster::Access;
use biomero_tests::process;
use biomero_tests::scratch::Scratch;
use biomero_tests::{biomero, wait};

use crate::bench::{Better, Line, line, median};
use crate::failure::Failure;

/// The program that takes our times.
pub(super) const PROGRAM: &str = "cluster_stopwatch";

const TURNS: usize = 5;
const COMMANDS: &str = "100";
const FIRST_ANSWERS: usize = 15;

/// Ours against theirs.
pub(super) fn measure(cluster: &Access, programs: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let config = cluster.ssh_config();
    let ours = |verb: &str| {
        let mut command = Command::new(programs.join(PROGRAM));
        command.arg(verb).arg(&config).arg(cluster.alias()).arg(scratch.path());
        command
    };
    let (mut ours_took, mut theirs_took) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let told = process::succeed(ours("commands").arg(COMMANDS), wait::PATIENCE)?;
        ours_took.push(milliseconds(&told));
        let theirs = [&config.to_string_lossy(), cluster.alias(), COMMANDS];
        theirs_took.push(milliseconds(&biomero::run("fabric_commands.py", &theirs, &[])?));
    }
    let mut first = Vec::new();
    for _ in 0..FIRST_ANSWERS {
        let began = Instant::now();
        process::succeed(&mut ours("first"), wait::PATIENCE)?;
        first.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(vec![
        line("100 commands", median(ours_took), median(theirs_took), "fabric", 5.0, Better::Larger),
        line("start to first answer", median(first), 300.0, "the budget", 1.0, Better::Smaller),
    ])
}

fn milliseconds(told: &str) -> f64 {
    told.trim().parse::<f64>().map_or(f64::NAN, |seconds| seconds * 1e3)
}
