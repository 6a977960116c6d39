//! The Unix socket: mode 0600, in a folder that nobody else can change where it had to be made.
//!
//! Invariants: nobody can connect before its mode is right; one process at a time has the socket, and one that still serves is
//! never replaced; what a dead one has left is.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use thiserror::Error;
use tokio::net::UnixListener;

/// How many connections wait to be accepted: the system's usual limit.
const WAITING: i32 = 1_024;

/// Why there is no socket.
#[derive(Debug, Error)]
pub(crate) enum SocketError {
    /// It cannot be made.
    #[error("cannot listen on {}: {source}; name another place in the setting api.socket", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else is there.
    #[error("{} is there and no socket: remove it, or name another place in the setting api.socket", path.display())]
    NotASocket {
        /// Where.
        path: PathBuf,
    },
    /// It is served.
    #[error(
        "another processor serves on {}: stop that one, or name another place in the setting api.socket", path.display()
    )]
    Taken {
        /// Where.
        path: PathBuf,
    },
}

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Who connects.
    pub(crate) listener: UnixListener,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Socket {
    /// Listens there.
    pub(crate) fn open(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        // Held as long as the socket is: the system takes it back from whoever is killed.
        let lock = beside(path, "lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock);
        let lock = Flock::lock(lock.map_err(failed)?, FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => SocketError::Taken { path: path.to_owned() },
            error => failed(error.into()),
        })?;
        match path.symlink_metadata() {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket { path: path.to_owned() });
            }
            // Of somebody who locks nothing.
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(SocketError::Taken { path: path.to_owned() });
            }
            _ => {}
        }
        let listener = placed(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The folder may be gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket that has its name once it has its mode and listens.
fn placed(path: &Path) -> io::Result<UnixListener> {
    let beside = beside(path, "new");
    // Left by one that was killed right here; that it is not there is the usual case.
    let _ = std::fs::remove_file(&beside);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(&beside)?)?;
    let placed = std::fs::set_permissions(&beside, Permissions::from_mode(0o600))
        .and_then(|()| Ok(listen(&socket, Backlog::new(WAITING)?)?))
        .and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = placed {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    UnixListener::from_std(StdListener::from(socket))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_living_socket_is_refused_and_a_dead_one_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/processor.sock");
        let first = Socket::open(&path).expect("a socket");
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        let parent = path.parent().expect("a folder").metadata().expect("a folder");
        assert_eq!(parent.permissions().mode() & 0o777, 0o700);
        assert!(matches!(Socket::open(&path), Err(SocketError::Taken { .. })));
        UnixStream::connect(&path).expect("the first one is served still");
        drop(first);
        assert!(!path.exists());
        // One that was killed leaves its file.
        drop(StdListener::bind(&path).expect("a socket"));
        Socket::open(&path).expect("in place of the dead one");
    }

    #[tokio::test]
    async fn what_is_no_socket_and_what_another_program_serves_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("processor.sock");
        std::fs::write(&path, "precious").expect("a file");
        assert!(matches!(Socket::open(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "precious");
        let served = folder.path().join("served.sock");
        let _listener = StdListener::bind(&served).expect("a socket");
        assert!(matches!(Socket::open(&served), Err(SocketError::Taken { .. })));
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Socket::open(&folder.path().join("x".repeat(120))).expect_err("too long").to_string();
        assert!(error.contains("api.socket"), "{error}");
    }
}
