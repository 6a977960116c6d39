//! ZeroC's own Ice, from Debian's packages: a server and a client in Python, and a Glacier2 router.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::icegrid::free_port;
use crate::process::{self, Running};
use crate::{Result, Trouble, binary, wait};

/// Debian's own: its packages are no virtual environment's.
const PYTHON: &str = "/usr/bin/python3";

/// A client moves tens of megabytes in Python.
const DEADLINE: Duration = Duration::from_secs(120);

/// The folder of the scripts and definitions.
pub fn fixtures() -> PathBuf {
    binary::workspace().join("tests/fixtures/ice")
}

/// One of the scripts, to be started.
pub fn script(name: &str) -> Command {
    let mut command = Command::new(PYTHON);
    command.arg(fixtures().join(name));
    command
}

/// A server in Python that has said how it is called.
#[derive(Debug)]
pub struct Server {
    process: Running,
    proxy: String,
}

impl Server {
    /// Starts `server.py` with options of Ice (`--Ice.MessageSizeMax=…`); its log goes below `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(folder: &Path, options: &[&str]) -> Result<Self> {
        let mut command = script("server.py");
        // A servant that calls back over the caller's connection waits for what another thread reads.
        command.args(["--Ice.MessageSizeMax=65536", "--Ice.ThreadPool.Server.Size=4"]).args(options);
        Self::run("server", command, folder)
    }

    /// The same for any program that says `ready`, and how it is called, when it is.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(name: &str, command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let before = std::fs::read(&log).map_or(0, |bytes| bytes.len());
        let mut process = Running::start(name, command, &log)?;
        let proxy = wait::until(&format!("{name} to be ready"), wait::PATIENCE, &[&log], || {
            if process.status().is_some() {
                return Some(None);
            }
            let output = std::fs::read(&log).ok()?;
            let output = String::from_utf8_lossy(output.get(before..)?).into_owned();
            let line = output
                .split_inclusive('\n')
                .find(|line| line.starts_with("ready") && line.ends_with('\n'))?;
            Some(Some(line.trim_start_matches("ready").trim().to_owned()))
        })?;
        let ended = || Trouble::new(format!("{name} has ended{}", wait::ends_of(&[&log])));
        Ok(Self { proxy: proxy.ok_or_else(ended)?, process })
    }

    /// How it is called.
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Running {
        &mut self.process
    }
}

/// Lets `client.py` check a peer.
///
/// # Errors
/// The check fails; with the traceback.
pub fn check(proxy: &str, check: &str, options: &[&str]) -> Result<()> {
    process::succeed(script("client.py").args([proxy, check]).args(options), DEADLINE).map(drop)
}

/// A Glacier2 router on loopback ports of its own, in front of a server with a session manager and a verifier.
#[derive(Debug)]
pub struct Glacier2 {
    process: Running,
    tcp: u16,
    ssl: u16,
}

impl Glacier2 {
    /// Starts it. `endpoint`: of the objects `manager` and `verifier`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(folder: &Path, endpoint: &str, options: &[&str]) -> Result<Self> {
        let (tcp, ssl) = (free_port()?, free_port()?);
        let log = folder.join("glacier2.log");
        let mut command = Command::new("glacier2router");
        command.args([
            "--Glacier2.InstanceName=Test.Glacier2".to_owned(),
            format!("--Glacier2.Client.Endpoints=tcp -h 127.0.0.1 -p {tcp}:ssl -h 127.0.0.1 -p {ssl}"),
            "--Glacier2.Server.Endpoints=tcp -h 127.0.0.1".to_owned(),
            format!("--Glacier2.SessionManager=manager:{endpoint}"),
            format!("--Glacier2.PermissionsVerifier=verifier:{endpoint}"),
            "--Glacier2.Client.ForwardContext=1".to_owned(),
            "--Ice.Plugin.IceSSL=IceSSL:createIceSSL".to_owned(),
            // As OMERO has it where nobody has given it a certificate.
            "--IceSSL.Ciphers=ADH:HIGH:@SECLEVEL=0".to_owned(),
            "--IceSSL.VerifyPeer=0".to_owned(),
        ]);
        command.args(options);
        let mut process = Running::start("glacier2router", command, &log)?;
        wait::until("glacier2router to listen", wait::PATIENCE, &[&log], || {
            (process.status().is_some() || crate::icegrid::accepts(tcp)).then_some(())
        })?;
        if process.status().is_some() {
            return Err(Trouble::new(format!("glacier2router has ended{}", wait::ends_of(&[&log]))));
        }
        Ok(Self { process, tcp, ssl })
    }

    /// The proxy of the router, over TCP.
    pub fn proxy(&self) -> String {
        format!("Test.Glacier2/router:tcp -h 127.0.0.1 -p {}", self.tcp)
    }

    /// The same over TLS.
    pub fn ssl_proxy(&self) -> String {
        format!("Test.Glacier2/router:ssl -h 127.0.0.1 -p {}", self.ssl)
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Running {
        &mut self.process
    }
}
