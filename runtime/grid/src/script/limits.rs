//! What a script may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a script may take. Where there is none, there is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How long it may run.
    pub time: Option<Duration>,
    /// Bytes of memory that it may have with all that it started. It is looked at twice a second.
    pub memory: Option<u64>,
    /// Bytes of addresses that each of its processes may have (`RLIMIT_AS`). The keeper lives under it too: less than
    /// [`Limits::LEAST_ADDRESS_SPACE`] is that.
    pub address_space: Option<u64>,
    /// Files that each of its processes may have open (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Bytes that are kept of each of its two streams. Of more, the beginning is kept and the end.
    pub output: u64,
    /// How long it may take between TERM and KILL.
    pub grace: Duration,
    /// What of its output is shown while it runs.
    pub live: LiveLimits,
}

/// What of a script's output is logged while it runs. Everything is in its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveLimits {
    /// So many lines at once.
    pub burst: u32,
    /// So many lines a second after these; none is shown where this is 0.
    pub lines_per_second: u32,
    /// So much of a line.
    pub line: usize,
}

impl Limits {
    /// Below this, a keeper may not have room for itself.
    pub const LEAST_ADDRESS_SPACE: u64 = 256 << 20;
}

impl Default for Limits {
    /// OMERO ends a script's session itself, after an hour unless it is told otherwise: no limit of time. 30 s is what OMERO's
    /// own processor takes between its first TERM and its KILL.
    fn default() -> Self {
        Self {
            time: None,
            memory: None,
            address_space: None,
            open_files: None,
            output: 256 << 20,
            grace: Duration::from_secs(30),
            live: LiveLimits::default(),
        }
    }
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self { burst: 200, lines_per_second: 20, line: 500 }
    }
}
