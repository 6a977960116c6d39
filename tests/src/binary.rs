//! Finding the binaries under test: built once per test process by the cargo that runs us.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{Result, Trouble};

/// The `init` binary of the profile named by `BIOMERO_TEST_PROFILE` (`dev` when unset), built when it is out of date.
/// `BIOMERO_TEST_INIT` names a finished one instead, as the release one in `cargo xtask test`.
///
/// # Errors
/// It does not compile.
pub fn init() -> Result<PathBuf> {
    match std::env::var_os("BIOMERO_TEST_INIT") {
        Some(path) => Ok(path.into()),
        None => Ok(built()?.join("init")),
    }
}

/// The compiler of site hooks, `init-hooks`, of the same profile.
///
/// # Errors
/// It does not compile.
pub fn compiler() -> Result<PathBuf> {
    Ok(built()?.join("init-hooks"))
}

/// The program that keeps the workflow history, `processor`, of the same profile.
///
/// # Errors
/// It does not compile.
pub fn processor() -> Result<PathBuf> {
    Ok(built()?.join("processor"))
}

/// The folder of what was built.
fn built() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|trouble| trouble.to_string())).clone().map_err(Trouble::new)
}

/// The whole workspace's, so that what the tests were built with is used again.
fn build() -> Result<PathBuf> {
    let profile = std::env::var("BIOMERO_TEST_PROFILE").unwrap_or_else(|_| "dev".to_owned());
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "build",
        "--quiet",
        "--locked",
        "--workspace",
        "--bin",
        "init",
        "--bin",
        "init-hooks",
        "--bin",
        "processor",
        "--profile",
        &profile,
    ];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace())
        .output()
        .map_err(Trouble::doing("start cargo"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Trouble::new(format!("`cargo {}` failed:\n{errors}", arguments.join(" "))));
    }
    Ok(target().join(if profile == "dev" { "debug" } else { &profile }))
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Where what takes long to make is kept, outside of the tree: it outlives `cargo clean`.
pub fn cache() -> PathBuf {
    let home = || std::env::home_dir().unwrap_or_else(std::env::temp_dir).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("biomero-worker")
}
