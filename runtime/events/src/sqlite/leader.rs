//! The right to act, as a lock on a file beside the database.

use std::fs::{File, OpenOptions};
use std::future::pending;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{FileError, Store};
use crate::error::Error;

/// A file that is locked.
#[derive(Debug)]
pub(crate) struct FileLeadership {
    _lock: Flock<File>,
}

impl FileLeadership {
    /// Never: what a process has locked stays locked until it ends.
    pub(crate) async fn lost(&mut self) -> String {
        pending().await
    }
}

impl Store {
    /// Takes the lock, unless another process has it.
    pub(crate) async fn lead(&self) -> Result<Option<FileLeadership>, Error> {
        let path = self.database.path.clone();
        self.blocking("become the one that acts", move || {
            let mut name = path.clone().into_os_string();
            name.push("-worker");
            let failed = |source| FileError::Leader { path: name.clone().into(), source };
            let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name);
            match Flock::lock(open.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => Ok(Some(FileLeadership { _lock: lock })),
                Err((_, Errno::EWOULDBLOCK)) => Ok(None),
                Err((_, error)) => Err(failed(error.into()).into()),
            }
        })
        .await
    }
}
