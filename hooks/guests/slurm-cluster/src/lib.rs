//! `slurm-cluster`: one worker image for several clusters, told apart by one variable.
//!
//! `BIOMERO_CLUSTER=snellius` lays `/etc/biomero/clusters/snellius.ini` over the site's `slurm-config.ini`, key by key,
//! and points BIOMERO at the result.
//!
//! It runs *before* the built-in `slurm-config` and does not replace it. The built-in finds what is wrong in the
//! configuration before the first job does, and knows what Python's reader cannot express: a replacement would have
//! to do all of that again. So the merged file is written where the setting `slurm_config.authoritative` (the variable
//! `BIOMERO_SLURM_CONFIG_FILE`) says that BIOMERO reads, and the built-in then checks exactly that file.

mod ini;

use biomero_hooks_guest::{
    Context, Description, Effect, File, Hook, HookError, Variable, description, export,
};

use ini::Document;

struct SlurmCluster;

const CLUSTER: &str = "BIOMERO_CLUSTER";
const CLUSTERS: &str = "/etc/biomero/clusters/*.ini";
const OUTPUT: &str = "slurm_config.authoritative";
/// Where BIOMERO's files are, in reading order: what the setting `slurm_config.files` is shipped with.
const BASES: [&str; 3] =
    ["/etc/slurm-config.ini", "/OMERO/slurm-config.ini", "/opt/omero/server/slurm-config.ini"];

impl Hook for SlurmCluster {
    fn describe() -> Description {
        let description = description!("lays the chosen cluster's settings over slurm-config.ini")
            .setting(OUTPUT)
            .variable(CLUSTER);
        BASES.iter().fold(description, |description, path| description.file(path)).file(CLUSTERS)
    }

    fn plan(context: &Context) -> Result<Vec<Effect>, HookError> {
        let output = context.optional_setting(OUTPUT).ok_or_else(|| {
            HookError::missing(
                "BIOMERO_SLURM_CONFIG_FILE",
                "set it to where the merged file is to be, as /opt/omero/server/OMERO.server/etc/cluster.ini",
            )
        })?;
        let mut merged = Document::default();
        let mut sources = vec![];
        let cluster = cluster(context)?;
        for file in BASES.iter().flat_map(|path| context.files(path)).chain([cluster]) {
            if file.path == output {
                return Err(HookError::invalid(
                    "BIOMERO_SLURM_CONFIG_FILE",
                    format!("{output} is one of the files that are merged"),
                    "name a file that is not there yet",
                ));
            }
            let Some(text) = file.text()? else { continue };
            merged.overlay(Document::read(&file.path, text)?);
            sources.push(file.path.as_str());
        }
        let text = format!(
            "# Written at every start by the site hook slurm-cluster, from\n# {}\n\n{merged}",
            sources.join("\n# ")
        );
        Ok(vec![
            File::text(output, text).mode(0o600).secret_if(merged.holds_secret()).into(),
            Variable::set("BIOMERO_SLURM_CONFIG_FILE", output).into(),
        ])
    }
}

export!(SlurmCluster);

/// The file of the cluster that is chosen.
fn cluster(context: &Context) -> Result<&biomero_hooks_guest::InputFile, HookError> {
    let there: Vec<&str> = context
        .files(CLUSTERS)
        .filter_map(|file| file.path.rsplit('/').next()?.strip_suffix(".ini"))
        .collect();
    let known = if there.is_empty() {
        "mount a file for each cluster in /etc/biomero/clusters".to_owned()
    } else {
        format!("set it to one of {}", there.join(", "))
    };
    let Some(chosen) = context.optional_variable(CLUSTER) else {
        return Err(HookError::missing(CLUSTER, known));
    };
    let path = CLUSTERS.replace('*', chosen);
    context
        .files(CLUSTERS)
        .find(|file| file.path == path)
        .ok_or_else(|| HookError::invalid(CLUSTER, format!("there is no {path}"), known))
}

#[cfg(test)]
mod tests;
