//! `slurm-config`: BIOMERO's configuration checked at the start instead of in the first job's traceback, and merged
//! into one file for the Python side.
//!
//! The merged file is always written, so that there is one place to look at; the Python side is pointed at it
//! (`BIOMERO_SLURM_CONFIG_FILE`) when `slurm_config.use_rendered` says so: by default only if the sources hold what
//! Python's reader cannot express, since a worker that reads the sources itself sees later edits of them.

use std::path::{Path, PathBuf};

use biomero_config::slurm_config::{self, SourceFile};
use biomero_config::{Settings, UseRendered};

use crate::context::{Context, FileFact, Identity, Need};
use crate::effect::{Content, Effect, FileEffect, Owner};
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct SlurmConfigHook;

const VARIABLE: &str = "BIOMERO_SLURM_CONFIG_FILE";
/// More problems than this are counted, not told.
const MOST_TOLD: usize = 20;

impl Hook for SlurmConfigHook {
    fn name(&self) -> &'static str {
        "slurm-config"
    }

    fn summary(&self) -> &'static str {
        "checks slurm-config.ini and writes the merged file for the Python side"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        let rendered = &context.settings.slurm_config.rendered;
        let above = rendered.ancestors().skip(1).take(2).map(Path::to_owned);
        sources(context.settings, context.identity).into_iter().chain(above).map(Need::File).collect()
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let rendered = &context.settings.slurm_config.rendered;
        let look = |path: &Path| context.facts.file(path).clone();
        let (files, notices) = read_slurm_config(context.settings, context.identity, look)?;
        let mut effects: Vec<Effect> = notices.into_iter().map(Effect::Notice).collect();
        if files.is_empty() {
            effects.push(nothing_found(context));
            return Ok(effects);
        }
        let merged = slurm_config::merge(&files).map_err(|problems| {
            let mut told: Vec<String> = problems.iter().take(MOST_TOLD).map(ToString::to_string).collect();
            if problems.len() > MOST_TOLD {
                told.push(format!("and {} more", problems.len() - MOST_TOLD));
            }
            HookError::Invalid {
                place: "slurm-config.ini".to_owned(),
                problem: told.join("\n  "),
                remedy: "correct that and start again; `init slurm-config` checks without starting"
                    .to_owned(),
            }
        })?;
        effects.extend(merged.warnings().iter().map(|warning| Effect::Notice(warning.to_string())));
        // What stops BIOMERO need not stop OMERO's other scripts: it is told, and the worker starts.
        let (problems, ignored) = match merged.typed(context.environment) {
            Ok(typed) => (Vec::new(), typed.warnings),
            Err(problems) => (problems, Vec::new()),
        };
        effects.extend(ignored.iter().map(|warning| Effect::Notice(warning.to_string())));
        effects.extend(
            problems
                .iter()
                .take(MOST_TOLD)
                .map(|problem| Effect::Notice(format!("BIOMERO will not start: {problem}"))),
        );

        let is_used = match context.settings.slurm_config.use_rendered {
            UseRendered::Always => true,
            UseRendered::Never => false,
            UseRendered::Auto => merged.needs_rendering(),
        };
        if merged.needs_rendering() && !is_used {
            effects.push(Effect::Notice(
                "slurm-config.ini holds a deletion or a literal %, which Python's reader takes otherwise: set slurm_config.use_rendered = \"auto\""
                    .to_owned(),
            ));
        }
        if files.iter().any(|file| file.path == *rendered) {
            effects.push(Effect::Notice(format!(
                "{} is read as a source, so it is not written: set slurm_config.rendered to another path",
                rendered.display()
            )));
            return Ok(effects);
        }
        if let Some(reason) = not_writable(context, rendered) {
            if is_used {
                return Err(HookError::Invalid {
                    place: "slurm_config.rendered".to_owned(),
                    problem: format!("{} cannot be written: {reason}", rendered.display()),
                    remedy: "set it to a path that the worker can write, as /tmp/slurm-config.ini".to_owned(),
                });
            }
            effects.push(Effect::Notice(format!(
                "{} is not written, and nothing needs it: {reason}",
                rendered.display()
            )));
            return Ok(effects);
        }
        let text = merged.render().into_bytes();
        effects.push(Effect::File(FileEffect {
            path: rendered.clone(),
            content: if merged.contains_secret() { Content::secret(text) } else { Content::Public(text) },
            mode: 0o600,
            owner: Owner::ServiceUser,
            lock: None,
        }));
        if is_used {
            let value = Some(rendered.to_string_lossy().as_ref().into());
            effects.push(Effect::Variable { name: VARIABLE.to_owned(), value });
        }
        Ok(effects)
    }
}

/// The files in reading order, `~` being the service user's home as it is for the Python side.
fn sources(settings: &Settings, identity: &Identity) -> Vec<PathBuf> {
    let expand = |path: PathBuf| match path.strip_prefix("~") {
        Ok(below) => identity.service_home.join(below),
        Err(_) => path,
    };
    slurm_config::paths(settings).into_iter().map(expand).collect()
}

/// What the files of BIOMERO's configuration hold, and what is to be said of those that were passed over.
///
/// `look` tells what is at a path.
///
/// # Errors
/// A file that is there and cannot be read. Python would pass it over in silence.
pub fn read_slurm_config(
    settings: &Settings,
    identity: &Identity,
    look: impl Fn(&Path) -> FileFact,
) -> Result<(Vec<SourceFile>, Vec<String>), HookError> {
    let mut files = Vec::new();
    let mut notices = Vec::new();
    for path in sources(settings, identity) {
        match look(&path) {
            FileFact::Absent => {}
            FileFact::File { content, .. } => files.push(SourceFile { path, content }),
            FileFact::Directory { .. } => notices.push(format!(
                "{} is a directory, as Docker makes one when the file to be mounted does not exist on the host: it is not read",
                path.display()
            )),
            FileFact::Other(kind) => notices.push(format!("{} is a {kind}: it is not read", path.display())),
            FileFact::Unreadable(reason) => {
                let remedy = format!("make it readable for uid {}", identity.service_uid);
                return Err(HookError::Input { path, reason, remedy });
            }
        }
    }
    Ok((files, notices))
}

fn nothing_found(context: &Context<'_>) -> Effect {
    let looked: Vec<String> =
        sources(context.settings, context.identity).iter().map(|path| path.display().to_string()).collect();
    Effect::Notice(format!(
        "there is no slurm-config.ini ({}): BIOMERO will use its defaults and the SSH host slurm; mount one at {}",
        looked.join(", "),
        looked.last().map_or("/etc/slurm-config.ini", String::as_str)
    ))
}

/// Why a file cannot come to be at a path, as far as the two directories above it tell.
fn not_writable(context: &Context<'_>, path: &Path) -> Option<String> {
    for directory in path.ancestors().skip(1).take(2) {
        match context.facts.file(directory) {
            FileFact::Absent => {}
            FileFact::Directory { writable: true, .. } => return None,
            FileFact::Directory { uid, mode, .. } => {
                return Some(format!("{} belongs to uid {uid} with mode {mode:o}", directory.display()));
            }
            _ => return Some(format!("{} is not a directory", directory.display())),
        }
    }
    None
}

#[cfg(test)]
mod tests;
