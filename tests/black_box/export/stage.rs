//! Images in a folder, and `processor` at work on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, imaging, process};

const DEADLINE: Duration = Duration::from_secs(120);

/// A folder and the program.
pub(super) struct Stage {
    scratch: Scratch,
    program: PathBuf,
}

impl Stage {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { scratch: Scratch::new()?, program: binary::processor()? })
    }

    /// A place in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The program with these arguments, in the folder.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.scratch.path());
        command
    }

    /// Runs it; it has to end with this code. Everything it wrote.
    pub(super) fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let output = process::output(&mut self.command(arguments), DEADLINE)?;
        let told = process::both(&output);
        match output.status.code() {
            Some(found) if found == code => Ok(told),
            _ => Err(Trouble::new(format!("{arguments:?} ended with {}, not {code}: {told}", output.status))),
        }
    }

    /// Runs it successfully; its answer.
    pub(super) fn answer(&self, arguments: &[&str]) -> Result<String> {
        let output: Output = process::output(&mut self.command(arguments), DEADLINE)?;
        if !output.status.success() {
            return Err(Trouble::new(format!("{arguments:?}: {}", process::both(&output))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Images of others, all or some.
    pub(super) fn images(&self, names: &[&str]) -> Result<()> {
        let mut arguments = vec![self.path("")];
        arguments.extend(names.iter().map(PathBuf::from));
        let arguments: Vec<&Path> = arguments.iter().map(PathBuf::as_path).collect();
        imaging::run("images.py", &arguments).map(drop)
    }

    /// Writes an image in every way in which it can be written, and in one way and then another, beside what it holds.
    pub(super) fn there_and_back(&self, image: &str) -> Result<()> {
        let made = format!("made/{image}");
        std::fs::create_dir_all(self.path(&made)).map_err(Trouble::doing("make a folder"))?;
        let samples = format!("{image}.npy");
        std::fs::rename(self.path(&samples), self.path(&format!("made/{samples}")))
            .map_err(Trouble::doing(format!("move {samples}")))?;
        let [flat, tiles, pyramid, back] =
            ["flat", "tiles", "pyramid", "back"].map(|name| format!("{made}/{name}.tif"));
        let zarr = |name: &str| format!("{made}/{name}.ome.zarr");
        for arguments in [
            &["export", image, "--output", &made, "--name", "v04"][..],
            &["export", image, "--output", &made, "--name", "v05", "--format", "0.5", "--codec", "lz4"],
            &["export", image, "--output", &made, "--name", "shards", "--format", "0.5", "--shard", "2"],
            &["convert", image, "--output", &flat],
            &["convert", image, "--output", &tiles, "--compress", "zstd"],
            &["convert", image, "--output", &pyramid, "--compress", "lzw", "--pyramid"],
            &["convert", &zarr("shards"), "--output", &back, "--compress", "deflate"],
            &["export", &pyramid, "--output", &made, "--name", "back"],
        ] {
            self.answer(arguments)?;
        }
        Ok(())
    }

    /// Has the readers of others compare what was made of so many images.
    pub(super) fn all_are_read(&self, images: usize) -> Result<()> {
        let told = imaging::run("readers.py", &[&self.path("made")])?;
        let told_by_ome_zarr = imaging::ome_zarr_info(&self.path("made"))?;
        let told = (told.lines().last(), told_by_ome_zarr.lines().last());
        let expected = (format!("{} images read", 8 * images), format!("{} images told of", 4 * images));
        match told == (Some(&expected.0), Some(&expected.1)) {
            true => Ok(()),
            false => Err(Trouble::new(format!("{told:?} in place of {expected:?}"))),
        }
    }

    /// An OME-Zarr 0.4 without a single chunk, so large that whoever reads it is busy for a while.
    pub(super) fn large(&self, name: &str, side: usize) -> Result<PathBuf> {
        let path = self.path(name);
        let write = |file: &str, content: String| {
            let file = path.join(file);
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))
                .and_then(|()| std::fs::write(&file, content))
                .map_err(Trouble::doing(format!("write {}", file.display())))
        };
        write(".zgroup", r#"{"zarr_format": 2}"#.to_owned())?;
        write(
            ".zattrs",
            r#"{"multiscales": [{"version": "0.4", "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
              "datasets": [{"path": "0"}]}]}"#
                .to_owned(),
        )?;
        write(
            "0/.zarray",
            format!(
                r#"{{"zarr_format": 2, "shape": [{side}, {side}], "chunks": [1024, 1024], "dtype": "|u1", "order": "C",
                "compressor": null, "filters": null, "fill_value": 7}}"#
            ),
        )?;
        Ok(path)
    }

    /// An OME-TIFF of so many planes that an export of it takes a second or more.
    pub(super) fn made(&self, name: &str, planes: usize) -> Result<()> {
        let make = "import sys, numpy, tifffile; planes = int(sys.argv[2]); random = numpy.random.default_rng(planes)
tifffile.imwrite(sys.argv[1], random.integers(0, 4096, (planes, 1500, 1300), 'uint16'), metadata={'axes': 'ZYX'})";
        let mut command = Command::new(imaging::interpreter()?);
        command.args(["-c", make]).arg(self.path(name)).arg(planes.to_string());
        process::succeed(&mut command, DEADLINE).map(drop)
    }

    /// The names in the folder, in order.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let path = self.scratch.path();
        let entries = std::fs::read_dir(path).map_err(Trouble::doing(format!("read {}", path.display())))?;
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }
}
