//! What `init` tells of itself: the manifest of its start, and how its services are, as `init status` asks.
//!
//! Invariants: what is read is bounded in size and time; what cannot be read is told with what to do, and costs no page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The largest manifest, and the largest answer.
const LARGEST: u64 = 4 << 20;
/// How long either may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untold {
    /// It is not there.
    #[error("{} is not there: no init runs here, or it has another {setting}", path.display())]
    Absent {
        /// What was looked for.
        path: PathBuf,
        /// Which setting says where.
        setting: &'static str,
    },
    /// It is not ours to read.
    #[error("{}: this worker may not read it; run it as the user that init runs as", path.display())]
    Forbidden {
        /// What.
        path: PathBuf,
    },
    /// It took too long, or is no answer.
    #[error("{}: {reason}; `init status` may say more", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What was rendered at the start.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    #[serde(default)]
    pub(crate) files: BTreeMap<PathBuf, Rendered>,
    #[serde(default)]
    pub(crate) hooks: Vec<Hook>,
}

/// A file that was rendered.
#[derive(Debug, Deserialize)]
pub(crate) struct Rendered {
    pub(crate) hook: String,
    pub(crate) mode: String,
}

/// A hook that ran.
#[derive(Debug, Deserialize)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) sha256: Option<String>,
    pub(crate) component: Option<String>,
    #[serde(default)]
    pub(crate) succeeded: bool,
    #[serde(default)]
    pub(crate) fell_back: bool,
}

/// How everything is.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) phase: String,
    pub(crate) start_up_ms: f64,
    pub(crate) uptime_s: f64,
    #[serde(default)]
    pub(crate) hook_warnings: Vec<String>,
    #[serde(default)]
    pub(crate) services: Vec<Service>,
}

/// How a service is.
#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) ready: bool,
    #[serde(default)]
    pub(crate) main: bool,
    pub(crate) pid: Option<i32>,
    pub(crate) running_s: Option<f64>,
    #[serde(default)]
    pub(crate) restarts: u64,
    pub(crate) last_exit: Option<String>,
    pub(crate) says: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Status(Box<Status>),
    Refused(String),
}

/// Reads the manifest.
pub(crate) async fn manifest(path: &Path) -> Result<Manifest, Untold> {
    let reading = async {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let mut content = Vec::new();
            let file = std::fs::File::open(&path)?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST), &mut content)?;
            Ok(content)
        });
        read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    };
    parsed(path, "state.directory", timeout(PATIENCE, reading).await)
}

/// Asks how services are.
pub(crate) async fn status(path: &Path) -> Result<Status, Untold> {
    let asking = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(b"{\"verb\":\"status\"}\n").await?;
        whole(stream).await
    };
    match parsed(path, "state.socket", timeout(PATIENCE, asking).await)? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused(reason) => Err(Untold::Unreadable { path: path.to_owned(), reason }),
    }
}

async fn whole(stream: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    stream.take(LARGEST).read_to_end(&mut content).await?;
    Ok(content)
}

fn parsed<T: DeserializeOwned>(
    path: &Path,
    setting: &'static str,
    read: Result<std::io::Result<Vec<u8>>, tokio::time::error::Elapsed>,
) -> Result<T, Untold> {
    let path = path.to_owned();
    match read {
        Err(_) => {
            let reason = format!("nothing came within {} s", PATIENCE.as_secs());
            Err(Untold::Unreadable { path, reason })
        }
        Ok(Err(error)) => Err(match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                Untold::Absent { path, setting }
            }
            std::io::ErrorKind::PermissionDenied => Untold::Forbidden { path },
            _ => Untold::Unreadable { path, reason: error.to_string() },
        }),
        Ok(Ok(content)) => serde_json::from_slice(&content).map_err(|error| Untold::Unreadable {
            path,
            reason: format!("it is no answer of init: {error}"),
        }),
    }
}
