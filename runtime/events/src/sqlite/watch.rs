//! Noticing what others, in this process or in another one, have written to the file.
//!
//! Whoever writes through this library touches the file's time once its transaction is committed, and the system tells that
//! to whoever watches the folder. Python does not: only its writes to the write-ahead log are seen, and those come shortly
//! before the commit, so that a few looks follow them. A slow timer stands behind both.

use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// How long nothing is heard before the log is read all the same.
const SAFETY: Duration = Duration::from_secs(10);

/// The same where the system does not tell.
const DEAF: Duration = Duration::from_secs(1);

/// When to look first after something was written that may not be committed yet; then each time twice as late.
const FIRST_LOOK: Duration = Duration::from_millis(5);

/// The last of those looks: whoever takes longer is found by the timer.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Tells whoever watches that something was committed. Without opening the file: closing it again would drop the locks
/// that this process holds on it.
pub(super) fn touch(path: &Path) {
    if let Err(error) =
        utimensat(AT_FDCWD, path, &TimeSpec::UTIME_OMIT, &TimeSpec::UTIME_NOW, UtimensatFlags::FollowSymlink)
    {
        tracing::debug!("whoever follows {} notices later: {error}", path.display());
    }
}

/// Watches a file for what is written to it.
#[derive(Debug)]
pub(crate) struct Watch {
    folder: Option<AsyncFd<Folder>>,
    file: String,
    look: Option<Duration>,
}

#[derive(Debug)]
struct Folder(Inotify);

impl AsRawFd for Folder {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// Something is being written.
    Written,
    /// Something was committed.
    Committed,
}

impl Watch {
    /// Begins. What is committed from now on wakes.
    pub(super) fn new(path: &Path) -> Self {
        // The log of a file that a link leads to is beside the file.
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = match watched(path) {
            Ok(folder) => Some(folder),
            Err(error) => {
                tracing::warn!("{} cannot be watched and is read each second: {error}", path.display());
                None
            }
        };
        Self { folder, file, look: None }
    }

    /// Waits until there may be something new.
    pub(crate) async fn woken(&mut self) {
        loop {
            let patience = self.look.unwrap_or(if self.folder.is_some() { SAFETY } else { DEAF });
            match timeout(patience, self.heard()).await {
                Ok(Heard::Committed) => {
                    self.look = None;
                    return;
                }
                Ok(Heard::Written) => self.look = Some(FIRST_LOOK),
                Ok(Heard::Nothing) => {}
                Err(_) => {
                    self.look = self.look.map(|look| look * 2).filter(|look| *look <= LAST_LOOK);
                    return;
                }
            }
        }
    }

    /// Waits for the system to tell something.
    async fn heard(&self) -> Heard {
        let Some(folder) = &self.folder else { return std::future::pending().await };
        let Ok(mut ready) = folder.readable().await else { return std::future::pending().await };
        let mut heard = Heard::Nothing;
        loop {
            match folder.get_ref().0.read_events() {
                Ok(events) => {
                    for event in events {
                        let name = event.name.unwrap_or_default();
                        let rest = name.to_str().and_then(|name| name.strip_prefix(self.file.as_str()));
                        match rest {
                            // Also when too much has happened to be told one by one: that has no name.
                            Some("") => heard = Heard::Committed,
                            None if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) => {
                                heard = Heard::Committed;
                            }
                            Some("-wal") if heard == Heard::Nothing => heard = Heard::Written,
                            _ => {}
                        }
                    }
                }
                Err(Errno::EINTR) => {}
                Err(error) => {
                    if error != Errno::EAGAIN {
                        tracing::debug!("reading what was heard: {error}");
                    }
                    ready.clear_ready();
                    return heard;
                }
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "the descriptor is owned and stays the same, which its successor has promised by `unsafe`"
)]
fn watched(path: &Path) -> std::io::Result<AsyncFd<Folder>> {
    let folder = super::connection::folder(path);
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(
        folder,
        AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_MOVED_TO,
    )?;
    AsyncFd::new(Folder(inotify))
}
