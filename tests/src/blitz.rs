//! An OMERO to call: the real router (`glacier2router`) and registry, and behind them a stand-in for Blitz, the one part of OMERO
//! that cannot be installed, on the real Ice for Python. Its types are what `slice2py` makes of our own table.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::icegrid::{Registry, accepts, free_port};
use crate::process::{self, Running};
use crate::scratch::Scratch;
use crate::{Result, Trouble, binary, imaging, wait};

/// The Python that Debian's package of Ice belongs to: one of another origin has no Ice.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The tables of `runtime/omero`.
const TABLES: [&str; 3] = ["model.schema", "types.schema", "operations.schema"];

/// What a router shows on its port for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A certificate of its own, signed by itself, as `omero certificates` makes it.
    Own,
    /// One that an authority has signed, for 127.0.0.1.
    Signed,
    /// None: only anonymous ciphers, as OMERO has it where nobody has given it a certificate.
    Nothing,
}

/// A registry, a Blitz and a router, on loopback ports of their own.
#[derive(Debug)]
pub struct Omero {
    router: Running,
    port: u16,
    secure_port: u16,
    blitz: Running,
    registry: Registry,
    scratch: Scratch,
}

impl Omero {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// Something is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(None, "blitz.py")
    }

    /// The same, which also gives scripts to a processor that its registry knows.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_with_scripts() -> Result<Self> {
        Self::start_with(None, "scripts.py")
    }

    /// The same with a router that also has TLS, and shows this.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_secure(shown: Shown) -> Result<Self> {
        Self::start_with(Some(shown), "blitz.py")
    }

    fn start_with(shown: Option<Shown>, program: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let types = types(&scratch)?;
        let registry = Registry::start(scratch.path())?;
        let blitz_port = free_port()?;
        let mut command = Command::new(PYTHON);
        command
            .arg(binary::workspace().join("tests/fixtures/blitz").join(program))
            .env("PYTHONPATH", &types)
            // What it imports is beside it, where nothing is left.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args([
                format!("tcp -h 127.0.0.1 -p {blitz_port}"),
                format!("--Ice.Default.Locator=IceGrid/Locator:tcp -h 127.0.0.1 -p {}", registry.port()),
                "--Ice.ThreadPool.Server.Size=8".to_owned(),
                "--Ice.MessageSizeMax=65536".to_owned(),
            ]);
        let mut blitz = Running::start("blitz.py", command, &scratch.path().join("blitz.log"))?;
        let log = blitz.log().to_path_buf();
        wait::until("the stand-in for Blitz", wait::PATIENCE, &[&log], || {
            (blitz.status().is_some() || blitz.output().contains("ready")).then_some(())
        })?;
        if blitz.status().is_some() {
            return Err(Trouble::new(format!("the stand-in for Blitz has ended{}", wait::ends_of(&[&log]))));
        }
        let (port, secure_port) = (free_port()?, free_port()?);
        let tls = match shown {
            None => Vec::new(),
            Some(shown) => tls(shown, scratch.path(), secure_port)?,
        };
        let router = start_router(port, blitz_port, &tls, &scratch.path().join("router.log"))?;
        Ok(Self { router, port, secure_port, blitz, registry, scratch })
    }

    /// The router's port (4063 in a deployment).
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The router's port for TLS (4064 in a deployment), where it has one.
    pub const fn secure_port(&self) -> u16 {
        self.secure_port
    }

    /// The file of certificates that whoever trusts the router has: its own, or that of its authority.
    pub fn certificates(&self) -> PathBuf {
        self.scratch.path().join("trusted.pem")
    }

    /// The folder of its types for Python.
    pub fn types(&self) -> PathBuf {
        self.scratch.path().join("types")
    }

    /// The registry, which knows Blitz.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The router.
    pub const fn router(&mut self) -> &mut Running {
        &mut self.router
    }

    /// Runs a program of others that calls OMERO: on the real Ice, with OMERO's types. What it wrote to standard output.
    ///
    /// # Errors
    /// It fails.
    pub fn python(&self, script: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(PYTHON);
        command.arg(script).args(arguments).env("PYTHONPATH", self.scratch.path().join("types"));
        process::succeed(&mut command, Duration::from_secs(60))
    }

    /// The beginning of a line of a shell that runs such a program.
    pub fn python_line(&self, script: &Path) -> String {
        let types = self.scratch.path().join("types");
        format!("env PYTHONPATH='{}' {PYTHON} '{}'", types.display(), script.display())
    }

    /// What Blitz and the router have written, for messages.
    pub fn logs(&self) -> String {
        wait::ends_of(&[self.blitz.log(), &self.scratch.path().join("router.log")])
    }
}

/// Compares every sample of an OME-Zarr with what the stand-in has of an image, and its label image with the image's ROIs.
///
/// # Errors
/// They differ.
pub fn compare(image: u32, folder: &Path, labels: Option<&str>) -> Result<()> {
    let mut command = Command::new(imaging::interpreter()?);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(binary::workspace().join("tests/fixtures/blitz/compare.py")).arg(image.to_string());
    command.arg(folder).args(labels);
    process::succeed(&mut command, Duration::from_secs(120)).map(drop)
}

/// Options of a router that has TLS.
fn tls(shown: Shown, folder: &Path, port: u16) -> Result<Vec<String>> {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(folder);
        process::succeed(&mut command, Duration::from_secs(60)).map(drop)
    };
    let mut options = vec![
        format!("--Glacier2.Client.Endpoints=tcp -h 127.0.0.1:ssl -h 127.0.0.1 -p {port}"),
        "--Ice.Plugin.IceSSL=IceSSL:createIceSSL".to_owned(),
        "--IceSSL.VerifyPeer=0".to_owned(),
    ];
    match shown {
        Shown::Nothing => options.push("--IceSSL.Ciphers=ADH:HIGH:@SECLEVEL=0".to_owned()),
        Shown::Own => {
            openssl(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=omero -keyout key.pem -out trusted.pem",
            )?;
            let path = |name: &str| folder.join(name).display().to_string();
            options.push(format!("--IceSSL.CertFile={}", path("trusted.pem")));
            options.push(format!("--IceSSL.KeyFile={}", path("key.pem")));
        }
        Shown::Signed => {
            openssl(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.pem -out trusted.pem",
            )?;
            openssl("req -newkey rsa:2048 -nodes -subj /CN=omero -keyout key.pem -out request.pem")?;
            std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1")
                .map_err(Trouble::doing("write what a certificate is for"))?;
            openssl(
                "x509 -req -in request.pem -CA trusted.pem -CAkey ca.pem -CAcreateserial -days 2 -extfile names -out own.pem",
            )?;
            let path = |name: &str| folder.join(name).display().to_string();
            options.push(format!("--IceSSL.CertFile={}", path("own.pem")));
            options.push(format!("--IceSSL.KeyFile={}", path("key.pem")));
        }
    }
    Ok(options)
}

pub(crate) fn start_router(port: u16, blitz: u16, tls: &[String], log: &Path) -> Result<Running> {
    let mut command = Command::new("glacier2router");
    command.args([
        "--Glacier2.InstanceName=OMERO.Glacier2".to_owned(),
        format!("--Glacier2.Client.Endpoints=tcp -h 127.0.0.1 -p {port}"),
        "--Glacier2.Server.Endpoints=tcp -h 127.0.0.1".to_owned(),
        format!("--Glacier2.SessionManager=BlitzManager:tcp -h 127.0.0.1 -p {blitz}"),
        format!("--Glacier2.PermissionsVerifier=BlitzVerifier:tcp -h 127.0.0.1 -p {blitz}"),
        // As in OMERO's own configuration.
        "--Glacier2.Client.ForwardContext=1".to_owned(),
        "--Glacier2.SessionTimeout=600".to_owned(),
        "--Glacier2.Filter.Category.Accept=ProcessCallback ProcessorCallback".to_owned(),
        "--Ice.MessageSizeMax=65536".to_owned(),
    ]);
    // What comes last counts: its endpoints take the place of those above.
    command.args(
        tls.iter().map(|option| option.replace("tcp -h 127.0.0.1:", &format!("tcp -h 127.0.0.1 -p {port}:"))),
    );
    let mut router = Running::start("glacier2router", command, log)?;
    wait::until("glacier2router", wait::PATIENCE, &[log], || {
        (router.status().is_some() || accepts(port)).then_some(())
    })?;
    match router.status() {
        None => Ok(router),
        Some(status) => {
            Err(Trouble::new(format!("glacier2router ended with {status}{}", wait::ends_of(&[log]))))
        }
    }
}

/// The folder of the modules that `slice2py` makes of the tables.
pub(crate) fn types(scratch: &Scratch) -> Result<PathBuf> {
    let folder = binary::workspace().join("runtime/omero/schema");
    let mut tables = Vec::new();
    for name in TABLES {
        let path = folder.join(name);
        let text =
            std::fs::read_to_string(&path).map_err(Trouble::doing(format!("read {}", path.display())))?;
        tables.push((name, text));
    }
    let tables: Vec<(&str, &str)> = tables.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let checked = biomero_omero_generator::read(&tables).map_err(|error| Trouble::new(error.to_string()))?;
    let types = scratch.folder("types")?;
    let slice = types.join("omero.ice");
    std::fs::write(&slice, biomero_omero_generator::slice::print(&checked))
        .map_err(Trouble::doing(format!("write {}", slice.display())))?;
    let mut compiler = Command::new("slice2py");
    compiler.args(["--underscore", "-I/usr/share/ice/slice", "--output-dir"]).arg(&types).arg(&slice);
    process::succeed(&mut compiler, Duration::from_secs(60))?;
    Ok(types)
}
