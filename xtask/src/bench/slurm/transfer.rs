//! Two gigabytes there, in one file and in many: ours, with SHA-256 on both ends, and `rsync -a` over the same sshd with the
//! same configuration of ssh, in turns.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use biomero_tests::cluster::{ALIAS, Access};
use biomero_tests::process;
use biomero_tests::scratch::Scratch;

use crate::bench::{Better, Line, line, median};
use crate::failure::Failure;

const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(900);

/// Ours against theirs.
pub(super) fn measure(cluster: &Access, programs: &Path) -> Result<Vec<Line>, Failure> {
    let scratch = Scratch::new()?;
    let control = scratch.folder("control")?;
    let shapes =
        [("2 GiB up, one file", 1, 2_usize << 30), ("2 GiB up, 32,768 files of 64 KiB", 32_768, 64 << 10)];
    let mut lines = Vec::new();
    for (name, count, size) in shapes {
        let source = scratch.folder(&format!("source-{count}"))?;
        fill(&source, count, size)?;
        let work = cluster.workspace()?;
        let (mut ours, mut theirs, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let peak = scratch.path().join("peak");
            let mut up = Command::new(programs.join("peak_memory"));
            up.arg(&peak).arg(programs.join("slurm_transfer")).arg("up").arg(cluster.ssh_config());
            up.arg(&control).arg(&source).arg(format!("{}/ours-{round}", work.name()));
            let mut rsync = Command::new("rsync");
            let shell = format!("ssh -F {}", cluster.ssh_config().display());
            rsync.args(["-a", "-e", &shell]).arg(format!("{}/", source.display()));
            rsync.arg(format!("{ALIAS}:{}/theirs-{round}/", work.name()));
            let mut turns = [(&mut up, &mut ours), (&mut rsync, &mut theirs)];
            if round % 2 == 1 {
                turns.reverse();
            }
            for (command, took) in turns {
                // What the other one has written is not our business. Nothing is removed between turns: ext4 looks long
                // for an inode that was not freed a moment ago.
                nix::unistd::sync();
                took.push(milliseconds(command)?);
            }
            let kib = std::fs::read_to_string(&peak).ok().and_then(|text| text.trim().parse::<f64>().ok());
            peaks.push(kib.unwrap_or(f64::INFINITY) / 1_024.0);
        }
        cluster.run(&format!("rm -rf {}", work.name()))?;
        std::fs::remove_dir_all(&source).map_err(|error| Failure::Unexpected(error.to_string()))?;
        lines.push(line(name, median(ours), median(theirs), "rsync -a", 1.0, Better::Smaller));
        lines.push(Line {
            what: "its peak memory",
            ours: median(peaks),
            other: 32.0,
            unit: "MiB",
            other_is: "the budget",
            limit: 1.0,
            better: Better::Smaller,
        });
    }
    Ok(lines)
}

fn fill(folder: &Path, count: usize, size: usize) -> Result<(), Failure> {
    use std::io::Write as _;
    let failed = |error: std::io::Error| Failure::Unexpected(format!("{}: {error}", folder.display()));
    let block: Vec<u8> = (0..64_usize << 10).map(|at| (at * 31 % 251) as u8).collect();
    for number in 0..count {
        let below = folder.join(format!("{}", number / 1_024));
        std::fs::create_dir_all(&below).map_err(failed)?;
        let mut file = std::fs::File::create(below.join(format!("{number}.raw"))).map_err(failed)?;
        for _ in 0..size / block.len() {
            file.write_all(&block).map_err(failed)?;
        }
    }
    Ok(())
}

fn milliseconds(command: &mut Command) -> Result<f64, Failure> {
    let start = Instant::now();
    process::succeed(command, PATIENCE)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
