//! One at a time for what is heavy: container engines and grids. nextest's test groups do it too; this holds under
//! `cargo test` as well, and between two checkouts on one machine.

use std::fs::File;

use nix::fcntl::{Flock, FlockArg};

use crate::{Result, Trouble};

/// A place at the machine; the next one gets it when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: Flock<File>,
}

/// Waits for a turn.
///
/// # Errors
/// The lock file cannot be opened or locked.
pub fn turn() -> Result<Turn> {
    let path = std::env::temp_dir().join(format!("biomero-tests-{}.lock", nix::unistd::geteuid()));
    let file = File::create(&path).map_err(Trouble::doing(format!("open {}", path.display())))?;
    let lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| Trouble::new(format!("cannot lock {}: {error}", path.display())))?;
    Ok(Turn { _lock: lock })
}
