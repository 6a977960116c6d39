//! Today's start-up chain, measured where the real omero-py can be installed.
//!
//! omero-py needs zeroc-ice 3.6.5, which comes as source and compiles with Python up to 3.10 only. Where there is such
//! a Python, the first measurement makes an environment in the user's cache, which takes some minutes; elsewhere the
//! recorded time stands, and the table says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use biomero_tests::process;
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root;

use crate::command::workspace;
use crate::failure::Failure;
use crate::packages;

/// On a quiet machine of two cores, omero-py 5.23, three `CONFIG_*` variables.
pub(crate) const RECORDED: Duration = Duration::from_millis(5300);

const ROUNDS: usize = 5;
const INSTALL: Duration = Duration::from_secs(1800);

/// The median of a few runs of the whole chain; `None` where no Python can have omero-py.
pub(crate) fn measure() -> Result<Option<Duration>, Failure> {
    let Some(environment) = environment()? else { return Ok(None) };
    let scratch = Scratch::new()?;
    let server = scratch.folder("server")?;
    let image = workspace().join("tests/fixtures/image/opt/omero/server/OMERO.server");
    succeed(Command::new("cp").arg("-R").arg(image).arg(&server))?;
    scratch.folder("server/config")?;
    scratch.folder("server/OMERO.server/var/log")?;
    // The real file lists every property's default; the less of it, the faster the chain that we are compared with.
    worker_root::write(scratch.path(), "server/OMERO.server/etc/omero.properties", "", 0o644)?;
    // The chain ends where icegridnode would begin.
    worker_root::write(scratch.path(), "shim/icegridnode", "#!/bin/sh\nexit 0\n", 0o755)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut chain = Command::new("unshare");
        // omero refuses to run as root; in a user namespace we are another user, to whom our files still belong.
        chain.args(["--user", "--map-user=1000", "--map-group=1000", "--"]);
        chain
            .arg("bash")
            .arg(workspace().join("xtask/src/shell_chain.sh"))
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:{}:/usr/bin:/bin",
                    scratch.path().join("shim").display(),
                    environment.join("bin").display()
                ),
            )
            .env("HOME", &server)
            .env("OMERODIR", server.join("OMERO.server"))
            .env("OMERO_WORKER_NAME", "biomeroworker")
            .env("CONFIG_omero_master_host", "omeroserver")
            .env("CONFIG_omero_logging_level", "10")
            .env("CONFIG_omero_scripts_timeout", "604800000");
        let start = Instant::now();
        succeed(&mut chain)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(Some(times[ROUNDS / 2]))
}

/// A Python environment with omero-py, made when it is missing.
fn environment() -> Result<Option<PathBuf>, Failure> {
    let home = std::env::home_dir().unwrap_or_else(std::env::temp_dir);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let environment = cache.join("biomero-worker/omero-py");
    if environment.join("bin/omero").exists() {
        return Ok(Some(environment));
    }
    let Some(python) = old_python(&home) else { return Ok(None) };
    println!("\ninstalling omero-py with {}; zeroc-ice compiles for some minutes", python.display());
    packages::install(&[packages::OMERO_PY])?;
    succeed(Command::new(python).args(["-m", "venv"]).arg(&environment))?;
    let pip = |arguments: &[&str]| {
        succeed(Command::new(environment.join("bin/pip")).args(["install", "--quiet"]).args(arguments))
    };
    pip(&["setuptools<70", "wheel"])?;
    pip(&["--no-build-isolation", "zeroc-ice==3.6.5"])?;
    pip(&["omero-py"])?;
    Ok(Some(environment))
}

/// The newest Python that zeroc-ice 3.6.5 compiles with.
fn old_python(home: &Path) -> Option<PathBuf> {
    ["3.10", "3.9", "3.8"].iter().find_map(|version| {
        packages::find(&format!("python{version}")).or_else(|| {
            let installed = std::fs::read_dir(home.join(".pyenv/versions")).ok()?;
            installed
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{version}.")))
                .map(|entry| entry.path().join("bin/python"))
                .find(|python| python.exists())
        })
    })
}

fn succeed(command: &mut Command) -> Result<(), Failure> {
    process::succeed(command, INSTALL)?;
    Ok(())
}
