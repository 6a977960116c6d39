//! The configuration in types, as BIOMERO 2.8 understands it.

use super::Notice;
use super::effective::{Resolved, boolean_of_variable, integer};
use super::known::{KEYS, Part, SBATCH, workflow_of};
use super::merged::{Merged, MergedKey};
use crate::{Environment, Secret};

/// What BIOMERO knows after reading its configuration and its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiomeroSettings {
    /// `[SSH]`.
    pub ssh: SshTarget,
    /// `[SLURM]`.
    pub slurm: Slurm,
    /// `[ANALYTICS]`.
    pub analytics: Analytics,
    /// `[CONVERTERS]`: conversion (`zarr_to_tiff`) and image, in order; empty when converters are built from source.
    pub converters: Vec<(String, String)>,
    /// `[MODELS]` and `[WORKFLOWS]`, in order.
    pub workflows: Vec<Workflow>,
}

/// `[SSH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// The `Host` of the SSH configuration.
    pub host: String,
    /// Whether variables are sent as a prefix of the command.
    pub inline_ssh_env: bool,
}

/// `[SLURM]`. Paths are on the cluster, relative ones to the login folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slurm {
    /// Where data goes.
    pub data_path: String,
    /// Where workflow images are.
    pub images_path: String,
    /// Where converter images are.
    pub converters_path: String,
    /// Where job scripts are.
    pub script_path: String,
    /// Repository of job scripts; generated ones without.
    pub script_repo: Option<String>,
    /// Path bound into containers.
    pub data_bind_path: Option<String>,
    /// Partition of conversion jobs.
    pub conversion_partition: Option<String>,
    /// Partition of jobs that name none.
    pub default_partition: Option<String>,
    /// From when on `sacct` is asked.
    pub sacct_start_time: String,
    /// The same as a number of days, which wins.
    pub sacct_days_ago: Option<i64>,
    /// Whether a job's variables go in a file.
    pub env_file_submission: bool,
    /// Whether job scripts take the GPU flag from a variable.
    pub inject_gpu_flag: bool,
    /// Partition of GPU jobs.
    pub gpu_partition: Option<String>,
    /// `--gres` of GPU jobs; never with `gpu_gpus`.
    pub gpu_gres: Option<String>,
    /// `--gpus` of GPU jobs.
    pub gpu_gpus: Option<String>,
    /// Whether images are pulled by a job.
    pub image_pull_via_sbatch: bool,
    /// `--cpus-per-task` of that job.
    pub image_pull_cpus: String,
    /// `--mem` of that job.
    pub image_pull_mem: String,
    /// `APPTAINER_TMPDIR` of pulls.
    pub apptainer_tmpdir: Option<String>,
    /// `APPTAINER_CACHEDIR` of pulls.
    pub apptainer_cachedir: Option<String>,
    /// The command that packs and unpacks data.
    pub zip_cmd: String,
    /// `sbatch_NAME = VALUE`: options of every job that does not set them itself.
    pub sbatch_options: Vec<(String, String)>,
}

/// `[ANALYTICS]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analytics {
    /// Whether workflows are recorded.
    pub track_workflows: bool,
    /// Whether the view of jobs is kept.
    pub enable_job_accounting: bool,
    /// Whether the view of progress is kept.
    pub enable_job_progress: bool,
    /// Whether the view of tasks is kept.
    pub enable_workflow_analytics: bool,
    /// The database of events.
    pub sqlalchemy_url: Option<Secret<String>>,
    /// From when on views are rebuilt.
    pub rebuild_start_time: Option<String>,
    /// The same as a number of days.
    pub rebuild_days_ago: Option<i64>,
}

/// A workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// In small letters, as keys are.
    pub name: String,
    /// Folder of its images below `images_path`.
    pub path: Option<String>,
    /// Its repository on GitHub.
    pub repository: Option<String>,
    /// Its job script below `script_path`.
    pub job: Option<String>,
    /// Options of its jobs, in order.
    pub job_options: Vec<(String, String)>,
    /// Whether it asks for a GPU.
    pub use_gpu: bool,
}

/// The settings, and what BIOMERO ignores on the way to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The settings.
    pub settings: BiomeroSettings,
    /// What was ignored.
    pub warnings: Vec<Notice>,
}

impl Merged {
    /// The settings as BIOMERO understands them.
    ///
    /// # Errors
    /// Everything at which BIOMERO stops.
    pub fn typed(&self, environment: &Environment) -> Result<Typed, Vec<Notice>> {
        let mut reader = Reader { merged: self, environment, problems: Vec::new(), warnings: Vec::new() };
        let settings = BiomeroSettings {
            ssh: SshTarget {
                host: reader.text("SSH", "host"),
                inline_ssh_env: reader.boolean("SSH", "inline_ssh_env"),
            },
            slurm: reader.slurm(),
            analytics: reader.analytics(),
            converters: self
                .items("CONVERTERS")
                .into_iter()
                .map(|key| (key.key.clone(), self.text_of("CONVERTERS", key)))
                .collect(),
            workflows: reader.workflows(),
        };
        if reader.problems.is_empty() {
            Ok(Typed { settings, warnings: reader.warnings })
        } else {
            Err(reader.problems)
        }
    }

    /// The value as Python's `items` gives it: empty for a key without one.
    fn text_of(&self, section: &str, key: &MergedKey) -> String {
        key.value.as_deref().map(|value| self.expanded(section, value)).unwrap_or_default()
    }
}

struct Reader<'a> {
    merged: &'a Merged,
    environment: &'a Environment,
    problems: Vec<Notice>,
    warnings: Vec<Notice>,
}

impl Reader<'_> {
    fn value(&mut self, section: &str, key: &str) -> Option<String> {
        let known = KEYS.iter().find(|known| known.section == section && known.key == key)?;
        let Resolved { value, problem, warning, .. } = self.merged.resolve(known, self.environment);
        self.problems.extend(problem);
        self.warnings.extend(warning);
        value
    }

    fn text(&mut self, section: &str, key: &str) -> String {
        self.value(section, key).unwrap_or_default()
    }

    /// The text, if there is any.
    fn filled(&mut self, section: &str, key: &str) -> Option<String> {
        self.value(section, key).filter(|text| !text.is_empty())
    }

    fn boolean(&mut self, section: &str, key: &str) -> bool {
        // What is no boolean was a problem, or ignored in favour of the default.
        self.value(section, key).and_then(|text| boolean_of_variable(&text)).unwrap_or_default()
    }

    fn integer(&mut self, section: &str, key: &str) -> Option<i64> {
        self.value(section, key).and_then(|text| integer(&text))
    }

    fn slurm(&mut self) -> Slurm {
        const SECTION: &str = "SLURM";
        let slurm = Slurm {
            data_path: self.text(SECTION, "slurm_data_path"),
            images_path: self.text(SECTION, "slurm_images_path"),
            converters_path: self.text(SECTION, "slurm_converters_path"),
            script_path: self.text(SECTION, "slurm_script_path"),
            script_repo: self.filled(SECTION, "slurm_script_repo"),
            data_bind_path: self.filled(SECTION, "slurm_data_bind_path"),
            conversion_partition: self.filled(SECTION, "slurm_conversion_partition"),
            default_partition: self.filled(SECTION, "slurm_default_partition"),
            sacct_start_time: self.text(SECTION, "sacct_start_time"),
            sacct_days_ago: self.integer(SECTION, "sacct_days_ago"),
            env_file_submission: self.boolean(SECTION, "env_file_submission"),
            inject_gpu_flag: self.boolean(SECTION, "inject_gpu_flag"),
            gpu_partition: self.filled(SECTION, "gpu_partition"),
            gpu_gres: self.filled(SECTION, "gpu_gres"),
            gpu_gpus: self.filled(SECTION, "gpu_gpus"),
            image_pull_via_sbatch: self.boolean(SECTION, "slurm_image_pull_via_sbatch"),
            image_pull_cpus: self.text(SECTION, "image_pull_cpus"),
            image_pull_mem: self.text(SECTION, "image_pull_mem"),
            apptainer_tmpdir: self.filled(SECTION, "apptainer_tmpdir"),
            apptainer_cachedir: self.filled(SECTION, "apptainer_cachedir"),
            zip_cmd: self.text(SECTION, "slurm_zip_cmd"),
            sbatch_options: self
                .merged
                .items(SECTION)
                .into_iter()
                .filter_map(|key| {
                    Some((key.key.strip_prefix(SBATCH)?.to_owned(), self.merged.text_of(SECTION, key)))
                })
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        };
        if slurm.gpu_gres.is_some() && slurm.gpu_gpus.is_some() {
            let place = |key: &str| {
                let known = KEYS.iter().find(|known| known.section == SECTION && known.key == key);
                known
                    .map(|known| self.merged.resolve(known, self.environment).origin.to_string())
                    .unwrap_or_default()
            };
            let message = format!(
                "gpu_gres ({}) and gpu_gpus ({}) exclude each other, and BIOMERO stops when both are set; remove one, or delete it below [-SLURM]",
                place("gpu_gres"),
                place("gpu_gpus")
            );
            self.problem(SECTION, "gpu_gpus", &message);
        }
        for (key, value, option) in [
            ("image_pull_cpus", &slurm.image_pull_cpus, "--cpus-per-task="),
            ("image_pull_mem", &slurm.image_pull_mem, "--mem="),
        ] {
            if slurm.image_pull_via_sbatch && value.is_empty() {
                let message = format!(
                    "{key} is empty, so that sbatch is called with a bare {option}; give it a value, or remove it for the default"
                );
                let notice = self.notice(SECTION, key, &message);
                self.warnings.push(notice);
            }
        }
        slurm
    }

    fn analytics(&mut self) -> Analytics {
        const SECTION: &str = "ANALYTICS";
        let analytics = Analytics {
            track_workflows: self.boolean(SECTION, "track_workflows"),
            enable_job_accounting: self.boolean(SECTION, "enable_job_accounting"),
            enable_job_progress: self.boolean(SECTION, "enable_job_progress"),
            enable_workflow_analytics: self.boolean(SECTION, "enable_workflow_analytics"),
            sqlalchemy_url: self.filled(SECTION, "sqlalchemy_url").map(Secret::new),
            rebuild_start_time: self.filled(SECTION, "analytics_rebuild_start_time"),
            rebuild_days_ago: self.integer(SECTION, "analytics_rebuild_days_ago"),
        };
        if analytics.sqlalchemy_url.is_none() {
            let message = "there is no database for BIOMERO's events, and the Python library stops without one even when track_workflows is off; set SQLALCHEMY_URL, or sqlalchemy_url in [ANALYTICS]";
            let notice = self.notice(SECTION, "sqlalchemy_url", message);
            self.warnings.push(notice);
        }
        analytics
    }

    /// `[MODELS]`, then `[WORKFLOWS]`, which wins key by key.
    fn workflows(&mut self) -> Vec<Workflow> {
        let mut keys: Vec<(&str, &MergedKey)> = Vec::new();
        for section in ["MODELS", "WORKFLOWS"] {
            let mut places: std::collections::HashMap<&str, usize> =
                keys.iter().enumerate().map(|(at, (_, key))| (key.key.as_str(), at)).collect();
            for key in self.merged.items(section) {
                match places.get(key.key.as_str()) {
                    Some(at) => keys[*at] = (section, key),
                    None => {
                        places.insert(&key.key, keys.len());
                        keys.push((section, key));
                    }
                }
            }
        }
        let mut workflows = Workflows::default();
        for (section, key) in keys {
            let value = self.merged.text_of(section, key);
            match workflow_of(&key.key) {
                None => workflows.named(&key.key).path = Some(value),
                Some((name, Part::Repository)) => workflows.named(name).repository = Some(value),
                Some((name, Part::Job)) => {
                    let workflow = workflows.named(name);
                    workflow.job = Some(value);
                    workflow.job_options.clear();
                }
                Some((name, Part::UseGpu)) => {
                    workflows.named(name).use_gpu = boolean_of_variable(&value).unwrap_or(false);
                }
                Some((name, Part::JobOption(option))) => {
                    let workflow = workflows.named(name);
                    if workflow.job.is_some() {
                        workflow.job_options.push((option.to_owned(), value));
                    } else {
                        let message = format!(
                            "{} stands before any {name}_job, at which BIOMERO stops (KeyError '{name}'); write {name}_job above it, in this or an earlier file",
                            key.key
                        );
                        self.problems.push(Notice::new(&key.path, key.line, message));
                    }
                }
            }
        }
        workflows.in_order
    }

    fn problem(&mut self, section: &str, key: &str, message: &str) {
        let notice = self.notice(section, key, message);
        self.problems.push(notice);
    }

    /// A notice at the key, when a file has it.
    fn notice(&self, section: &str, key: &str, message: &str) -> Notice {
        match self.merged.find(section, key) {
            Some(key) => Notice::new(&key.path, key.line, message),
            None => Notice::new(std::path::Path::new(""), 0, message),
        }
    }
}

#[derive(Default)]
struct Workflows {
    in_order: Vec<Workflow>,
    places: std::collections::HashMap<String, usize>,
}

impl Workflows {
    fn named(&mut self, name: &str) -> &mut Workflow {
        let at = *self.places.entry(name.to_owned()).or_insert_with(|| {
            self.in_order.push(Workflow {
                name: name.to_owned(),
                path: None,
                repository: None,
                job: None,
                job_options: Vec::new(),
                use_gpu: false,
            });
            self.in_order.len() - 1
        });
        &mut self.in_order[at]
    }
}
