//! Why a command of xtask failed. Each message ends in what to do.

use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("cannot start `{program}`: {source}; is it installed and on PATH?")]
    Start { program: String, source: std::io::Error },
    #[error("`{command}` ended with {status}; its output above says why")]
    Ended { command: String, status: std::process::ExitStatus },
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "these programs are missing: {programs}\nrun this once, then again what you ran:\n\n  {remedy}\n"
    )]
    Missing { programs: String, remedy: String },
    #[error("{} is {bytes} bytes, over its budget of {budget}; look with `cargo bloat --release -p {package}`", path.display())]
    Size { path: PathBuf, bytes: u64, budget: u64, package: &'static str },
    #[error(transparent)]
    Trouble(#[from] biomero_tests::Trouble),
    #[error("{0}")]
    Unexpected(String),
    #[error("{failed} of {total} steps failed: {names}")]
    Steps { failed: usize, total: usize, names: String },
}

impl Failure {
    /// 2 for a command line that makes no sense, 1 for everything else.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}
