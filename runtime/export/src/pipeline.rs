//! From a source to a sink: every pixel of level 0 is read once, and the levels above are made on the way.
//!
//! A chunk of a level covers up to 2 × 2 chunks of the level below. A thread goes down such a tree, reads chunks of level 0
//! where it arrives, and on its way up halves each chunk into its place in the one above. What it holds is one chunk of each
//! level, whatever the size of the image. Where there are fewer planes than threads need, a plane is cut into trees of lower
//! height; what is above these, a few chunks, is held for the plane until its last tree is done.
//!
//! Threads of its own instead of a pool that steals work: whoever steals holds chunks of two trees at once, and nobody can say
//! beforehand how many. So the budget is kept by arithmetic (`plan`), not by waiting.

mod extremes;
mod plan;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use extremes::Extremes;
use plan::Plan;

use crate::pyramid::{Grid, Samples, Target, reduce};
use crate::resume::Tree;
use crate::sample::SampleType;
use crate::shape::{Plane, Region};
use crate::source::Source;
use crate::write_error::WriteError;

/// How the work is done, and who looks on.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads at most; fewer where the memory does not suffice.
    pub threads: usize,
    /// Bytes of memory for everything that grows with chunks and threads.
    pub memory: usize,
    /// Ends the work soon after it is set.
    pub cancelled: &'a AtomicBool,
    /// Told from time to time, by any thread: bytes of level 0 that are done, and of how many.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { threads, memory, .. } = self;
        formatter
            .debug_struct("Options")
            .field("threads", threads)
            .field("memory", memory)
            .finish_non_exhaustive()
    }
}

/// A chunk on its way to where it is stored: only what lies in the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub(crate) level: usize,
    pub(crate) plane: Plane,
    /// Among the chunks of its level.
    pub(crate) place: [usize; 2],
    pub(crate) samples: Samples<'a>,
}

/// Where chunks go.
pub(crate) trait Sink: Sync {
    /// What a thread uses again and again.
    type Scratch: Default;

    /// Whether anybody asks for the smallest and largest samples.
    const EXTREMES: bool;

    /// Bytes that a thread needs for one chunk.
    fn memory(&self) -> usize;

    /// Says that a tree begins. Where it was stored before, fills in the samples of its root and returns the extremes of what is
    /// below.
    fn found(
        &self,
        _tree: &Tree,
        _size: [usize; 2],
        _samples: &mut [u8],
        _scratch: &mut Self::Scratch,
    ) -> Result<Option<Extremes>, WriteError> {
        Ok(None)
    }

    /// Says that a tree is whole.
    fn whole(
        &self,
        _tree: &Tree,
        _extremes: &Extremes,
        _scratch: &mut Self::Scratch,
    ) -> Result<(), WriteError> {
        Ok(())
    }

    /// Stores a chunk; each comes once, in any order, from any thread.
    fn store(&self, chunk: &Chunk<'_>, scratch: &mut Self::Scratch) -> Result<(), WriteError>;
}

/// Each channel is described by itself: a file that claims millions would be nothing but descriptions.
const CHANNELS: usize = 1 << 16;

/// Sends an image through. Returns the smallest and largest sample of each channel, where the sink wants them.
pub(crate) fn run<S: Sink>(
    source: &dyn Source,
    grid: &Grid,
    sink: &S,
    options: &Options<'_>,
) -> Result<Vec<Extremes>, WriteError> {
    let shape = source.shape();
    if shape.c > CHANNELS {
        return Err(WriteError::Unsupported {
            what: format!("an image of {} channels is not written, but one of up to {CHANNELS}", shape.c),
            remedy: "put them on another axis",
        });
    }
    let plan = Plan::new(source, grid, sink.memory(), options)?;
    let work = Work {
        source,
        grid,
        sink,
        options,
        plan: &plan,
        next: AtomicUsize::new(0),
        failed: Mutex::new(None),
        stopped: AtomicBool::new(false),
        done: AtomicU64::new(0),
        total: shape.samples().saturating_mul(source.sample_type().bytes() as u64),
        tops: Mutex::default(),
    };
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (1..plan.threads).map(|_| scope.spawn(|| Descent::new(&work).run_to_end())).collect();
        let mut found = vec![Descent::new(&work).run_to_end()];
        // A thread that panicked has no extremes; the panic goes on here.
        found.extend(threads.into_iter().map(|thread| match thread.join() {
            Ok(extremes) => extremes,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        found
    });
    if let Some(error) = lock(&work.failed).take() {
        return Err(error);
    }
    let mut all = vec![Extremes::default(); shape.c];
    for extremes in found {
        all.iter_mut().zip(&extremes).for_each(|(all, one)| all.merge(one));
    }
    Ok(all)
}

/// The memory that one thread needs, where a sink takes so much for a chunk.
pub(crate) fn needed(source: &dyn Source, grid: &Grid, sink: usize) -> usize {
    Plan::needed(source, grid, sink)
}

/// What all threads share.
struct Work<'a, S> {
    source: &'a dyn Source,
    grid: &'a Grid,
    sink: &'a S,
    options: &'a Options<'a>,
    plan: &'a Plan,
    next: AtomicUsize,
    failed: Mutex<Option<WriteError>>,
    stopped: AtomicBool,
    done: AtomicU64,
    total: u64,
    /// By the number of the plane.
    tops: Mutex<HashMap<usize, Arc<Mutex<Top>>>>,
}

/// The level above the trees of a plane, whole.
struct Top {
    samples: Vec<u8>,
    missing: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked ends all the work.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread.
struct Descent<'a, S: Sink> {
    work: &'a Work<'a, S>,
    sample_type: SampleType,
    scratch: S::Scratch,
    extremes: Vec<Extremes>,
}

impl<'a, S: Sink> Descent<'a, S> {
    fn new(work: &'a Work<'a, S>) -> Self {
        Self {
            work,
            sample_type: work.source.sample_type(),
            scratch: S::Scratch::default(),
            extremes: vec![Extremes::default(); work.source.shape().c],
        }
    }

    /// Takes tree after tree until there are no more, or one fails.
    fn run_to_end(mut self) -> Vec<Extremes> {
        let mut buffers = vec![Vec::new(); self.work.plan.split + 1];
        while !self.work.stopped.load(Ordering::Relaxed) {
            let number = self.work.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.work.plan.trees() {
                break;
            }
            if let Err(error) = self.tree(number, &mut buffers) {
                self.work.stopped.store(true, Ordering::Relaxed);
                lock(&self.work.failed).get_or_insert(error);
            }
        }
        self.extremes
    }

    fn tree(&mut self, number: usize, buffers: &mut [Vec<u8>]) -> Result<(), WriteError> {
        let Work { grid, plan, source, .. } = *self.work;
        let (of_plane, tree) = (number / plan.trees_of_plane, number % plan.trees_of_plane);
        let plane = source.shape().plane(of_plane);
        let [_, columns] = grid.chunks(plan.split);
        let place = [tree / columns, tree % columns];
        self.root(&Tree { level: plan.split, plane: of_plane, place }, plane, buffers)?;
        if plan.split + 1 == grid.sizes.len() {
            return Ok(());
        }
        let size @ [height, width] = grid.sizes[plan.split + 1];
        let top = Arc::clone(lock(&self.work.tops).entry(of_plane).or_insert_with(|| {
            let samples = vec![0; height * width * self.sample_type.bytes()];
            Arc::new(Mutex::new(Top { samples, missing: plan.trees_of_plane }))
        }));
        let whole = {
            let mut top = lock(&top);
            let extent = grid.extent(plan.split, place[0], place[1]);
            if let Some(samples) = buffers.last()
                && contributes(extent, grid.sizes[plan.split])
            {
                let at = place.map(|index| index * grid.tile / 2);
                let from = Samples { size: extent, samples };
                reduce(
                    self.work.source.reduction(),
                    self.sample_type,
                    from,
                    Target { width, samples: &mut top.samples, at },
                );
            }
            top.missing -= 1;
            (top.missing == 0).then(|| std::mem::take(&mut top.samples))
        };
        match whole {
            Some(samples) => {
                lock(&self.work.tops).remove(&of_plane);
                self.rest(plan.split + 1, plane, size, samples)
            }
            None => Ok(()),
        }
    }

    /// Makes the root of a tree, in the last of the buffers, unless it is there already.
    fn root(&mut self, tree: &Tree, plane: Plane, buffers: &mut [Vec<u8>]) -> Result<(), WriteError> {
        let Work { grid, sink, .. } = *self.work;
        let Tree { level, place: place @ [row, column], .. } = *tree;
        let size @ [height, width] = grid.extent(level, row, column);
        if let Some(samples) = buffers.last_mut() {
            samples.resize(height * width * self.sample_type.bytes(), 0);
            if let Some(extremes) = sink.found(tree, size, samples, &mut self.scratch)? {
                self.extremes[plane.c].merge(&extremes);
                let [rows, columns] = [0, 1].map(|axis| {
                    let side = grid.tile << level;
                    grid.sizes[0][axis].saturating_sub(place[axis] * side).min(side)
                });
                self.tell(rows * columns * self.sample_type.bytes());
                return Ok(());
            }
        }
        let before = std::mem::take(&mut self.extremes[plane.c]);
        self.chunk(level, plane, place, buffers)?;
        sink.whole(tree, &self.extremes[plane.c], &mut self.scratch)?;
        self.extremes[plane.c].merge(&before);
        Ok(())
    }

    /// Tells how many bytes of level 0 are done.
    fn tell(&self, bytes: usize) {
        let done = self.work.done.fetch_add(bytes as u64, Ordering::Relaxed);
        (self.work.options.progress)(done + bytes as u64, self.work.total);
    }

    /// Makes a chunk from those below it, in the last of the buffers, and stores it and them.
    fn chunk(
        &mut self,
        level: usize,
        plane: Plane,
        place @ [row, column]: [usize; 2],
        buffers: &mut [Vec<u8>],
    ) -> Result<(), WriteError> {
        let Some((samples, below)) = buffers.split_last_mut() else { return Ok(()) };
        let Work { grid, source, .. } = *self.work;
        let size @ [height, width] = grid.extent(level, row, column);
        samples.resize(height * width * self.sample_type.bytes(), 0);
        if level == 0 {
            if self.work.options.cancelled.load(Ordering::Relaxed) {
                return Err(WriteError::Cancelled);
            }
            let region = Region { plane, y: row * grid.tile, x: column * grid.tile, height, width };
            source.read(0, &region, samples)?;
            if S::EXTREMES {
                self.extremes[plane.c].see(self.sample_type, samples);
            }
            let bytes = samples.len();
            self.tell(bytes);
        } else {
            for [row, column] in grid.below(level, row, column) {
                self.chunk(level - 1, plane, [row, column], below)?;
                let extent = grid.extent(level - 1, row, column);
                if let Some(part) = below.last()
                    && contributes(extent, grid.sizes[level - 1])
                {
                    let at = grid.place(row, column);
                    let from = Samples { size: extent, samples: part };
                    reduce(
                        self.work.source.reduction(),
                        self.sample_type,
                        from,
                        Target { width, samples, at },
                    );
                }
            }
        }
        if samples.is_empty() {
            return Ok(());
        }
        let samples = Samples { size, samples };
        self.work.sink.store(&Chunk { level, plane, place, samples }, &mut self.scratch)
    }

    /// What is above the trees: cut into chunks, and halved to the end.
    fn rest(
        &mut self,
        first: usize,
        plane: Plane,
        mut size: [usize; 2],
        mut samples: Vec<u8>,
    ) -> Result<(), WriteError> {
        let Work { grid, sink, .. } = *self.work;
        let bytes = self.sample_type.bytes();
        let mut cut = Vec::new();
        for level in first..grid.sizes.len() {
            if level > first {
                let next @ [height, width] = grid.sizes[level];
                let mut halved = vec![0; height * width * bytes];
                let into = Target { width, samples: &mut halved, at: [0, 0] };
                reduce(
                    self.work.source.reduction(),
                    self.sample_type,
                    Samples { size, samples: &samples },
                    into,
                );
                (size, samples) = (next, halved);
            }
            let [rows, columns] = size.map(|side| side.div_ceil(grid.tile));
            for place in (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column])) {
                let extent @ [height, width] = grid.extent(level, place[0], place[1]);
                cut.clear();
                for row in 0..height {
                    let start = ((place[0] * grid.tile + row) * size[1] + place[1] * grid.tile) * bytes;
                    cut.extend_from_slice(&samples[start..start + width * bytes]);
                }
                let samples = Samples { size: extent, samples: &cut };
                sink.store(&Chunk { level, plane, place, samples }, &mut self.scratch)?;
            }
        }
        Ok(())
    }
}

/// Whether anything of a chunk reaches the level above: the last row of an odd side alone does not, a side of 1 does.
fn contributes(extent: [usize; 2], size: [usize; 2]) -> bool {
    extent.iter().zip(size).all(|(extent, side)| *extent > 1 || (*extent == 1 && side == 1))
}

#[cfg(test)]
mod tests;
