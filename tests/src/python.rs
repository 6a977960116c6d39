//! Packages of Python in virtual environments that are made once and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kept::{self, INSTALLATION, Wanted};
use crate::{Result, process};

/// The interpreter of the environment of this name, which has exactly the packages of a file of requirements; made when it is
/// missing or has others.
///
/// # Errors
/// There is no Python that can make virtual environments, or no package registry.
pub fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let interpreter = "bin/python";
    let wanted = Wanted { list: requirements, copy: "requirements.txt", part: interpreter };
    let place = kept::folder(name, wanted, |folder| {
        process::succeed(Command::new("python3").args(["-m", "venv"]).arg(folder), INSTALLATION)?;
        // By the interpreter, not by the program `pip`: programs hold the path of where they were made.
        let mut install = Command::new(folder.join(interpreter));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        install.arg("--requirement").arg(requirements);
        process::succeed(&mut install, INSTALLATION).map(drop)
    })?;
    Ok(place.join(interpreter))
}
