//! An image of 403 MB out of OMERO, through a real Glacier2 router from a stand-in for the server: ours against the tiles of
//! omero-cli-zarr, each with a store of its own and read back before it is written, on the real Ice for Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use biomero_tests::blitz::{self, Omero};
use biomero_tests::imaging::OmeroCliZarr;
use biomero_tests::{binary, process};

use super::{Better, Line, line, median};
use crate::failure::Failure;

const ROUNDS: usize = 2;

/// The image: 16 depths of 3 channels of 2048 × 2048 samples of 16 bits.
const IMAGE: u32 = 40;

/// It takes a minute where nothing else runs.
const DEADLINE: Duration = Duration::from_secs(600);

/// All of it. `programs`: the folder of the finished programs.
pub(super) fn measure(programs: &Path) -> Result<Vec<Line>, Failure> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::tempdir_in(parent).map_err(|error| Failure::Unexpected(error.to_string()))?;
    let (omero, folder) = (Omero::start()?, folder.path());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(export(programs, &omero, folder)?);
        theirs.push(tile_by_tile(&omero, folder)?);
    }
    let other_is = "omero-cli-zarr 0.8.0's tiles";
    Ok(vec![line("403 MB out of OMERO", median(ours), median(theirs), other_is, 10.0, Better::Larger)])
}

/// Milliseconds that ours takes, from its start to its end; every sample is compared.
fn export(programs: &Path, omero: &Omero, folder: &Path) -> Result<f64, Failure> {
    let mut command = Command::new(programs.join("processor"));
    let port = omero.port().to_string();
    command.args(["omero-zarr", "-s", "127.0.0.1", "-p", &port, "-u", "root", "-w", "omero"]);
    command.args(["export", "--format", "0.4", "--output", "ours", &format!("Image:{IMAGE}")]);
    command.current_dir(folder);
    let began = Instant::now();
    process::succeed(&mut command, DEADLINE)?;
    let taken = began.elapsed();
    blitz::compare(IMAGE, &folder.join(format!("ours/{IMAGE}.ome.zarr")), None)?;
    remove(folder.join("ours"))?;
    Ok(taken.as_secs_f64() * 1e3)
}

/// Milliseconds that omero-cli-zarr takes, without the start of Python.
fn tile_by_tile(omero: &Omero, folder: &Path) -> Result<f64, Failure> {
    let mut command = Command::new(OmeroCliZarr::V0_8_0.interpreter()?);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", omero.types());
    command.arg(binary::workspace().join("tests/fixtures/blitz/tile_by_tile.py"));
    command.args([&omero.port().to_string(), &IMAGE.to_string(), "theirs"]);
    let answer = process::succeed(command.current_dir(folder).stderr(Stdio::null()), DEADLINE)?;
    let seconds: f64 = answer
        .trim()
        .parse()
        .map_err(|_| Failure::Unexpected(format!("`{}` is no number of seconds", answer.trim())))?;
    blitz::compare(IMAGE, &folder.join(format!("theirs/{IMAGE}.ome.zarr")), None)?;
    remove(folder.join("theirs"))?;
    Ok(seconds * 1e3)
}

fn remove(path: PathBuf) -> Result<(), Failure> {
    std::fs::remove_dir_all(&path).map_err(|source| Failure::File { action: "remove", path, source })
}
