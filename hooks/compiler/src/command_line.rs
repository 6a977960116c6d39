//! What is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    Componentize(Componentize),
    Bindings(Bindings),
    Interfaces(Interfaces),
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

/// Make a component of the module that rustc or clang linked
#[derive(Debug, Args)]
pub(crate) struct Componentize {
    /// What the linker wrote
    #[arg(value_name = "MODULE.wasm")]
    pub(crate) module: PathBuf,
    /// The component
    #[arg(short, long, value_name = "HOOK.wasm")]
    pub(crate) output: PathBuf,
    /// Folder of WIT with a world site-hook [default: what the module says, or else the interface of this init]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) wit: Option<PathBuf>,
}

/// Write what a language needs to speak the interface
///
/// For C, three files: site_hook.h to include, site_hook.c and site_hook_component_type.o to link.
#[derive(Debug, Args)]
pub(crate) struct Bindings {
    /// The language
    #[arg(value_name = "LANGUAGE")]
    pub(crate) language: Language,
    /// Where to write
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Folder of WIT with a world site-hook [default: the interface of this init]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) wit: Option<PathBuf>,
}

/// A language that bindings are written for. Rust and Python make their own.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Language {
    C,
}

/// Say what a component imports and exports
#[derive(Debug, Args)]
pub(crate) struct Interfaces {
    /// The component
    #[arg(value_name = "HOOK.wasm")]
    pub(crate) component: PathBuf,
}
