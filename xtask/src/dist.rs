//! `cargo xtask dist`: the release binary, and the budget of its size.

use std::path::PathBuf;

use biomero_tests::binary;

use crate::command::{cargo, output, run as run_command};
use crate::failure::Failure;

/// PID 1 is read from disk at every start and stays mapped for the container's life.
const BUDGET: u64 = 8 * 1024 * 1024;

/// Builds the release binary, checks its size and says where it is.
pub(crate) fn run() -> Result<PathBuf, Failure> {
    run_command(&mut cargo(&["build", "--release", "--locked", "--package", "biomero-init"]))?;
    let path = path();
    let bytes = path
        .metadata()
        .map_err(|source| Failure::File { action: "look at", path: path.clone(), source })?
        .len();
    if bytes > BUDGET {
        return Err(Failure::Size { path, bytes, budget: BUDGET });
    }
    println!(
        "{}: {:.1} MiB of at most {} MiB",
        path.display(),
        bytes as f64 / 1_048_576.0,
        BUDGET / 1_048_576
    );
    Ok(path)
}

/// Where the release binary is, if it was built.
pub(crate) fn finished() -> Option<PathBuf> {
    Some(path()).filter(|path| path.exists())
}

/// PID 1 holds no compiler: not by chance of what the linker keeps, but because nothing it is built from has one.
pub(crate) fn without_compiler() -> Result<(), Failure> {
    let mut tree =
        cargo(&["tree", "--locked", "--package", "biomero-init", "--edges", "normal", "--prefix", "none"]);
    let listed = output(&mut tree)?;
    match listed.lines().find(|line| line.starts_with("cranelift-codegen ")) {
        Some(line) => Err(Failure::Unexpected(format!(
            "biomero-init depends on {line}; `cargo tree -p biomero-init -i cranelift-codegen` says through what"
        ))),
        None => Ok(()),
    }
}

fn path() -> PathBuf {
    binary::target().join("release/init")
}
