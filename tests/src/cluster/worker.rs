//! A worker's side of a cluster: a home with a `slurm-config.ini`, descriptors and a workflow history, and `processor` in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Access, Image, PATIENCE, Workspace, install_stand_in, publish, registry};
use crate::process::Running;
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
    remote: PathBuf,
    /// What tells `processor` where jobs run.
    environment: Vec<(String, String)>,
    /// Whose process it is, where not ours: the ids of user and group.
    user: Option<(u32, u32)>,
    /// A finished `processor`, where it is not the one of the profile under test.
    program: Option<PathBuf>,
}

impl Worker {
    /// With everything on the cluster below `workspace`, and a real workflow in its registry.
    ///
    /// # Errors
    /// An image cannot be made, or a file not be written.
    pub fn new(access: &Access, workspace: &Workspace) -> Result<Self> {
        let worker = Self {
            scratch: Scratch::new()?,
            remote: workspace.path().to_path_buf(),
            environment: vec![variable("SSH_CONFIG", &access.ssh_config().display().to_string())],
            user: None,
            program: None,
        };
        worker.set_up(&access.registry)
    }

    /// On the machine of the cluster itself, as its user: Slurm is reached without SSH.
    ///
    /// # Errors
    /// As of [`Self::new`].
    pub fn local(access: &Access, workspace: &Workspace) -> Result<Self> {
        let scratch = Scratch::new()?;
        access.own(scratch.path())?;
        let mut environment = access.environment().to_vec();
        environment.push(variable("ENGINE", "local"));
        // Images are unpacked once for all tests.
        let cache = access.home().join(".apptainer/stand-in");
        environment.push(("STAND_IN_CACHE".to_owned(), cache.display().to_string()));
        let remote = workspace.path().to_path_buf();
        Self { scratch, remote, environment, user: Some(access.ids()), program: None }
            .set_up(&access.registry)
    }

    /// On a machine without Slurm.
    ///
    /// # Errors
    /// As of [`Self::new`].
    pub fn embedded() -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut environment = install_stand_in(scratch.path())?.to_vec();
        environment.push(variable("ENGINE", "embedded"));
        // As many as the generated script asks for, where the machine may have fewer.
        environment.push(variable("EMBEDDED__PROCESSORS", "4"));
        let (remote, registry) = (scratch.folder("remote")?, registry(scratch.path()));
        Self { scratch, remote, environment, user: None, program: None }.set_up(&registry)
    }

    fn set_up(self, registry: &Path) -> Result<Self> {
        publish(registry, Image::Threshold, &format!("{THRESHOLD}:{VERSION}"))?;
        publish(registry, Image::ZarrToTiff, &format!("{CONVERTER}:{VERSION}"))?;
        self.write("descriptors/threshold.json", Image::Threshold.descriptor().unwrap_or_default())?;
        self.configure("", "")?;
        Ok(self)
    }

    /// Sets a setting `slurm.…`, in capitals.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push(variable(name, value));
    }

    /// Runs this finished `processor`.
    pub fn use_program(&mut self, program: &Path) {
        self.program = Some(program.to_path_buf());
    }

    fn program(&self) -> Result<PathBuf> {
        self.program.clone().map_or_else(binary::processor, Ok)
    }

    /// Sets a variable.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
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

    /// From now on its folder stays when this is dropped.
    pub fn keep(&mut self) {
        self.scratch.keep();
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
        let mut command = match self.user {
            None => Command::new(self.program()?),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={group}")]);
                command.args(["--clear-groups", "--"]).arg(self.copy_of_processor()?);
                command
            }
        };
        command.args(arguments).env_clear().env("HOME", self.folder()).env("LANG", "C.UTF-8");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().cloned());
        for (name, value) in [
            ("BIOMERO_SLURM_CONFIG_FILE", self.folder().join("slurm-config.ini")),
            ("BIOMERO_INIT_SLURM__DESCRIPTORS", self.folder().join("descriptors")),
            ("BIOMERO_INIT_EVENTS__FILE", self.folder().join("events.sqlite")),
        ] {
            command.env(name, value);
        }
        Ok(command)
    }

    /// Where everybody may read it: that may not be so of the folder where it was built.
    fn copy_of_processor(&self) -> Result<PathBuf> {
        let copy = self.folder().join("processor");
        if !copy.exists() {
            std::fs::copy(self.program()?, &copy).map_err(Trouble::doing("copy processor"))?;
        }
        Ok(copy)
    }

    /// Starts `processor slurm` in the background; what it writes is behind what those before it wrote.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        let command = self.processor(&[&["slurm"], arguments].concat())?;
        Running::start("processor", command, &self.folder().join("processor.log"))
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

/// A setting `slurm.…` as a variable.
fn variable(name: &str, value: &str) -> (String, String) {
    (format!("BIOMERO_INIT_SLURM__{name}"), value.to_owned())
}

/// A `slurm-config.ini` with everything below `remote` on the cluster, these lines in `[SLURM]` and these of the workflow.
pub fn slurm_config(host: &str, remote: &Path, slurm: &str, workflow: &str) -> String {
    let remote = remote.display();
    format!(
        "[SSH]\nhost = {host}\n\n[SLURM]\n\
         slurm_data_path = {remote}/data\nslurm_images_path = {remote}/images\n\
         slurm_converters_path = {remote}/converters\nslurm_script_path = {remote}/scripts\n{slurm}\n\n{}",
        workflows(workflow)
    )
}

/// Of a `slurm-config.ini`, the converter and the workflow, with these lines of it.
pub fn workflows(workflow: &str) -> String {
    format!(
        "[CONVERTERS]\nzarr_to_tiff = {CONVERTER}:{VERSION}\n\n\
         [MODELS]\n{WORKFLOW} = {WORKFLOW}\n\
         {WORKFLOW}_repo = https://github.com/biomerotests/threshold/tree/{VERSION}\n\
         {WORKFLOW}_job = jobs/{WORKFLOW}.sh\n{workflow}\n\n"
    )
}
