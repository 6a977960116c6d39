//! What a worker runs workflows with where it has no cluster: a container runtime in its root folder, and a registry of images.

use std::path::Path;
use std::process::Command;

use crate::cluster::{Image, STAND_IN, publish};
use crate::{Result, process, wait, worker_root};

/// Where images are pulled from.
const REGISTRY: &str = "opt/site/registry";

/// Where the runtime is: a folder of the worker's `PATH`.
const RUNTIME: &str = "opt/omero/server/venv3/bin/apptainer";

/// Puts them there; the runtime does what `first` says, lines of `sh`, whenever it is called.
///
/// # Errors
/// An image cannot be made, or a file not be written.
pub fn install(root: &Path, first: &str, images: &[(Image, &str)]) -> Result<()> {
    install_at(root, RUNTIME, first, images)?;
    // Some programs of the host's /usr, awk among them, are links through it.
    let alternatives = Path::new("/etc/alternatives");
    if alternatives.is_dir() {
        let mut copy = Command::new("cp");
        process::succeed(copy.arg("-a").arg(alternatives).arg(root.join("etc")), wait::PATIENCE)?;
    }
    Ok(())
}

/// As [`install`], with the runtime at `runtime`, below a root folder that has all that it starts.
///
/// # Errors
/// As for [`install`].
pub fn install_at(root: &Path, runtime: &str, first: &str, images: &[(Image, &str)]) -> Result<()> {
    worker_root::write(root, "opt/site/apptainer", STAND_IN, 0o755)?;
    let script =
        format!("#!/bin/sh\n{first}\nSTAND_IN_REGISTRY=/{REGISTRY} exec /opt/site/apptainer \"$@\"\n");
    worker_root::write(root, runtime, &script, 0o755)?;
    images.iter().try_for_each(|(image, name)| publish(&root.join(REGISTRY), *image, name))
}
