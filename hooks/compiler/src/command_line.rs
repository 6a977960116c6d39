//! What is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Compiles site hooks for the init of a BIOMERO worker.
///
/// init itself holds no compiler: it loads what this program made, from the folder of the setting hooks.cache, or
/// starts this program for a .wasm that is not there yet.
#[derive(Debug, Parser)]
#[command(name = "init-hooks", version)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Compile(Compile),
}

/// Compile a component, into one file or into the cache
///
/// Where an image is built:  init-hooks compile --cache /var/cache/biomero/hooks /etc/biomero/hooks.d/*.wasm
#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// Folder of compiled components, as the setting hooks.cache; every FILE is compiled into it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
    /// SHA-256 that the component has; another is refused
    #[arg(long, value_name = "DIGEST")]
    pub(crate) sha256: Option<String>,
    /// IN.wasm OUT.cwasm, or with --cache any number of .wasm
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}
