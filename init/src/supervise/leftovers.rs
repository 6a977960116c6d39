//! The end of everything else: what services left behind outside of their own groups.

use std::path::Path;
use std::time::Duration;

use crate::reaper::{self, Pid};
use crate::signals::Signal;
use crate::spawn::system;

/// Between TERM and KILL.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// After KILL: a process in an uninterruptible wait is left to the kernel.
pub(super) const AFTER_KILL: Duration = Duration::from_secs(2);

/// Between two looks.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Sends a signal to every other process of our pid namespace, or, when we are not PID 1, to our children: orphans
/// become our children, so that asking again reaches the next generation.
pub(super) fn send(signal: Signal) {
    if std::process::id() == 1 {
        // None is left: nothing to do.
        let _ = system::kill(-1, signal.get());
        return;
    }
    for child in children() {
        let _ = system::kill(child, signal.get());
    }
}

/// Whether anything is left.
pub(super) fn any() -> bool {
    reaper::has_children()
}

/// Our children, of any of our threads.
fn children() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.flat_map(|task| of_task(&task.path())).collect()
}

fn of_task(task: &Path) -> Vec<Pid> {
    let listed = std::fs::read_to_string(task.join("children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
