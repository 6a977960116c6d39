//! What a rebuild or a comparison of the views has found, whichever database they are in.

use crate::stored::Corrupt;

/// How many corrupt rows are told one by one.
pub const TOLD: usize = 100;

/// How far a long task has come, in ids of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The id of the last event that was done.
    pub done: i64,
    /// The id of the last event there is.
    pub total: i64,
}

/// What a rebuild has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// How many events were projected.
    pub events: u64,
    /// Rows of the log that are no events, the first [`TOLD`] of them.
    pub corrupt: Vec<Corrupt>,
    /// How many such rows there are.
    pub corrupt_events: u64,
    /// What was changed in each view table.
    pub views: Vec<ViewChange>,
}

/// What a rebuild changed in a view table: nothing, where it was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    /// The table.
    pub table: &'static str,
    /// Rows that had no business there.
    pub deleted: u64,
    /// Rows that were missing or wrong.
    pub written: u64,
}

/// How the views differ from what the log makes of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// How many events were projected.
    pub events: u64,
    /// Rows of the log that are no events, the first [`TOLD`] of them.
    pub corrupt: Vec<Corrupt>,
    /// How many such rows there are.
    pub corrupt_events: u64,
    /// The differences in each view table.
    pub views: Vec<ViewDifference>,
}

/// How a view table differs from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDifference {
    /// The table.
    pub table: &'static str,
    /// Rows that should be there.
    pub missing: u64,
    /// Rows that should not be there.
    pub superfluous: u64,
    /// Rows that say something else.
    pub different: u64,
    /// The keys of a few of them.
    pub examples: Vec<String>,
}

impl ViewDifference {
    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.missing == 0 && self.superfluous == 0 && self.different == 0
    }
}

/// Remembers what was no event: the first few, and how many.
#[derive(Debug, Default)]
pub(crate) struct Unreadable {
    pub(crate) told: Vec<Corrupt>,
    pub(crate) count: u64,
}

impl Unreadable {
    pub(crate) fn extend(&mut self, corrupt: Vec<Corrupt>) {
        self.count += corrupt.len() as u64;
        let room = TOLD.saturating_sub(self.told.len());
        self.told.extend(corrupt.into_iter().take(room));
    }
}
