//! A browser that clicks: Debian's chromium, driven by a script of ours over playwright-core, which is installed once and kept.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::{Result, Trouble, binary, process};

/// Downloads from a package registry over a slow line.
const INSTALLATION: Duration = Duration::from_secs(600);
/// The longest script.
const LONGEST: Duration = Duration::from_secs(900);

/// Runs a script below `fixtures/page` with these variables; what it says.
///
/// # Errors
/// It fails, or there is no browser, no Node or no package registry.
pub fn look(script: &str, variables: &[(&str, &str)]) -> Result<String> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/page");
    let mut node = Command::new(binary::find("node")?);
    node.arg(fixtures.join(script)).envs(variables.iter().copied());
    node.env("MODULES", modules(&fixtures.join("package.json"))?).env("CHROMIUM", binary::find("chromium")?);
    process::succeed(&mut node, LONGEST)
}

/// The folder of what `package.json` names, which is complete or absent.
fn modules(wanted: &std::path::Path) -> Result<PathBuf> {
    let cache = binary::cache();
    std::fs::create_dir_all(&cache).map_err(Trouble::doing(format!("make {}", cache.display())))?;
    let lock = cache.join("browser.lock");
    let lock = File::create(&lock).map_err(Trouble::doing(format!("open {}", lock.display())))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, error)| Trouble::new(format!("cannot wait for another that installs: {error}")))?;
    let read = |path: &std::path::Path| std::fs::read(path).unwrap_or_default();
    let (place, beside) = (cache.join("browser"), cache.join("browser.new"));
    if place.join("node_modules").exists() && read(&place.join("package.json")) == read(wanted) {
        return Ok(place.join("node_modules"));
    }
    for leftover in [&beside, &place] {
        if leftover.exists() {
            std::fs::remove_dir_all(leftover)
                .map_err(Trouble::doing(format!("remove {}", leftover.display())))?;
        }
    }
    std::fs::create_dir_all(&beside)
        .and_then(|()| std::fs::copy(wanted, beside.join("package.json")))
        .map_err(Trouble::doing(format!("make {}", beside.display())))?;
    let mut install = Command::new(binary::find("npm")?);
    install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]);
    process::succeed(install.current_dir(&beside), INSTALLATION)?;
    std::fs::rename(&beside, &place).map_err(Trouble::doing(format!("make {}", place.display())))?;
    Ok(place.join("node_modules"))
}
