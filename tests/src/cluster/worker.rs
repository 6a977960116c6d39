//! A worker's side of a cluster: a home with a `slurm-config.ini`, descriptors and a workflow history, and `processor` in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Access, Image, PATIENCE, Workspace};
use crate::scratch::Scratch;
use crate::{Result, Trouble, binary, process};

/// The repository and version under which a cluster's registry has the workflow [`WORKFLOW`].
pub const THRESHOLD: &str = "biomerotests/threshold";
/// Those of the converter.
pub const CONVERTER: &str = "biomerotests/convert_zarr_to_tiff";

/// The name of the workflow in [`Worker`]'s configuration.
pub const WORKFLOW: &str = "threshold";

/// The version of its image, and of the converter's.
pub const VERSION: &str = "v1.0.0";

/// A worker's side.
#[derive(Debug)]
pub struct Worker {
    scratch: Scratch,
    ssh_config: PathBuf,
    remote: PathBuf,
}

impl Worker {
    /// With everything on the cluster below `workspace`, and a real workflow in its registry.
    ///
    /// # Errors
    /// An image cannot be made, or a file not be written.
    pub fn new(access: &Access, workspace: &Workspace) -> Result<Self> {
        access.publish(Image::Threshold, &format!("{THRESHOLD}:{VERSION}"))?;
        access.publish(Image::ZarrToTiff, &format!("{CONVERTER}:{VERSION}"))?;
        let worker = Self {
            scratch: Scratch::new()?,
            ssh_config: access.ssh_config(),
            remote: workspace.path().to_path_buf(),
        };
        worker.write("descriptors/threshold.json", Image::Threshold.descriptor().unwrap_or_default())?;
        worker.configure("", "")?;
        Ok(worker)
    }

    /// Writes `slurm-config.ini` anew, with these lines in `[SLURM]` and these of the workflow.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, slurm: &str, workflow: &str) -> Result<()> {
        let text = slurm_config("slurm", &self.remote, slurm, workflow);
        self.write("slurm-config.ini", &text).map(drop)
    }

    /// Where everything is on the cluster.
    pub fn remote(&self) -> &Path {
        &self.remote
    }

    /// The worker's own folder: its home.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes a file below the home.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        let parent = path.parent().unwrap_or(self.scratch.path());
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(Trouble::doing(format!("write {}", path.display())))?;
        Ok(path)
    }

    /// `processor slurm` with these arguments, about to run.
    ///
    /// # Errors
    /// It does not compile.
    pub fn processor(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary::processor()?);
        command.args(arguments).env_clear().env("HOME", self.folder()).env("LANG", "C.UTF-8");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, value) in [
            ("BIOMERO_SLURM_CONFIG_FILE", self.folder().join("slurm-config.ini")),
            ("BIOMERO_INIT_SLURM__SSH_CONFIG", self.ssh_config.clone()),
            ("BIOMERO_INIT_SLURM__DESCRIPTORS", self.folder().join("descriptors")),
            ("BIOMERO_INIT_EVENTS__FILE", self.folder().join("events.sqlite")),
        ] {
            command.env(name, value);
        }
        Ok(command)
    }

    /// Runs `processor slurm`, whatever comes of it.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn slurm(&self, arguments: &[&str]) -> Result<Output> {
        process::output(&mut self.processor(&[&["slurm"], arguments].concat())?, PATIENCE)
    }

    /// Runs `processor slurm`, which has to succeed; what it answered.
    ///
    /// # Errors
    /// It fails.
    pub fn succeeds(&self, arguments: &[&str]) -> Result<String> {
        process::succeed(&mut self.processor(&[&["slurm"], arguments].concat())?, PATIENCE)
    }
}

/// A `slurm-config.ini` with everything below `remote` on the cluster, these lines in `[SLURM]` and these of the workflow.
pub fn slurm_config(host: &str, remote: &Path, slurm: &str, workflow: &str) -> String {
    let remote = remote.display();
    format!(
        "[SSH]\nhost = {host}\n\n[SLURM]\n\
         slurm_data_path = {remote}/data\nslurm_images_path = {remote}/images\n\
         slurm_converters_path = {remote}/converters\nslurm_script_path = {remote}/scripts\n{slurm}\n\n\
         [CONVERTERS]\nzarr_to_tiff = {CONVERTER}:{VERSION}\n\n\
         [MODELS]\n{WORKFLOW} = {WORKFLOW}\n\
         {WORKFLOW}_repo = https://github.com/biomerotests/threshold/tree/{VERSION}\n\
         {WORKFLOW}_job = jobs/{WORKFLOW}.sh\n{workflow}\n\n"
    )
}
