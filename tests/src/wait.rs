//! Waiting for another process: always with a deadline, always with its logs in the failure.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Result, Trouble};

/// Longer than anything takes here on a machine that four others share.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks. What is waited for is another process, whose state has no file descriptor to poll.
const INTERVAL: Duration = Duration::from_millis(15);

/// Asks `look` until it finds something; on failure shows the ends of `logs`.
///
/// # Errors
/// The deadline passed.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    logs: &[&Path],
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() >= deadline {
            return Err(Trouble::new(format!("{what}: not within {deadline:?}{}", ends_of(logs))));
        }
        std::thread::sleep(INTERVAL);
    }
}

/// The last lines of each log, under its name.
pub fn ends_of(logs: &[&Path]) -> String {
    const LINES: usize = 60;
    let mut text = String::new();
    for log in logs {
        let content = std::fs::read(log).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<&str> = content.lines().collect();
        let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
        text.push_str(&format!("\n--- {} ---\n{end}\n", log.display()));
    }
    text
}
