//! A cluster that can be asked: over SSH, or this machine itself.
//!
//! Invariants: connecting happens when somebody first asks; one SSH connection serves all; what was lost with it is said to
//! be lost, and only what may be repeated is.

mod error;
mod files;
mod local;
mod running;
mod ssh;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

pub(crate) use error::says_full;
pub use error::{ConnectKind, Error};
pub use files::{Entry, Files, Kind, Metadata};
pub use running::{Reader, Running, Writer};
pub use ssh::Configuration;

use self::running::Limit;
use crate::command::{Command, Output};

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
    commands: Arc<AtomicU64>,
}

/// How often, since the cluster was first spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Commands that were started.
    pub commands: u64,
    /// Connections that were made; none where the cluster is this machine.
    pub connections: u64,
    /// Connections that were lost.
    pub lost: u64,
}

#[derive(Debug)]
enum Transport {
    Ssh(ssh::Ssh),
    Local(local::Local),
}

impl Cluster {
    /// A cluster over SSH. Nothing is connected yet.
    #[must_use]
    pub fn over_ssh(options: SshOptions) -> Self {
        Self::new(Transport::Ssh(ssh::Ssh::new(options)))
    }

    /// This machine, which is itself one that jobs are submitted from.
    #[must_use]
    pub fn local() -> Self {
        Self::new(Transport::Local(local::Local::new()))
    }

    fn new(transport: Transport) -> Self {
        Self { transport: Arc::new(transport), commands: Arc::default() }
    }

    /// How often it was asked and connected to.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let commands = self.commands.load(Ordering::Relaxed);
        match &*self.transport {
            Transport::Ssh(ssh) => {
                let (connections, lost) = ssh.connections();
                Counts { commands, connections, lost }
            }
            Transport::Local(_) => Counts { commands, ..Counts::default() },
        }
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match &*self.transport {
            Transport::Ssh(ssh) => ssh.name(),
            Transport::Local(_) => "this machine",
        }
    }

    /// How `ssh` resolves the host, without connecting; none where the cluster is this machine.
    ///
    /// # Errors
    /// There is no `ssh`, or it cannot read its configuration.
    pub async fn configuration(&self) -> Result<Option<Configuration>, Error> {
        match &*self.transport {
            Transport::Ssh(ssh) => ssh.configuration().await.map(Some),
            Transport::Local(_) => Ok(None),
        }
    }

    /// Starts a command whose input and output are streams. Its deadline counts from here to its end.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn spawn(&self, command: &Command) -> Result<Running, Error> {
        self.start(command, Instant::now() + command.how_long()).await
    }

    async fn start(&self, command: &Command, deadline: Instant) -> Result<Running, Error> {
        let limit =
            Limit { deadline, after: command.how_long(), host: self.name().to_owned(), what: command.name() };
        self.commands.fetch_add(1, Ordering::Relaxed);
        match &*self.transport {
            Transport::Ssh(ssh) => ssh.spawn(command, limit).await,
            Transport::Local(local) => local.spawn(command, limit).await,
        }
    }

    /// Runs a command to its end, whatever its exit code.
    ///
    /// # Errors
    /// It could not be started, took too long, answered too much, or the connection was lost and it may not be repeated.
    pub async fn run(&self, command: &Command) -> Result<Output, Error> {
        let deadline = Instant::now() + command.how_long();
        loop {
            match self.once(command, deadline).await {
                Err(Error::Lost { .. }) if command.is_repeatable() && Instant::now() < deadline => {}
                outcome => return outcome,
            }
        }
    }

    async fn once(&self, command: &Command, deadline: Instant) -> Result<Output, Error> {
        let mut running = self.start(command, deadline).await?;
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
            // What goes wrong here is told by its end.
            let _ = (&mut running.stdout).take(most as u64 + 1).read_to_end(&mut stdout).await;
        };
        tokio::join!(write, read);
        if stdout.len() > most {
            running.end().await;
            return Err(Error::TooMuch { host: self.name().to_owned(), what: command.name(), most });
        }
        let (status, stderr) = running.wait().await?;
        Ok(Output { status, stdout, stderr })
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

    /// Waits for what is being ended there, and ends the connection. Without it, it ends with the last clone, but what a
    /// dropped [`Running`] has left may go on.
    pub async fn close(&self) {
        match &*self.transport {
            Transport::Ssh(ssh) => ssh.close().await,
            Transport::Local(local) => local.close().await,
        }
    }
}
