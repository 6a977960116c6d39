//! The variable of a job's environment that each parameter goes in.
//!
//! Python's is the id in capitals; so is ours wherever that works. Where it does not (`cp-model` is no name for a shell,
//! `path` would be where programs are looked for, two ids differ in case alone), Python's jobs break; ours have another name.
//! Names depend on the descriptor alone, never on a call: the job script and every call agree on them.

use std::collections::HashSet;

use crate::descriptor::Parameter;

/// Names that mean something to a shell, a loader, a container runtime or the job itself.
const RESERVED: &[&str] = &[
    "CONFIG_FILE",
    "CONFIG_PATH",
    "CONVERSION_PARTITION",
    "CONVERSION_PATH",
    "CONVERTER_IMAGE",
    "DATA_PATH",
    "DIRSTACK",
    "DO_CONVERT",
    "ENV",
    "EUID",
    "FUNCNAME",
    "GLOBIGNORE",
    "GPU_FLAG",
    "GROUPS",
    "HOME",
    "HOSTNAME",
    "IFS",
    "IMAGE_PATH",
    "IMAGE_VERSION",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "MODULEPATH",
    "OLDPWD",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PIPESTATUS",
    "POSIXLY_CORRECT",
    "PPID",
    "PROMPT_COMMAND",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "PWD",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RANDOM",
    "SCRIPT_PATH",
    "SECONDS",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "TEMP",
    "TERM",
    "TMP",
    "TMPDIR",
    "UID",
    "USER",
];

/// Beginnings of such names.
const RESERVED_BEGINNINGS: &[&str] = &[
    "APPTAINER",
    "BASH",
    "BIOMERO_",
    "DYLD_",
    "LC_",
    "LD_",
    "LMOD",
    "NVIDIA_",
    "SBATCH_",
    "SINGULARITY",
    "SLURM",
    "SRUN_",
];

/// What stands before a name that is taken.
const PREFIX: &str = "PARAM_";

/// The variables of parameters, in their order.
pub fn names<'a>(parameters: impl IntoIterator<Item = &'a Parameter>) -> Vec<String> {
    let mut taken = HashSet::new();
    parameters
        .into_iter()
        .map(|parameter| {
            let name = of(&parameter.id);
            let mut unique = name.clone();
            let mut number = 2;
            while !taken.insert(unique.clone()) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            unique
        })
        .collect()
}

/// The variable of one id, as if it were the only one.
fn of(id: &str) -> String {
    let mut name: String = id
        .to_uppercase()
        .chars()
        .map(|letter| if letter.is_ascii_uppercase() || letter.is_ascii_digit() { letter } else { '_' })
        .collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.bytes().all(|byte| byte == b'_') {
        name.insert_str(0, PREFIX);
    }
    if is_reserved(&name) {
        name.insert_str(0, PREFIX);
    }
    name
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_becomes_a_name_that_is_safe_for_a_shell() {
        for (id, name) in [
            ("diameter", "DIAMETER"),
            ("use_gpu", "USE_GPU"),
            ("cp-model", "CP_MODEL"),
            ("größe", "GR_SSE"),
            ("3d", "PARAM_3D"),
            ("", "PARAM_"),
            ("--", "PARAM___"),
            ("a$(reboot)", "A__REBOOT_"),
            ("path", "PARAM_PATH"),
            ("ld_preload", "PARAM_LD_PRELOAD"),
            ("slurm_job_id", "PARAM_SLURM_JOB_ID"),
            ("apptainer_bindpath", "PARAM_APPTAINER_BINDPATH"),
            ("apptainerenv_path", "PARAM_APPTAINERENV_PATH"),
            ("bash_env", "PARAM_BASH_ENV"),
            ("data_path", "PARAM_DATA_PATH"),
            ("pathology", "PATHOLOGY"),
        ] {
            assert_eq!(of(id), name, "{id:?}");
            assert!(crate::command::is_name(name), "{name}");
        }
    }
}
