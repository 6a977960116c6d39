//! Tiles in the order of their numbers, whichever thread is done first: the same image makes the same bytes.
//!
//! Nobody waits here. A tile that comes before its turn is kept, and put by whoever brings the one that was missing; the pipeline
//! lets no thread be far ahead, so that there are never many.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Which tile: its level, and its number in the table of that level.
pub(super) type Tile = (usize, usize);

/// A tile that is compressed.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) tile: Tile,
    pub(super) bytes: Vec<u8>,
}

/// Tiles on their way to the file.
#[derive(Debug)]
pub(super) struct Queue(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The number whose turn it is.
    next: u64,
    /// Where it goes.
    end: u64,
    early: BTreeMap<u64, Stored>,
    /// Memory that is used again.
    spare: Vec<Vec<u8>>,
}

impl Queue {
    /// Whose first tile goes there.
    pub(super) const fn new(end: u64) -> Self {
        Self(Mutex::new(State { next: 0, end, early: BTreeMap::new(), spare: Vec::new() }))
    }

    /// Where the last tile ends.
    pub(super) fn end(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).end
    }

    /// Brings a tile, and memory for the next one back.
    pub(super) fn push(&self, number: u64, stored: Stored) -> Vec<u8> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.early.insert(number, stored);
        state.spare.pop().unwrap_or_default()
    }

    /// A tile whose turn it is, and where it goes.
    pub(super) fn pop(&self) -> Option<(u64, Stored)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = state.next;
        let stored = state.early.remove(&next)?;
        let at = state.end;
        state.next += 1;
        // Offsets are even: TIFF 6.0, section 2.
        state.end += (stored.bytes.len() as u64).next_multiple_of(2);
        Some((at, stored))
    }

    /// Gives memory back.
    pub(super) fn give_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spare.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_early_waits_for_its_turn() {
        let queue = Queue::new(16);
        let stored = |number: usize| Stored { tile: (0, number), bytes: vec![0; 3] };
        queue.push(2, stored(2));
        queue.push(1, stored(1));
        assert!(queue.pop().is_none());
        queue.push(0, stored(0));
        let places: Vec<(u64, Tile)> =
            std::iter::from_fn(|| queue.pop()).map(|(at, stored)| (at, stored.tile)).collect();
        assert_eq!(places, [(16, (0, 0)), (20, (0, 1)), (24, (0, 2))]);
        assert_eq!(queue.end(), 28);
    }
}
