//! What is legal but hardly meant: unknown names, comments that are values, workflows with half their keys.

use super::known::{self, KEYS, Part, SBATCH, SECTIONS, workflow_of};
use super::merged::{Merged, MergedKey};
use super::{DEFAULT, Notice, dialect};
use crate::nearest::nearest;

/// More warnings help nobody.
const MOST_WARNINGS: usize = 200;

/// Adds the warnings to a merge.
pub(crate) fn review(merged: &mut Merged) {
    let mut warnings = Vec::new();
    for section in &merged.sections {
        if !SECTIONS.contains(&section.name.as_str()) {
            let (path, line) = section.keys.first().map_or_else(
                || (merged.files.first().cloned().unwrap_or_default(), 0),
                |key| (key.path.clone(), key.line),
            );
            let hint = nearest(&section.name, SECTIONS)
                .map_or(String::new(), |name| format!("; did you mean [{name}]?"));
            let message = format!("BIOMERO does not read a section [{}]{hint}", section.name);
            warnings.push(Notice::new(&path, line, message));
        }
        for key in &section.keys {
            warnings.extend(inline_comment(key));
            if let Some(message) = unknown_key(&section.name, &key.key) {
                warnings.push(Notice::new(&key.path, key.line, message));
            }
        }
    }
    defaults(merged, &mut warnings);
    workflows(merged, &mut warnings);
    warnings.truncate(MOST_WARNINGS);
    merged.warnings.extend(warnings);
    merged.warnings.truncate(2 * MOST_WARNINGS);
}

fn inline_comment(key: &MergedKey) -> Option<Notice> {
    let value = key.value.as_deref()?;
    let mut before = None;
    let mark = value.chars().find(|character| {
        let found = matches!(character, '#' | ';') && before.is_some_and(dialect::is_space);
        before = Some(*character);
        found
    })?;
    let message = format!(
        "the \"{mark} …\" after the value of {} is part of the value; write a comment on a line of its own",
        key.key
    );
    Some(Notice::new(&key.path, key.line, message))
}

fn unknown_key(section: &str, key: &str) -> Option<String> {
    if section == "CONVERTERS" {
        return (!key.contains("_to_"))
            .then(|| format!("{key} names no conversion; a key of [CONVERTERS] is such as zarr_to_tiff"));
    }
    if !matches!(section, "SSH" | "SLURM" | "ANALYTICS") || known::find(section, key).is_some() {
        return None;
    }
    if section == "SLURM" && key.starts_with(SBATCH) && key.len() > SBATCH.len() {
        return None;
    }
    if let Some(other) = KEYS.iter().find(|known| known.key == key) {
        return Some(format!(
            "BIOMERO reads {key} in [{}], not in [{section}]; move it there",
            other.section
        ));
    }
    let names = KEYS.iter().filter(|known| known.section == section).map(|known| known.key);
    let hint = nearest(key, names).map_or(String::new(), |name| format!("; did you mean {name}?"));
    Some(format!("BIOMERO 2.8 does not read {key} in [{section}]{hint}"))
}

/// A key of `[DEFAULT]` is in every section, and so a workflow and a converter as well.
fn defaults(merged: &Merged, warnings: &mut Vec<Notice>) {
    let listed: Vec<&str> = ["MODELS", "WORKFLOWS", "CONVERTERS"]
        .into_iter()
        .filter(|name| merged.section(name).is_some())
        .collect();
    if listed.is_empty() {
        return;
    }
    for key in merged.section(DEFAULT).into_iter().flat_map(|defaults| &defaults.keys) {
        let message = format!(
            "{} of [DEFAULT] counts as a key of every section, [{}] too; write it in the section it is for",
            key.key,
            listed.join("] and [")
        );
        warnings.push(Notice::new(&key.path, key.line, message));
    }
}

fn workflows(merged: &Merged, warnings: &mut Vec<Notice>) {
    let mut keys: Vec<&MergedKey> = merged.items("MODELS");
    keys.extend(merged.items("WORKFLOWS"));
    let names: std::collections::HashSet<&str> = keys.iter().map(|key| key.key.as_str()).collect();
    for key in &keys {
        let message = match workflow_of(&key.key) {
            None => {
                let missing: Vec<String> = ["_repo", "_job"]
                    .into_iter()
                    .map(|suffix| format!("{}{suffix}", key.key))
                    .filter(|name| !names.contains(name.as_str()))
                    .collect();
                if missing.is_empty() {
                    continue;
                }
                format!(
                    "the workflow {} has no {}; add it, or delete the workflow",
                    key.key,
                    missing.join(" and no ")
                )
            }
            Some((workflow, part)) if !names.contains(workflow) => {
                // A missing `NAME_job` of an option is told where the settings are typed: there BIOMERO stops.
                if matches!(part, Part::JobOption(_)) && !names.contains(format!("{workflow}_job").as_str()) {
                    continue;
                }
                let known = keys.iter().map(|key| key.key.as_str()).filter(|key| workflow_of(key).is_none());
                let hint =
                    nearest(workflow, known).map_or(String::new(), |name| format!("; did you mean {name}?"));
                format!(
                    "{} is of the workflow {workflow}, which has no path; add {workflow} = PATH{hint}",
                    key.key
                )
            }
            Some((_, Part::UseGpu)) => {
                let known = ["true", "1", "yes", "y", "on", "false", "0", "no", "n", "off"];
                let value = key.value.as_deref().unwrap_or_default().to_lowercase();
                if known.contains(&value.as_str()) {
                    continue;
                }
                format!(
                    "{} is neither true nor false, which BIOMERO takes for false; write true or false",
                    key.key
                )
            }
            Some(_) => continue,
        };
        let notice = Notice::new(&key.path, key.line, message);
        if !warnings.contains(&notice) {
            warnings.push(notice);
        }
        if warnings.len() > MOST_WARNINGS {
            return;
        }
    }
}
