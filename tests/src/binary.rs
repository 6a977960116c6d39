//! Finding the binaries under test: built once per test process by the cargo that runs us.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Result, Trouble};

static WITH_TESTS: AtomicBool = AtomicBool::new(false);

/// The tests are built too, sooner or later: what is built by this process is built as for them.
pub fn as_for_tests() {
    WITH_TESTS.store(true, Ordering::Relaxed);
}

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

/// The program `convert`, static as it is released, of the same profile. `BIOMERO_TEST_CONVERT` names a finished one instead.
///
/// # Errors
/// It does not compile.
pub fn convert() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("BIOMERO_TEST_CONVERT") {
        return Ok(path.into());
    }
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let arguments = ["build", "--quiet", "--locked", "--package", "biomero-convert"];
    let built = BUILT.get_or_init(|| cargo(&arguments, make_static).map_err(|trouble| trouble.to_string()));
    built.clone().map_err(Trouble::new)?;
    Ok(static_target().join(folder(&profile())).join("convert"))
}

/// Has a build link the C library into the program. For a target that is named, so that what runs during the build (build
/// scripts, procedural macros) is not meant.
pub fn make_static(build: &mut Command) {
    let name = static_name();
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", name.to_uppercase().replace('-', "_"));
    build.args(["--target", &name]).env(variable, "-C target-feature=+crt-static");
}

fn static_name() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Where cargo puts what [`make_static`] is for.
pub fn static_target() -> PathBuf {
    target().join(static_name())
}

/// The folder of what was built.
fn built() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|trouble| trouble.to_string())).clone().map_err(Trouble::new)
}

/// The whole workspace's, so that what the tests were built with is used again. Features of what tests alone depend on count
/// for it where the tests are built as well: without them nearly all would be compiled a second time.
fn build() -> Result<PathBuf> {
    let mut arguments = vec![
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
    ];
    if WITH_TESTS.load(Ordering::Relaxed) || std::env::var_os("NEXTEST").is_some() {
        arguments.push("--tests");
    }
    cargo(&arguments, |_| ())?;
    Ok(target().join(folder(&profile())))
}

fn profile() -> String {
    std::env::var("BIOMERO_TEST_PROFILE").unwrap_or_else(|_| "dev".to_owned())
}

/// What cargo calls the folder of a profile.
fn folder(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}

fn cargo(arguments: &[&str], set: impl FnOnce(&mut Command)) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).args(["--profile", &profile()]).current_dir(workspace());
    forget_package(&mut command);
    set(&mut command);
    let output = command.output().map_err(Trouble::doing("start cargo"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Trouble::new(format!("`cargo {}` failed:\n{errors}", arguments.join(" "))));
    }
    Ok(())
}

/// Has a cargo not know of which package the program is that starts it: a build script that looks at these variables, as `ring`'s
/// does, would run again for each, and all that depends on it be compiled again.
pub fn forget_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|of| name.as_encoded_bytes().starts_with(of.as_bytes()))
        {
            command.env_remove(name);
        }
    }
}

/// A program of the system, by its name.
///
/// # Errors
/// It is not installed.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| Trouble::new(format!("{name} is not installed; `cargo xtask test` installs it")))
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
