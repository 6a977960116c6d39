//! How many threads the memory allows, and how far one may be ahead of another.

use super::Options;
use crate::pyramid::Grid;
use crate::write_error::WriteError;

/// How it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) threads: usize,
    /// From the first chunk of level 0 that is not done to the last that was taken.
    pub(super) window: usize,
}

/// What the work is, as far as memory goes.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) grid: &'a Grid,
    /// Bytes of a pixel: of the samples of all channels that go together.
    pub(super) pixel: usize,
    /// What reading and storing take of each thread.
    pub(super) other: usize,
    /// What the sink keeps of chunks of so many bytes that are not yet stored.
    pub(super) kept: &'a dyn Fn(usize) -> usize,
}

impl Plan {
    /// The most threads that fit.
    pub(super) fn new(load: Load<'_>, options: &Options<'_>) -> Result<Self, WriteError> {
        let mut needed = 0;
        for threads in (1..=options.threads.max(1)).rev() {
            let plan = Self::of(threads);
            needed = plan.memory(load);
            if needed <= options.memory {
                return Ok(plan);
            }
        }
        Err(WriteError::Memory { needed, allowed: options.memory })
    }

    /// What one thread takes.
    pub(super) fn needed(load: Load<'_>) -> usize {
        Self::of(1).memory(load)
    }

    const fn of(threads: usize) -> Self {
        // One more than are at work: nobody waits for who makes what is above a chunk, and little is begun. Twice as many are no
        // faster, and take 2 MB more.
        Self { threads, window: if threads == 1 { 1 } else { threads + 1 } }
    }

    /// Bytes at most: a chunk of each thread with what reading and storing take, and those of the levels above that are begun.
    fn memory(&self, Load { grid, pixel, other, kept }: Load<'_>) -> usize {
        let area = |level: usize| {
            let [height, width] = grid.largest(level);
            height.saturating_mul(width).saturating_mul(pixel)
        };
        let begun: usize = (1..grid.sizes.len()).map(|level| self.begun(grid, level) * area(level)).sum();
        let kept = if self.threads == 1 { 0 } else { kept(self.window * area(0) + begun) };
        let threads = area(0).saturating_add(other).saturating_mul(self.threads);
        threads.saturating_add(begun).saturating_add(kept)
    }

    /// How many chunks of a level above can be begun at the same time.
    fn begun(&self, grid: &Grid, level: usize) -> usize {
        let [rows, columns] = grid.chunks(0);
        let [below, beside] = [rows, columns].map(|side| side.min(1 << level));
        // At the edges of a plane they are narrow, but not all of them where there is more than one row or column of them.
        let least = if below == rows || beside == columns { below * beside } else { below.min(beside) };
        let planes = self.window / rows.saturating_mul(columns) + 2;
        self.window.min(self.window / least + 2 + planes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pyramid::sizes;

    fn memory(threads: usize, height: usize, width: usize) -> usize {
        let grid = Grid { tile: 1024, sizes: sizes(height, width, 96) };
        Plan::of(threads).memory(Load { grid: &grid, pixel: 2, other: 0, kept: &|_| 0 })
    }

    #[test]
    fn memory_does_not_grow_with_the_image() {
        for (height, width) in [(2048, 2048), (100_000, 100_000), (1, 2_000_000_000), (1025, 2_000_000)] {
            let (alone, two) = (memory(1, height, width), memory(2, height, width));
            assert!(alone < 48 << 20 && two < 128 << 20, "{height} × {width}: {alone} {two}");
        }
    }

    #[test]
    fn no_more_are_begun_than_may_be() {
        for (height, width) in [(1, 1), (3, 3), (1, 70), (9, 8), (5, 31), (16, 16), (17, 17)] {
            let grid = Grid { tile: 2, sizes: sizes(2 * height, 2 * width, 2) };
            let steps: Vec<_> = super::super::walk::Walk::new(&grid, 7).collect();
            for plan in [Plan::of(1), Plan::of(2), Plan::of(5)] {
                for level in 1..grid.sizes.len() {
                    for taken in steps.windows(plan.window.min(steps.len())) {
                        let mut places: Vec<_> =
                            taken.iter().map(|step| (step.plane, step.place.map(|at| at >> level))).collect();
                        places.dedup();
                        let (found, allowed) = (places.len(), plan.begun(&grid, level));
                        assert!(found <= allowed, "{grid:?} {level} {plan:?}: {found} > {allowed}");
                    }
                }
            }
        }
    }
}
