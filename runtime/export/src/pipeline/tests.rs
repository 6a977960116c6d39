//! Whole images through the pipeline, compared with the pyramid that is made of whole planes.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::metadata::Metadata;
use crate::pyramid::sizes;
use crate::shape::Shape;
use crate::source::{Pattern, Synthetic};

/// Puts chunks together again: by level and plane.
struct Planes {
    grid: Grid,
    bytes: usize,
    found: Mutex<HashMap<(usize, Plane), Found>>,
}

/// The samples of a plane, and how many of them have come.
type Found = (Vec<u8>, usize);

impl Sink for Planes {
    type Scratch = ();

    const EXTREMES: bool = true;

    fn memory(&self) -> usize {
        0
    }

    fn store(&self, chunk: &Chunk<'_>, (): &mut ()) -> Result<(), WriteError> {
        let [height, width] = self.grid.sizes[chunk.level];
        let mut found = lock(&self.found);
        let (samples, stored) = found
            .entry((chunk.level, chunk.plane))
            .or_insert_with(|| (vec![0; height * width * self.bytes], 0));
        let [rows, columns] = chunk.samples.size;
        for row in 0..rows {
            let y = chunk.place[0] * self.grid.tile + row;
            let start = (y * width + chunk.place[1] * self.grid.tile) * self.bytes;
            let from = &chunk.samples.samples[row * columns * self.bytes..][..columns * self.bytes];
            samples[start..start + from.len()].copy_from_slice(from);
            *stored += columns;
        }
        Ok(())
    }
}

fn options(threads: usize) -> Options<'static> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    Options { threads, memory: 64 << 20, cancelled: &NEVER, progress: &|_, _| () }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_level_is_the_one_below_it_halved(
        (height, width) in (1_usize..150, 1_usize..150),
        (t, c, z) in (1_usize..3, 1_usize..3, 1_usize..3),
        tile in prop::sample::select(vec![2_usize, 8, 16, 64]),
        threads in 1_usize..5,
        kind in prop::sample::select(SampleType::ALL.to_vec()),
    ) {
        let shape = Shape::new([t, c, z, height, width]).expect("it is small");
        let source = Synthetic::new(shape, kind, Pattern::Every, Metadata::default());
        let grid = Grid { tile, sizes: sizes(height, width, 7) };
        let bytes = kind.bytes();
        let sink = Planes { grid: grid.clone(), bytes, found: Mutex::default() };
        run(&source, &grid, &sink, &options(threads)).expect("nothing fails");
        let mut found = sink.found.into_inner().expect("nobody panicked");
        for number in 0..shape.planes() {
            let plane = shape.plane(number);
            let mut expected = vec![0; height * width * bytes];
            source.read(0, &Region { plane, y: 0, x: 0, height, width }, &mut expected).expect("it is there");
            for level in 0..grid.sizes.len() {
                let [height, width] = grid.sizes[level];
                if level > 0 {
                    let mut halved = vec![0; height * width * bytes];
                    let into = Target { width, samples: &mut halved, at: [0, 0] };
                    reduce(source.reduction(), kind, Samples { size: grid.sizes[level - 1], samples: &expected }, into);
                    expected = halved;
                }
                let (samples, stored) = found.remove(&(level, plane)).expect("the level is whole");
                prop_assert_eq!(stored, height * width, "each sample comes once");
                prop_assert!(samples == expected, "level {} of {:?}", level, plane);
            }
        }
        prop_assert!(found.is_empty());
    }
}

#[test]
fn the_extremes_of_each_channel_are_found() {
    let shape = Shape::new([1, 3, 2, 100, 100]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Every, Metadata::default());
    let grid = Grid { tile: 64, sizes: sizes(100, 100, 96) };
    let sink = Planes { grid: grid.clone(), bytes: 1, found: Mutex::default() };
    let extremes = run(&source, &grid, &sink, &options(2)).expect("nothing fails");
    assert_eq!(extremes.iter().map(Extremes::range).collect::<Vec<_>>(), [Some((0.0, 255.0)); 3]);
}

#[test]
fn it_stops_when_it_is_told_to() {
    let shape = Shape::new([1, 1, 100, 100, 100]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Every, Metadata::default());
    let grid = Grid { tile: 64, sizes: sizes(100, 100, 96) };
    let sink = Planes { grid: grid.clone(), bytes: 1, found: Mutex::default() };
    let cancelled = AtomicBool::new(false);
    let progress = |done, _| cancelled.store(done > 50_000, Ordering::Relaxed);
    let options = Options { cancelled: &cancelled, progress: &progress, ..options(2) };
    let error = run(&source, &grid, &sink, &options).expect_err("it was stopped");
    assert!(matches!(error, WriteError::Cancelled), "{error}");
}

#[test]
fn a_budget_for_not_even_one_thread_is_told() {
    let shape = Shape::new([1, 1, 1, 2000, 2000]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Every, Metadata::default());
    let grid = Grid { tile: 1024, sizes: sizes(2000, 2000, 96) };
    let sink = Planes { grid: grid.clone(), bytes: 1, found: Mutex::default() };
    let error = run(&source, &grid, &sink, &Options { memory: 1 << 20, ..options(2) });
    assert!(matches!(error, Err(WriteError::Memory { allowed, .. }) if allowed == 1 << 20), "{error:?}");
}
