//! Site hooks to try `init` with: the examples, and the one component that is kept built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, Trouble, binary, process, wait, worker_root};

/// An example of `hooks/guests`.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Its TOML file's name in `hooks.d`.
    pub file: &'static str,
    /// Its folder.
    pub folder: &'static str,
    /// Its component.
    pub component: &'static str,
}

/// Proxy and certificates, in Rust.
pub const SITE_PROXY: Example = example("04-site-proxy.toml", "site-proxy", "site-proxy.wasm");
/// A `slurm-config.ini` per cluster, in Rust.
pub const SLURM_CLUSTER: Example = example("29-slurm-cluster.toml", "slurm-cluster", "slurm-cluster.wasm");
/// In place of the built-in `icegrid-node`, in Rust.
pub const NAT_WORKER: Example = example("90-icegrid-node.toml", "nat-worker", "nat-worker.wasm");
/// A greeting, in C.
pub const BANNER: Example = example("95-worker-banner.toml", "c-banner", "worker-banner.wasm");
/// `pip.conf`, in Python.
pub const PIP_CONF: Example = example("05-pip-conf.toml", "python-pip-conf", "pip-conf.wasm");
/// All of them.
pub const EXAMPLES: [Example; 5] = [SITE_PROXY, SLURM_CLUSTER, NAT_WORKER, BANNER, PIP_CONF];

const fn example(file: &'static str, folder: &'static str, component: &'static str) -> Example {
    Example { file, folder, component }
}

impl Example {
    /// What `cargo xtask guests` built.
    ///
    /// # Errors
    /// It was not run.
    pub fn built(&self) -> Result<PathBuf> {
        let path = binary::target().join("guests").join(self.component);
        if path.exists() {
            return Ok(path);
        }
        Err(Trouble::new(format!("{} is not there; run `cargo xtask guests`", path.display())))
    }

    /// A file of its folder.
    pub fn source(&self, name: &str) -> PathBuf {
        binary::workspace().join("hooks/guests").join(self.folder).join(name)
    }

    /// Puts its TOML file and `component` into `hooks.d` below `root`, pinned by the real `init hooks pin`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn install(&self, component: &Path, root: &Path) -> Result<()> {
        let toml = fs::read_to_string(self.source("hook.toml"))
            .map_err(Trouble::doing(format!("read the hook.toml of {}", self.folder)))?;
        let path = worker_root::write(root, &format!("etc/biomero/hooks.d/{}", self.file), &toml, 0o644)?;
        let installed = path.with_file_name(self.component);
        fs::copy(component, &installed).map_err(Trouble::doing("copy a component"))?;
        let mut pin = Command::new(binary::init()?);
        process::succeed(pin.args(["hooks", "pin"]).arg(&installed), wait::PATIENCE)?;
        Ok(())
    }
}

/// The example in C as it was built for the interface 1.0.0: nothing has to be built to try a component.
pub fn kept_banner() -> PathBuf {
    binary::workspace().join("hooks/tests/fixtures/worker-banner-1.0.0.wasm")
}
