//! The answering side. It only reads, checks and hands over; the supervising loop answers.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::protocol::MOST_REQUEST;
use super::{Answer, Request};

/// For a whole conversation with one peer.
const CONVERSATION: Duration = Duration::from_secs(5);

/// Peers at a time.
const MOST_PEERS: usize = 8;

/// A request, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is asked.
    pub(crate) request: Request,
    /// Takes one answer.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Somebody answers on it.
    #[error("another init answers on {}: stop that one, or give this one its own state.socket", path.display())]
    AnotherInit {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket is in the way.
    #[error("{} is not a socket: remove it, or set state.socket to another path", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot open the control socket {}: {error}; `init status` will not work: mount a tmpfs on its folder or \
        set state.socket to a path that init can write", path.display())]
    Open {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// The listening socket; its file is removed with it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Opens the socket with mode 0600, in a folder of mode 0700 where there is none. What a dead `init` left there is
    /// replaced.
    ///
    /// # Errors
    /// [`ControlError`].
    pub(crate) fn open(path: &Path) -> Result<Self, ControlError> {
        let failed = |error| ControlError::Open { path: path.to_owned(), error };
        if let Ok(metadata) = path.symlink_metadata() {
            if !metadata.file_type().is_socket() {
                return Err(ControlError::NotASocket { path: path.to_owned() });
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(ControlError::AnotherInit { path: path.to_owned() });
            }
        }
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        // Under another name until its mode is right.
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        // Left by a process of the same number in an earlier container; that it is not there is the usual case.
        let _ = std::fs::remove_file(&beside);
        let listener = UnixListener::bind(&beside).map_err(failed)?;
        let placed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = placed {
            let _ = std::fs::remove_file(&beside);
            return Err(failed(error));
        }
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until the task is aborted; requests go to the loop, with the place for their answers.
    pub(crate) async fn serve<T: From<Asked> + Send + 'static>(self, events: mpsc::Sender<T>) {
        let places = Arc::new(Semaphore::new(MOST_PEERS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let events = events.clone();
                    tokio::spawn(async move {
                        // A peer that goes away or dawdles is nobody's loss.
                        let _ = timeout(CONVERSATION, converse(stream, events)).await;
                        drop(place);
                    });
                }
                // Out of descriptors, most likely: not to be asked for again at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The folder may be gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse<T: From<Asked>>(mut stream: UnixStream, events: mpsc::Sender<T>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    // Read in any case: closing a socket with unread bytes would take our answer from the peer.
    let answer = match read_request(&mut stream).await? {
        _ if peer != 0 && peer != nix::unistd::geteuid().as_raw() => Answer::Refused(format!(
            "user {peer} may not control this init: ask as root or as the user it runs as"
        )),
        Err(problem) => Answer::Refused(problem),
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let ending = || Answer::Refused("init is ending".to_owned());
            match events.send(Asked { request, answer }.into()).await {
                Ok(()) => answered.await.unwrap_or_else(|_| ending()),
                Err(_) => ending(),
            }
        }
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

/// One line, or what is wrong with it.
async fn read_request(stream: &mut UnixStream) -> io::Result<Result<Request, String>> {
    let mut line = Vec::new();
    let mut bytes = [0; 512];
    while !line.contains(&b'\n') {
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            break;
        }
        line.extend_from_slice(&bytes[..read]);
        if line.len() > MOST_REQUEST {
            return Ok(Err(format!("a request has at most {MOST_REQUEST} bytes")));
        }
    }
    let end = line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len());
    Ok(serde_json::from_slice(&line[..end]).map_err(|error| {
        format!("not a request ({error}): write {{\"verb\":\"status\"}}, or `restart`, `stop`, `start` with a \"service\"")
    }))
}
