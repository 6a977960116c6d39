//! A worker of one test's own: its configuration, its descriptors, and `processor slurm` asked about them.

use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_tests::cluster::{Access, PATIENCE, Workspace};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, process};
use serde_json::Value;

/// See the module.
pub(super) struct Stage {
    pub(super) scratch: Scratch,
    /// The SSH configuration that the worker takes.
    pub(super) ssh_config: PathBuf,
    remote: PathBuf,
}

impl Stage {
    /// Everything on the cluster is below `workspace`; there is one converter, `org/NAME:v1`, and one workflow of the same image.
    pub(super) fn new(access: &Access, workspace: &Workspace, name: &str) -> Result<Self> {
        let stage = Self {
            scratch: Scratch::new()?,
            ssh_config: access.ssh_config(),
            remote: workspace.path().to_path_buf(),
        };
        let descriptor = format!(
            r#"{{"name": "{name}", "schema-version": "cytomine-0.1", "inputs": [],
                "container-image": {{"image": "org/{name}", "type": "singularity"}}}}"#
        );
        stage.write("descriptors/copy.json", &descriptor)?;
        stage.configure(name, "")?;
        Ok(stage)
    }

    /// `slurm-config.ini` anew, with these lines in `[SLURM]`.
    pub(super) fn configure(&self, name: &str, lines: &str) -> Result<()> {
        let remote = self.remote.display();
        let text = format!(
            "[SSH]\nhost=slurm\n[SLURM]\nslurm_data_path={remote}/data\nslurm_images_path={remote}/images\n\
             slurm_converters_path={remote}/converters\nslurm_script_path={remote}/scripts\n{lines}\n\
             [CONVERTERS]\nzarr_to_tiff=org/{name}:v1\n[MODELS]\ncopy=copy\n\
             copy_repo=https://github.com/org/{name}/tree/v1\ncopy_job=jobs/copy.sh\n"
        );
        self.write("slurm-config.ini", &text).map(drop)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        let folder = path.parent().unwrap_or(self.scratch.path());
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(Trouble::doing(format!("write {}", path.display())))?;
        Ok(path)
    }

    /// `processor slurm`, about to run.
    pub(super) fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary::processor()?);
        command.arg("slurm").args(arguments).env_clear().env("HOME", self.scratch.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("BIOMERO_SLURM_CONFIG_FILE", self.scratch.path().join("slurm-config.ini"));
        command.env("BIOMERO_INIT_SLURM__SSH_CONFIG", &self.ssh_config);
        command.env("BIOMERO_INIT_SLURM__DESCRIPTORS", self.scratch.path().join("descriptors"));
        command.env("BIOMERO_INIT_EVENTS__FILE", self.scratch.path().join("events.sqlite"));
        Ok(command)
    }

    /// Runs it with `--json`: the exit code and the answer.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<(i32, Value)> {
        let output = process::output(self.command(arguments)?.arg("--json"), PATIENCE)?;
        let answer = serde_json::from_slice(&output.stdout)
            .map_err(|error| Trouble::new(format!("{error}: {}", process::both(&output))))?;
        Ok((output.status.code().unwrap_or(-1), answer))
    }

    /// The state of each image, in order.
    pub(super) fn states(answer: &Value) -> Vec<String> {
        Self::texts(&answer["images"], "state")
    }

    /// What became of each item, in order.
    pub(super) fn became(answer: &Value) -> Vec<String> {
        Self::texts(&answer["items"], "became")
    }

    fn texts(list: &Value, key: &str) -> Vec<String> {
        let text = |item: &Value| item[key].as_str().unwrap_or_default().to_owned();
        list.as_array().into_iter().flatten().map(text).collect()
    }

    /// The path of something on the cluster.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.remote.join(name)
    }
}

/// All names below a folder that begin with this, dots included.
pub(super) fn names(folder: &Path, with: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(with))
        .collect();
    names.sort();
    names
}
