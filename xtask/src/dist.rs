//! `cargo xtask dist`: the release binaries, and the budgets of their sizes.

use std::path::PathBuf;

use biomero_tests::binary;

use crate::command::{cargo, output, run as run_command};
use crate::failure::Failure;

/// What is released.
struct Release {
    package: &'static str,
    program: &'static str,
    /// In MiB.
    budget: u64,
    /// Whether it has its C library within itself, so that it runs wherever the kernel does.
    is_static: bool,
}

/// PID 1 is read from disk at every start and stays mapped for the container's life; `processor` holds two databases, TLS,
/// HTTP and SSH, and reads all that OMERO can send.
const INIT: Release = Release { package: "biomero-init", program: "init", budget: 8, is_static: false };
const PROCESSOR: Release =
    Release { package: "biomero-processor", program: "processor", budget: 24, is_static: false };
/// It is copied to clusters and read from a network's disk by each task.
const CONVERT: Release =
    Release { package: "biomero-convert", program: "convert", budget: 4, is_static: true };

/// Builds the release binaries, checks their sizes and says where they are. Returns the path of `init`.
pub(crate) fn run() -> Result<PathBuf, Failure> {
    let init = INIT.build()?;
    PROCESSOR.build()?;
    CONVERT.build()?;
    Ok(init)
}

/// Builds those of which a mebibyte counts: every container starts with the one, every task on a cluster with the other.
pub(crate) fn smallest() -> Result<(), Failure> {
    INIT.build()?;
    CONVERT.build().map(drop)
}

/// Builds `processor` alone; its path.
pub(crate) fn processor() -> Result<PathBuf, Failure> {
    PROCESSOR.build()
}

impl Release {
    /// One package a build: what another needs stays out of it.
    fn build(&self) -> Result<PathBuf, Failure> {
        let mut build = cargo(&["build", "--release", "--locked", "--package", self.package]);
        if self.is_static {
            binary::make_static(&mut build);
        }
        run_command(&mut build)?;
        let path = self.path();
        let bytes = path
            .metadata()
            .map_err(|source| Failure::File { action: "look at", path: path.clone(), source })?
            .len();
        let mebibyte = 1024 * 1024;
        if bytes > self.budget * mebibyte {
            return Err(Failure::Size { path, bytes, budget: self.budget * mebibyte, package: self.package });
        }
        println!(
            "{}: {:.1} MiB of at most {} MiB",
            path.display(),
            bytes as f64 / mebibyte as f64,
            self.budget
        );
        Ok(path)
    }

    /// Where the release binary is, once it was built.
    fn path(&self) -> PathBuf {
        let target = if self.is_static { binary::static_target() } else { binary::target() };
        target.join("release").join(self.program)
    }
}

/// Which release binaries were built, each with the variable that has the tests run it.
pub(crate) fn finished() -> impl Iterator<Item = (&'static str, PathBuf)> {
    [("BIOMERO_TEST_INIT", INIT.path()), ("BIOMERO_TEST_CONVERT", CONVERT.path())]
        .into_iter()
        .filter(|(_, path)| path.exists())
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
