//! The root file systems of small Debians: one with what the production image has of it (an IceGrid node, an ssh client,
//! the libraries), one with the servers of `docker/example`. Made by `mmdebstrap` in about a minute and kept in the user's
//! cache, outside of the tree.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::{Result, Trouble, binary, process};

const SUITE: &str = "bookworm";

const PACKAGES: &[&str] = &["zeroc-icegrid", "openssh-client", "libpq5", "libblosc1", "python3-minimal"];

/// What `docker/install-packages.sh cluster` would install, what the stand-in for Apptainer runs, and PostgreSQL.
const SERVERS: &[&str] = &[
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "slurm-client",
    "munge",
    "mariadb-server",
    "openssh-server",
    "p7zip-full",
    "charliecloud-runtime",
    "squashfs-tools",
    "postgresql",
];

/// The cached tar file, made when it is missing. Call with a [`crate::queue::Turn`] in hand.
///
/// # Errors
/// `mmdebstrap` fails; it needs root and a Debian mirror.
pub fn tar() -> Result<PathBuf> {
    with(PACKAGES)
}

/// The same with the servers that a worker needs.
///
/// # Errors
/// As for [`tar`].
pub fn servers_tar() -> Result<PathBuf> {
    with(SERVERS)
}

fn with(packages: &[&str]) -> Result<PathBuf> {
    let mut recipe = DefaultHasher::new();
    (SUITE, packages).hash(&mut recipe);
    let folder = binary::cache();
    let tar = folder.join(format!("{SUITE}-{:016x}.tar", recipe.finish()));
    if tar.exists() {
        return Ok(tar);
    }
    fs::create_dir_all(&folder).map_err(Trouble::doing(format!("make {}", folder.display())))?;
    // Renamed only when whole: an interrupted run leaves no half image for the next.
    let unfinished = tar.with_extension(format!("{}.unfinished.tar", std::process::id()));
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--quiet", "--variant=minbase", &format!("--include={}", packages.join(",")), SUITE]);
    let made = process::succeed(mmdebstrap.arg(&unfinished), Duration::from_secs(900));
    let renamed = made.and_then(|_| {
        fs::rename(&unfinished, &tar).map_err(Trouble::doing(format!("name {}", tar.display())))
    });
    if renamed.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    renamed.map(|()| tar)
}
