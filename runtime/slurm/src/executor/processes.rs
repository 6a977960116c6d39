//! The processes of this machine, as `/proc` tells of them: which belong to a task, what memory they have, how they are ended.
//!
//! Invariant: a process is never ended for its number alone; it is below a runner, has a task's token in its environment, or
//! is in the session of a runner whose number nobody else has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::task::Runner;

/// The variable that all processes of a task inherit.
pub(super) const TOKEN: &str = "BIOMERO_TASK";

/// A process: proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
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

/// What tells this process from others with its number.
pub(super) fn runner(pid: Pid) -> Option<Runner> {
    process(pid.as_raw()).map(|process| Runner { pid: process.pid, started: process.started })
}

/// Sends a signal to a runner, if it is still that one.
pub(super) fn tell(to: Runner, signal: Signal) {
    if runner(Pid::from_raw(to.pid)) == Some(to) {
        let _ = kill(Pid::from_raw(to.pid), signal);
    }
}

/// All below a process.
pub(super) fn below(root: Pid) -> Vec<Pid> {
    descendants(&all(), BTreeSet::from([root.as_raw()])).into_iter().map(Pid::from_raw).collect()
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
pub(super) fn memory(of: &[Pid], limit: Option<u64>) -> u64 {
    let sum = |file: &str, key: &str| -> u64 {
        of.iter().filter_map(|pid| kilobytes(*pid, file, key)).sum::<u64>()
    };
    let resident = sum("status", "VmRSS:") * 1024;
    match limit {
        Some(limit) if resident > limit => resident.min(sum("smaps_rollup", "Pss:") * 1024),
        _ => resident,
    }
}

fn kilobytes(pid: Pid, file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

/// Ends what a task left behind whose runner is gone. Waits until nothing of it is left, for a while.
pub(super) fn end_left_behind(runner: Option<Runner>, token: &str) {
    let start = Instant::now();
    loop {
        let left = left_behind(runner, token);
        if left.is_empty() {
            return;
        }
        if start.elapsed() > Duration::from_secs(10) {
            tracing::warn!(?left, "processes of a task that is over do not end");
            return;
        }
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        // Not our children: there is nothing that tells of their end.
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn left_behind(runner: Option<Runner>, token: &str) -> Vec<Pid> {
    let processes = all();
    let session = runner.filter(|runner| {
        processes.iter().all(|process| process.pid != runner.pid || process.started == runner.started)
    });
    let mark = format!("{TOKEN}={token}");
    let us = nix::unistd::getpid().as_raw();
    let roots: BTreeSet<i32> = processes
        .iter()
        .filter(|process| {
            session.is_some_and(|runner| process.session == runner.pid && process.started >= runner.started)
                || has_variable(process.pid, mark.as_bytes())
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
    fn we_find_ourselves() {
        let us = runner(nix::unistd::getpid()).expect("we run");
        assert_eq!(us.pid, nix::unistd::getpid().as_raw());
        assert!(memory(&[nix::unistd::getpid()], None) > 0);
        assert!(memory(&[nix::unistd::getpid()], Some(1)) > 1);
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
