//! How the work is cut, and how many threads the memory allows.

use super::Options;
use crate::pyramid::Grid;
use crate::source::Source;
use crate::write_error::WriteError;

/// Trees for each thread at least, where the image has so many: the last of them are then short compared with the whole.
const TREES: usize = 4;

/// Which trees, by how many threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) threads: usize,
    /// The level that the roots of the trees are on.
    pub(super) split: usize,
    pub(super) trees_of_plane: usize,
    planes: usize,
}

impl Plan {
    /// The most threads that fit.
    pub(super) fn new(
        source: &dyn Source,
        grid: &Grid,
        sink: usize,
        options: &Options<'_>,
    ) -> Result<Self, WriteError> {
        let planes = source.shape().planes();
        let mut needed = 0;
        for threads in (1..=options.threads.max(1)).rev() {
            let plan = Self::of(threads, planes, grid);
            needed = plan.memory(grid, source.sample_type().bytes(), source.memory() + sink);
            if needed <= options.memory {
                return Ok(plan);
            }
        }
        Err(WriteError::Memory { needed, allowed: options.memory })
    }

    /// What one thread takes.
    pub(super) fn needed(source: &dyn Source, grid: &Grid, sink: usize) -> usize {
        let plan = Self::of(1, source.shape().planes(), grid);
        plan.memory(grid, source.sample_type().bytes(), source.memory().saturating_add(sink))
    }

    fn of(threads: usize, planes: usize, grid: &Grid) -> Self {
        let trees = |level: usize| grid.chunks(level).into_iter().product::<usize>();
        let split = (0..grid.sizes.len())
            .rev()
            .find(|level| trees(*level).saturating_mul(planes) >= TREES * threads)
            .unwrap_or(0);
        Self { threads, split, trees_of_plane: trees(split), planes }
    }

    /// How many trees there are.
    pub(super) const fn trees(&self) -> usize {
        self.trees_of_plane.saturating_mul(self.planes)
    }

    /// Bytes at most: of each thread a chunk of each level in its tree, one that is cut out of what is above, and what reading
    /// and storing take; and of the planes that are under way what is above their trees.
    fn memory(&self, grid: &Grid, bytes: usize, other: usize) -> usize {
        let area = |size: [usize; 2]| size[0].saturating_mul(size[1]).saturating_mul(bytes);
        let tree: usize = (0..=self.split).map(|level| area(grid.largest(level))).sum();
        let above = grid.sizes.get(self.split + 1).map_or(0, |size| area(*size));
        let (cut, halved) = (if above > 0 { area(grid.largest(self.split + 1)) } else { 0 }, above / 4);
        let under_way = self.threads.min(self.planes);
        let threads = (tree + cut + halved).saturating_add(other).saturating_mul(self.threads);
        threads.saturating_add(above.saturating_mul(under_way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pyramid::sizes;

    fn plan(threads: usize, planes: usize, height: usize, width: usize) -> (Plan, usize) {
        let grid = Grid { tile: 1024, sizes: sizes(height, width, 96) };
        let plan = Plan::of(threads, planes, &grid);
        let memory = plan.memory(&grid, 2, 0);
        (plan, memory)
    }

    #[test]
    fn many_planes_are_taken_whole_and_a_large_one_is_cut() {
        let (many, memory) = plan(2, 48, 2048, 2048);
        assert_eq!((many.split, many.trees()), (5, 48));
        assert!(memory < 16 << 20, "{memory}");
        let (one, _) = plan(2, 1, 20_000, 20_000);
        assert_eq!((one.split, one.trees()), (3, 9));
        let (small, _) = plan(8, 1, 100, 100);
        assert_eq!((small.split, small.trees()), (0, 1));
    }

    #[test]
    fn memory_does_not_grow_with_the_image() {
        for (planes, height, width) in
            [(1, 100_000, 100_000), (1, 1, 2_000_000_000), (1000, 100_000, 100_000), (1, 1025, 2_000_000)]
        {
            let (plan, memory) = plan(2, planes, height, width);
            assert!(memory < 96 << 20, "{plan:?}: {memory}");
        }
    }
}
