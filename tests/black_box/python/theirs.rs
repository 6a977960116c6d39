//! The library's own tests, of its source distribution: which of them hold for ours is a table of the documentation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, biomero, process};

const DEADLINE: Duration = Duration::from_secs(300);

#[test]
fn the_librarys_own_tests_hold_as_far_as_the_documentation_says() -> Result<()> {
    let scratch = Scratch::new()?;
    let tests = source(scratch.path())?;
    let extra = scratch.path().join("packages");
    let fixtures = binary::workspace().join("tests/fixtures/python");
    let mut install = Command::new(biomero::python()?);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]);
    install.arg(&extra).arg("--requirement").arg(fixtures.join("requirements.txt"));
    process::succeed(&mut install, DEADLINE)?;

    let ours = super::package();
    let path = std::env::join_paths([&ours, &fixtures, &extra])
        .map_err(|error| Trouble::new(format!("a folder has a name that PYTHONPATH cannot hold: {error}")))?;
    let mut pytest = Command::new(biomero::python()?);
    pytest.args(["-m", "pytest", "-q", "--tb=no", "-p", "adapter", "-p", "no:cacheprovider", "-rA", "unit"]);
    pytest.current_dir(&tests).env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    pytest.env("HOME", scratch.path()).env("BIOMERO_PROCESSOR", binary::processor()?);
    let output = process::output(&mut pytest, DEADLINE)?;
    let told = process::both(&output);
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for line in told.lines() {
        let Some((word, rest)) = line.split_once(" unit/") else { continue };
        let count = counts.entry(rest.split("::").next().unwrap_or_default().to_owned()).or_default();
        match word {
            "PASSED" => count.0 += 1,
            "FAILED" | "ERROR" => count.1 += 1,
            _ => {}
        }
    }
    let page = std::fs::read_to_string(binary::workspace().join("docs/python.md"))
        .map_err(Trouble::doing("read docs/python.md"))?;
    assert_eq!(counts, documented(&page), "the table of docs/python.md against what pytest said:\n{told}");
    assert_eq!(counts.len(), 5, "{told}");
    Ok(())
}

/// The rows `| test_….py | PASSED | OTHERS | …` of the page.
fn documented(page: &str) -> BTreeMap<String, (usize, usize)> {
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let name = cells.next()?.trim_matches('`').to_owned();
        let (passed, others) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
        Some((name, (passed, others)))
    };
    page.lines().filter_map(row).collect()
}

/// The folder `tests` of the library's source distribution, which a package registry has.
fn source(scratch: &Path) -> Result<PathBuf> {
    let mut download = Command::new(biomero::python()?);
    download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    download
        .args(["--no-binary", ":all:", "--dest"])
        .arg(scratch)
        .arg(format!("biomero=={}", biomero::VERSION));
    process::succeed(&mut download, DEADLINE)?;
    let archive = scratch.join(format!("biomero-{}.tar.gz", biomero::VERSION));
    process::succeed(Command::new("tar").arg("-C").arg(scratch).arg("-xzf").arg(archive), DEADLINE)?;
    Ok(scratch.join(format!("biomero-{}/tests", biomero::VERSION)))
}
