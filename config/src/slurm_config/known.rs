//! The keys BIOMERO 2.8 reads, told once: kind, default, and the variables that win over the files.

/// What BIOMERO makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, kept as it is, empty too.
    Text,
    /// Text; empty means the default.
    FilledText,
    /// `1`, `yes`, `true`, `on` or their opposites, in any case.
    Boolean,
    /// A whole number; empty, or anything else, means the default.
    Integer,
}

/// One key.
pub(crate) struct Known {
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Option<&'static str>,
    /// The first that is set wins.
    pub(crate) variables: &'static [&'static str],
}

/// The sections BIOMERO reads. `DEFAULT` is Python's own.
pub(crate) const SECTIONS: [&str; 7] =
    ["SSH", "SLURM", "ANALYTICS", "CONVERTERS", "MODELS", "WORKFLOWS", super::DEFAULT];

const fn known(
    section: &'static str,
    key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    variables: &'static [&'static str],
) -> Known {
    Known { section, key, kind, default, variables }
}

use Kind::{Boolean, FilledText, Integer, Text};

/// All keys with a fixed name.
#[rustfmt::skip]
pub(crate) const KEYS: &[Known] = &[
    known("SSH", "host", Text, Some("slurm"), &[]),
    known("SSH", "inline_ssh_env", Boolean, Some("True"), &[]),
    known("SLURM", "slurm_data_path", Text, Some("my-scratch/data"), &[]),
    known("SLURM", "slurm_images_path", Text, Some("my-scratch/singularity_images/workflows"), &[]),
    known("SLURM", "slurm_converters_path", Text, Some("my-scratch/singularity_images/converters"), &[]),
    known("SLURM", "slurm_script_path", Text, Some("slurm-scripts"), &[]),
    known("SLURM", "slurm_script_repo", Text, None, &[]),
    known("SLURM", "slurm_data_bind_path", FilledText, None, &[]),
    known("SLURM", "slurm_conversion_partition", FilledText, None, &[]),
    known("SLURM", "slurm_default_partition", FilledText, None, &["BIOMERO_DEFAULT_PARTITION"]),
    known("SLURM", "sacct_start_time", FilledText, Some("2023-01-01"), &["BIOMERO_SACCT_START_TIME"]),
    known("SLURM", "sacct_days_ago", Integer, None, &["BIOMERO_SACCT_START_DAYS_AGO"]),
    known("SLURM", "env_file_submission", Boolean, Some("False"), &["BIOMERO_ENV_FILE_SUBMISSION"]),
    known("SLURM", "inject_gpu_flag", Boolean, Some("False"), &["BIOMERO_INJECT_GPU_FLAG"]),
    known("SLURM", "gpu_partition", FilledText, None, &["BIOMERO_GPU_PARTITION", "GPU_PARTITION"]),
    known("SLURM", "gpu_gres", FilledText, None, &["BIOMERO_GPU_GRES", "GPU_GRES"]),
    known("SLURM", "gpu_gpus", FilledText, None, &["BIOMERO_GPU_GPUS", "GPU_GPUS"]),
    known("SLURM", "slurm_image_pull_via_sbatch", Boolean, Some("False"), &["BIOMERO_IMAGE_PULL_VIA_SBATCH"]),
    known("SLURM", "image_pull_cpus", Text, Some("8"), &["BIOMERO_PULL_CPUS"]),
    known("SLURM", "image_pull_mem", Text, Some("32G"), &["BIOMERO_PULL_MEM"]),
    known("SLURM", "apptainer_tmpdir", FilledText, None, &["BIOMERO_APPTAINER_TMPDIR"]),
    known("SLURM", "apptainer_cachedir", FilledText, None, &["BIOMERO_APPTAINER_CACHEDIR"]),
    known("SLURM", "slurm_zip_cmd", FilledText, Some("$(command -v 7z || command -v 7za)"), &["BIOMERO_SLURM_ZIP_CMD"]),
    known("ANALYTICS", "track_workflows", Boolean, Some("True"), &[]),
    known("ANALYTICS", "enable_job_accounting", Boolean, Some("True"), &[]),
    known("ANALYTICS", "enable_job_progress", Boolean, Some("True"), &[]),
    known("ANALYTICS", "enable_workflow_analytics", Boolean, Some("True"), &[]),
    known("ANALYTICS", "sqlalchemy_url", Text, None, &["SQLALCHEMY_URL"]),
    known("ANALYTICS", "analytics_rebuild_start_time", FilledText, None, &["BIOMERO_ANALYTICS_REBUILD_START_TIME"]),
    known("ANALYTICS", "analytics_rebuild_days_ago", Integer, None, &["BIOMERO_ANALYTICS_REBUILD_DAYS_AGO"]),
];

/// Options of every job: `sbatch_qos = high` becomes `--qos=high`.
pub(crate) const SBATCH: &str = "sbatch_";

/// The key, if it has a fixed name.
pub(crate) fn find(section: &str, key: &str) -> Option<&'static Known> {
    KEYS.iter().find(|known| known.section == section && known.key == key)
}

/// What a key of `[MODELS]` or `[WORKFLOWS]` says of its workflow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// `NAME_repo`.
    Repository,
    /// `NAME_job`.
    Job,
    /// `NAME_use_gpu`.
    UseGpu,
    /// `NAME_job_OPTION`.
    JobOption(&'a str),
}

/// The workflow and the part that a key is of, in BIOMERO's order of looking; `None` for the key that is a workflow's
/// own name. `a_job_b_job_c` is option `c` of the workflow `a_job_b`.
pub(crate) fn workflow_of(key: &str) -> Option<(&str, Part<'_>)> {
    for (suffix, part) in [("_repo", Part::Repository), ("_job", Part::Job), ("_use_gpu", Part::UseGpu)] {
        if let Some(workflow) = key.strip_suffix(suffix) {
            return Some((workflow, part));
        }
    }
    // At least one character on both sides, the left one as long as it can be.
    let mut end = key.len();
    while let Some(at) = key[..end].rfind("_job_") {
        let option = &key[at + "_job_".len()..];
        if at > 0 && !option.is_empty() {
            return Some((&key[..at], Part::JobOption(option)));
        }
        end = at + "_job".len();
    }
    None
}

/// Whether what follows a workflow's name makes the key one of its.
pub(crate) fn is_workflow_suffix(rest: &str) -> bool {
    matches!(rest, "_repo" | "_job" | "_use_gpu")
        || rest.strip_prefix("_job_").is_some_and(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_a_workflow_by_its_end() {
        for (key, found) in [
            ("cellpose", None),
            ("cellpose_repo", Some(("cellpose", Part::Repository))),
            ("cellpose_job", Some(("cellpose", Part::Job))),
            ("cellpose_use_gpu", Some(("cellpose", Part::UseGpu))),
            ("cellpose_job_gres", Some(("cellpose", Part::JobOption("gres")))),
            ("cellpose_job_mem-per-cpu", Some(("cellpose", Part::JobOption("mem-per-cpu")))),
            ("a_job_b_job_c", Some(("a_job_b", Part::JobOption("c")))),
            ("a_job_", None),
            ("_job_a", None),
            ("a_job_job_", Some(("a", Part::JobOption("job_")))),
            ("_job__job_x", Some(("_job_", Part::JobOption("x")))),
            ("a_job__job_", Some(("a", Part::JobOption("_job_")))),
            ("a_job_b_repo", Some(("a_job_b", Part::Repository))),
            ("_repo", Some(("", Part::Repository))),
        ] {
            assert_eq!(workflow_of(key), found, "{key}");
        }
    }
}
