//! The processes of this machine, as `/proc` tells of them: which belong to a script, what memory they have, how they are ended.
//!
//! Invariant: a process is never ended for its number alone; it is below a keeper, has the token of a run in its environment,
//! works in the folder of a run, or is in the session of a keeper whose number nobody else has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The variable that all processes of a script inherit.
pub(crate) const TOKEN: &str = "BIOMERO_SCRIPT_RUN";
/// So often at once what starts processes all the time is tried to be ended.
const TRIES: usize = 50;
/// So long is waited for what was killed.
const END: Duration = Duration::from_secs(10);

/// What tells a process from others that have its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pid: i32,
    started: u64,
}

/// A process: proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    state: char,
    parent: i32,
    session: i32,
    started: u64,
}

/// One line of `/proc/PID/stat`. The name of the program may hold anything, parentheses too.
fn parsed(line: &str) -> Option<Process> {
    let (pid, rest) = line.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |at: usize| fields.get(at).copied();
    Some(Process {
        pid: pid.parse().ok()?,
        state: field(0)?.chars().next()?,
        parent: field(1)?.parse().ok()?,
        session: field(3)?.parse().ok()?,
        started: field(19)?.parse().ok()?,
    })
}

fn process(pid: i32) -> Option<Process> {
    parsed(&String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// All but those that are dead and not yet waited for.
fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| process(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .filter(|process| !matches!(process.state, 'Z' | 'X'))
        .collect()
}

/// Of this process.
pub(crate) fn ourselves() -> Option<Mark> {
    let process = process(nix::unistd::getpid().as_raw())?;
    Some(Mark { pid: process.pid, started: process.started })
}

/// All below a process.
pub(crate) fn below(root: Pid) -> Vec<Pid> {
    descendants(&all(), BTreeSet::from([root.as_raw()])).into_iter().map(Pid::from_raw).collect()
}

/// Sends a signal to all below a process. What cannot be caught is sent until there is nobody whom it has not reached.
pub(crate) fn send(root: Pid, signal: Signal) {
    let tries = if signal == Signal::SIGKILL { TRIES } else { 1 };
    let mut reached = BTreeSet::new();
    for _ in 0..tries {
        let new: Vec<Pid> = below(root).into_iter().filter(|pid| reached.insert(*pid)).collect();
        if new.is_empty() {
            return;
        }
        for pid in new {
            let _ = kill(pid, signal);
        }
    }
}

/// Those of `processes` that are below one of `roots`, without these.
fn descendants(processes: &[Process], roots: BTreeSet<i32>) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut seen = roots.clone();
    let mut next: Vec<i32> = roots.into_iter().collect();
    let mut found = Vec::new();
    while let Some(pid) = next.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if seen.insert(*child) {
                found.push(*child);
                next.push(*child);
            }
        }
    }
    found
}

/// What these processes have in memory, in bytes. What several share is counted for each, unless that is more than `limit`:
/// then each is asked for its own part, which takes longer.
pub(crate) fn memory(of: &[Pid], limit: Option<u64>) -> u64 {
    let sum = |file: &str, key: &str| of.iter().filter_map(|pid| kilobytes(*pid, file, key)).sum::<u64>();
    let resident = sum("status", "VmRSS:").saturating_mul(1024);
    match limit {
        Some(limit) if resident > limit => resident.min(sum("smaps_rollup", "Pss:").saturating_mul(1024)),
        _ => resident,
    }
}

fn kilobytes(pid: Pid, file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

/// Ends what a script left behind whose keeper is gone; whether nothing of it is left. Waits for a while.
pub(crate) fn end_left_behind(keeper: Option<Mark>, token: &str, folder: &Path) -> bool {
    let start = Instant::now();
    loop {
        let left = left_behind(keeper, token, folder);
        if left.is_empty() {
            return true;
        }
        if start.elapsed() > END {
            return false;
        }
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        // Not our children: there is nothing that tells of their end.
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn left_behind(keeper: Option<Mark>, token: &str, folder: &Path) -> Vec<Pid> {
    let processes = all();
    let session = keeper.filter(|keeper| {
        processes.iter().all(|process| process.pid != keeper.pid || process.started == keeper.started)
    });
    let mark = format!("{TOKEN}={token}");
    let us = nix::unistd::getpid().as_raw();
    let roots: BTreeSet<i32> = processes
        .iter()
        .filter(|process| {
            session.is_some_and(|keeper| process.session == keeper.pid && process.started >= keeper.started)
                || has_variable(process.pid, mark.as_bytes())
                || std::fs::read_link(format!("/proc/{}/cwd", process.pid))
                    .is_ok_and(|cwd| cwd.starts_with(folder))
        })
        .map(|process| process.pid)
        .collect();
    let mut left = descendants(&processes, roots.clone());
    left.extend(roots);
    left.into_iter().filter(|pid| *pid != us && *pid > 1).map(Pid::from_raw).collect()
}

fn has_variable(pid: i32, variable: &[u8]) -> bool {
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|found| found == variable))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let line = "77 (a) S (b) S 5 77 60 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let expected = Process { pid: 77, state: 'S', parent: 5, session: 60, started: 4242 };
        assert_eq!(parsed(line), Some(expected));
    }

    #[test]
    fn we_find_ourselves_and_our_memory() {
        let us = nix::unistd::getpid();
        assert_eq!(ourselves().unwrap().pid, us.as_raw());
        assert!(memory(&[us], None) > 0);
        assert!(memory(&[us], Some(1)) > 1);
    }

    #[test]
    fn descendants_are_found_however_deep_and_loops_end() {
        let of = |pid, parent| Process { pid, state: 'S', parent, session: 1, started: 1 };
        let processes = [of(2, 1), of(3, 2), of(4, 3), of(5, 1), of(6, 7), of(7, 6)];
        let mut found = descendants(&processes, BTreeSet::from([2, 6]));
        found.sort_unstable();
        assert_eq!(found, [3, 4, 7]);
    }

    proptest! {
        #[test]
        fn any_line_is_answered(line in "\\PC{0,80}") {
            let _ = parsed(&line);
        }
    }
}
