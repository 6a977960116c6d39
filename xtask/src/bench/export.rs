//! Images: ours against zarr-python and tifffile on the same 403 MB, from memory into memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use biomero_tests::imaging;

use super::{Better, Line, line, median};
use crate::failure::Failure;

/// The program of the package of tests that notes how much memory another takes.
pub(super) const PROGRAMS: &[&str] = &["peak_memory"];

const ROUNDS: usize = 3;

/// More is not needed, whatever the size of an image.
const BUDGET: f64 = 48.0;

/// All of it. `programs` is the folder of the finished programs.
pub(super) fn measure(programs: &Path) -> Result<Vec<Line>, Failure> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::tempdir_in(parent).map_err(|error| Failure::Unexpected(error.to_string()))?;
    let stage = Stage { folder: folder.path(), programs, python: imaging::interpreter()? };
    stage.peer(&["make", "a.ome.tif"])?;
    let mut times: [Vec<f64>; 7] = Default::default();
    let [fast, slow, both, python_fast, python_slow, flat, tifffile] = &mut times;
    let mut peaks = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let export = ["export", "a.ome.tif", "--output", "out", "--codec"];
        let timed = |more: &[&str], made: &str| stage.ours(&[&export[..], more].concat(), made);
        fast.push(timed(&["lz4", "--level", "5", "--threads", "1"], "out/a.ome.zarr")?.0);
        slow.push(timed(&["zstd", "--level", "5", "--threads", "1"], "out/a.ome.zarr")?.0);
        let (time, peak) = timed(&["lz4", "--level", "5", "--threads", "2"], "out/a.ome.zarr")?;
        both.push(time);
        peaks[0].push(peak);
        for (times, codec) in [(&mut *python_fast, "lz4"), (&mut *python_slow, "zstd")] {
            times.push(stage.peer(&["zarr", "a.ome.tif", "python.zarr", codec, "5"])?);
            stage.remove("python.zarr")?;
        }
        stage.run(&["export", "a.ome.tif", "--output", "kept"])?;
        let (time, peak) =
            stage.ours(&["convert", "kept/a.ome.zarr", "--output", "a.tif", "--threads", "2"], "a.tif")?;
        flat.push(time);
        peaks[1].push(peak);
        stage.remove("a.tif.sha256")?;
        tifffile.push(stage.peer(&["tiff", "kept/a.ome.zarr", "a.tif"])?);
        stage.remove("a.tif")?;
        stage.remove("kept")?;
    }
    let [fast, slow, both, python_fast, python_slow, flat, tifffile] = times.map(median);
    let [export, convert] = peaks.map(median);
    let budget = |what, ours| Line {
        what,
        ours,
        other: BUDGET,
        unit: "MiB",
        other_is: "the budget",
        limit: 1.0,
        better: Better::Smaller,
    };
    Ok(vec![
        line("export 403 MB, lz4, 1 thread", fast, python_fast, "zarr-python", 2.0, Better::Larger),
        line("export 403 MB, zstd 5, 1 thread", slow, python_slow, "zarr-python", 1.2, Better::Larger),
        line("export 403 MB, lz4, 2 threads", both, fast, "1 thread", 1.6, Better::Larger),
        line("convert 403 MB, 2 threads", flat, tifffile, "tifffile", 1.0, Better::Larger),
        budget("its memory: export", export),
        budget("its memory: convert", convert),
    ])
}

/// A folder in memory, and what works in it.
struct Stage<'a> {
    folder: &'a Path,
    programs: &'a Path,
    python: PathBuf,
}

impl Stage<'_> {
    /// Runs `processor`, and removes what it made. Milliseconds, and MiB at most.
    fn ours(&self, arguments: &[&str], made: &str) -> Result<(f64, f64), Failure> {
        let peak = self.folder.join("peak");
        let mut command = Command::new(self.programs.join("peak_memory"));
        command.arg(&peak).arg(self.programs.join("processor")).args(arguments);
        let time = self.timed(&mut command)?;
        let kib = std::fs::read_to_string(&peak).ok().and_then(|text| text.trim().parse::<f64>().ok());
        self.remove(made)?;
        Ok((time, kib.unwrap_or(f64::INFINITY) / 1_024.0))
    }

    fn run(&self, arguments: &[&str]) -> Result<f64, Failure> {
        self.timed(Command::new(self.programs.join("processor")).args(arguments))
    }

    fn peer(&self, arguments: &[&str]) -> Result<f64, Failure> {
        self.timed(Command::new(&self.python).arg(imaging::fixtures().join("peers.py")).args(arguments))
    }

    fn timed(&self, command: &mut Command) -> Result<f64, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let shown = format!("{command:?}");
        let start = Instant::now();
        let status = command
            .current_dir(self.folder)
            .stdout(Stdio::null())
            .status()
            .map_err(|source| Failure::Start { program, source })?;
        let time = start.elapsed().as_secs_f64() * 1e3;
        if status.success() { Ok(time) } else { Err(Failure::Ended { command: shown, status }) }
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(|source| Failure::File { action: "remove", path, source })
    }
}
