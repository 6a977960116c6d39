//! A real `icegridregistry`, as the OMERO master runs one, and the questions an administrator asks it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Running};
use crate::{Result, Trouble, wait};

/// A registry on a loopback port of its own.
#[derive(Debug)]
pub struct Registry {
    process: Running,
    port: u16,
}

impl Registry {
    /// Starts a registry with its database below `folder` and waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &[])
    }

    /// The same with options, the last of which counts.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_with(folder: &Path, options: &[&str]) -> Result<Self> {
        Self::start_at(folder, free_port()?, options)
    }

    /// The same on a port that is given: of one that has gone, whose database is still there.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_at(folder: &Path, port: u16, options: &[&str]) -> Result<Self> {
        let database = folder.join("registry");
        std::fs::create_dir_all(&database).map_err(Trouble::doing("make the registry's folder"))?;
        let log = folder.join("registry.log");
        let mut command = Command::new("icegridregistry");
        command.arg("--nochdir").args([
            format!("--IceGrid.Registry.Client.Endpoints=tcp -h 127.0.0.1 -p {port}"),
            "--IceGrid.Registry.Server.Endpoints=tcp -h 127.0.0.1".to_owned(),
            "--IceGrid.Registry.Internal.Endpoints=tcp -h 127.0.0.1".to_owned(),
            format!("--IceGrid.Registry.LMDB.Path={}", database.display()),
            "--IceGrid.Registry.DynamicRegistration=0".to_owned(),
            // As OMERO's master does: whoever reaches the port is an administrator.
            "--IceGrid.Registry.AdminPermissionsVerifier=IceGrid/NullPermissionsVerifier".to_owned(),
        ]);
        command.args(options);
        let mut registry = Self { process: Running::start("icegridregistry", command, &log)?, port };
        wait::until("an answer from icegridregistry", wait::PATIENCE, &[&log], || {
            let gone = registry.process.status().is_some();
            (gone || registry.ask("node list").is_ok()).then_some(())
        })?;
        registry.ask("node list").map(drop)?;
        Ok(registry)
    }

    /// The port of its client endpoint (4061 in a deployment).
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.process.log().to_path_buf()
    }

    /// The nodes that are up.
    ///
    /// # Errors
    /// The registry does not answer.
    pub fn nodes(&self) -> Result<Vec<String>> {
        let known = self.ask("node list")?;
        let mut up = Vec::new();
        // Those of which an application speaks are listed too, whether they are up or not.
        for node in known.lines().map(str::trim) {
            if self.ask(&format!("node ping {node}"))?.contains("is up") {
                up.push(node.to_owned());
            }
        }
        Ok(up)
    }

    /// Waits until a node is up, as long as whoever brings it up has not ended.
    ///
    /// # Errors
    /// It is not in time; with the logs given.
    pub fn lists(&self, node: &str, logs: &[&Path], mut ended: impl FnMut() -> bool) -> Result<()> {
        let what = format!("node `{node}` in the registry's list");
        let listed = wait::until(&what, wait::PATIENCE, logs, || {
            let listed = self.nodes().ok()?.iter().any(|name| name == node);
            (listed || ended()).then_some(listed)
        })?;
        if listed {
            Ok(())
        } else {
            Err(Trouble::new(format!("{what}: its worker has ended{}", wait::ends_of(logs))))
        }
    }

    /// Any command of `icegridadmin`.
    ///
    /// # Errors
    /// It fails, or the registry does not answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        process::succeed(&mut self.admin(command), Duration::from_secs(20))
    }

    /// `icegridadmin` with everything it needs to reach this registry.
    pub fn admin(&self, command: &str) -> Command {
        let mut admin = Command::new("icegridadmin");
        admin.arg(format!("--Ice.Default.Locator=IceGrid/Locator:tcp -h 127.0.0.1 -p {}", self.port)).args([
            "--username",
            "root",
            "--password",
            "ome",
            "-e",
            command,
        ]);
        admin
    }

    /// Stops it.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(mut self) -> Result<()> {
        self.process.stop(wait::PATIENCE).map(drop)
    }
}

/// A TCP port of the loopback address that nothing listens on now.
///
/// # Errors
/// The system has none.
pub fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Trouble::doing("take a port of 127.0.0.1"))?;
    Ok(listener.local_addr().map_err(Trouble::doing("ask for a port's number"))?.port())
}

/// Whether something accepts connections there.
pub fn accepts(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
