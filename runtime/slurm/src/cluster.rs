//! A cluster that can be asked: over SSH, or this machine itself.
//!
//! Invariants: connecting happens when somebody first asks; one SSH connection serves all; what was lost with it is said to
//! be lost, and only what may be repeated is.

mod error;
mod files;
mod local;
mod ssh;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub use error::{ConnectKind, Error};
pub use files::{Entry, Files, Kind, Metadata};

use crate::command::{Command, Output, Status};

/// Which cluster, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshOptions {
    /// The `Host` of the SSH configuration, or a host name.
    pub host: String,
    /// The SSH configuration; `ssh`'s own choice (`~/.ssh/config`) without.
    pub config: Option<PathBuf>,
    /// What is done about a host key that is not known.
    pub host_keys: HostKeys,
    /// How long connecting may take, all jumps included.
    pub connect: Duration,
    /// How often a silent server is asked whether it is there; after three times without an answer the connection is lost.
    pub keep_alive: Duration,
    /// How many sessions (commands, files) there are at a time; `MaxSessions` of sshd(8) is 10 where nobody changed it.
    pub sessions: usize,
    /// Where the control socket goes: a folder that this user alone can enter.
    pub control: PathBuf,
}

/// What is done about a host key that `known_hosts` does not have. One that differs from what it has is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeys {
    /// It is refused.
    Strict,
    /// It is taken and remembered (`accept-new`).
    AcceptNew,
}

/// A cluster. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Cluster {
    transport: Arc<Transport>,
}

#[derive(Debug)]
enum Transport {
    Ssh(ssh::Ssh),
    Local(local::Local),
}

/// Where a running command reads from.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;
/// What it writes.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// A command that is under way. Dropped, it is ended.
pub struct Running {
    /// Its standard input; dropped, the command reads the end.
    pub stdin: Option<Writer>,
    /// Its standard output, without what the login shell said before.
    pub stdout: Reader,
    ending: Ending,
}

/// What tells how a running command ends.
pub(crate) type Ending = Pin<Box<dyn Future<Output = Result<(Status, Vec<u8>), Error>> + Send>>;

impl Running {
    /// Waits for its end: the status, and the last 64 KiB of standard error.
    ///
    /// # Errors
    /// The connection was lost, or the deadline passed.
    pub async fn wait(self) -> Result<(Status, Vec<u8>), Error> {
        drop(self.stdin);
        self.ending.await
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster over SSH. Nothing is connected yet.
    #[must_use]
    pub fn over_ssh(options: SshOptions) -> Self {
        Self { transport: Arc::new(Transport::Ssh(ssh::Ssh::new(options))) }
    }

    /// This machine, which is itself one that jobs are submitted from.
    #[must_use]
    pub fn local() -> Self {
        Self { transport: Arc::new(Transport::Local(local::Local::new())) }
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match &*self.transport {
            Transport::Ssh(ssh) => ssh.name(),
            Transport::Local(_) => "this machine",
        }
    }

    /// Starts a command whose input and output are streams. Its deadline counts from here to its end.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn spawn(&self, command: &Command) -> Result<Running, Error> {
        match &*self.transport {
            Transport::Ssh(ssh) => ssh.spawn(command).await,
            Transport::Local(local) => local.spawn(command).await,
        }
    }

    /// Runs a command to its end, whatever its exit code.
    ///
    /// # Errors
    /// It could not be started, took too long, answered too much, or the connection was lost and it may not be repeated.
    pub async fn run(&self, command: &Command) -> Result<Output, Error> {
        let running = async {
            let mut running = self.spawn(command).await?;
            let stdin = running.stdin.take();
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A command that does not read its input to the end is none the worse for it.
                    let _ = stdin.write_all(command.what_it_reads()).await;
                    let _ = stdin.shutdown().await;
                }
            };
            let mut stdout = Vec::new();
            let most = command.most();
            let read = async {
                let _ = (&mut running.stdout).take(most as u64 + 1).read_to_end(&mut stdout).await;
            };
            tokio::join!(write, read);
            if stdout.len() > most {
                return Err(Error::TooMuch { host: self.name().to_owned(), what: command.name(), most });
            }
            let (status, stderr) = running.wait().await?;
            Ok(Output { status, stdout, stderr })
        };
        match tokio::time::timeout(command.how_long(), running).await {
            Ok(output) => output,
            Err(_) => Err(Error::Deadline {
                host: self.name().to_owned(),
                what: command.name(),
                after: command.how_long(),
            }),
        }
    }

    /// Runs a command that has to succeed, and returns its standard output.
    ///
    /// # Errors
    /// As [`Cluster::run`], and where it ended with anything but 0.
    pub async fn ask(&self, command: &Command) -> Result<Vec<u8>, Error> {
        let output = self.run(command).await?;
        if output.status.is_success() {
            return Ok(output.stdout);
        }
        Err(Error::Failed {
            host: self.name().to_owned(),
            what: command.name(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Its files.
    #[must_use]
    pub const fn files(&self) -> Files<'_> {
        Files::new(self)
    }

    /// Ends the connection. Without it, it ends with the last clone.
    pub async fn close(&self) {
        match &*self.transport {
            Transport::Ssh(ssh) => ssh.close().await,
            Transport::Local(_) => {}
        }
    }
}
