//! Whole images through the pipeline, compared with the pyramid that is made of whole planes.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::metadata::Metadata;
use crate::pyramid::sizes;
use crate::shape::Shape;
use crate::source::{Level, Pattern, ReadError, Synthetic};

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

    const APART: bool = true;

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

/// Channels that lie side by side, and how often they were read.
struct Beside {
    inner: Synthetic,
    reads: AtomicU64,
}

impl Beside {
    fn new(shape: Shape, kind: SampleType, pattern: Pattern) -> Self {
        Self { inner: Synthetic::new(shape, kind, pattern, Metadata::default()), reads: AtomicU64::new(0) }
    }
}

impl Source for Beside {
    fn sample_type(&self) -> SampleType {
        self.inner.sample_type()
    }

    fn levels(&self) -> &[Level] {
        self.inner.levels()
    }

    fn metadata(&self) -> &Metadata {
        self.inner.metadata()
    }

    fn storage(&self) -> &str {
        "side by side"
    }

    fn memory(&self) -> usize {
        0
    }

    fn interleaved(&self) -> usize {
        self.shape().c
    }

    fn read(&self, level: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
        self.inner.read(level, region, into)
    }

    fn read_channels(
        &self,
        level: usize,
        region: &Region,
        channels: usize,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read_channels(level, region, channels, into)
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
        beside in any::<bool>(),
    ) {
        let shape = Shape::new([t, c, z, height, width]).expect("it is small");
        let source = Synthetic::new(shape, kind, Pattern::Every, Metadata::default());
        let apart = Beside::new(shape, kind, Pattern::Every);
        let grid = Grid { tile, sizes: sizes(height, width, 7) };
        let bytes = kind.bytes();
        let sink = Planes { grid: grid.clone(), bytes, found: Mutex::default() };
        let from: &dyn Source = if beside { &apart } else { &source };
        run(from, &grid, &sink, &options(threads)).expect("nothing fails");
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
fn the_extremes_of_each_channel_are_found_however_they_are_read() {
    let shape = Shape::new([1, 3, 2, 100, 100]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint16, Pattern::Waves, Metadata::default());
    let grid = Grid { tile: 64, sizes: sizes(100, 100, 96) };
    let sink = || Planes { grid: grid.clone(), bytes: 2, found: Mutex::default() };
    let extremes = run(&source, &grid, &sink(), &options(2)).expect("nothing fails");
    for (channel, found) in extremes.iter().enumerate() {
        let mut expected = Extremes::default();
        for z in 0..2 {
            let region = Region { plane: Plane { t: 0, c: channel, z }, y: 0, x: 0, height: 100, width: 100 };
            let mut samples = vec![0; 20_000];
            source.read(0, &region, &mut samples).expect("it is there");
            expected.see(SampleType::Uint16, &samples);
        }
        assert_eq!(*found, expected, "channel {channel}");
    }
    let beside = Beside::new(shape, SampleType::Uint16, Pattern::Waves);
    assert_eq!(run(&beside, &grid, &sink(), &options(2)).expect("nothing fails"), extremes);
}

#[test]
fn what_lies_side_by_side_is_read_once_where_that_costs_no_thread() {
    let shape = Shape::new([1, 3, 2, 1000, 1000]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Every, Metadata::default());
    let grid = Grid { tile: 512, sizes: sizes(1000, 1000, 96) };
    let sink = || Planes { grid: grid.clone(), bytes: 1, found: Mutex::default() };
    let plain = sink();
    run(&source, &grid, &plain, &options(1)).expect("nothing fails");
    let plain = plain.found.into_inner().expect("nobody panicked");
    // Four chunks in each of two planes; three times as many where three channels at once are too much.
    for (memory, reads) in [(64 << 20, 8), (1 << 20, 24)] {
        let beside = Beside::new(shape, SampleType::Uint8, Pattern::Every);
        let together = sink();
        run(&beside, &grid, &together, &Options { memory, ..options(1) }).expect("nothing fails");
        assert_eq!(beside.reads.into_inner(), reads, "{memory} bytes");
        assert!(together.found.into_inner().expect("nobody panicked") == plain, "{memory} bytes");
    }
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
