//! Folders that take long to make and are made once: packages of others, in versions that a file names.
//!
//! A folder is complete or absent: it is made beside its place and renamed, by one process at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::{Result, Trouble, binary};

/// Downloads from a package registry over a slow line.
pub(crate) const INSTALLATION: Duration = Duration::from_secs(600);

/// What is to be in a folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The file that says it.
    pub(crate) list: &'a Path,
    /// The name under which the folder has a copy of that file.
    pub(crate) copy: &'a str,
    /// Without this the folder is of no use.
    pub(crate) part: &'a str,
}

/// The folder of this name; made when it is missing or holds something else. `make` fills the folder that it is given, which
/// is moved afterwards.
///
/// # Errors
/// It cannot be made.
pub(crate) fn folder(
    name: &str,
    wanted: Wanted<'_>,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let Wanted { list, copy, part } = wanted;
    let listed = std::fs::read(list).map_err(Trouble::doing(format!("read {}", list.display())))?;
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
    let has = std::fs::read(place.join(copy)).unwrap_or_default();
    // A link to something that was uninstalled exists no more.
    if has == listed && place.join(part).exists() {
        return Ok(place);
    }
    let beside = beside_it("new");
    for leftover in [&beside, &place] {
        if leftover.exists() {
            std::fs::remove_dir_all(leftover)
                .map_err(Trouble::doing(format!("remove {}", leftover.display())))?;
        }
    }
    make(&beside)?;
    std::fs::write(beside.join(copy), &listed)
        .and_then(|()| std::fs::rename(&beside, &place))
        .map_err(Trouble::doing(format!("make {}", place.display())))?;
    Ok(place)
}
