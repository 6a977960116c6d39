//! The job that converts a run's images before the workflow gets them: an array with one task for each.

use super::image::Image;
use super::options::Options;
use super::plan::{EnvironmentFile, PlanError, Site, exports, plain_name};
use super::program::Program;
use super::script::{self, Script};
use crate::command::Command;
use crate::job::{Array, Submission};

/// What is converted.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The run's data folder: a name below `slurm_data_path`.
    pub input: &'a str,
    /// The format that images have: `zarr`.
    pub source: &'a str,
    /// The one they get: `tiff`.
    pub target: &'a str,
    /// What the job is found again by.
    pub comment: &'a str,
    /// How many tasks run at a time at most.
    pub at_once: Option<u32>,
}

/// A conversion that may be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversionPlan {
    /// The job script, the same for all conversions.
    pub script: Script,
    /// What is submitted.
    pub submission: Submission,
    /// The list of files: has to be written before.
    pub list: EnvironmentFile,
    /// Variables in a file, where `env_file_submission` asks for one.
    pub environment_file: Option<EnvironmentFile>,
    /// The variables of the job, also where they go in a file; what the history records.
    pub environment: Vec<(String, String)>,
    /// The run's data folder.
    pub data: String,
    /// The converter's file.
    pub image: String,
    /// The converter's version.
    pub version: String,
    /// What the history calls it: `CONVERT_ZARR_TO_TIFF`.
    pub task: String,
}

/// The command that looks for what is to be converted; its answer is read by [`found`].
///
/// A Zarr is a folder, and those within it are parts of it.
#[must_use]
pub fn search(data: &str, source: &str) -> Command {
    let folder = format!("{data}/data/in");
    let pattern = format!("*.{source}");
    let command = if source == "zarr" {
        Command::shell("find \"$1\" -type d -name \"$2\" -prune -print0")
    } else {
        Command::shell("find \"$1\" -name \"$2\" -print0")
    };
    command.arg(folder).arg(pattern).repeatable()
}

/// What [`search`] answered, in an order that does not depend on the file system.
#[must_use]
pub fn found(answer: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> =
        answer.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    found.sort();
    found
}

/// What stands in the list of a job that was submitted: what [`found`] had answered.
#[must_use]
pub fn in_list(list: &[u8]) -> Vec<String> {
    let list = String::from_utf8_lossy(list);
    list.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
}

/// Makes a job of what was found.
///
/// # Errors
/// Nothing was found, a name cannot stand in a list, or the configuration makes no sense.
pub fn plan(
    site: &Site<'_>,
    conversion: &Conversion<'_>,
    found: &[String],
) -> Result<ConversionPlan, PlanError> {
    let slurm = site.slurm;
    let Conversion { input, source, target, comment, at_once } = *conversion;
    plain_name("data folder", input)?;
    plain_name("format", source)?;
    plain_name("format", target)?;
    let data = format!("{}/{input}", slurm.data_path);
    let last = u32::try_from(found.len()).unwrap_or(u32::MAX);
    if last == 0 {
        let folder = format!("{data}/data/in");
        return Err(PlanError::NothingToConvert { source_format: source.to_owned(), folder });
    }
    let key = format!("{source}_to_{target}");
    let (image, version) = match site.program {
        Some(program) if key == Program::CONVERSION => (program.name(), program.version().to_owned()),
        Some(_) => return Err(PlanError::Program { key }),
        None => {
            let version = version(site, &key)?;
            plain_name("version", &version)?;
            (format!("convert_{key}_{version}.sif"), version)
        }
    };
    let name = format!("config_{input}.txt");
    let list = EnvironmentFile { path: format!("{data}/{name}"), text: listed(found)? };
    let mut environment = vec![
        ("DATA_PATH".to_owned(), data.clone()),
        ("CONVERSION_PATH".to_owned(), slurm.converters_path.clone()),
        ("CONVERTER_IMAGE".to_owned(), image.clone()),
        ("SCRIPT_PATH".to_owned(), slurm.script_path.clone()),
        ("CONFIG_FILE".to_owned(), name),
    ];
    if let Some(bind) = &slurm.data_bind_path {
        environment.push(("APPTAINER_BINDPATH".to_owned(), bind.clone()));
    }
    if let Some(partition) = &slurm.conversion_partition {
        environment.push(("CONVERSION_PARTITION".to_owned(), partition.clone()));
    }
    environment.push(("CONFIG_PATH".to_owned(), list.path.clone()));
    let mut options = Options::default();
    options.partition("slurm_conversion_partition", slurm.conversion_partition.as_deref())?;
    options.partition("slurm_default_partition", slurm.default_partition.as_deref())?;
    options.global(slurm)?;
    options.add("conversion", "job-name", Some("conversion".to_owned()))?;
    let environment_file = slurm.env_file_submission.then(|| EnvironmentFile {
        path: format!("{data}/biomero_conversion_env.sh"),
        text: exports(&environment),
    });
    let script = script::of_conversion(site);
    let submission = Submission {
        comment: comment.to_owned(),
        script: script.path.clone().into(),
        arguments: environment_file.iter().map(|file| file.path.clone()).collect(),
        options: options.finish(),
        environment: if environment_file.is_some() { Vec::new() } else { environment.clone() },
        folder: None,
        output: "omero-%A_%a.log".to_owned(),
        array: Some(Array { first: 1, last, at_once }),
        after: None,
    };
    Ok(ConversionPlan {
        script,
        submission,
        list,
        environment_file,
        environment,
        data,
        image: format!("{}/{image}", slurm.converters_path),
        version,
        task: format!("CONVERT_{key}").to_uppercase(),
    })
}

/// The version of a converter: the tag of its image; `latest` without, and where converters are built on the cluster.
fn version(site: &Site<'_>, key: &str) -> Result<String, PlanError> {
    if site.converters.is_empty() {
        return Ok("latest".to_owned());
    }
    let image = site.converters.iter().find(|(name, _)| name == key);
    let (_, image) = image.ok_or_else(|| PlanError::Converter { key: key.to_owned() })?;
    Ok(Image::of(image).tag.unwrap_or_else(|| "latest".to_owned()))
}

/// The list as Python writes it: number, blank, path.
fn listed(found: &[String]) -> Result<String, PlanError> {
    let mut text = String::new();
    for (at, path) in found.iter().enumerate() {
        if path.contains(['\n', '\0']) {
            return Err(PlanError::FileName { name: path.chars().take(200).collect() });
        }
        text.push_str(&format!("{} {path}\n", at + 1));
    }
    Ok(text)
}
