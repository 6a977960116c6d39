//! The order in which the chunks of an image come.
//!
//! Planes follow each other. Within a plane the four chunks below a chunk come together, and theirs below each of them, so that a
//! chunk of a level above is complete soon after it was begun; at the highest level row follows row. Nothing in it depends on
//! how many threads there are: what is written in this order is the same on every machine.

use crate::pyramid::Grid;

/// A chunk of level 0, and what is complete with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The number of the plane.
    pub(super) plane: usize,
    /// Among the chunks of level 0.
    pub(super) place: [usize; 2],
    /// It is the last one below its chunks of the levels from 1 to this one.
    pub(super) closes: usize,
}

/// On the way.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    grid: &'a Grid,
    planes: usize,
    plane: usize,
    place: [usize; 2],
}

impl<'a> Walk<'a> {
    pub(super) const fn new(grid: &'a Grid, planes: usize) -> Self {
        Self { grid, planes, plane: 0, place: [0, 0] }
    }
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.plane == self.planes {
            return None;
        }
        let (plane, place, top) = (self.plane, self.place, self.grid.sizes.len() - 1);
        for level in 0..=top {
            let [rows, columns] = self.grid.chunks(level);
            let [row, column] = place.map(|index| index >> level);
            let is_top = level == top;
            let next = if column + 1 < columns && (is_top || column % 2 == 0) {
                [row, column + 1]
            } else if row + 1 < rows && (is_top || row % 2 == 0) {
                [row + 1, if is_top { 0 } else { column / 2 * 2 }]
            } else {
                continue;
            };
            // Down to the first chunk below it.
            self.place = next.map(|index| index << level);
            return Some(Step { plane, place, closes: level });
        }
        (self.plane, self.place) = (plane + 1, [0, 0]);
        Some(Step { plane, place, closes: top })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::pyramid::sizes;

    #[test]
    fn four_that_belong_together_follow_each_other() {
        let grid = Grid { tile: 2, sizes: vec![[5, 7], [2, 3]] };
        let steps: Vec<([usize; 2], usize)> =
            Walk::new(&grid, 1).map(|step| (step.place, step.closes)).collect();
        let expected = [
            ([0, 0], 0),
            ([0, 1], 0),
            ([1, 0], 0),
            ([1, 1], 1),
            ([0, 2], 0),
            ([0, 3], 0),
            ([1, 2], 0),
            ([1, 3], 1),
            ([2, 0], 0),
            ([2, 1], 1),
            ([2, 2], 0),
            ([2, 3], 1),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn one_level_is_gone_over_row_by_row() {
        let grid = Grid { tile: 2, sizes: vec![[3, 5]] };
        let places: Vec<[usize; 2]> = Walk::new(&grid, 1).map(|step| step.place).collect();
        assert_eq!(places, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
    }

    proptest! {
        #[test]
        fn every_chunk_comes_once_and_is_closed_by_the_last_below_it(
            (height, width) in (1_usize..200, 1_usize..200),
            planes in 1_usize..3,
            tile in prop::sample::select(vec![2_usize, 8, 64]),
        ) {
            let grid = Grid { tile, sizes: sizes(height, width, 7) };
            let above = |step: &Step, level: usize| (step.plane, level, step.place.map(|index| index >> level));
            let mut left: HashMap<(usize, usize, [usize; 2]), usize> = HashMap::new();
            for step in Walk::new(&grid, planes) {
                (0..grid.sizes.len()).for_each(|level| *left.entry(above(&step, level)).or_default() += 1);
            }
            let mut leaves = 0;
            for step in Walk::new(&grid, planes) {
                leaves += 1;
                for level in 0..grid.sizes.len() {
                    let left = left.entry(above(&step, level)).or_default();
                    *left -= 1;
                    prop_assert_eq!(*left == 0, level <= step.closes, "{:?} {}", step, level);
                }
            }
            prop_assert_eq!(leaves, planes * grid.chunks(0).into_iter().product::<usize>());
            prop_assert_eq!(left.len(), planes * (0..grid.sizes.len()).map(|level| grid.chunks(level).into_iter().product::<usize>()).sum::<usize>());
        }
    }
}
