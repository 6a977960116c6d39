//! From a source to a sink: every pixel of level 0 is read once, and the levels above are made on the way.
//!
//! Chunks of level 0 are taken in one order (`walk`), by any thread. Who has stored one halves it into its place in the chunk
//! above, and who has brought the last part of that one stores it and goes on upwards. No thread may be more than a few chunks
//! ahead of another: so what is begun of the levels above is little, whatever the size of the image, and a sink that wants its
//! chunks in order has few of them waiting.
//!
//! Channels whose samples lie side by side are read once: their chunks of a place are made together, in the same memory that a
//! chunk of so many bytes would take, and stored one after the other. Where that allows fewer threads each is read by itself.
//!
//! Threads of its own instead of a pool that steals work: whoever steals holds chunks of two trees at once, and nobody can say
//! beforehand how many. So the budget is kept by arithmetic (`plan`), not by waiting.

mod extremes;
mod plan;
mod walk;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub use extremes::Extremes;
use plan::{Load, Plan};
use walk::{Step, Walk};

use crate::pyramid::{Grid, Samples, Target, reduce};
use crate::sample::SampleType;
use crate::shape::{Plane, Region, Shape};
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
    /// In the order of all chunks of all levels, from 0 without a gap.
    pub(crate) number: u64,
    pub(crate) level: usize,
    /// The plane, or the first of those that go together.
    pub(crate) plane: Plane,
    /// Among the chunks of its level.
    pub(crate) place: [usize; 2],
    /// Of each of the channels that go together, one after the other.
    pub(crate) samples: Samples<'a>,
    /// Of level 0: the smallest and largest of them, where the sink wants these.
    pub(crate) extremes: Extremes,
}

/// Where samples of a chunk are put: as many rows and columns of it as lie in the image.
pub(crate) struct Part<'a> {
    pub(crate) size: [usize; 2],
    pub(crate) samples: &'a mut [u8],
}

/// Where chunks go.
pub(crate) trait Sink: Sync {
    /// What a thread uses again and again.
    type Scratch: Default;

    /// Whether anybody asks for the smallest and largest samples.
    const EXTREMES: bool;

    /// Whether chunks of several channels may come by turns, where each has its own.
    const APART: bool;

    /// Bytes that a thread needs for one chunk.
    fn memory(&self) -> usize;

    /// Bytes at most that are kept of chunks of so many bytes, while those before them are not stored.
    fn kept(&self, _bytes: usize) -> usize {
        0
    }

    /// How many channels of a plane come in one chunk: a divisor of how many the image has.
    fn together(&self) -> usize {
        1
    }

    /// Of the chunks above one of level 0, and itself: the highest that an earlier run has left whole with all that is below it.
    /// Its level, and the extremes of what is below.
    fn whole(&self, _plane: Plane, _place: [usize; 2]) -> Option<(usize, Extremes)> {
        None
    }

    /// Reads back a chunk that is whole: only what lies in the image.
    fn load(
        &self,
        _level: usize,
        _plane: Plane,
        _place: [usize; 2],
        _into: Part<'_>,
    ) -> Result<(), WriteError> {
        Ok(())
    }

    /// Stores a chunk; each comes once, from any thread, and nearly in the order of their numbers.
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
    let (plan, channels) = plan(source, grid, sink, options)?;
    let work = Work {
        source,
        grid,
        sink,
        options,
        channels,
        planes: Shape { c: shape.c / channels.together, ..shape },
        window: plan.window,
        order: Mutex::new(Order {
            walk: Walk::new(grid, shape.planes() / channels.together),
            first: 0,
            numbers: 0,
            missing: VecDeque::new(),
            begun: HashMap::new(),
            spare: vec![Vec::new(); grid.sizes.len()],
            failed: None,
            stopped: false,
        }),
        moved: Condvar::new(),
        done: AtomicU64::new(0),
        total: shape.samples().saturating_mul(source.sample_type().bytes() as u64),
    };
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (1..plan.threads).map(|_| scope.spawn(|| Climb::new(&work).run_to_end())).collect();
        let mut found = vec![Climb::new(&work).run_to_end()];
        // A thread that panicked has no extremes; the panic goes on here.
        found.extend(threads.into_iter().map(|thread| match thread.join() {
            Ok(extremes) => extremes,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        found
    });
    if let Some(error) = lock(&work.order).failed.take() {
        return Err(error);
    }
    let mut all = vec![Extremes::default(); shape.c];
    for extremes in found {
        all.iter_mut().zip(&extremes).for_each(|(all, one)| all.merge(one));
    }
    Ok(all)
}

/// The channels that are read together.
#[derive(Debug, Clone, Copy)]
struct Channels {
    /// How many they are.
    together: usize,
    /// How many chunks they are stored as.
    chunks: usize,
}

/// How the work is done, and which channels are read together: those of a chunk; else those of a pixel of the source, where that
/// costs no thread.
fn plan<S: Sink>(
    source: &dyn Source,
    grid: &Grid,
    sink: &S,
    options: &Options<'_>,
) -> Result<(Plan, Channels), WriteError> {
    let plan = |channels: usize| {
        let load = Load {
            grid,
            pixel: source.sample_type().bytes().saturating_mul(channels),
            other: source.memory().saturating_add(sink.memory()),
            kept: &|bytes| sink.kept(bytes),
        };
        Plan::new(load, options)
    };
    let together = sink.together();
    let own = plan(together)?;
    let interleaved = source.interleaved();
    if S::APART && together == 1 && interleaved > 1 && source.shape().c.is_multiple_of(interleaved) {
        match plan(interleaved) {
            Ok(all) if all.threads == own.threads => {
                return Ok((all, Channels { together: interleaved, chunks: interleaved }));
            }
            _ => {}
        }
    }
    Ok((own, Channels { together, chunks: 1 }))
}

/// The memory that one thread needs, where storing a chunk takes so much of it.
pub(crate) fn needed(source: &dyn Source, grid: &Grid, sink: usize) -> usize {
    let other = source.memory().saturating_add(sink);
    Plan::needed(Load { grid, pixel: source.sample_type().bytes(), other, kept: &|_| 0 })
}

/// What all threads share.
struct Work<'a, S> {
    source: &'a dyn Source,
    grid: &'a Grid,
    sink: &'a S,
    options: &'a Options<'a>,
    channels: Channels,
    /// The image as if the channels that are read together were one.
    planes: Shape,
    window: usize,
    order: Mutex<Order<'a>>,
    /// Something was stored, or it is over.
    moved: Condvar,
    done: AtomicU64,
    total: u64,
}

/// Where the work is. A turn is a chunk of level 0 with those above it that it is the last part of.
struct Order<'a> {
    walk: Walk<'a>,
    /// The first turn that is not done.
    first: u64,
    /// How many chunks have a number.
    numbers: u64,
    /// Of each turn from the first on: how many of its chunks are missing.
    missing: VecDeque<usize>,
    begun: HashMap<Key, Begun>,
    /// Memory that is used again, by level.
    spare: Vec<Vec<Vec<u8>>>,
    failed: Option<WriteError>,
    stopped: bool,
}

/// A chunk of a level above: the number of its plane, its level, its place.
type Key = (usize, usize, [usize; 2]);

/// A chunk of which parts have come.
#[derive(Default)]
struct Begun {
    samples: Arc<Mutex<Vec<u8>>>,
    /// Parts that have not come.
    parts: usize,
    /// Known once the last chunk below it was taken.
    ticket: Ticket,
}

/// When a chunk is stored.
#[derive(Debug, Clone, Copy, Default)]
struct Ticket {
    number: u64,
    turn: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked ends all the work.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread does next.
#[derive(Clone, Copy)]
struct Task {
    step: Step,
    ticket: Ticket,
    /// It is done already, with all that is below the chunk of this level.
    whole: Option<usize>,
}

impl<S: Sink> Work<'_, S> {
    /// The next chunk of level 0, as soon as no other is too far behind; `None` at the end.
    fn take(&self) -> Option<Task> {
        let mut order = lock(&self.order);
        while !order.stopped && order.missing.len() >= self.window {
            order = self.moved.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        if order.stopped {
            return None;
        }
        let order = &mut *order;
        let (step, whole) = order.walk.find_map(|step| match self.whole(&step) {
            // The last of its chunks of level 0 stands for it.
            Some(level) if step.closes < level => None,
            whole => Some((step, whole)),
        })?;
        let from = whole.unwrap_or_default();
        let turn = order.first + order.missing.len() as u64;
        let ticket = Ticket { number: order.numbers, turn };
        order.numbers += u64::from(whole.is_none());
        let mut missing = 1;
        for level in from + 1..self.grid.sizes.len() {
            let place @ [row, column] = step.place.map(|index| index >> level);
            let begun = order.begun.entry((step.plane, level, place)).or_insert_with(|| Begun {
                parts: self.grid.below(level, row, column).count(),
                ..Begun::default()
            });
            if level <= step.closes {
                begun.ticket = Ticket { number: order.numbers, turn };
                if !self.grid.extent(level, row, column).contains(&0) {
                    order.numbers += 1;
                    missing += 1;
                }
            }
        }
        order.missing.push_back(missing);
        Some(Task { step, ticket, whole })
    }

    /// The highest level at which the chunk is whole in all channels.
    fn whole(&self, step: &Step) -> Option<usize> {
        let levels =
            self.of(step.plane).map(|plane| self.sink.whole(plane, step.place).map(|(level, _)| level));
        // `None` is less than any level.
        levels.min().flatten()
    }

    /// The planes of channels that are read together.
    fn of(&self, number: usize) -> impl Iterator<Item = Plane> + use<S> {
        let (plane, together) = (self.planes.plane(number), self.channels.together);
        let first = plane.c * together;
        (first..first + together).map(move |c| Plane { c, ..plane })
    }

    /// A chunk was stored, and what it gives to the one above is there.
    fn stored(&self, turn: u64) {
        let mut order = lock(&self.order);
        let order = &mut *order;
        if let Some(missing) = order.missing.get_mut((turn - order.first) as usize) {
            *missing -= 1;
        }
        while order.missing.front() == Some(&0) {
            order.missing.pop_front();
            order.first += 1;
        }
        self.moved.notify_all();
    }

    fn stop(&self, error: Option<WriteError>) {
        let mut order = lock(&self.order);
        order.stopped = true;
        if order.failed.is_none() {
            order.failed = error;
        }
        self.moved.notify_all();
    }

    /// Takes a chunk's part into the one above. Returns that, if it was the last.
    fn pass_up(
        &self,
        (plane, level, [row, column]): Key,
        part: &[u8],
        halve: impl FnOnce(&mut Vec<u8>),
    ) -> Option<(Key, Ticket, Vec<u8>)> {
        let above = (plane, level + 1, [row / 2, column / 2]);
        if !part.is_empty() {
            let (target, spare) = {
                let mut order = lock(&self.order);
                let target = Arc::clone(&order.begun.get(&above)?.samples);
                (target, order.spare[level + 1].pop())
            };
            let mut target = lock(&target);
            let unused = match (target.is_empty(), spare) {
                (true, Some(spare)) => {
                    *target = spare;
                    None
                }
                (_, spare) => spare,
            };
            halve(&mut target);
            drop(target);
            lock(&self.order).spare[level + 1].extend(unused);
        }
        let mut order = lock(&self.order);
        let begun = order.begun.get_mut(&above)?;
        begun.parts -= 1;
        if begun.parts > 0 {
            return None;
        }
        let begun = order.begun.remove(&above)?;
        let samples = std::mem::take(&mut *lock(&begun.samples));
        Some((above, begun.ticket, samples))
    }
}

/// One thread.
struct Climb<'a, S: Sink> {
    work: &'a Work<'a, S>,
    sample_type: SampleType,
    scratch: S::Scratch,
    /// Of each channel.
    extremes: Vec<Extremes>,
    /// Of each chunk that is stored of what was read last.
    read: Vec<Extremes>,
}

impl<S: Sink> Drop for Climb<'_, S> {
    fn drop(&mut self) {
        // The others would wait for its chunk.
        if std::thread::panicking() {
            self.work.stop(None);
        }
    }
}

impl<'a, S: Sink> Climb<'a, S> {
    fn new(work: &'a Work<'a, S>) -> Self {
        Self {
            work,
            sample_type: work.source.sample_type(),
            scratch: S::Scratch::default(),
            extremes: vec![Extremes::default(); work.source.shape().c],
            read: vec![Extremes::default(); work.channels.chunks],
        }
    }

    /// Takes chunk after chunk until there are no more, or one fails.
    fn run_to_end(mut self) -> Vec<Extremes> {
        let mut samples = Vec::new();
        while let Some(task) = self.work.take() {
            if let Err(error) = self.turn(&task, &mut samples) {
                self.work.stop(Some(error));
            }
        }
        std::mem::take(&mut self.extremes)
    }

    /// Reads a chunk, stores it, and what is complete with it.
    fn turn(&mut self, task: &Task, samples: &mut Vec<u8>) -> Result<(), WriteError> {
        let (work, Task { step, ticket, whole }) = (self.work, *task);
        if work.options.cancelled.load(Ordering::Relaxed) {
            return Err(WriteError::Cancelled);
        }
        let mut key = (step.plane, 0, step.place);
        let mut done = match whole {
            None => {
                self.read(step, samples)?;
                self.put(key, ticket, samples)?
            }
            Some(level) => {
                key = (step.plane, level, step.place.map(|index| index >> level));
                self.load(key, step.place, samples)?;
                let above = self.pass_up(key, samples);
                work.stored(ticket.turn);
                above
            }
        };
        while let Some((above, ticket, samples)) = done {
            key = above;
            done = self.put(key, ticket, &samples)?;
            lock(&work.order).spare[key.1].push(samples);
        }
        Ok(())
    }

    fn read(
        &mut self,
        Step { plane, place: [row, column], .. }: Step,
        into: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let Work { grid, source, channels, .. } = *self.work;
        let [height, width] = grid.extent(0, row, column);
        let first = self.first(plane);
        let bytes = height * width * self.sample_type.bytes();
        into.resize(bytes * channels.together, 0);
        let region = Region { plane: first, y: row * grid.tile, x: column * grid.tile, height, width };
        source.read_channels(0, &region, channels.together, into)?;
        if S::EXTREMES {
            self.read.fill(Extremes::default());
            for (channel, samples) in into.chunks_exact(bytes).enumerate() {
                let mut extremes = Extremes::default();
                extremes.see(self.sample_type, samples);
                self.extremes[first.c + channel].merge(&extremes);
                self.read[channel * channels.chunks / channels.together].merge(&extremes);
            }
        }
        self.tell(into.len());
        Ok(())
    }

    /// Reads back what an earlier run has left whole.
    fn load(
        &mut self,
        (plane, level, place @ [row, column]): Key,
        leaf: [usize; 2],
        into: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let Work { grid, sink, channels, .. } = *self.work;
        let size = grid.extent(level, row, column);
        let bytes = area(size) * self.sample_type.bytes();
        into.resize(bytes * channels.together, 0);
        for (channel, plane) in self.work.of(plane).enumerate() {
            if bytes > 0 {
                let samples = &mut into[channel * bytes..][..bytes];
                sink.load(level, plane, place, Part { size, samples })?;
            }
            // Where it is whole higher up than its neighbours they are of more than is below here: of samples that count anyway.
            if let Some((_, extremes)) = sink.whole(plane, leaf) {
                self.extremes[plane.c].merge(&extremes);
            }
        }
        let side = grid.tile << level;
        let below = [0, 1].map(|axis| grid.sizes[0][axis].saturating_sub(place[axis] * side).min(side));
        self.tell(area(below) * self.sample_type.bytes() * channels.together);
        Ok(())
    }

    /// Tells how many bytes of level 0 are done.
    fn tell(&self, bytes: usize) {
        let done = self.work.done.fetch_add(bytes as u64, Ordering::Relaxed);
        (self.work.options.progress)(done + bytes as u64, self.work.total);
    }

    /// Stores a chunk. Returns the one above, if this was its last part.
    fn put(
        &mut self,
        key @ (plane, level, place @ [row, column]): Key,
        Ticket { number, turn }: Ticket,
        samples: &[u8],
    ) -> Result<Option<(Key, Ticket, Vec<u8>)>, WriteError> {
        let Work { grid, sink, channels, .. } = *self.work;
        if !samples.is_empty() {
            let (first, size) = (self.first(plane), grid.extent(level, row, column));
            for (index, samples) in samples.chunks_exact(samples.len() / channels.chunks).enumerate() {
                let chunk = Chunk {
                    number: number * channels.chunks as u64 + index as u64,
                    level,
                    plane: Plane { c: first.c + index, ..first },
                    place,
                    samples: Samples { size, samples },
                    extremes: if level == 0 { self.read[index] } else { Extremes::default() },
                };
                sink.store(&chunk, &mut self.scratch)?;
            }
        }
        let above = self.pass_up(key, samples);
        if !samples.is_empty() {
            self.work.stored(turn);
        }
        Ok(above)
    }

    /// Halves a chunk into the one above. Returns that, if this was its last part.
    fn pass_up(&self, key: Key, samples: &[u8]) -> Option<(Key, Ticket, Vec<u8>)> {
        let Work { grid, source, channels, .. } = *self.work;
        let (_, level, [row, column]) = key;
        if level + 1 == grid.sizes.len() {
            return None;
        }
        let size = grid.extent(level, row, column);
        let part = if contributes(size, grid.sizes[level]) { samples } else { &[] };
        self.work.pass_up(key, part, |target| {
            let into @ [_, width] = grid.extent(level + 1, row / 2, column / 2);
            let (of_part, of_whole) =
                (area(size) * self.sample_type.bytes(), area(into) * self.sample_type.bytes());
            target.resize(of_whole * channels.together, 0);
            for (samples, target) in part.chunks_exact(of_part).zip(target.chunks_exact_mut(of_whole)) {
                let into = Target { width, samples: target, at: grid.place(row, column) };
                reduce(source.reduction(), self.sample_type, Samples { size, samples }, into);
            }
        })
    }

    /// The first plane of those that are read together.
    fn first(&self, number: usize) -> Plane {
        let plane = self.work.planes.plane(number);
        Plane { c: plane.c * self.work.channels.together, ..plane }
    }
}

const fn area([height, width]: [usize; 2]) -> usize {
    height * width
}

/// Whether anything of a chunk reaches the level above: the last row of an odd side alone does not, a side of 1 does.
fn contributes(extent: [usize; 2], size: [usize; 2]) -> bool {
    extent.iter().zip(size).all(|(extent, side)| *extent > 1 || (*extent == 1 && side == 1))
}

#[cfg(test)]
mod tests;
