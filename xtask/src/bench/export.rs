//! Images: ours against omero-cli-zarr, tifffile and what a compressor takes by itself, on 400 MB of a microscope and of a slide
//! scanner, from memory into memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use biomero_tests::cluster::sample;
use biomero_tests::imaging::{self, OmeroCliZarr};
use nix::sys::resource::{UsageWho, getrusage};

use super::{Better, Line, line, median};
use crate::failure::Failure;

/// The program of the package of tests that notes how much memory another takes.
pub(super) const PROGRAMS: &[&str] = &["peak_memory"];

const ROUNDS: usize = 3;

/// More is not needed, whatever the size of an image.
const BUDGET: f64 = 48.0;

/// What `processor` is told: how chunks are compressed by omero-cli-zarr 0.5.5, by 0.8.0, and by us when nothing is said.
const FAST: &[&str] = &["--codec", "lz4", "--level", "5"];
const SLOW: &[&str] = &["--codec", "zstd", "--level", "5"];
const OURS: &[&str] = &["--codec", "zstd", "--level", "1"];

/// All of it. `programs` is the folder of the finished programs.
pub(super) fn measure(programs: &Path) -> Result<Vec<Line>, Failure> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::tempdir_in(parent).map_err(|error| Failure::Unexpected(error.to_string()))?;
    let stage = Stage { folder: folder.path(), programs, python: imaging::interpreter()? };
    let wheel = sample::wheel()?;
    stage.peer(&["stack", "stack.ome.tif"])?;
    stage.peer(&["slide", &wheel.to_string_lossy(), "slide.ome.tif"])?;
    let mut lines = stage.exports("stack.ome.tif", STACK)?;
    lines.extend(stage.exports("slide.ome.tif", SLIDE)?);
    lines.extend(stage.converts()?);
    Ok(lines)
}

/// What the lines of an image are called: fast, slow and ours against omero-cli-zarr, the first two with what nothing but the
/// compressor of omero-cli-zarr would reach; a second thread, and what it gives to nothing but a compressor; the share of the
/// compressor in the processor time, memory.
type Names = [&'static str; 9];

const STACK: Names = [
    "export a stack, 403 MB, lz4 level 5",
    "  C-Blosc alone, 2 threads",
    "export a stack, zstd level 5",
    "  C-Blosc alone, 2 threads",
    "export a stack, zstd level 1",
    "export a stack, 2 threads",
    "  C-Blosc alone, 2 threads",
    "export a stack, processor time",
    "export a stack, memory",
];

const SLIDE: Names = [
    "export a slide, 382 MB, lz4 level 5",
    "  C-Blosc alone, 2 threads",
    "export a slide, zstd level 5",
    "  C-Blosc alone, 2 threads",
    "export a slide, zstd level 1",
    "export a slide, 2 threads",
    "  C-Blosc alone, 2 threads",
    "export a slide, processor time",
    "export a slide, memory",
];

/// What a run took: milliseconds on the wall and of processors, MiB at most.
#[derive(Debug, Clone, Copy)]
struct Run {
    wall: f64,
    processor: f64,
    peak: f64,
}

/// A folder in memory, and what works in it.
struct Stage<'a> {
    folder: &'a Path,
    programs: &'a Path,
    python: PathBuf,
}

impl Stage<'_> {
    /// An image, written by us and by both versions of omero-cli-zarr.
    fn exports(&self, image: &str, names: Names) -> Result<Vec<Line>, Failure> {
        let [
            fast_is,
            fastest_is,
            slow_is,
            slowest_is,
            ours_is,
            threads_is,
            second_is,
            processor_is,
            memory_is,
        ] = names;
        let mut walls: [Vec<f64>; 10] = Default::default();
        let [fast, fastest, slow, slowest, ours, alone, old, new, single, double] = &mut walls;
        let [mut processor, mut peak, mut compressor] = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            let export = |how: &[&str], threads: &str| {
                let arguments = [&["export", image, "--output", "out", "--name", "out"], how].concat();
                self.ours(&[&arguments[..], &["--threads", threads]].concat(), "out")
            };
            fast.push(export(FAST, "2")?.wall);
            old.push(self.omero_cli_zarr(OmeroCliZarr::V0_5_5, image)?);
            fastest.push(self.peer(&["together", image, "lz4", "5", "2"])?);
            slow.push(export(SLOW, "2")?.wall);
            new.push(self.omero_cli_zarr(OmeroCliZarr::V0_8_0, image)?);
            slowest.push(self.peer(&["together", image, "zstd", "5", "2"])?);
            let both = export(OURS, "2")?;
            ours.push(both.wall);
            peak.push(both.peak);
            let one = export(OURS, "1")?;
            alone.push(one.wall);
            processor.push(one.processor);
            compressor.push(self.peer(&["codec", image, "zstd", "1"])?);
            double.push(self.peer(&["together", image, "zstd", "1", "2"])?);
            single.push(self.peer(&["together", image, "zstd", "1", "1"])?);
        }
        let [fast, fastest, slow, slowest, ours, alone, old, new, single, double] = walls.map(median);
        // Reading, halving, hashing and writing take no time in these: nobody who compresses with it gets farther.
        let at_most =
            |what, alone, other, other_is| line(what, alone, other, other_is, f64::INFINITY, Better::Larger);
        Ok(vec![
            line(fast_is, fast, old, "omero-cli-zarr 0.5.5", 8.0, Better::Larger),
            at_most(fastest_is, fastest, old, "omero-cli-zarr 0.5.5"),
            line(slow_is, slow, new, "omero-cli-zarr 0.8.0", 2.5, Better::Larger),
            at_most(slowest_is, slowest, new, "omero-cli-zarr 0.8.0"),
            line(ours_is, ours, new, "omero-cli-zarr 0.8.0", 10.0, Better::Larger),
            line(threads_is, ours, alone, "1 thread", 1.8, Better::Larger),
            at_most(second_is, double, single, "1 thread"),
            line(processor_is, median(processor), median(compressor), "C-Blosc alone", 0.85, Better::Larger),
            budget(memory_is, median(peak)),
        ])
    }

    /// The stack as a plain TIFF, against tifffile; and 20 GB.
    fn converts(&self) -> Result<Vec<Line>, Failure> {
        self.run(&["export", "stack.ome.tif", "--output", "kept", "--name", "stack"])?;
        let (mut ours, mut tifffile, mut peak) = (Vec::new(), Vec::new(), Vec::new());
        let zarr = "kept/stack.ome.zarr";
        for _ in 0..ROUNDS {
            let run = self.ours(&["convert", zarr, "--output", "a.tif", "--threads", "2"], "a.tif")?;
            ours.push(run.wall);
            peak.push(run.peak);
            self.remove("a.tif.sha256")?;
            let mut other = self.python("peers.py");
            tifffile.push(self.timed(other.args(["tiff", zarr, "a.tif"]))?.wall);
            self.remove("a.tif")?;
        }
        self.remove("kept")?;
        self.peer(&["huge", "huge.zarr"])?;
        let huge = ["convert", "huge.zarr", "--output", "a.tif", "--compress", "zstd"];
        let huge = self.ours(&huge, "a.tif")?;
        Ok(vec![
            line(
                "convert the stack, 2 threads",
                median(ours),
                median(tifffile),
                "tifffile",
                1.0,
                Better::Larger,
            ),
            budget("convert the stack, memory", median(peak)),
            budget("convert 21 GB, memory", huge.peak),
        ])
    }

    /// Milliseconds that omero-cli-zarr takes, without the start of Python.
    fn omero_cli_zarr(&self, version: OmeroCliZarr, image: &str) -> Result<f64, Failure> {
        let mut command = Command::new(version.interpreter()?);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.arg(imaging::fixtures().join("omero_cli_zarr_time.py"));
        std::fs::create_dir(self.folder.join("theirs")).map_err(|source| Failure::File {
            action: "make",
            path: self.folder.join("theirs"),
            source,
        })?;
        let seconds = self.printed(command.args([image, "theirs"]))?;
        self.remove("theirs")?;
        Ok(seconds * 1e3)
    }

    /// Runs `processor`, and removes what it made.
    fn ours(&self, arguments: &[&str], made: &str) -> Result<Run, Failure> {
        let peak = self.folder.join("peak");
        let mut command = Command::new(self.programs.join("peak_memory"));
        command.arg(&peak).arg(self.programs.join("processor")).args(arguments);
        let mut run = self.timed(&mut command)?;
        let kib = std::fs::read_to_string(&peak).ok().and_then(|text| text.trim().parse::<f64>().ok());
        run.peak = kib.unwrap_or(f64::INFINITY) / 1_024.0;
        self.remove(made)?;
        Ok(run)
    }

    fn run(&self, arguments: &[&str]) -> Result<Run, Failure> {
        self.timed(Command::new(self.programs.join("processor")).args(arguments))
    }

    fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(imaging::fixtures().join(script));
        command
    }

    /// Runs a verb of the peers; milliseconds where it prints seconds.
    fn peer(&self, arguments: &[&str]) -> Result<f64, Failure> {
        Ok(self.printed(self.python("peers.py").args(arguments))? * 1e3)
    }

    /// Runs a program; the number that it prints, 0 where it prints nothing.
    fn printed(&self, command: &mut Command) -> Result<f64, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let shown = format!("{command:?}");
        let output = command
            .current_dir(self.folder)
            .stderr(Stdio::null())
            .output()
            .map_err(|source| Failure::Start { program, source })?;
        if !output.status.success() {
            return Err(Failure::Ended { command: shown, status: output.status });
        }
        match String::from_utf8_lossy(&output.stdout).trim() {
            "" => Ok(0.0),
            text => text
                .parse()
                .map_err(|_| Failure::Unexpected(format!("{shown} printed {text:?} instead of a number"))),
        }
    }

    fn timed(&self, command: &mut Command) -> Result<Run, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let shown = format!("{command:?}");
        let (start, before) = (Instant::now(), processor_time());
        let status = command
            .current_dir(self.folder)
            .stdout(Stdio::null())
            .status()
            .map_err(|source| Failure::Start { program, source })?;
        let (wall, processor) = (start.elapsed(), processor_time().saturating_sub(before));
        if !status.success() {
            return Err(Failure::Ended { command: shown, status });
        }
        Ok(Run { wall: wall.as_secs_f64() * 1e3, processor: processor.as_secs_f64() * 1e3, peak: 0.0 })
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(|source| Failure::File { action: "remove", path, source })
    }
}

const fn budget(what: &'static str, ours: f64) -> Line {
    Line {
        what,
        ours,
        other: BUDGET,
        unit: "MiB",
        other_is: "the budget",
        limit: 1.0,
        better: Better::Smaller,
    }
}

/// Of the programs that have ended.
fn processor_time() -> Duration {
    let time = |time: nix::sys::time::TimeVal| {
        let part = |part: i64| u64::try_from(part).unwrap_or(0);
        Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
    };
    getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(Duration::ZERO, |usage| time(usage.user_time()) + time(usage.system_time()))
}
