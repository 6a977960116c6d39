//! The connection to a real sshd: what goes through it arrives as it is, what breaks it is told or passed over, and nothing
//! is left behind, here or there.

use std::path::Path;
use std::time::Duration;

use biomero_slurm::cluster::{ConnectKind, HostKeys, SshOptions};
use biomero_slurm::{Cluster, Command, Error, Status};
use biomero_tests::cluster::{Login, PATIENCE, Sshd, sshd};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, process, wait};
use tokio::runtime::Runtime;

mod breaking;
mod refusal;
mod sessions;
mod shells;

/// A node of its own, and a folder for control sockets.
struct Node {
    sshd: Sshd,
    control: Scratch,
    runtime: Runtime,
    _scratch: Scratch,
}

impl Node {
    fn start(options: &sshd::Options) -> Result<Self> {
        let scratch = Scratch::new()?;
        let sshd = Sshd::start(scratch.path(), options)?;
        Ok(Self { sshd, control: Scratch::new()?, runtime: runtime()?, _scratch: scratch })
    }

    fn options(&self) -> SshOptions {
        options(&self.sshd, self.control.path())
    }

    fn cluster(&self) -> Cluster {
        Cluster::over_ssh(self.options())
    }

    /// Runs lines of `sh` that have to succeed.
    fn ask(&self, cluster: &Cluster, command: &Command) -> Result<String> {
        let answer = self.runtime.block_on(cluster.ask(command)).map_err(trouble)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Runs `true` there, which fails.
    fn refused(&self, options: SshOptions) -> Error {
        let cluster = Cluster::over_ssh(options);
        self.runtime.block_on(cluster.run(&patient(Command::new("true")))).expect_err("a refusal")
    }
}

fn options(login: &Login, control: &Path) -> SshOptions {
    SshOptions {
        host: login.alias().to_owned(),
        config: Some(login.ssh_config()),
        host_keys: HostKeys::Strict,
        connect: PATIENCE,
        keep_alive: Duration::from_secs(15),
        sessions: 8,
        control: control.to_path_buf(),
    }
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().map_err(Trouble::doing("start a runtime"))
}

fn patient(command: Command) -> Command {
    command.deadline(PATIENCE)
}

fn trouble(error: Error) -> Trouble {
    Trouble::new(error.to_string())
}

/// The kind, and that the message says something and what to do.
fn kind(error: &Error) -> ConnectKind {
    let Error::Connect { kind, reason, remedy, .. } = error else { panic!("{error}") };
    assert!(!reason.is_empty() && !remedy.is_empty(), "{error}");
    *kind
}

/// Waits until no process of this user has this in its command line.
fn gone(login: &Login, part: &str) -> Result<()> {
    wait::until(&format!("the end of `{part}`"), PATIENCE, &[], || (!is_there(login, part)).then_some(()))
}

/// Whether a process of this user has this in its command line.
fn is_there(login: &Login, part: &str) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.metadata().is_ok_and(|data| data.uid() == login.ids().0)).any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(part)
    })
}

#[test]
fn the_first_answer_comes_and_the_connection_goes_with_the_last_clone() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let cluster = node.cluster();
    assert_eq!(node.ask(&cluster, &Command::new("id").arg("-un"))?, format!("{}\n", node.sshd.user()));
    let clone = cluster.clone();
    drop(cluster);
    node.ask(&clone, &Command::new("true"))?;
    assert_eq!(node.sshd.connection_count(), 1);
    drop(clone);
    wait::until("the end of the connection", PATIENCE, &[], || {
        (node.sshd.connection_count() == 0).then_some(())
    })?;
    let left = |path: &Path| std::fs::read_dir(path).map_or(0, Iterator::count);
    wait::until("an empty folder", PATIENCE, &[], || (left(node.control.path()) == 0).then_some(()))
}
