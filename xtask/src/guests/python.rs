//! Python, with componentize-py: an interpreter that has imported the hook, frozen into a component.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{GUESTS, Guest, Language, cache, failed, target, wit};
use crate::command::{output, run as run_command};
use crate::failure::Failure;
use crate::packages;

/// Another version may make other names for the classes of the interface.
const VERSION: &str = "0.25.1";

pub(super) fn build(guests: &[&Guest], _: &Path) -> Result<(), Failure> {
    let componentize = program()?;
    println!("{}", output(Command::new(&componentize).arg("--version"))?.trim());
    for guest in guests {
        // In a copy: the interpreter leaves its bytecode beside what it imports.
        let folder = copy(guest)?;
        run_command(
            Command::new(&componentize)
                .arg("--quiet")
                .arg("--wit-path")
                .arg(wit())
                .args(["--world", "site-hook", "componentize", "app", "--stub-wasi", "--output"])
                .arg(guest.component())
                .current_dir(folder),
        )?;
    }
    Ok(())
}

/// Unit tests, with bindings that are plain Python.
pub(super) fn test() -> Result<(), Failure> {
    println!("\n==> unit tests of the hooks in Python");
    let componentize = program()?;
    for guest in GUESTS.iter().filter(|guest| guest.language == Language::Python) {
        let folder = copy(guest)?;
        let bindings = folder.join("bindings");
        let _ = std::fs::remove_dir_all(&bindings);
        run_command(
            Command::new(&componentize)
                .arg("--quiet")
                .arg("--wit-path")
                .arg(wit())
                .args(["--world", "site-hook", "bindings"])
                .arg(&bindings),
        )?;
        run_command(
            Command::new(python(&environment()))
                .args(["-m", "unittest", "--quiet", "test_app"])
                .env("PYTHONPATH", &bindings)
                .current_dir(folder),
        )?;
    }
    Ok(())
}

fn copy(guest: &Guest) -> Result<PathBuf, Failure> {
    let folder = target().join("guests").join(guest.folder);
    std::fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
    for name in ["app.py", "test_app.py"] {
        let source = guest.source().join(name);
        std::fs::copy(&source, folder.join(name)).map_err(failed("copy", &source))?;
    }
    Ok(folder)
}

fn environment() -> PathBuf {
    cache().join(format!("componentize-py-{VERSION}"))
}

fn python(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}

/// componentize-py in an environment of its own, made when it is missing.
fn program() -> Result<PathBuf, Failure> {
    let environment = environment();
    let program = environment.join("bin/componentize-py");
    if program.exists() {
        return Ok(program);
    }
    packages::install_python()?;
    run_command(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    run_command(
        Command::new(python(&environment))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("componentize-py=={VERSION}")),
    )?;
    Ok(program)
}
