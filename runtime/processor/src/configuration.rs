//! The settings of this worker and BIOMERO's `slurm-config.ini`, read when somebody asks and not before: what is said on
//! the command line works where the files are broken.

use std::cell::OnceCell;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use biomero_config::slurm_config::{self, Analytics, BiomeroSettings, Merged, SourceFile};
use biomero_config::{Environment, Loaded, Row, Secret, Settings, Sources};

use crate::ended::Ended;

/// A configuration file is shorter.
const LARGEST_FILE: u64 = 1 << 20;

/// The worker's state folder, which the image makes.
pub(crate) const STATE_FOLDER: &str = "/var/lib/biomero";

/// What was read, once it was.
pub(crate) struct Configuration<'a> {
    environment: &'a Environment,
    loaded: OnceCell<(Loaded, Merged)>,
}

impl<'a> Configuration<'a> {
    /// Nothing is read yet.
    pub(crate) const fn new(environment: &'a Environment) -> Self {
        Self { environment, loaded: OnceCell::new() }
    }

    /// The variables.
    pub(crate) const fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// The settings.
    pub(crate) fn settings(&self) -> Result<&Settings, Ended> {
        Ok(&self.loaded()?.0.settings)
    }

    /// Every setting that is set, secrets masked, and who set it.
    pub(crate) fn described(&self) -> Result<&[Row], Ended> {
        Ok(self.loaded()?.0.describe())
    }

    /// The files of settings that were read.
    pub(crate) fn files(&self) -> Result<&[PathBuf], Ended> {
        Ok(&self.loaded()?.0.files)
    }

    /// What of the settings somebody should look at.
    pub(crate) fn warnings(&self) -> Result<&[String], Ended> {
        Ok(&self.loaded()?.0.warnings)
    }

    /// The user's home: by the variable, or where none is set, as in `docker exec`, by the system's list of users.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        let named = self.environment.get_os("HOME").map(PathBuf::from);
        named.filter(|path| path.is_absolute()).or_else(std::env::home_dir)
    }

    /// A folder of the worker's state: in the image's folder where there is one, else in the user's own.
    pub(crate) fn state(&self, name: &str) -> Result<PathBuf, Ended> {
        if Path::new(STATE_FOLDER).is_dir() {
            return Ok(Path::new(STATE_FOLDER).join(name));
        }
        let folder = self.environment.get_os("XDG_STATE_HOME").map(PathBuf::from);
        let folder = folder.filter(|path| path.is_absolute());
        let state = folder.or_else(|| Some(self.home()?.join(".local/state")));
        Ok(state.ok_or(Ended::NoHome)?.join("biomero").join(name))
    }

    /// A key of `[ANALYTICS]` by the file or its variable, and who set it.
    pub(crate) fn analytics(&self, key: &str) -> Result<Option<(Secret<String>, String)>, Ended> {
        let found = self.loaded()?.1.effective("ANALYTICS", key, self.environment);
        Ok(found.map(|(value, origin)| (value, origin.to_string())))
    }

    /// What a Python worker with this configuration does; none where it would not start with it.
    pub(crate) fn of_python(&self) -> Result<Option<Analytics>, Ended> {
        Ok(self.loaded()?.1.typed(self.environment).ok().map(|typed| typed.settings.analytics))
    }

    /// `slurm-config.ini` in types. What is ignored on the way is told by `init`, and here to whoever asks for more.
    pub(crate) fn biomero(&self) -> Result<BiomeroSettings, Ended> {
        let told = |notices: &[slurm_config::Notice]| notices.iter().map(ToString::to_string).collect();
        let typed = self.loaded()?.1.typed(self.environment);
        let typed = typed.map_err(|problems| Ended::SlurmConfig(told(&problems)))?;
        for warning in &typed.warnings {
            tracing::info!("{warning}");
        }
        Ok(typed.settings)
    }

    fn loaded(&self) -> Result<&(Loaded, Merged), Ended> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = self.load()?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    fn load(&self) -> Result<(Loaded, Merged), Ended> {
        let environment = self.environment.clone();
        let sources = Sources { root: PathBuf::from("/"), environment, command_line: Vec::new() };
        let loaded = biomero_config::load(&sources)?;
        let mut files = Vec::new();
        for path in slurm_config::paths(&loaded.settings) {
            let path = match (path.strip_prefix("~"), self.environment.get_os("HOME")) {
                (Ok(below), Some(home)) => Path::new(home).join(below),
                _ => path,
            };
            match read(&path) {
                Ok(content) => files.extend(content.map(|content| SourceFile { path, content })),
                Err(source) => return Err(Ended::Unreadable { path, source }),
            }
        }
        let merged = slurm_config::merge(&files)
            .map_err(|problems| Ended::SlurmConfig(problems.iter().map(ToString::to_string).collect()))?;
        Ok((loaded, merged))
    }
}

/// A file; nothing where there is none. Docker makes a folder of what is to be mounted and does not exist on the host.
fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("it is larger than 1 MiB, so that it is no configuration"));
    }
    Ok(Some(content))
}
