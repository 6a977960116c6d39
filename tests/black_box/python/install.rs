//! Into an environment of its own by pip, and how long it takes to be imported.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, process};

/// A build tool from a package registry over a slow line.
const INSTALLATION: Duration = Duration::from_secs(300);

const IMPORTED: &str = "import time; began = time.perf_counter(); import biomero; \
    from importlib.metadata import requires, version; \
    print(f'imported in {1000 * (time.perf_counter() - began):.0f} ms'); \
    print(biomero.__version__ == version('biomero'), requires('biomero') or [], biomero.__file__)";

#[test]
fn pip_installs_it_in_place_of_the_library() -> Result<()> {
    let scratch = Scratch::new()?;
    let (source, place) = (scratch.path().join("source"), scratch.path().join("environment"));
    // pip builds beside the sources.
    process::succeed(Command::new("cp").arg("-r").arg(super::package()).arg(&source), INSTALLATION)?;
    process::succeed(Command::new("python3").args(["-m", "venv"]).arg(&place), INSTALLATION)?;
    let python = place.join("bin/python");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).arg(&source);
    process::succeed(&mut install, INSTALLATION)?;
    let told = run(&python, scratch.path(), &["-c", IMPORTED])?;
    let expected = format!("True [] {}", place.display());
    assert!(told.lines().any(|line| line.starts_with(&expected)), "{told}");
    // What asks for the library is content with it.
    let asked = "from packaging.requirements import Requirement";
    let asked = format!(
        "from pip._vendor.{}; from importlib.metadata import version; \
         print(Requirement('biomero>=2.8').specifier.contains(version('biomero')))",
        asked.trim_start_matches("from ")
    );
    assert_eq!(run(&python, scratch.path(), &["-c", &asked])?.trim(), "True");
    Ok(())
}

fn run(python: &Path, folder: &Path, arguments: &[&str]) -> Result<String> {
    process::succeed(Command::new(python).args(arguments).current_dir(folder), INSTALLATION)
}
