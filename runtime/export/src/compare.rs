//! Whether an image has the same samples as another: what is asked before the other is removed.

use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::pipeline::{self, Chunk, Sink};
use crate::pyramid::Grid;
use crate::shape::{Plane, Region};
use crate::source::Source;
use crate::write_error::WriteError;

/// Why two images are not the same.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CompareError {
    /// They are of different sizes or types.
    #[error("the one is {0}, the other {1}")]
    Kind(String, String),
    /// They differ in a sample.
    #[error("they differ in the rectangle at row {y}, column {x} of {plane:?}")]
    Samples {
        /// In this plane.
        plane: Plane,
        /// From this row on.
        y: usize,
        /// From this column on.
        x: usize,
    },
    /// One of them cannot be read, or it was stopped.
    #[error(transparent)]
    Work(#[from] WriteError),
}

/// Compares every sample of level 0.
///
/// # Errors
/// They differ, or one of them cannot be read.
pub fn compare(
    one: &dyn Source,
    other: &dyn Source,
    work: &pipeline::Options<'_>,
) -> Result<(), CompareError> {
    let kind = |source: &dyn Source| format!("{} {}", source.shape(), source.sample_type());
    if (one.shape(), one.sample_type()) != (other.shape(), other.sample_type()) {
        return Err(CompareError::Kind(kind(one), kind(other)));
    }
    let shape = one.shape();
    let grid = Grid { tile: 1024, sizes: vec![[shape.y, shape.x]] };
    let other = Other { source: other, tile: grid.tile, found: Mutex::new(None) };
    let outcome = pipeline::run(one, &grid, &other, work);
    if let Some((plane, [y, x])) = other.found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(CompareError::Samples { plane, y, x });
    }
    Ok(outcome.map(drop)?)
}

/// What chunks are compared with.
struct Other<'a> {
    source: &'a dyn Source,
    tile: usize,
    /// The first difference that was found.
    found: Mutex<Option<(Plane, [usize; 2])>>,
}

impl Sink for Other<'_> {
    type Scratch = Vec<u8>;

    const EXTREMES: bool = false;

    const APART: bool = false;

    fn memory(&self) -> usize {
        self.tile * self.tile * self.source.sample_type().bytes() + self.source.memory()
    }

    fn store(&self, chunk: &Chunk<'_>, scratch: &mut Vec<u8>) -> Result<(), WriteError> {
        let ([y, x], [height, width]) = (chunk.place.map(|index| index * self.tile), chunk.samples.size);
        scratch.resize(chunk.samples.samples.len(), 0);
        self.source.read(0, &Region { plane: chunk.plane, y, x, height, width }, scratch)?;
        if scratch == chunk.samples.samples {
            return Ok(());
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get_or_insert((chunk.plane, [y, x]));
        Err(WriteError::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::metadata::Metadata;
    use crate::sample::SampleType;
    use crate::shape::Shape;
    use crate::source::{Pattern, Synthetic};

    #[test]
    fn images_are_the_same_to_the_last_sample_or_they_are_not() {
        let never = AtomicBool::new(false);
        let work =
            pipeline::Options { threads: 2, memory: 64 << 20, cancelled: &never, progress: &|_, _| () };
        let image = |sides, pattern| {
            let shape = Shape::new(sides).expect("it is small");
            Synthetic::new(shape, SampleType::Uint16, pattern, Metadata::default())
        };
        let one = image([1, 2, 1, 1100, 30], Pattern::Waves);
        assert!(compare(&one, &image([1, 2, 1, 1100, 30], Pattern::Waves), &work).is_ok());
        let error = compare(&one, &image([1, 2, 1, 1100, 30], Pattern::Every), &work);
        assert!(matches!(error, Err(CompareError::Samples { .. })), "{error:?}");
        let error = compare(&one, &image([1, 1, 1, 1100, 30], Pattern::Waves), &work);
        assert!(matches!(error, Err(CompareError::Kind(..))), "{error:?}");
    }
}
