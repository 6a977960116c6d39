//! What the tests of both writers do alike.

use std::sync::atomic::AtomicBool;

use crate::pipeline;
use crate::shape::{Plane, Region};
use crate::source::Source;

/// So many threads, with more memory than any test takes; never cancelled, watched by nobody.
pub(crate) fn work(threads: usize) -> pipeline::Options<'static> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    pipeline::Options { threads, memory: 256 << 20, cancelled: &NEVER, progress: &|_, _| () }
}

/// The samples of a whole plane.
pub(crate) fn whole(source: &dyn Source, level: usize, plane: Plane) -> Vec<u8> {
    let shape = source.levels()[level].shape;
    let region = Region { plane, y: 0, x: 0, height: shape.y, width: shape.x };
    let mut samples = vec![1; region.samples() * source.sample_type().bytes()];
    source.read(level, &region, &mut samples).expect("it is there");
    samples
}
