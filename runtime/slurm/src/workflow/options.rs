//! Options of `sbatch`, in Python's precedence.
//!
//! First those of the workflow; then, where these do not have them, those for GPUs, the partition of last resort, and the
//! site's; then the call's. `sbatch` takes the last of several.

use biomero_config::slurm_config::Slurm;

use super::plan::PlanError;
use super::words;

/// Options that would make of the submission something else, and what to use instead.
const FOREIGN: &[(&str, &str)] = &[
    ("wrap", "the job's script is the workflow's own"),
    ("test-only", "use `processor slurm run --dry-run`"),
    ("help", "see sbatch(1)"),
    ("usage", "see sbatch(1)"),
    ("version", "see sbatch(1)"),
    ("array", "one run is one job"),
];

/// Options that are being put together.
#[derive(Debug, Default)]
pub(super) struct Options {
    options: Vec<(String, Option<String>)>,
}

impl Options {
    /// Adds an option of `slurm-config.ini`, of which Python makes a part of a command line: quotes go, and further words are
    /// further options.
    pub(super) fn configured(&mut self, key: &str, name: &str, value: &str) -> Result<(), PlanError> {
        let wrong = |reason: &'static str| PlanError::Option {
            origin: key.to_owned(),
            option: name.to_owned(),
            reason,
        };
        let words = words::split(value).ok_or_else(|| wrong("a quote in its value does not end"))?;
        let mut words = words.into_iter();
        self.add(key, name, words.next().filter(|value| !value.is_empty()))?;
        for word in words {
            let option = word.strip_prefix("--").ok_or_else(|| wrong("its value has a blank; quote it"))?;
            match option.split_once('=') {
                Some((name, value)) => self.add(key, name, Some(value.to_owned()))?,
                None => self.add(key, option, None)?,
            }
        }
        Ok(())
    }

    /// Adds an option, checked.
    pub(super) fn add(&mut self, origin: &str, name: &str, value: Option<String>) -> Result<(), PlanError> {
        let wrong = |reason: &'static str| PlanError::Option {
            origin: origin.to_owned(),
            option: name.to_owned(),
            reason,
        };
        let is_name = name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name {
            return Err(wrong("options are small letters and dashes, as in sbatch(1)"));
        }
        if let Some((_, reason)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
            return Err(wrong(reason));
        }
        if value.as_deref().is_some_and(|value| value.contains(['\0', '\n'])) {
            return Err(wrong("its value has a line break or NUL"));
        }
        self.options.push((name.to_owned(), value));
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| option == name)
    }

    fn add_missing(&mut self, key: &str, name: &str, value: Option<&str>) -> Result<(), PlanError> {
        match value {
            Some(value) if !self.has(name) => self.configured(key, name, value),
            _ => Ok(()),
        }
    }

    /// Those for a GPU, where the workflow has none of its own.
    pub(super) fn gpu(&mut self, slurm: &Slurm) -> Result<(), PlanError> {
        self.add_missing("gpu_partition", "partition", slurm.gpu_partition.as_deref())?;
        self.add_missing("gpu_gres", "gres", slurm.gpu_gres.as_deref())?;
        self.add_missing("gpu_gpus", "gpus", slurm.gpu_gpus.as_deref())
    }

    /// The partition of last resort.
    pub(super) fn partition(&mut self, key: &str, partition: Option<&str>) -> Result<(), PlanError> {
        self.add_missing(key, "partition", partition)
    }

    /// Those of every job of the site.
    pub(super) fn global(&mut self, slurm: &Slurm) -> Result<(), PlanError> {
        for (name, value) in &slurm.sbatch_options {
            self.add_missing(&format!("sbatch_{name}"), name, Some(value))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<(String, Option<String>)> {
        self.options
    }
}
