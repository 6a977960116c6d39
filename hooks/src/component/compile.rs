//! Running the compiler program: a short-lived child without privileges that turns `.wasm` into machine code.

use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_config::Environment;

use super::load::{self, Code};
use crate::machine::{Exit, Machine, MachineError, Process};

/// The compiler program.
#[derive(Debug, Clone)]
pub(super) struct Compiler {
    pub(super) program: PathBuf,
}

/// Why nothing came of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// There is no compiler.
    #[error("it is not compiled yet, and the compiler {} is not there; install it, set hooks.compiler, or compile where the image is built: init-hooks compile --cache {} {}", program.display(), cache.display(), component.display())]
    NoCompiler {
        /// Where it was looked for.
        program: PathBuf,
        /// The folder of compiled components.
        cache: PathBuf,
        /// The component.
        component: PathBuf,
    },
    /// The compiler says no.
    #[error("it could not be compiled: {how}; its own line above says why; by hand: init-hooks compile {} /tmp/test.cwasm", component.display())]
    Failed {
        /// The component.
        component: PathBuf,
        /// Exit code or signal.
        how: String,
    },
    /// The compiler did not come to an end.
    #[error("compiling it: {source}; it is to be done by the deadline of its hook: compile it where the image is built (init-hooks compile --cache FOLDER {}), or raise the deadline", component.display())]
    Machine {
        /// The component.
        component: PathBuf,
        /// Why.
        source: MachineError,
    },
    /// The system says no.
    #[error("compiling it: {0}")]
    System(String),
}

impl Compiler {
    /// Compiles the component at `path`, which has the SHA-256 `digest`, within `deadline`. Nothing is written to any
    /// disk.
    pub(super) fn compile(
        &self,
        path: &Path,
        digest: &str,
        cache: &Path,
        deadline: Duration,
        machine: &mut dyn Machine,
    ) -> Result<Code, CompileError> {
        if !self.program.exists() {
            let (program, cache) = (self.program.clone(), cache.to_owned());
            return Err(CompileError::NoCompiler { program, cache, component: path.to_owned() });
        }
        let system = |error: &dyn std::fmt::Display| CompileError::System(error.to_string());
        let memory = load::memory().map_err(|error| system(&error))?;
        // By way of this process: the child's own descriptors are the machine's business.
        let output = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
        let argv = [
            self.program.display().to_string(),
            "compile".to_owned(),
            "--sha256".to_owned(),
            digest.to_owned(),
            path.display().to_string(),
            output,
        ];
        let environment = Environment::default();
        let process =
            Process { argv: &argv, environment: &environment, directory: Some("/".into()), user: None };
        let failed = |how: String| Err(CompileError::Failed { component: path.to_owned(), how });
        match machine.run(&process, deadline) {
            Ok(Exit::Code(0)) => {}
            Ok(Exit::Code(code)) => return failed(format!("exit code {code}")),
            Ok(Exit::Signal(signal)) => return failed(format!("killed by signal {signal}")),
            Err(source) => return Err(CompileError::Machine { component: path.to_owned(), source }),
        }
        Code::seal(memory).map_err(|error| system(&error))
    }
}
