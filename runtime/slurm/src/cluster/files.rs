//! Files of a cluster, a few at a time: job scripts, logs, small results. Data in bulk goes by streams.
//!
//! Relative paths begin at the login folder. A file that is written is beside its name first and then renamed. Over SSH it is
//! SFTP that does it where the server offers it, and a command otherwise, or where SFTP does not say why it cannot: both do
//! the same.

mod by_command;
mod by_sftp;
mod here;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use self::by_sftp::Trouble;
use super::running::Limit;
use super::ssh::FileSession;
use super::{Cluster, Error, Transport};
use crate::command::DEADLINE;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link that leads nowhere, a socket, a device.
    Other,
}

/// What is known of a path, links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, in whole seconds.
    pub modified: Option<SystemTime>,
    /// Its permissions, the lower twelve bits.
    pub mode: u32,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name there.
    pub name: PathBuf,
    /// What it is.
    pub metadata: Metadata,
}

/// The files of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    cluster: &'a Cluster,
}

/// Something that is done by SFTP. Boxed: of an `AsyncFn` with a borrowed path nobody can tell that another thread may go on
/// with it.
type Attempt<'a, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>>;

impl<'a> Files<'a> {
    pub(super) const fn new(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    /// What is at a path; none where there is nothing.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        if self.is_here() {
            return self.here("look at", path, here::metadata).await;
        }
        let look = |session: Arc<FileSession>| -> Attempt<'_, _> {
            Box::pin(async move { by_sftp::metadata(&session, path).await })
        };
        match self.by_sftp("look at", path, look).await {
            Some(outcome) => outcome,
            None => self.metadata_by_command(path).await,
        }
    }

    /// What is in a folder, in no order.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn list(&self, folder: &Path) -> Result<Vec<Entry>, Error> {
        if self.is_here() {
            return self.here("list", folder, here::list).await;
        }
        // SFTP's library ends at a name that is not UTF-8.
        self.list_by_command(folder).await
    }

    /// At most `most` bytes of a file from `offset` on; fewer at its end, none behind it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn read(&self, path: &Path, offset: u64, most: usize) -> Result<Vec<u8>, Error> {
        if self.is_here() {
            return self.here("read", path, move |path| here::read(path, offset, most)).await;
        }
        let read = |session: Arc<FileSession>| -> Attempt<'_, _> {
            Box::pin(async move { by_sftp::read_at(&session, path, offset, most).await })
        };
        match self.by_sftp("read", path, read).await {
            Some(outcome) => outcome,
            None => self.read_by_command(path, offset, most).await,
        }
    }

    /// Writes a whole file with these permissions, or replaces it; nobody ever sees half of it.
    ///
    /// # Errors
    /// It cannot be written; what was there before is still there.
    pub async fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        if self.is_here() {
            let content = content.to_vec();
            return self.here("write", path, move |path| here::write(path, &content, mode)).await;
        }
        let write = |session: Arc<FileSession>| -> Attempt<'_, _> {
            Box::pin(
                async move { by_sftp::write(&session, path, &by_sftp::beside(path), content, mode).await },
            )
        };
        match self.by_sftp("write", path, write).await {
            Some(outcome) => outcome,
            None => self.write_by_command(path, content, mode).await,
        }
    }

    /// Makes a folder and those above it; fine where it is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn create_folder(&self, path: &Path) -> Result<(), Error> {
        if self.is_here() {
            return self.here("make the folder", path, |path| std::fs::create_dir_all(path)).await;
        }
        self.create_folder_by_command(path).await
    }

    /// Renames a file, over one that is there.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub async fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        if self.is_here() {
            let to = here::absolute(to);
            return self.here("rename", from, move |from| std::fs::rename(from, &to)).await;
        }
        if by_sftp::can_say(to) {
            // Done twice, it would fail for want of the file: what was lost is not tried again.
            let limit = self.limit("rename", from);
            if let Some(session) = self.session(from, &limit).await? {
                let renamed =
                    tokio::time::timeout_at(limit.deadline, by_sftp::rename(&session, from, to)).await;
                match renamed.map_err(|_| limit.passed())? {
                    Ok(()) => return Ok(()),
                    Err(Trouble::Said(kind, reason)) => {
                        return Err(self.trouble("rename", from, kind, &reason));
                    }
                    Err(Trouble::Gone) => return Err(limit.lost()),
                    Err(Trouble::Unsaid) => {}
                }
            }
        }
        self.rename_by_command(from, to).await
    }

    /// Removes a file; fine where there is none.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove(&self, path: &Path) -> Result<(), Error> {
        if self.is_here() {
            return self.here("remove", path, here::remove).await;
        }
        let remove = |session: Arc<FileSession>| -> Attempt<'_, _> {
            Box::pin(async move { by_sftp::remove(&session, path).await })
        };
        match self.by_sftp("remove", path, remove).await {
            Some(outcome) => outcome,
            None => self.remove_by_command(path).await,
        }
    }

    fn is_here(&self) -> bool {
        matches!(&*self.cluster.transport, Transport::Local(_))
    }

    /// Does it on this machine, where the system may make us wait.
    async fn here<T, F>(&self, action: &'static str, path: &Path, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
    {
        let absolute = here::absolute(path);
        let limit = self.limit(action, path);
        let work = tokio::task::spawn_blocking(move || work(&absolute));
        let done = tokio::time::timeout_at(limit.deadline, work).await.map_err(|_| limit.passed())?;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| self.trouble(action, path, error.kind(), &error.to_string()))
    }

    /// Does it by SFTP, again where the connection is lost meanwhile; none where a command has to.
    async fn by_sftp<'b, T>(
        &self,
        action: &'static str,
        path: &Path,
        attempt: impl Fn(Arc<FileSession>) -> Attempt<'b, T> + Send + Sync,
    ) -> Option<Result<T, Error>> {
        let limit = self.limit(action, path);
        loop {
            let session = match self.session(path, &limit).await {
                Ok(session) => session?,
                Err(Error::Lost { .. }) if Instant::now() < limit.deadline => continue,
                Err(error) => return Some(Err(error)),
            };
            let Ok(outcome) = tokio::time::timeout_at(limit.deadline, attempt(Arc::clone(&session))).await
            else {
                return Some(Err(limit.passed()));
            };
            match outcome {
                Ok(outcome) => return Some(Ok(outcome)),
                Err(Trouble::Said(kind, reason)) => {
                    return Some(Err(self.trouble(action, path, kind, &reason)));
                }
                Err(Trouble::Unsaid) => return None,
                // A server that talks nonsense over a connection that stands is left to commands.
                Err(Trouble::Gone) if session.answers().await => {
                    self.forget(&session).await;
                    return None;
                }
                Err(Trouble::Gone) => {}
            }
        }
    }

    async fn session(&self, path: &Path, limit: &Limit) -> Result<Option<Arc<FileSession>>, Error> {
        match &*self.cluster.transport {
            Transport::Ssh(ssh) if by_sftp::can_say(path) => ssh.files(limit).await,
            _ => Ok(None),
        }
    }

    async fn forget(&self, session: &Arc<FileSession>) {
        if let Transport::Ssh(ssh) = &*self.cluster.transport {
            ssh.forget(session).await;
        }
    }

    fn limit(&self, action: &str, path: &Path) -> Limit {
        let what = format!("{action} {}", path.display());
        Limit {
            deadline: Instant::now() + DEADLINE,
            after: DEADLINE,
            host: self.cluster.name().to_owned(),
            what,
        }
    }

    fn trouble(&self, action: &'static str, path: &Path, kind: io::ErrorKind, reason: &str) -> Error {
        Error::File {
            host: self.cluster.name().to_owned(),
            action,
            path: path.to_owned(),
            kind,
            reason: reason.to_owned(),
        }
    }
}
