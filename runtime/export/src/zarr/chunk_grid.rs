//! From a region of a plane to the chunks that hold it, whatever the order of the array's dimensions is.

use super::array::Array;
use crate::shape::{Plane, Region};

/// Which dimension of an array each axis is: time, channel, z, y, x.
pub(crate) type Axes = [Option<usize>; 5];

/// A chunk that holds a part of a region, and which part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The index of the chunk along each dimension.
    pub(crate) index: Vec<usize>,
    /// The first sample in the chunk, and the steps to the next row and the next column, in samples.
    pub(crate) first: usize,
    pub(crate) steps: [usize; 2],
    /// The first row and column in the region.
    pub(crate) at: [usize; 2],
    /// Rows and columns.
    pub(crate) size: [usize; 2],
    /// Nothing else of the chunk lies in the array: it will not be asked for again.
    pub(crate) whole: bool,
}

/// The chunks of a region, one after the other: chunks of others may be so small that a list of them would be large.
pub(crate) fn parts(array: &Array, axes: &Axes, region: &Region) -> impl Iterator<Item = Part> + use<> {
    let Plane { t, c, z } = region.plane;
    let dimensions = array.shape.len();
    // The step from a sample to the next along each dimension, within a chunk.
    let mut steps = vec![1; dimensions];
    for dimension in (1..dimensions).rev() {
        steps[dimension - 1] = steps[dimension] * array.chunk[dimension];
    }
    let mut index = vec![0; dimensions];
    let mut first = 0;
    let mut is_one_plane = true;
    for (axis, position) in axes.iter().zip([t, c, z]) {
        let Some(axis) = *axis else { continue };
        index[axis] = position / array.chunk[axis];
        first += position % array.chunk[axis] * steps[axis];
        is_one_plane &= array.chunk[axis].min(array.shape[axis]) == 1;
    }
    // An array of an image has both: `Multiscale` has seen to it.
    let [.., y, x] = axes.map(Option::unwrap_or_default);
    let rows = along(region.y, region.height, array.chunk[y], array.shape[y]);
    let columns = along(region.x, region.width, array.chunk[x], array.shape[x]);
    let steps = [steps[y], steps[x]];
    (0..rows.len() * columns.len()).map(move |number| {
        let (row, column) = (&rows[number / columns.len()], &columns[number % columns.len()]);
        let mut index = index.clone();
        (index[y], index[x]) = (row.chunk, column.chunk);
        Part {
            index,
            first: first + row.within * steps[0] + column.within * steps[1],
            steps,
            at: [row.at, column.at],
            size: [row.length, column.length],
            whole: is_one_plane && row.whole && column.whole,
        }
    })
}

/// A chunk along one axis.
struct Stretch {
    chunk: usize,
    within: usize,
    at: usize,
    length: usize,
    whole: bool,
}

fn along(start: usize, length: usize, chunk: usize, side: usize) -> Vec<Stretch> {
    if length == 0 {
        return Vec::new();
    }
    let end = start + length;
    let stretch = |number: usize| {
        let (first, last) = (number * chunk, ((number + 1) * chunk).min(side));
        let (from, to) = (start.max(first), end.min(last));
        Stretch {
            chunk: number,
            within: from - first,
            at: from - start,
            length: to - from,
            whole: from == first && to == last,
        }
    };
    (start / chunk..=(end - 1) / chunk).map(stretch).collect()
}
