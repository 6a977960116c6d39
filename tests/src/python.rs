//! Packages of Python in virtual environments that are made once and kept.
//!
//! An environment is complete or absent: it is made beside its place and renamed, by one process at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::{Result, Trouble, binary, process};

/// Downloads from a package registry over a slow line.
const INSTALLATION: Duration = Duration::from_secs(600);

/// The interpreter of the environment of this name, which has exactly the packages of a file of requirements; made when it is
/// missing or has others.
///
/// # Errors
/// There is no Python that can make virtual environments, or no package registry.
pub fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let wanted =
        std::fs::read(requirements).map_err(Trouble::doing(format!("read {}", requirements.display())))?;
    let cache = binary::cache();
    std::fs::create_dir_all(&cache).map_err(Trouble::doing(format!("make {}", cache.display())))?;
    // Names end in versions: nothing is replaced but the whole name extended.
    let beside_it = |ending: &str| cache.join(format!("{name}.{ending}"));
    let place = cache.join(name);
    let lock = beside_it("lock");
    let lock = File::create(&lock).map_err(Trouble::doing(format!("open {}", lock.display())))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| {
        Trouble::new(format!("cannot wait for another that installs {name}: {error}"))
    })?;
    let interpreter = place.join("bin/python");
    let has = std::fs::read(place.join("requirements.txt")).unwrap_or_default();
    // A link to an interpreter that was uninstalled exists no more.
    if has == wanted && interpreter.exists() {
        return Ok(interpreter);
    }
    let beside = beside_it("new");
    for leftover in [&beside, &place] {
        if leftover.exists() {
            std::fs::remove_dir_all(leftover)
                .map_err(Trouble::doing(format!("remove {}", leftover.display())))?;
        }
    }
    process::succeed(Command::new("python3").args(["-m", "venv"]).arg(&beside), INSTALLATION)?;
    // By the interpreter, not by the program `pip`: programs hold the path of where they were made.
    let mut install = Command::new(beside.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    install.arg("--requirement").arg(requirements);
    process::succeed(&mut install, INSTALLATION)?;
    std::fs::write(beside.join("requirements.txt"), &wanted)
        .and_then(|()| std::fs::rename(&beside, &place))
        .map_err(Trouble::doing(format!("make {}", place.display())))?;
    Ok(interpreter)
}
