//! The session for files: the subsystem `sftp`, one for all, opened when first needed and again after a reconnection.
//!
//! Where the server offers none, that is found out once; commands do the same ([`crate::cluster::files`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openssh::Child;
use openssh_sftp_client::{Sftp, SftpOptions};
use tokio::sync::Mutex;

use super::master::{Link, Master};
use super::places::Place;
use super::{Kind, Session, Ssh, begin};
use crate::cluster::Error;
use crate::cluster::running::Limit;

/// One of the server's places goes to it for good, so that there have to be others.
pub(super) const PLACES: usize = 2;

/// What there is of it.
#[derive(Debug, Default)]
pub(super) struct Files {
    session: Mutex<Option<Arc<FileSession>>>,
    /// The server offers none, or one that says something else.
    absent: AtomicBool,
}

/// An open session.
pub(in crate::cluster) struct FileSession {
    pub(in crate::cluster) sftp: Sftp,
    master: Arc<Master>,
    _child: Child<Link>,
    _place: Option<Place>,
}

impl std::fmt::Debug for FileSession {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FileSession").finish_non_exhaustive()
    }
}

impl FileSession {
    /// Whether the connection still stands: otherwise what it failed to do may be tried by another.
    pub(in crate::cluster) async fn answers(&self) -> bool {
        self.master.answers().await
    }
}

impl Files {
    /// Gives its place back as soon as nobody uses it.
    pub(super) fn yield_place(&self) {
        if let Ok(mut session) = self.session.try_lock() {
            session.take();
        }
    }

    pub(super) async fn close(&self) {
        self.session.lock().await.take();
    }
}

impl Ssh {
    /// One that is of no use any more.
    pub(in crate::cluster) async fn forget(&self, session: &Arc<FileSession>) {
        let mut kept = self.shared.files.session.lock().await;
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, session)) {
            kept.take();
        }
    }

    /// The session for files; none where commands have to do.
    pub(in crate::cluster) async fn files(&self, limit: &Limit) -> Result<Option<Arc<FileSession>>, Error> {
        let files = &self.shared.files;
        if files.absent.load(Ordering::Relaxed) || self.shared.places.all() < PLACES {
            return Ok(None);
        }
        let waiting = tokio::time::timeout_at(limit.deadline, files.session.lock());
        let mut session = waiting.await.map_err(|_| limit.passed())?;
        if let Some(session) = &*session
            && !session.master.is_over()
        {
            return Ok(Some(Arc::clone(session)));
        }
        *session = None;
        let (master, Session { mut child, place }) =
            self.session(limit, |master| begin(master, Kind::Sftp)).await?;
        let pipes = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(limit.lost()) };
        // Nobody reads it, but it must not fill up.
        tokio::spawn(async move {
            let (mut stderr, mut nowhere) = (stderr, tokio::io::sink());
            let _ = tokio::io::copy(&mut stderr, &mut nowhere).await;
        });
        let opening = Sftp::new(stdin, stdout, SftpOptions::new());
        match tokio::time::timeout_at(limit.deadline, opening).await {
            Ok(Ok(sftp)) => {
                let opened = Arc::new(FileSession { sftp, master, _child: child, _place: place });
                Ok(Some(Arc::clone(session.insert(opened))))
            }
            Ok(Err(_)) if !master.answers().await => Err(limit.lost()),
            Ok(Err(error)) => {
                let reason = error.to_string();
                tracing::info!(host = %self.name(), reason = ?reason, "no sftp there: files go by commands");
                files.absent.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(_) => Err(limit.passed()),
        }
    }
}
