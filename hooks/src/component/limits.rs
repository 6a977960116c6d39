//! What one call of a component may use.

use std::time::Duration;

/// Limits on one call. The defaults are generous for a hook and small for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of each of `describe` and `plan`.
    pub time: Duration,
    /// Memory of all its instances together, in bytes.
    pub memory: usize,
    /// Instructions, roughly (wasmtime's fuel): the same on every machine.
    pub fuel: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(1), memory: 64 << 20, fuel: 4_000_000_000 }
    }
}

/// Effects of one plan.
pub(super) const EFFECTS: usize = 1000;
/// Bytes that one call may hand over, all strings and contents and their places in lists together.
pub(super) const ANSWER: usize = 32 << 20;
/// Lines that one call may log.
pub(super) const LINES: usize = 200;
/// Bytes of one line; the rest is cut.
pub(super) const LINE: usize = 2048;
/// Instances, memories and tables of one component: a Python interpreter needs a dozen.
pub(super) const PARTS: usize = 128;
/// Entries of all tables together.
pub(super) const TABLE_ENTRIES: usize = 1 << 20;
/// Bytes of the files that one call is told.
pub(super) const TOLD: usize = 32 << 20;
/// Bytes of a compiled component.
pub(super) const COMPILED: u64 = 512 << 20;
/// Bytes of a component's file.
pub const FILE: u64 = 128 << 20;
