//! One cluster for many tests: it takes longer to start than most of them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{ACCESS, Access, Cluster, Options};
use crate::keeper::Keeper;
use crate::scratch::Scratch;
use crate::{Result, Trouble};

/// Names the folder of a running cluster, which the program `test_cluster` or `cargo xtask test` has started.
pub const CLUSTER_VARIABLE: &str = "BIOMERO_TEST_CLUSTER";

/// The cluster that [`CLUSTER_VARIABLE`] names. Without it, one that the tests of this process share, started by the
/// first and stopped by the last of those that hold it at a time. Each test has a folder of its own there.
///
/// # Errors
/// It does not start, or none is where the variable says.
pub fn shared() -> Result<Arc<Shared>> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let found = Arc::new(match std::env::var_os(CLUSTER_VARIABLE) {
        Some(folder) => Shared::attach(&PathBuf::from(folder))?,
        None => Shared::start()?,
    });
    *shared = Arc::downgrade(&found);
    Ok(found)
}

/// A cluster that others use too: nothing of it is stopped.
#[derive(Debug)]
pub struct Shared {
    access: Access,
    /// Where it is our process's own: the cluster and its folder, which go in this order, and the thread that it would
    /// die with.
    _own: Option<(Cluster, Scratch, Keeper)>,
}

impl Shared {
    fn attach(folder: &Path) -> Result<Self> {
        let path = folder.join(ACCESS);
        let text = std::fs::read(&path).map_err(Trouble::doing(format!(
            "read {}: does {CLUSTER_VARIABLE} name a running cluster?",
            path.display()
        )))?;
        let access = serde_json::from_slice(&text)
            .map_err(|error| Trouble::new(format!("{}: {error}", path.display())))?;
        Ok(Self { access, _own: None })
    }

    fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().to_path_buf();
        let (cluster, keeper) = Keeper::keep(move || Cluster::start(&folder, &Options::default()));
        let cluster = cluster?;
        Ok(Self { access: cluster.access().clone(), _own: Some((cluster, scratch, keeper)) })
    }
}

impl std::ops::Deref for Shared {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}
