//! Job scripts: made from a descriptor and the site's settings, never from a call.
//!
//! What varies in ours (`job.sh`) is put in as words that a shell reads as they are, whatever a descriptor holds; values come
//! from variables. A site's own template has Python's placeholders instead.

use biomero_config::ContainerRuntime;
use biomero_config::slurm_config::Workflow;
use thiserror::Error;

use super::plan::Site;
use super::variable;
use super::words::{self, quote};
use crate::descriptor::{Descriptor, Format, Parameter};

/// The template of workflows.
const JOB: &str = include_str!("job.sh");
/// What both do to find the container runtime.
const CONTAINER: &str = include_str!("container.sh");
/// The template of conversions.
const CONVERSION: &str = include_str!("convert_job_array.sh");
/// What of it starts a converter's image, and what a program.
const BY_IMAGE: &str = include_str!("convert_by_image.sh");
const BY_PROGRAM: &str = include_str!("convert_by_program.sh");

/// A job script on the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where, below `slurm_script_path`.
    pub path: String,
    /// Its text; none where the site keeps scripts in a repository of its own.
    pub text: Option<String>,
}

/// Why there is no script.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// Nobody says what it is called.
    #[error(
        "{workflow} has no {workflow}_job in [WORKFLOWS] of slurm-config.ini; add {workflow}_job = jobs/{workflow}.sh"
    )]
    NoPath {
        /// Which workflow.
        workflow: String,
    },
    /// It would be elsewhere.
    #[error(
        "{workflow}_job is {path:?}, which is not below slurm_script_path; write a path such as jobs/{workflow}.sh"
    )]
    Path {
        /// Which workflow.
        workflow: String,
        /// What is configured.
        path: String,
    },
    /// A flag cannot be one.
    #[error(
        "the flag {flag:?} of {parameter} has a line break, a NUL or a quote that does not end; correct the descriptor"
    )]
    Flag {
        /// Which parameter.
        parameter: String,
        /// Its flag.
        flag: String,
    },
}

/// The script of a workflow's jobs.
///
/// # Errors
/// Its path is not configured, or a flag of the descriptor cannot be one.
pub fn of(workflow: &Workflow, descriptor: &Descriptor, site: &Site<'_>) -> Result<Script, ScriptError> {
    let name = &workflow.name;
    let path = workflow.job.as_deref().filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| ScriptError::NoPath { workflow: name.clone() })?;
    if path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains(['\n', '\0']) {
        return Err(ScriptError::Path { workflow: name.clone(), path: path.to_owned() });
    }
    let path = format!("{}/{path}", site.slurm.script_path);
    if site.slurm.script_repo.is_some() {
        return Ok(Script { path, text: None });
    }
    let text = match site.template {
        Some(template) => fill(template, &placeholders(workflow, descriptor, site)?),
        None => ours(workflow, descriptor, site)?,
    };
    Ok(Script { path, text: Some(text) })
}

/// The script of conversions. That of the static program has a name of its own: one that somebody has edited starts images.
#[must_use]
pub fn of_conversion(site: &Site<'_>) -> Script {
    let (name, converter) = match site.program {
        Some(_) => ("convert_program_array.sh", BY_PROGRAM),
        None => ("convert_job_array.sh", BY_IMAGE),
    };
    let path = format!("{}/{name}", site.slurm.script_path);
    let text = site.slurm.script_repo.is_none().then(|| {
        let script = CONVERSION.replace("#%converter%\n", converter);
        match site.program {
            Some(_) => script.replace("#%settings%\n\n", ""),
            None => script.replace("#%container%\n", CONTAINER).replace("#%settings%\n", &settings(site)),
        }
    });
    Script { path, text }
}

fn ours(workflow: &Workflow, descriptor: &Descriptor, site: &Site<'_>) -> Result<String, ScriptError> {
    let family = if descriptor.format == Format::Bilayers { "bilayers" } else { "biaflows" };
    let mut set = format!("workflow={}\nfamily={family}\n", quote(&safe_name(&workflow.name)));
    set.push_str(&settings(site));
    set.push_str(if site.slurm.inject_gpu_flag {
        "read -r -a gpu <<< \"${GPU_FLAG:-}\"\n"
    } else {
        "gpu=(--nv)\n"
    });
    let mut words = String::new();
    if descriptor.format == Format::Bilayers {
        for (flag, folder) in folder_flags(descriptor) {
            words.push_str(&word(&flag, &flag, &format!("\"$DATA_PATH/data/{folder}\""))?);
            words.push('\n');
        }
    } else {
        words.push_str("arguments+=(--infolder \"$DATA_PATH/data/in\" --gtfolder \"$DATA_PATH/data/gt\")\n");
        words.push_str("arguments+=(--outfolder \"$DATA_PATH/data/out\")\n");
    }
    for (parameter, variable) in with_variables(descriptor) {
        let line = word(&parameter.id, &parameter.command_flag(), &format!("\"${variable}\""))?;
        // What may be left out is left out, flag and all.
        if parameter.optional == Some(true) {
            words.push_str(&format!("if [ -n \"${{{variable}+is set}}\" ]; then {line}; fi\n"));
        } else {
            words.push_str(&format!("{line}\n"));
        }
        words.push_str(&format!("named+=({variable})\n"));
    }
    if descriptor.format != Format::Bilayers {
        words.push_str("arguments+=(--local -nmc)\n");
    }
    Ok(JOB
        .replace("#%container%\n", CONTAINER)
        .replace("@JOB_NAME@", &safe_name(&workflow.name))
        .replace("#%settings%\n", &set)
        .replace("#%arguments%\n", &words))
}

/// `arguments+=('--flag='"$VALUE")`. A flag of several words is several; `None` of bilayers is a value without a flag.
fn word(parameter: &str, flag: &str, value: &str) -> Result<String, ScriptError> {
    let wrong =
        || ScriptError::Flag { parameter: parameter.to_owned(), flag: flag.chars().take(80).collect() };
    if flag.contains(['\n', '\r', '\0']) {
        return Err(wrong());
    }
    if flag == "None" {
        return Ok(format!("arguments+=({value})"));
    }
    let mut before = words::split(flag).ok_or_else(wrong)?;
    let last = before.pop().ok_or_else(wrong)?;
    let before: String = before.iter().map(|word| format!("{} ", quote(word))).collect();
    Ok(format!("arguments+=({before}{}={value})", quote(&last)))
}

fn settings(site: &Site<'_>) -> String {
    let runtimes = match site.container {
        ContainerRuntime::Auto => "apptainer singularity",
        ContainerRuntime::Apptainer => "apptainer",
        ContainerRuntime::Singularity => "singularity",
    };
    let modules: Vec<String> = site.modules.iter().map(|module| quote(module)).collect();
    format!("runtimes=({runtimes})\nmodules=({})\n", modules.join(" "))
}

/// A name for a line of `#SBATCH` and for the log, by which Python finds the data folder again: letters, digits, `_`, `-`.
fn safe_name(name: &str) -> String {
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    name.chars().map(|letter| if is_safe(letter) { letter } else { '_' }).collect()
}

fn with_variables(descriptor: &Descriptor) -> impl Iterator<Item = (&Parameter, String)> {
    descriptor.parameters().zip(variable::names(descriptor.parameters()))
}

/// The flags of bilayers that BIOMERO sets, and the folder each gets: `in`, `out`.
pub(super) fn folder_flags(descriptor: &Descriptor) -> Vec<(String, &'static str)> {
    let flag =
        |parameter: &Parameter| parameter.flag.clone().filter(|flag| !flag.is_empty() && flag != "None");
    let is_image =
        |input: &&Parameter| input.kind.is_data() && input.optional != Some(true) && !input.attachment;
    let inputs = descriptor.inputs.iter().filter(is_image).filter_map(flag).map(|flag| (flag, "in"));
    let outputs = descriptor.outputs.iter().filter_map(flag).map(|flag| (flag, "out"));
    let folders = descriptor.inputs.iter().filter(|input| input.output_folder).filter_map(flag);
    inputs.chain(outputs).chain(folders.map(|flag| (flag, "out"))).collect()
}

/// What Python puts in for its placeholders.
fn placeholders(
    workflow: &Workflow,
    descriptor: &Descriptor,
    site: &Site<'_>,
) -> Result<Vec<(&'static str, String)>, ScriptError> {
    let flagged = |parameter: &str, flag: &str, value: &str| -> Result<String, ScriptError> {
        let word = word(parameter, flag, value)?;
        Ok(word.trim_start_matches("arguments+=(").trim_end_matches(')').to_owned())
    };
    let mut parameters = Vec::new();
    for (parameter, variable) in with_variables(descriptor) {
        parameters.push(flagged(&parameter.id, &parameter.command_flag(), &format!("\"${variable}\""))?);
    }
    let is_bilayers = descriptor.format == Format::Bilayers;
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    if is_bilayers {
        for (flag, folder) in folder_flags(descriptor) {
            let words = flagged(&flag, &flag, &format!("\"$DATA_PATH/data/{folder}\""))?;
            if folder == "in" { inputs.push(words) } else { outputs.push(words) }
        }
    } else {
        inputs.push("--infolder \"$DATA_PATH/data/in\" --gtfolder \"$DATA_PATH/data/gt\"".to_owned());
        outputs.push("--outfolder \"$DATA_PATH/data/out\"".to_owned());
    }
    let environment =
        if site.slurm.env_file_submission { "if [ -n \"${1:-}\" ]; then . \"$1\"; fi" } else { "" };
    let mut placeholders = vec![
        ("jobname", safe_name(&workflow.name)),
        ("PARAMS", parameters.join(" ")),
        ("OPTIONAL_ENV", environment.to_owned()),
        ("WF_TYPE", if is_bilayers { "bilayers" } else { "biaflows" }.to_owned()),
        ("INPARAMS", inputs.join(" ")),
        ("OUTPARAMS", outputs.join(" ")),
        ("EXTRAPARAMS", if is_bilayers { "" } else { "--local -nmc" }.to_owned()),
    ];
    if !site.slurm.inject_gpu_flag {
        placeholders.push(("GPU_FLAG", "--nv".to_owned()));
    }
    Ok(placeholders)
}

/// Python's `string.Template.safe_substitute`: `$name` and `${name}` that are known are replaced, `$$` is a dollar, all else
/// stays.
fn fill(template: &str, placeholders: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len() + 1024);
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        let after = after.get(1..).unwrap_or_default();
        if let Some(left) = after.strip_prefix('$') {
            filled.push('$');
            rest = left;
            continue;
        }
        let braced = after.strip_prefix('{');
        let from = braced.unwrap_or(after);
        let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
        let end =
            from.find(|letter: char| !is_first(letter) && !letter.is_ascii_digit()).unwrap_or(from.len());
        let (name, left) = from.split_at(end);
        let left = if braced.is_some() { left.strip_prefix('}') } else { Some(left) };
        match (left, placeholders.iter().find(|(known, _)| *known == name)) {
            (Some(left), Some((_, value))) if name.starts_with(is_first) => {
                filled.push_str(value);
                rest = left;
            }
            _ => {
                filled.push('$');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}
