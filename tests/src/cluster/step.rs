//! The processes of a cluster's jobs. Each step has a `slurmstepd`, which outlives slurmd by design: it is known by the
//! configuration in its environment.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::children;

/// Kills the steps of the cluster whose files are below `folder`, with all that they run.
pub(super) fn end(folder: &Path) {
    for process in steps(folder) {
        let _ = kill(process, Signal::SIGKILL);
    }
}

fn steps(folder: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_step = |id: &i32| {
        std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "slurmstepd")
            && configuration(*id).is_some_and(|path| is_below(&path, folder))
    };
    let mut found: Vec<Pid> = ids.filter(is_step).map(Pid::from_raw).collect();
    let mut looked_at = 0;
    while let Some(process) = found.get(looked_at) {
        let below = children(*process);
        found.extend(below.into_iter().filter(|child| !found.contains(child)).collect::<Vec<_>>());
        looked_at += 1;
    }
    found
}

fn configuration(process: i32) -> Option<Vec<u8>> {
    let environment = std::fs::read(format!("/proc/{process}/environ")).ok()?;
    let mut pairs = environment.split(|byte| *byte == 0);
    pairs.find_map(|pair| pair.strip_prefix(b"SLURM_CONF=").map(<[u8]>::to_vec))
}

/// By whole names: `/tmp/ab/c` is not below `/tmp/a`.
fn is_below(path: &[u8], folder: &Path) -> bool {
    Path::new(std::ffi::OsStr::from_bytes(path)).starts_with(folder)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_below;

    #[test]
    fn a_step_of_another_cluster_is_left_alone() {
        for (path, below) in
            [("/tmp/a/slurm/etc/slurm.conf", true), ("/tmp/ab/slurm/etc/slurm.conf", false), ("", false)]
        {
            assert_eq!(is_below(path.as_bytes(), Path::new("/tmp/a")), below, "{path}");
        }
    }
}
