//! The job that a call becomes: script, options, variables. Nothing is sent here; what a dry run shows is what is submitted.

use biomero_config::slurm_config::{BiomeroSettings, Slurm, Workflow};
use biomero_config::{ContainerRuntime, SlurmAccess};
use thiserror::Error;

use super::arguments::Arguments;
use super::attachment::{self, AttachedFile};
use super::image::Image;
use super::options::Options;
use super::program::Program;
use super::script::{self, Script, ScriptError};
use super::words;
use crate::descriptor::{Descriptor, Format, Scalar};
use crate::job::Submission;

/// The file of variables in a run's data folder, where `env_file_submission` asks for one.
const ENVIRONMENT_FILE: &str = "biomero_job_env.sh";

/// What the site says, the same for all calls.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// `[SLURM]`.
    pub slurm: &'a Slurm,
    /// `[CONVERTERS]`.
    pub converters: &'a [(String, String)],
    /// The container runtime: the setting `slurm.container`.
    pub container: ContainerRuntime,
    /// Environment modules that a job loads: the setting `slurm.modules`.
    pub modules: &'a [String],
    /// A template of the site's own for job scripts, with Python's placeholders (`$PARAMS`); ours without.
    pub template: Option<&'a str>,
    /// The program that converts images in place of a converter's image: the setting `slurm.converter`.
    pub program: Option<&'a Program>,
}

impl<'a> Site<'a> {
    /// What the settings, `slurm-config.ini`, and the files that `slurm.template` and `slurm.converter` name say. Scripts of a
    /// repository start images: there no program counts.
    #[must_use]
    pub fn of(
        access: &'a SlurmAccess,
        biomero: &'a BiomeroSettings,
        template: Option<&'a str>,
        program: Option<&'a Program>,
    ) -> Self {
        Self {
            slurm: &biomero.slurm,
            converters: &biomero.converters,
            container: access.container,
            modules: &access.modules,
            template,
            program: program.filter(|_| biomero.slurm.script_repo.is_none()),
        }
    }
}

/// What one call says.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The version of the image, as its file on the cluster is called by it.
    pub version: &'a str,
    /// The run's data folder: a name below `slurm_data_path`.
    pub input: &'a str,
    /// The workflow's parameters.
    pub arguments: &'a Arguments,
    /// Whether it gets a GPU; as the parameter `use_gpu` or the configuration says, without.
    pub use_gpu: Option<bool>,
    /// `--time`.
    pub time: Option<&'a str>,
    /// `--mail-user`.
    pub email: Option<&'a str>,
    /// Options of `sbatch`, without dashes; they win over all others.
    pub options: &'a [(String, Option<String>)],
    /// What the job is found again by.
    pub comment: &'a str,
}

/// A job that may be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPlan {
    /// The job script.
    pub script: Script,
    /// What is submitted. With an environment file its variables are empty, and the file is the script's argument.
    pub submission: Submission,
    /// What has to be sent before: files that the call attaches.
    pub attached: Vec<AttachedFile>,
    /// What has to be written before.
    pub environment_file: Option<EnvironmentFile>,
    /// The variables of the job, also where they go in a file.
    pub environment: Vec<(String, String)>,
    /// The run's data folder: `in`, `gt` and `out` are in its `data`.
    pub data: String,
    /// The image's file.
    pub image: String,
    /// What the workflow history keeps of it, in Python's order: what BIOMERO sets, then the call's parameters.
    pub recorded: Vec<(String, serde_json::Value)>,
    /// What may not be meant.
    pub warnings: Vec<String>,
}

/// A file that a job script reads its variables from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Where on the cluster.
    pub path: String,
    /// Its content: a line `export NAME='value'` for each.
    pub text: String,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The configuration lacks something.
    #[error("{workflow} has no {key} in [WORKFLOWS] of slurm-config.ini; add {key} = {example}")]
    Configuration {
        /// Which workflow.
        workflow: String,
        /// Which key.
        key: String,
        /// What it may be.
        example: String,
    },
    /// A name that leads elsewhere.
    #[error(
        "the {what} {text:?} is no plain name; write letters, digits and any of . _ - + without a dash first"
    )]
    Name {
        /// What it names.
        what: &'static str,
        /// What was said.
        text: String,
    },
    /// The time limit makes no sense.
    #[error("{text:?} is no time limit; write minutes, HH:MM:SS or D-HH:MM:SS")]
    Time {
        /// What was said.
        text: String,
    },
    /// The address makes no sense.
    #[error("{text:?} is no mail address; write name@example.org")]
    Mail {
        /// What was said.
        text: String,
    },
    /// An option makes no sense.
    #[error("the option {option:?} of sbatch, from {origin}, cannot be used: {reason}")]
    Option {
        /// Who said it: a key of slurm-config.ini, or the call.
        origin: String,
        /// Which.
        option: String,
        /// Why.
        reason: &'static str,
    },
    /// There is no converter.
    #[error("[CONVERTERS] has no {key}, but others; add {key} = org/name:version to slurm-config.ini")]
    Converter {
        /// Which key.
        key: String,
    },
    /// The static converter does not convert this.
    #[error(
        "slurm.converter converts zarr to tiff and not {key}; leave the setting out, and name an image in [CONVERTERS]"
    )]
    Program {
        /// What was asked for.
        key: String,
    },
    /// There is nothing to convert.
    #[error("there is nothing to convert: no .{source_format} in {folder}; check what was sent")]
    NothingToConvert {
        /// The format.
        source_format: String,
        /// Where they were looked for.
        folder: String,
    },
    /// A file cannot stand in the list of files.
    #[error("{name:?} cannot be converted: its name has a line break; rename the image")]
    FileName {
        /// Which file.
        name: String,
    },
    /// The script cannot be made.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

/// Makes a job of a call.
///
/// # Errors
/// Configuration or call make no sense; the message names the key.
pub fn plan(
    workflow: &Workflow,
    descriptor: &Descriptor,
    site: &Site<'_>,
    call: &Call<'_>,
) -> Result<JobPlan, PlanError> {
    let slurm = site.slurm;
    plain_name("version", call.version)?;
    plain_name("data folder", call.input)?;
    let folder = workflow.path.as_deref().ok_or_else(|| PlanError::Configuration {
        workflow: workflow.name.clone(),
        key: workflow.name.clone(),
        example: workflow.name.clone(),
    })?;
    let script = script::of(workflow, descriptor, site)?;
    let data = format!("{}/{}", slurm.data_path, call.input);
    let (arguments, attached) = attachment::placed(call.arguments, &data);
    let image = Image::of(&descriptor.image).file(call.version);
    let images = format!("{}/{folder}", slurm.images_path);
    let mut environment = vec![
        ("DATA_PATH".to_owned(), data.clone()),
        ("IMAGE_PATH".to_owned(), images.clone()),
        ("IMAGE_VERSION".to_owned(), call.version.to_owned()),
        ("SINGULARITY_IMAGE".to_owned(), image.clone()),
        ("SCRIPT_PATH".to_owned(), slurm.script_path.clone()),
    ];
    let mut warnings = Vec::new();
    let asked = call.use_gpu.or_else(|| call.arguments.get("use_gpu").map(is_true));
    let options = options(workflow, site, call, asked, &mut environment, &mut warnings)?;
    if let Some(bind) = &slurm.data_bind_path {
        environment.push(("APPTAINER_BINDPATH".to_owned(), bind.clone()));
    }
    for argument in arguments.iter() {
        environment.push((argument.variable.clone(), argument.value.to_string()));
    }
    let environment_file = slurm
        .env_file_submission
        .then(|| EnvironmentFile { path: format!("{data}/{ENVIRONMENT_FILE}"), text: exports(&environment) });
    let submission = Submission {
        comment: call.comment.to_owned(),
        script: script.path.clone().into(),
        arguments: environment_file.iter().map(|file| file.path.clone()).collect(),
        options,
        environment: if environment_file.is_some() { Vec::new() } else { environment.clone() },
        folder: None,
        output: "omero-%j.log".to_owned(),
        array: None,
        after: None,
    };
    let recorded = recorded(descriptor, &data, &arguments);
    Ok(JobPlan {
        script,
        submission,
        attached,
        environment_file,
        environment,
        image: format!("{images}/{image}"),
        data,
        recorded,
        warnings,
    })
}

/// The options, and the variable that says whether the container gets a GPU.
fn options(
    workflow: &Workflow,
    site: &Site<'_>,
    call: &Call<'_>,
    asked: Option<bool>,
    environment: &mut Vec<(String, String)>,
    warnings: &mut Vec<String>,
) -> Result<Vec<(String, Option<String>)>, PlanError> {
    let slurm = site.slurm;
    let mut options = Options::default();
    for (name, value) in &workflow.job_options {
        options.configured(&format!("{}_job_{name}", workflow.name), name, value)?;
    }
    let wants_gpu = if slurm.inject_gpu_flag { asked.unwrap_or(workflow.use_gpu) } else { workflow.use_gpu };
    if slurm.inject_gpu_flag {
        let flag = if wants_gpu { "--nv" } else { "" };
        environment.push(("GPU_FLAG".to_owned(), flag.to_owned()));
    }
    if wants_gpu {
        options.gpu(slurm)?;
        if slurm.gpu_partition.is_none() && slurm.gpu_gres.is_none() && slurm.gpu_gpus.is_none() {
            warnings.push(format!(
                "{} asks for a GPU, but neither gpu_partition nor gpu_gres nor gpu_gpus is set in [SLURM], so that the job gets one only where its own options say so",
                workflow.name
            ));
        }
    }
    options.partition("slurm_default_partition", slurm.default_partition.as_deref())?;
    options.global(slurm)?;
    if let Some(time) = call.time {
        options.add("--time", "time", Some(time_limit(time)?))?;
    }
    if let Some(email) = call.email {
        options.add("--email", "mail-user", Some(mail_address(email)?))?;
    }
    for (name, value) in call.options {
        options.add("the call", name, value.clone())?;
    }
    Ok(options.finish())
}

/// What Python takes for yes.
fn is_true(value: &Scalar) -> bool {
    matches!(value.to_string().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "y" | "on")
}

/// What the history keeps: the folders that BIOMERO sets, then what the call says, which wins.
fn recorded(descriptor: &Descriptor, data: &str, arguments: &Arguments) -> Vec<(String, serde_json::Value)> {
    let mut recorded: Vec<(String, serde_json::Value)> = Vec::new();
    let mut record =
        |name: &str, value: serde_json::Value| match recorded.iter_mut().find(|(one, _)| one == name) {
            Some(entry) => entry.1 = value,
            None => recorded.push((name.to_owned(), value)),
        };
    if descriptor.format == Format::Bilayers {
        for (flag, folder) in script::folder_flags(descriptor) {
            record(flag.trim_start_matches('-'), format!("{data}/data/{folder}").into());
        }
    } else {
        for (name, folder) in [("infolder", "in"), ("outfolder", "out"), ("gtfolder", "gt")] {
            record(name, format!("{data}/data/{folder}").into());
        }
        record("local", true.into());
        record("nmc", true.into());
    }
    for argument in arguments.iter() {
        record(&argument.id, argument.value.to_json());
    }
    recorded
}

/// A file of exports, whatever the values contain.
pub(super) fn exports(environment: &[(String, String)]) -> String {
    environment.iter().map(|(name, value)| format!("export {name}={}\n", words::quote(value))).collect()
}

/// A name that is one component of a path and no option.
pub(super) fn plain_name(what: &'static str, text: &str) -> Result<(), PlanError> {
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-+".contains(letter);
    let leads_elsewhere = text.is_empty() || text.starts_with(['-', '.']) || !text.chars().all(is_plain);
    if leads_elsewhere {
        Err(PlanError::Name { what, text: text.chars().take(80).collect() })
    } else {
        Ok(())
    }
}

/// The forms of sbatch(1), `--time`.
fn time_limit(text: &str) -> Result<String, PlanError> {
    let wrong = || PlanError::Time { text: text.chars().take(80).collect() };
    if matches!(text.to_ascii_lowercase().as_str(), "unlimited" | "infinite") {
        return Ok(text.to_owned());
    }
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days), rest),
        None => (None, text),
    };
    let is_number =
        |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|digit| digit.is_ascii_digit());
    let is_time =
        rest.split(':').count() <= 3 && rest.split(':').all(is_number) && days.is_none_or(is_number);
    let is_nothing = text.bytes().all(|byte| !(b'1'..=b'9').contains(&byte));
    if is_time && !is_nothing { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// No more than that it can be one, and no option.
fn mail_address(text: &str) -> Result<String, PlanError> {
    let is_one = text.split_once('@').is_none_or(|(name, host)| !name.is_empty() && !host.is_empty())
        && !text.is_empty()
        && text.len() <= 254
        && !text.starts_with('-')
        && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if is_one { Ok(text.to_owned()) } else { Err(PlanError::Mail { text: text.chars().take(80).collect() }) }
}
